"""What can be done to a graph: derivatives forward and reverse, batching, compiling, derivatives of the user's own."""

from treadle.transforms.associative import associative_scan
from treadle.transforms.batching import vmap
from treadle.transforms.compiling import RetraceWarning, compile, compile_count, eval_shape, graph
from treadle.transforms.custom import checkpoint, custom_jvp, custom_vjp, stop_gradient
from treadle.transforms.forward import jvp, linearize
from treadle.transforms.grad import grad, value_and_grad, vjp
from treadle.transforms.jacobians import hessian, hvp, jacobian
from treadle.transforms.profiling import Profile, profile
from treadle.transforms.unrolled import UnrolledWarning

__all__ = [
    "Profile",
    "RetraceWarning",
    "UnrolledWarning",
    "associative_scan",
    "checkpoint",
    "compile",
    "compile_count",
    "custom_jvp",
    "custom_vjp",
    "eval_shape",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "profile",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
