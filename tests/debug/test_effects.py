"""print, check, probe, on_gradient and host: in eager and compiled code, derivatives, vmap, loops and branches."""

from __future__ import annotations

import io

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError, CheckError, DerivativeError, DTypeError, ShapeError
from treadle.ops.effects import is_decided


@pytest.fixture(autouse=True)
def _count_anew():
    td.debug.reset_counts()


def as_is(f):
    return f


def in_turn(x):
    """Prints before, inside and after a loop; what does not depend on x too."""
    td.print("begin")
    y = x * 2
    td.print("y {}", y)
    td.print("ones {}", td.ones(2))

    def body(c, v):
        td.print("c {:.1f}", c)
        return c * v, c

    c, _ = td.scan(body, y.sum(), td.asarray([1.0, 2.0]))
    td.print("end")
    return c


LINES = ["begin", "y [2., 4.]", "ones [1., 1.]", "[step 0] c 6.0", "[step 1] c 6.0", "end"]

WAYS = {
    "value": as_is,
    "grad": td.grad,
    "jvp": lambda f: lambda x: td.jvp(f, [x], [x]),
    "jacobian": td.jacobian,
    "linearize": lambda f: lambda x: td.linearize(f, x)[0],
    "checkpoint": lambda f: td.grad(td.checkpoint(f)),
    "hvp": lambda f: td.grad(lambda x: td.grad(f)(x).sum()),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_prints_come_once_and_in_the_order_of_the_program(way, compiled, capsys):
    f = WAYS[way](in_turn)
    (td.compile(f) if compiled else f)(td.asarray([1.0, 2.0]))
    assert capsys.readouterr().out.splitlines() == LINES


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("way", ["value", "grad"])
def test_vmap_prints_each_example_and_once_what_they_share(way, compiled, capsys):
    f = td.vmap(WAYS[way](in_turn))
    (td.compile(f) if compiled else f)(td.asarray([[1.0, 2.0], [0.0, 1.0]]))
    assert capsys.readouterr().out.splitlines() == [
        "begin",
        "[example 0] y [2., 4.]",
        "[example 1] y [0., 2.]",
        "ones [1., 1.]",
        "[step 0, example 0] c 6.0",
        "[step 0, example 1] c 2.0",
        "[step 1, example 0] c 6.0",
        "[step 1, example 1] c 2.0",
        "end",
    ]


def test_turns_of_nested_and_reversed_loops(capsys):
    def f(x):
        def outer(c, v):
            def inner(i, a):
                td.print("{}", a)
                return i + 1, a * 2

            return c + td.while_loop(lambda i, a: i < 2, inner, td.asarray(0), v)[1], None

        return td.scan(outer, td.asarray(0.0), x, reverse=True)[0]

    lines = ["[step 1.0] 5", "[step 1.1] 10", "[step 0.0] 3", "[step 0.1] 6"]
    for g in (f, td.compile(f)):
        g(td.asarray([3.0, 5.0]))
        assert capsys.readouterr().out.splitlines() == lines


def test_how_often_a_line_prints(capsys):
    @td.compile
    def f(x):
        td.print("first {}", x, first_n=2)
        td.print("every {}", x, every=3)
        td.print("both {}", x, every=2, first_n=2)
        td.print("when {}", x, when=x > 4)

    for k in range(6):
        f(td.asarray(float(k)))
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if "first" in line] == ["first 0", "first 1"]
    assert [line for line in out if "every" in line] == ["every 0", "every 3"]
    assert [line for line in out if "both" in line] == ["both 0", "both 2"]
    assert [line for line in out if "when" in line] == ["when 5"]


def test_a_line_that_is_traced_again_keeps_its_count(capsys):
    def f(x):
        td.print("n {}", x.shape[0], first_n=1)
        return x

    g = td.compile(f)
    g(td.zeros(2)), g(td.zeros(3))
    f(td.zeros(4))
    assert capsys.readouterr().out == "n 2\n"


def test_what_is_printed(capsys):
    tree = {"w": td.asarray([1.0, 2.0]), "n": 3, "name": "a"}
    td.print("{} {} {:.2f} {{}}", tree, td.Spec((2,), td.float32), td.asarray([0.125, 2.0]))
    td.print(td.asarray(1.5), td.summary(td.asarray([1.0, np.inf, np.nan])))
    td.print("{0} {0}", td.asarray(7, dtype=td.int8))
    td.print("{}", td.asarray([1.0, 2.5], dtype=td.bfloat16))
    td.print("{}", td.arange(1000))
    dense = td.nn.Dense(1, use_bias=False)
    dense(td.ones((1, 1)))
    td.print("{}", dense)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "{'w': [1., 2.], 'n': 3, 'name': 'a'} f32[2] [0.12, 2.00] {}"
    assert out[1] == "1.5 f32[3]  1 … 1, mean 1, std 0, 1 NaN and 1 infinite"
    assert out[2:4] == ["7 7", "[1. , 2.5]"]
    assert "..." in out[4]
    assert out[5].startswith("{'kernel': [[")


def test_print_to_a_file():
    file = io.StringIO()
    td.compile(lambda x: td.print("x {}", x, file=file))(td.asarray(2.0))
    assert file.getvalue() == "x 2\n"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: td.print("{} {}", 1), ArgumentError, "has 2 places for values, and 1 is given"),
        (lambda: td.print("loss", 1), ArgumentError, "has 0 places for values, and 1 is given"),
        (lambda: td.print("{loss}", 1), ArgumentError, "have names; use {}"),
        (lambda: td.print("{", 1), ArgumentError, "is no template.*for braces"),
        (lambda: td.print("", first_n=0), ArgumentError, "first_n=0 must be an int from 1 up"),
        (lambda: td.print("", every=1.5), ArgumentError, "every=1.5 must be an int from 1 up"),
        (lambda: td.print("", when=td.asarray([True])), ShapeError, r"when= must be one bool, and is bool\[1\]"),
        (lambda: td.check(td.asarray(1.0)), DTypeError, r"must be bool, and is f32\[\]; write a comparison"),
        (lambda: td.check(False, "{}"), ArgumentError, "has 1 place for values, and 0 are given"),
        (lambda: td.probe(td.zeros(2), "a b"), ArgumentError, "'a b' may have letters, digits"),
        (lambda: td.on_gradient(td.arange(3), print), DTypeError, "has no gradient"),
        (
            lambda: td.grad(lambda x: td.on_gradient(x, lambda g: g * 2))(td.asarray(1.0)),
            ArgumentError,
            "returned something.*write a td.custom_vjp",
        ),
    ],
)
def test_wrong_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


# check


def positive_root(x):
    td.check(x > 0, "x is {}", x)
    return td.sqrt(x).sum()


@pytest.mark.parametrize("way", ["value", "grad", "jvp", "checkpoint", "hvp"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_check_names_values_line_and_place(way, compiled):
    f = WAYS[way](positive_root)
    f = td.compile(f) if compiled else f
    f(td.asarray([1.0, 2.0, 3.0]))
    with pytest.raises(CheckError) as caught:
        f(td.asarray([1.0, -2.0, 0.0]))
    assert caught.value.message == "x is [ 1., -2.,  0.]\n  It fails at 1, 2: 2 of 3 elements"
    assert "test_effects.py:" in str(caught.value)


@pytest.mark.parametrize("compiled", [False, True])
def test_checks_in_loops_branches_and_examples(compiled):
    def f(x):
        def body(c, v):
            td.check(v < 3, "v is {}", v)
            return c + v, None

        return td.scan(body, td.asarray(0.0), x)[0]

    def g(x):
        return td.cond(x > 0, lambda x: (td.check(x < 5, "large: {}", x), x)[1], lambda x: -x, x)

    def h(x):
        def body(x):
            td.check(x < 5, "{} in the loop", x)
            return x * 2

        return td.while_loop(lambda x: x < 7, body, x)

    wrap = td.compile if compiled else as_is
    with pytest.raises(CheckError, match="step 2: v is 4"):
        wrap(f)(td.asarray([1.0, 2.0, 4.0]))
    with pytest.raises(CheckError, match="step 1, example 1: v is 5"):
        wrap(td.vmap(f))(td.asarray([[1.0, 2.0], [1.0, 5.0]]))
    with pytest.raises(CheckError, match="large: 6"):
        wrap(g)(td.asarray(6.0))
    with pytest.raises(CheckError, match="step 1: 6 in the loop"):
        wrap(h)(td.asarray(3.0))
    assert wrap(g)(td.asarray(-6.0)).item() == 6
    # Under vmap all branches and all turns run on all examples; only those that are meant are checked.
    assert wrap(td.vmap(g))(td.asarray([-6.0, 2.0])).tolist() == [6, 2]
    assert wrap(td.vmap(h))(td.asarray([2.0, 9.0])).tolist() == [8, 9]
    with pytest.raises(CheckError, match="example 1: large: 7"):
        wrap(td.vmap(g))(td.asarray([-6.0, 7.0]))
    with pytest.raises(CheckError, match="step 1, example 0: 6 in the loop"):
        wrap(td.vmap(h))(td.asarray([3.0, 9.0]))


def test_gates_pass_through_what_is_nested(capsys):
    def f(x):
        def inner(x):
            def body(c, v):
                td.check(c < 5, "c {}", c)
                td.cond(v > 0, lambda v: td.print("v {}", v), lambda v: None, v)
                return c + 1, None

            c, _ = td.scan(body, x, td.asarray([1.0, 0.0]))
            return td.while_loop(lambda c: c < 4, lambda c: (td.print("w {}", c), c + 2)[1], c)

        return td.cond(x < 3, td.compile(inner), lambda x: x, x)

    x = td.asarray([1.0, 9.0])
    expected = [[], []]
    for k, g in enumerate((td.vmap(f), td.compile(td.vmap(f)))):
        assert g(x).tolist() == [5.0, 9.0]
        expected[k] = capsys.readouterr().out.splitlines()
    assert expected[0] == expected[1] == ["[step 0, example 0] v 1", "[step 0, example 0] w 3"]
    assert is_decided(td.graph(f)(x[0]))


@pytest.mark.parametrize("how", ["fit", "step"])
def test_nothing_is_half_written(how):
    model, optimizer = td.nn.Sequential([td.nn.Dense(3), td.nn.Dropout(0.5)]), td.optim.Adam(0.1)
    x = td.random.normal(td.random.key(1), (8, 4))

    def loss(prediction, target):
        value = ((prediction - target) ** 2).mean()
        td.check(value < 1e3, "loss {}", value)
        return value

    def run(scale):
        if how == "fit":
            td.fit(model, (x * scale, td.zeros((8, 3))), loss=loss, optimizer=optimizer, batch_size=8, verbose=False)
        else:
            step(model, optimizer, x * scale)

    @td.compile
    def step(model, optimizer, x):
        value, grads = td.value_and_grad(lambda m: loss(m(x, training=True), td.zeros((8, 3))))(model)
        optimizer.update(model, grads)
        return value

    run(1.0)
    before = {**model.variables(), **optimizer.variables()}
    with pytest.raises(CheckError, match=r"loss \d"):
        run(1e4)
    after = {**model.variables(), **optimizer.variables()}
    assert {k: v.tolist() for k, v in before.items()} == {k: v.tolist() for k, v in after.items()}
    run(1.0)


def test_the_repeated_run_neither_prints_nor_calls_again(capsys):
    calls = []

    @td.compile
    def f(x):
        td.print("x {}", x)
        y = td.host(lambda a: calls.append(1) or a * len(calls), x, result_shape=x)
        td.check(y < 10, "y {}", y)
        return y

    f(td.asarray(1.0))
    with pytest.raises(CheckError, match="y 40"):
        f(td.asarray(20.0))
    assert len(calls) == 2
    assert capsys.readouterr().out == "x 1\nx 20\n"


def test_a_check_that_only_rounding_decides_still_raises(monkeypatch):
    f = td.compile(lambda x: td.check(x > 0, "x is {}", x))
    monkeypatch.setattr("treadle.backends.native.guarded.reference_prepare", lambda graph: lambda inputs: ())
    with pytest.raises(CheckError, match=r"(?s)x is \{\}.*just holds in NumPy's run"):
        f(td.asarray(-1.0))


def test_unused_checks_and_probes_leave_no_kernel_and_no_call():
    def f(x, probed):
        y = td.tanh(x)
        if probed:
            td.probe(y, "y")
            td.probe({"a": td.exp(y)}, "z")
            y = td.on_gradient(y, lambda g: td.probe(g, "g"))
        return y.sum()

    x = td.zeros((4, 5))
    plain, probed = (td.compile(td.grad(f)).explain(x, p) for p in (False, True))
    assert [k.text for k in probed.kernels] == [k.text for k in plain.kernels]
    checked = td.compile(lambda x: (td.check(x < 5, "{}", td.exp(x)), td.tanh(x))[1]).explain(x)
    assert not any("Python" in k.name or "exp" in k.name for k in checked.kernels)


# on_gradient


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_on_their_way_back(compiled, capsys):
    def f(x):
        def body(c, v):
            y = td.on_gradient(c * v, lambda g: td.print("g {}", g))
            return y, y

        return td.scan(body, td.asarray(1.0), x)[1].sum()

    wrap = td.compile if compiled else as_is
    x = td.asarray([2.0, 3.0])
    assert wrap(td.grad(f))(x).tolist() == [4.0, 2.0]
    assert capsys.readouterr().out.splitlines() == ["[step 1] g 1", "[step 0] g 4"]
    wrap(f)(x)
    wrap(lambda x: td.jvp(f, [x], [x]))(x)
    assert capsys.readouterr().out == ""
    wrap(td.vmap(td.grad(f)))(td.stack([x, x + 1]))
    assert capsys.readouterr().out.splitlines() == [
        "[step 1, example 0] g 1",
        "[step 1, example 1] g 1",
        "[step 0, example 0] g 4",
        "[step 0, example 1] g 5",
    ]
    wrap(td.grad(lambda x: td.vmap(f)(x).sum()))(td.stack([x, x + 1]))
    assert capsys.readouterr().out.splitlines()[-1] == "[step 0, example 1] g 5"

    def checked(x):
        return (td.on_gradient(x, lambda g: td.check(g < 3, "gradient {}", g)) ** 2).sum()

    with pytest.raises(CheckError, match=r"gradient \[2., 4.\]"):
        wrap(td.grad(checked))(td.asarray([1.0, 2.0]))


# host


def test_a_host_function_with_its_derivative():
    def cube(x, k):
        return td.host(
            lambda x, k: {"y": x**3 * k},
            x,
            k,
            result_shape={"y": x},
            derivative=lambda x, k, ct: (3 * x**2 * k * ct["y"], None),
        )["y"]

    x, k = td.asarray([1.0, 2.0]), td.asarray([2, 3])
    for wrap in (as_is, td.compile):
        assert wrap(td.grad(lambda x: cube(x, k).sum()))(x).tolist() == [6.0, 36.0]
        assert wrap(td.vmap(td.grad(cube)))(x, k).tolist() == [6.0, 36.0]
        assert wrap(td.grad(lambda x: td.vmap(cube)(x, k).sum()))(x).tolist() == [6.0, 36.0]
        looped = td.grad(lambda x: td.scan(lambda c, v: (c + cube(v, k[0]), None), td.asarray(0.0), x)[0])
        assert wrap(looped)(x).tolist() == [6.0, 24.0]


def test_a_host_function_is_called_once_by_its_derivative():
    calls = []

    def f(x):
        return td.host(lambda a: calls.append(1) or a * 2, x, result_shape=x, derivative=lambda a, ct: (2 * ct,)).sum()

    for wrap in (as_is, td.compile):
        calls.clear()
        assert wrap(td.grad(f))(td.ones(2)).tolist() == [2.0, 2.0]
        assert len(calls) == 1


def noted(calls, function, slope):
    """x → td.host(function, x), which notes each call."""

    def called(a):
        calls.append(float(a))
        return function(a)

    return lambda x: td.host(called, x, result_shape=x, derivative=lambda a, ct: (slope(a) * ct,))


@pytest.mark.parametrize("wrap", [as_is, td.compile], ids=["eager", "compiled"])
def test_the_derivative_of_a_loop_does_not_call_again(wrap):
    calls = []
    square = noted(calls, lambda a: a**2, lambda a: 2 * a)

    def scanned(x):
        return td.scan(lambda c, k: (c + square(k * x), None), td.asarray(0.0), td.asarray([1.0, 2.0, 3.0]))[0]

    def repeated(x):
        return td.while_loop(lambda v: v < 50, square, x, max_steps=6)

    def chosen(x):
        return td.cond(x > 1, square, lambda x: x, x)

    def nested(x):
        return td.scan(lambda c, k: (c + scanned(k * x), None), td.asarray(0.0), td.asarray([1.0, 2.0]))[0]

    x = td.asarray(2.0)
    loops = [
        (scanned, 56.0, 56.0, [2.0, 4.0, 6.0]),
        (repeated, 256.0, 8 * 2.0**7, [2.0, 4.0, 16.0]),
        (chosen, 4.0, 4.0, [2.0]),
        (nested, 280.0, 280.0, [2.0, 4.0, 6.0, 4.0, 8.0, 12.0]),
    ]
    for f, value, slope, expected in loops:
        calls.clear()
        made = wrap(td.value_and_grad(f))(x)
        assert [v.item() for v in made] == [value, slope]
        assert calls == expected
        calls.clear()
        assert wrap(lambda x, f=f: td.vjp(f, x)[1](td.asarray(1.0))[0])(x).item() == slope
        assert calls == expected
    calls.clear()
    twice = wrap(td.grad(lambda x: td.value_and_grad(scanned)(td.stop_gradient(x))[0] * x))  # one inside of another
    assert twice(x).item() == 56.0
    assert calls == [2.0, 4.0, 6.0]


def test_an_unpredictable_host_function_gives_its_derivative_what_it_gave():
    draws = []

    def draw(a):
        draws.append(np.float32(len(draws) + 1))
        return a * draws[-1]

    def f(x):
        def body(c, k):
            return c * td.host(draw, x, result_shape=x, derivative=lambda a, ct: (0 * ct,)), None

        return td.scan(body, x, length=3)[0]

    value, slope = td.value_and_grad(f)(td.asarray(1.0))
    assert (value.item(), slope.item(), len(draws)) == (6.0, 6.0, 3)


def test_derivatives_of_host_functions_that_cannot_be():
    def f(x, **more):
        return td.host(lambda a: a * 2, x, result_shape=x, **more).sum()

    x = td.ones(2)
    with pytest.raises(DerivativeError, match=r"Give td\.host its derivative="):
        td.grad(f)(x)
    with pytest.raises(ShapeError, match="a tuple with one cotangent an argument, 1 of them, and returned ndarray"):
        td.grad(lambda x: f(x, derivative=lambda a, ct: ct))(x)
    with pytest.raises(ShapeError, match=r"\[2\] was promised, \[\] came"):
        td.grad(lambda x: f(x, derivative=lambda a, ct: (np.float32(1.0),)))(x)
    with pytest.raises(td.errors.RuleError, match="reverse-mode derivative only"):
        td.jvp(lambda x: f(x, derivative=lambda a, ct: (2 * ct,)), [x], [x])
