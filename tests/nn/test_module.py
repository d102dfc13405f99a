"""Modules: building, paths, sharing, scopes, the training flag, what compile sees of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn


class Block(nn.Module):
    def __init__(self, units: int) -> None:
        self.dense = nn.Dense(units)
        self.more = {"norm": nn.LayerNorm(), "list": [nn.Dense(2, use_bias=False)]}
        self.factor = nn.Parameter(td.ones(()))

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.more["list"][0](self.more["norm"](self.dense(x))) * self.factor


def test_paths() -> None:
    block = Block(3)
    assert block(td.zeros((1, 4))).shape == (1, 2)
    assert {k: v.shape for k, v in block.parameters().items()} == {
        "dense.kernel": (4, 3),
        "dense.bias": (3,),
        "more.norm.gamma": (3,),
        "more.norm.beta": (3,),
        "more.list.0.kernel": (3, 2),
        "factor": (),
    }
    assert list(block.modules()) == ["", "dense", "more.norm", "more.list.0"]


def test_scopes_are_paths() -> None:
    outer = nn.Sequential([Block(3)])
    graph = td.graph(outer)(td.zeros((1, 4)))
    scopes = {node.scope for node in graph.nodes}
    assert {"layers.0", "layers.0/dense", "layers.0/more.norm", "layers.0/more.list.0"} == scopes


def test_scope_of_a_layer_called_past_its_owner_and_of_one_that_nobody_owns() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            self.inner = Block(3)
            self.hidden = [(nn.Dense(2),)]

        def __call__(self, x: td.Tensor) -> td.Tensor:
            return nn.Activation("sin" if False else td.sin)(self.inner.dense(x)).sum() + self.hidden[0][0](x).sum()

    model = Odd()
    model.inner.dense(td.zeros((1, 4)))
    model.hidden[0][0](td.zeros((1, 4)))
    model.hidden = [list(model.hidden[0])]
    graph = td.graph(lambda m, x: m(x))(model, td.zeros((1, 4)))
    scopes = [node.scope for node in graph.nodes if node.primitive.name in ("contract", "sin")]
    assert scopes == ["inner/dense", "Activation", "hidden.0.0"]


def test_shared_layers_count_once() -> None:
    shared = nn.Dense(4)
    model = nn.Sequential([shared, td.tanh, shared])
    model(td.zeros((1, 4)))
    assert list(model.parameters()) == ["layers.0.kernel", "layers.0.bias"]
    gradients = td.grad(lambda m, x: td.sum(m(x)))(model, td.ones((1, 4)))
    assert list(gradients) == list(model.parameters())
    assert "20 parameters in all" in repr(model)


# building


@pytest.mark.parametrize("what", ["parameters", "variables", "states"])
def test_unbuilt_says_so(what: str) -> None:
    model = nn.Sequential([nn.Dense(3), nn.Dense(2)])
    with pytest.raises(td.errors.BuildError) as e:
        getattr(model, what)()
    text = str(e.value)
    assert "test_module.py:" in text
    for words in (
        f"{what}() of Sequential",
        "layers.0 (Dense) and 1 more",
        "Call the model once",
        "model.init(",
        "input_size=",
    ):
        assert words in text
    with pytest.raises(td.errors.BuildError, match="makes its parameters when it is first called"):
        model.assign({})


def test_layers_that_own_nothing_are_never_unbuilt() -> None:
    assert nn.Sequential([nn.Flatten(), nn.MaxPooling2D(), td.relu]).parameters() == {}


def test_attribute_of_an_unbuilt_layer() -> None:
    layer = nn.Dense(3)
    with pytest.raises(td.errors.BuildError, match="has no kernel yet"):
        _ = layer.kernel
    with pytest.raises(AttributeError, match="no attribute 'kernal'"):
        _ = layer.kernal
    assert not hasattr(layer, "numpy")


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (lambda: nn.Dense(3, input_size=2), {"kernel": (2, 3), "bias": (3,)}),
        (lambda: nn.Conv2D(4, 3, groups=2, input_size=6), {"kernel": (3, 3, 3, 4), "bias": (4,)}),
        (lambda: nn.Conv2D(4, 3, data_format="channels_first", input_size=5), {"kernel": (3, 3, 5, 4), "bias": (4,)}),
        (lambda: nn.Conv1DTranspose(4, 3, input_size=6), {"kernel": (3, 4, 6), "bias": (4,)}),
        (lambda: nn.DepthwiseConv2D(3, depth_multiplier=2, input_size=5), {"kernel": (3, 3, 5, 2), "bias": (10,)}),
        (lambda: nn.LayerNorm(axis=(1, -1), input_size=(4, 5)), {"gamma": (4, 5), "beta": (4, 5)}),
        (lambda: nn.BatchNorm(axis=1, input_size=4), {"gamma": (4,), "beta": (4,)}),
        (lambda: nn.GroupNorm(2, input_size=4), {"gamma": (4,), "beta": (4,)}),
        (lambda: nn.RMSNorm(input_size=4), {"gamma": (4,)}),
        (lambda: nn.PReLU(input_size=(4, 1)), {"alpha": (4, 1)}),
    ],
)
def test_input_size_builds_at_once(layer: Any, shapes: dict[str, Any]) -> None:
    assert {k: v.shape for k, v in layer().parameters().items()} == shapes


def test_init_takes_tensors_specs_and_shapes() -> None:
    for what in (td.zeros((2, 5)), td.Spec((2, 5), td.float32), (2, 5), ("batch", 5), np.zeros((2, 5), np.float32)):
        assert nn.Dense(3).init(what).kernel.shape == (5, 3)
    with pytest.raises(td.errors.ArgumentError, match="a size is not negative"):
        nn.Dense(3).init((-1, 5))


def test_a_size_that_is_not_known_cannot_be_a_parameters() -> None:
    with pytest.raises(td.errors.BuildError, match=r"\[features, 3\] has one that is not known"):
        nn.Dense(3).init((2, "features"))


def test_built_once_inside_of_compile_with_the_numbers_it_would_have_outside() -> None:
    def fresh() -> nn.Module:
        td.random.set_seed(5)
        return nn.Sequential([nn.Dense(4), nn.Dropout(0.5, seed=1), nn.Dense(2)])

    step = td.compile(lambda m, x: m(x, training=True))
    inside, outside = fresh(), None
    y = step(inside, td.ones((2, 3)))
    outside = fresh()
    np.testing.assert_allclose(np.asarray(y), np.asarray(outside(td.ones((2, 3)), training=True)), rtol=1e-6)
    assert step.traces == 1
    step(inside, td.ones((2, 3)))
    assert step.traces == 1


def test_module_that_is_closed_over_by_compile() -> None:
    layer = nn.Dense(3, input_size=2)
    with pytest.raises(td.errors.TraceError, match="Pass the module in"):
        td.compile(lambda x: layer(x))(td.zeros((1, 2)))


# training


class Flags(nn.Module):
    def __init__(self) -> None:
        self.inner = Probe()

    def __call__(self, x: td.Tensor) -> Any:
        return nn.is_training(), self.inner(x), self.inner(x, training=True), self.inner(x, training=False)


class Probe(nn.Module):
    def __call__(self, x: td.Tensor, training: bool = False) -> bool:
        assert training == nn.is_training()
        return training


def test_training_holds_for_what_is_called_inside() -> None:
    x = td.zeros(1)
    assert Flags()(x) == (False, False, True, False)
    assert Flags()(x, training=True) == (True, True, True, False)
    assert Flags()(x, training=False) == (False, False, True, False)
    assert not nn.is_training()


def test_training_ends_with_an_error() -> None:
    class Fails(nn.Module):
        def __call__(self, x: td.Tensor) -> td.Tensor:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        Fails()(td.zeros(1), training=True)
    assert not nn.is_training()


def test_compiled_call_inside_of_a_module_knows_whether_it_trains() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.dropout = nn.Dropout(0.5, seed=0)

        @td.compile
        def __call__(self, x: td.Tensor) -> td.Tensor:
            return self.dropout(x)

    net, x = Net(), td.ones(50)
    assert 0.0 in net(x, training=True).tolist()
    assert net(x).tolist() == x.tolist()
    assert 0.0 in net(x, training=True).tolist()


# calls


def test_super_call_is_one_call() -> None:
    class Base(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(2)

        def __call__(self, x: td.Tensor) -> td.Tensor:
            return self.dense(x)

    class Twice(Base):
        def __call__(self, x: td.Tensor) -> td.Tensor:
            return super().__call__(x) * 2

    graph = td.graph(nn.Sequential([Twice()]))(td.zeros((1, 3)))
    assert {node.scope for node in graph.nodes} == {"layers.0", "layers.0/dense"}


def test_forward_is_named() -> None:
    class Torch(nn.Module):
        def forward(self, x: td.Tensor) -> td.Tensor:
            return x

    with pytest.raises(td.errors.ArgumentError, match="rename forward to __call__"):
        Torch()(td.zeros(1))
    with pytest.raises(td.errors.ArgumentError, match="write def __call__"):
        nn.Module()(td.zeros(1))


def test_arrays_become_tensors() -> None:
    assert nn.Flatten()(np.zeros((2, 3, 4), np.float32)).shape == (2, 12)


def test_repr() -> None:
    model = nn.Sequential([nn.Conv2D(8, 3, activation=td.relu, input_size=1), nn.Flatten(), nn.Dense(10)])
    assert repr(model).splitlines() == [
        "Sequential",
        "  path      layer                                        parameters",
        "  layers.0  Conv2D(8, 3, activation=relu, input_size=1)  kernel [3, 3, 1, 8], bias [8]  80",
        "  layers.1  Flatten()",
        "  layers.2  Dense(10)                                    not built yet",
        "  80 parameters in all, without 1 layer not built yet",
    ]


def test_sequential_is_a_list_of_layers() -> None:
    model = nn.Sequential()
    for layer in (nn.Dense(3), td.relu, nn.Dense(2)):
        model.add(layer)
    assert len(model) == 3
    assert list(model) == model.layers
    assert model[1] is td.relu
    assert model[:2].layers == model.layers[:2]
    x = td.ones((1, 4))
    np.testing.assert_array_equal(np.asarray(model[2:](model[:2](x))), np.asarray(model(x)))


def test_signature_for_help() -> None:
    import inspect

    assert list(inspect.signature(nn.Flatten).parameters) == ["data_format"]
    assert list(inspect.signature(nn.Module).parameters) == []


# defaults


def test_defaults_nest_and_explicit_arguments_win() -> None:
    with nn.defaults(Conv2D={"padding": "same", "use_bias": False}, Dense={"activation": "relu"}):
        outer = nn.Conv2D(4, 3)
        with nn.defaults(Conv2D={"padding": 1}):
            inner = nn.Conv2D(4, 3)
            explicit = nn.Conv2D(4, 3, 1, "valid")
        assert nn.Conv2D(4, 3).padding == "same"
        assert nn.Conv1D(4, 3).padding == "valid"
    assert (outer.padding, outer.use_bias) == ("same", False)
    assert (inner.padding, inner.use_bias) == (((1, 1), (1, 1)), False)
    assert (explicit.padding, explicit.use_bias) == ("valid", False)
    assert nn.Conv2D(4, 3).padding == "valid"


def test_defaults_reach_into_constructors_and_know_aliases_and_classes() -> None:
    class Net(nn.Module):
        def __init__(self, width: int = 1) -> None:
            self.norm, self.width = nn.BatchNormalization(), width

    with nn.defaults({Net: {"width": 7}}, BatchNorm={"momentum": 0.5}):
        net = Net()
    assert (net.norm.momentum, net.width) == (0.5, 7)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Conv2D": {"paddin": "same"}}, "Did you mean padding?"),
        ({"Conv2d": {"padding": "same"}}, "did you mean Conv2D?"),
        ({"Conv2D": "same"}, "is no dict of arguments"),
        ({"Zebra": {}}, "names a class of layers"),
    ],
)
def test_wrong_defaults_raise_at_once(given: dict[str, Any], words: str) -> None:
    with pytest.raises(td.errors.ArgumentError) as e, nn.defaults(**given):
        pass
    assert words in str(e.value)
    assert "test_module.py:" in str(e.value)


def test_defaults_for_a_name_that_two_classes_have() -> None:
    def make() -> type[nn.Module]:
        class Twin(nn.Module):
            pass

        return Twin

    kept = make(), make()
    with pytest.raises(td.errors.ArgumentError, match="2 classes are named Twin"), nn.defaults(Twin={}):
        pass
    assert len(kept) == 2


def test_defaults_end_with_an_error() -> None:
    with pytest.raises(RuntimeError), nn.defaults(Conv2D={"padding": "same"}):
        raise RuntimeError
    assert nn.Conv2D(4, 3).padding == "valid"
