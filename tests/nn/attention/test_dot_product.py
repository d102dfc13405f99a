"""`scaled_dot_product_attention` against NumPy, PyTorch, and its blockwise form; rows that see nothing; errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, DimError, DTypeError, ShapeError
from treadle.nn.attention import dot_product
from treadle.nn.attention.blocks import Tiling, blockwise

attention = nn.scaled_dot_product_attention
RNG = np.random.default_rng(0)


def inputs(batch=2, queries=5, keys=7, heads=4, shared=2, features=3, values=2, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    shapes = (batch, queries, heads, features), (batch, keys, shared, features), (batch, keys, shared, values)
    return [td.asarray(rng.standard_normal(s)).astype(dtype) for s in shapes]


def by_hand(q, k, v, *, causal=False, offset=0, mask=None, lengths=None, bias=None, distance_bias=None, scale=None):
    """One query at a time, in NumPy."""
    q, k, v = (np.asarray(x) for x in (q, k, v))
    (batch, queries, heads, features), keys, shared = q.shape, k.shape[1], k.shape[2]
    out = np.zeros((batch, queries, heads, v.shape[-1]))
    full = (batch, heads, queries, keys)
    allowed = np.ones(full, bool) if mask is None else np.broadcast_to(np.asarray(mask), full)
    added = np.zeros(full) if bias is None else np.broadcast_to(np.asarray(bias), full)
    first = np.broadcast_to(np.asarray(offset), (batch,))
    for b, t, h in itertools.product(range(batch), range(queries), range(heads)):
        seen = [
            s for s in range(keys)
            if allowed[b, h, t, s] and not (causal and s > t + first[b])
            and (lengths is None or s < int(lengths[b])) and added[b, h, t, s] > -np.inf
        ]  # fmt: skip
        if not seen:
            continue
        kept = h // (heads // shared)
        z = k[b, seen, kept] @ q[b, t, h] * (features**-0.5 if scale is None else scale) + added[b, h, t, seen]
        if distance_bias is not None:
            table = np.asarray(distance_bias)
            z += table[h % len(table), (table.shape[1] - 1) // 2 + np.array(seen) - t - first[b]]
        p = np.exp(z - z.max())
        out[b, t, h] = p / p.sum() @ v[b, seen, kept]
    return out


def options(rng, draw, batch, queries, heads, keys):
    """Some of the arguments, of random shapes."""
    made = {}
    if draw("causal"):
        made["causal"] = True
    if draw("offset"):
        made["offset"] = td.asarray(rng.integers(0, 4, batch).astype(np.int64))
    if draw("lengths"):
        made["lengths"] = td.asarray(rng.integers(0, keys + 1, batch).astype(rng.choice(["i1", "u4", "i8"])))
    for name in ("mask", "bias"):
        if draw(name):
            sizes = [n if rng.random() < 0.5 else 1 for n in (batch, heads, queries, keys)]
            full = tuple(sizes[rng.integers(0, 3) :])
            made[name] = td.asarray(rng.random(full) < 0.7 if name == "mask" else rng.standard_normal(full))
    if draw("distance_bias"):
        n = max(queries + 4, keys)
        made["distance_bias"] = td.asarray(rng.standard_normal((heads if rng.random() < 0.5 else 1, 2 * n - 1)))
    return made


NAMES = ("causal", "offset", "lengths", "mask", "bias", "distance_bias")


@settings(max_examples=25)
@given(
    chosen=st.sets(st.sampled_from(NAMES)),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    heads=st.sampled_from([(1, 1), (4, 2), (3, 1)]),
    seed=st.integers(0, 99),
)
def test_both_forms_against_numpy(chosen, sizes, heads, seed):
    batch, queries, keys = sizes
    q, k, v = inputs(batch, queries, keys, *heads, seed=seed)
    given = options(np.random.default_rng(seed), chosen.__contains__, batch, queries, heads[0], keys)
    expected = by_hand(q, k, v, **given)
    np.testing.assert_allclose(attention(q, k, v, **given).numpy(), expected, rtol=1e-10, atol=1e-12)
    with small_blocks():
        blocks = attention(q, k, v, **given, method="blocks")
    np.testing.assert_allclose(blocks.numpy(), expected, rtol=1e-10, atol=1e-12)


class small_blocks:  # noqa: N801, used with `with`
    """Blocks of 2 × 3, so that few times make many."""

    def __enter__(self):
        self.before = dot_product.ROWS, dot_product.COLUMNS
        dot_product.ROWS, dot_product.COLUMNS = 2, 3

    def __exit__(self, *_):
        dot_product.ROWS, dot_product.COLUMNS = self.before


@pytest.mark.parametrize("chosen", [(), ("causal",), ("lengths", "bias"), NAMES, ("causal", "distance_bias", "bias")])
@pytest.mark.parametrize("seed", [1, 2])
def test_gradients_of_blocks_are_those_of_the_plain_form(chosen, seed):
    rng = np.random.default_rng(seed)
    q, k, v = inputs(2, 5, 7, 4, 2, seed=seed)
    given = options(rng, chosen.__contains__, 2, 5, 4, 7)
    weights = td.asarray(rng.standard_normal((2, 5, 4, 2)))
    floats = [n for n in ("bias", "distance_bias") if n in given]

    def loss(q, k, v, floats, method):
        return td.sum(attention(q, k, v, **(given | floats), method=method) * weights)

    chosen_floats = {n: given[n] for n in floats}
    plain = td.grad(lambda *a: loss(*a, "plain"), argnums=(0, 1, 2, 3))(q, k, v, chosen_floats)
    with small_blocks():
        by_blocks = td.compile(td.grad(lambda *a: loss(*a, "blocks"), argnums=(0, 1, 2, 3)))(q, k, v, chosen_floats)
    for a, b in zip(td.tree.leaves(by_blocks), td.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("chosen", [(), ("causal",), NAMES])
def test_forward_mode_of_blocks_is_that_of_the_plain_form(chosen):
    rng = np.random.default_rng(3)
    qkv = inputs(2, 5, 7, 4, 2, seed=3)
    given = options(rng, chosen.__contains__, 2, 5, 4, 7)
    moves = [td.asarray(rng.standard_normal(x.shape)) for x in qkv]

    def along(method):
        def f(*qkv):
            return attention(*qkv, **given, method=method)

        value, tangent = td.jvp(f, qkv, moves)
        # Reverse over forward, too.
        back = td.grad(lambda q: td.sum(td.jvp(lambda q: f(q, *qkv[1:]), [q], moves[:1])[1] ** 2))(qkv[0])
        return value, tangent, back

    plain = along("plain")
    with small_blocks():
        by_blocks = along("blocks")
    for a, b in zip(by_blocks, plain, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_gradient_against_finite_differences(method):
    q, k, v = inputs(1, 3, 5, 2, 1)
    direction = [td.asarray(np.random.default_rng(7).standard_normal(x.shape)) for x in (q, k, v)]

    def loss(q, k, v):
        y = attention(q, k, v, causal=True, offset=1, lengths=td.asarray([4]), method=method)
        return td.sum(td.sin(3 * y))

    with small_blocks():
        gradients = td.grad(loss, argnums=(0, 1, 2))(q, k, v)
        found = sum(float(td.sum(g * d)) for g, d in zip(gradients, direction, strict=True))
        h = 1e-5
        up, down = (loss(*(x + s * h * d for x, d in zip((q, k, v), direction, strict=True))) for s in (1, -1))
    np.testing.assert_allclose(found, float(up - down) / (2 * h), rtol=1e-7)


@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_a_row_that_sees_nothing_gives_zeros_and_no_gradient(method):
    q, k, v = inputs(2, 4, 4, 2, 2)
    lengths = td.asarray(np.array([0, 3], np.uint8))
    bias = td.asarray(np.where(np.arange(4)[:, None] == 2, -np.inf, 0.0) * np.ones((4, 4)))

    def loss(q, k, v):
        return td.sum(attention(q, k, v, lengths=lengths, bias=bias, method=method) ** 2)

    with small_blocks():
        y = attention(q, k, v, lengths=lengths, bias=bias, method=method)
        gradients = td.grad(loss, argnums=(0, 1, 2))(q, k, v)
    assert not np.any(y[0].numpy())
    assert not np.any(y[1, 2].numpy())
    assert np.all(np.any(y[1, :2].numpy(), axis=-1))
    for g in gradients:
        assert np.isfinite(g.numpy()).all()
        assert not np.any(g[0].numpy())


@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_what_lies_behind_the_lengths_takes_no_part(method):
    q, k, v = inputs(2, 4, 5, 2, 2)
    lengths = td.asarray([3, 5])
    bad = td.asarray(np.where(np.arange(5)[None, :, None, None] >= np.array([3, 5])[:, None, None, None], np.nan, 0.0))

    def loss(q, k, v):
        return td.sum(attention(q, k, v, lengths=lengths, method=method) ** 2)

    run = td.value_and_grad(loss, argnums=(0, 1, 2))
    (clean, expected), (dirty, found) = run(q, k, v), run(q, k + bad, v + bad)
    assert clean.item() == dirty.item()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_batch_axes_none_or_several_and_a_batch_of_unknown_size():
    q, k, v = inputs(6, 5, 7, 2, 1)
    expected = attention(q, k, v, causal=True).numpy()
    parted = [td.reshape(x, (2, 3, *x.shape[1:])) for x in (q, k, v)]
    lengths = td.full((2, 3), 7)
    with small_blocks():
        for method in ("plain", "blocks"):
            made = attention(*parted, causal=True, lengths=lengths, method=method)
            np.testing.assert_allclose(made.numpy().reshape(expected.shape), expected, rtol=1e-12)
            alone = attention(q[0], k[0], v[0], causal=True, method=method)
            np.testing.assert_allclose(alone.numpy(), expected[0], rtol=1e-12)
            mapped = td.vmap(lambda q, k, v, m=method: attention(q, k, v, causal=True, method=m))(q, k, v)
            np.testing.assert_allclose(mapped.numpy(), expected, rtol=1e-12)
            sizes = {
                "q": ("batch", None, None, None),
                "k": ("batch", None, None, None),
                "v": ("batch", None, None, None),
            }
            run = td.compile(lambda q, k, v, m=method: attention(q, k, v, causal=True, method=m), dynamic=sizes)
            for n in (6, 2):
                np.testing.assert_allclose(run(q[:n], k[:n], v[:n]).numpy(), expected[:n], rtol=1e-10)
            assert run.traces == 1


def test_per_example_gradients_in_blocks():
    q, k, v = inputs(3, 4, 5, 2, 2)

    def loss(q, k, v, method):
        return td.sum(attention(q, k, v, causal=True, method=method) ** 2)

    with small_blocks():
        found = td.vmap(td.grad(lambda q, k, v: loss(q, k, v, "blocks"), argnums=(0, 1, 2)))(q, k, v)
    expected = td.vmap(td.grad(lambda q, k, v: loss(q, k, v, "plain"), argnums=(0, 1, 2)))(q, k, v)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_16_bit_floats_are_computed_in_float32(dtype, method):
    q, k, v = inputs(dtype=dtype)
    y = attention(q, k, v, method=method)
    wide = attention(*(x.astype("float32") for x in (q, k, v)), method=method)
    assert y.dtype == q.dtype
    np.testing.assert_array_equal(np.asarray(y.astype("float32")), np.asarray(wide.astype(dtype).astype("float32")))


# dropout


@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_the_same_choice(method):
    q, k, v = inputs(1, 6, 8, 2, 2)
    key = td.random.key(3)

    def run(q, k, v, key=key):
        return attention(q, k, v, dropout=0.4, dropout_key=key, method=method)

    with small_blocks():
        many = td.vmap(lambda key: run(q, k, v, key))(td.random.split(key, 3000))
        np.testing.assert_allclose(td.mean(many, axis=0).numpy(), attention(q, k, v).numpy(), atol=0.12)
        assert np.std(many.numpy(), axis=0).min() > 0.01
        direction = [td.asarray(np.random.default_rng(5).standard_normal(x.shape)) for x in (q, k, v)]
        gradients = td.grad(lambda *a: td.sum(td.sin(run(*a))), argnums=(0, 1, 2))(q, k, v)
        found = sum(float(td.sum(g * d)) for g, d in zip(gradients, direction, strict=True))
        h = 1e-5
        up, down = (
            td.sum(td.sin(run(*(x + s * h * d for x, d in zip((q, k, v), direction, strict=True))))) for s in (1, -1)
        )
    np.testing.assert_allclose(found, float(up - down) / (2 * h), rtol=1e-6)


# memory


def all_sizes(graph):
    """Elements of each value in a graph and the graphs inside."""
    for node in graph.nodes:
        for out in node.outputs:
            yield int(np.prod([int(n) for n in out.spec.shape])), str(node)
        for value in node.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, td.Graph):
                    yield from all_sizes(inner)


def largest_value(method, time):
    q, k, v = (td.zeros((1, time, 2, 4)) for _ in range(3))

    def loss(q, k, v):
        return td.sum(attention(q, k, v, causal=True, method=method) ** 2)

    graph = td.graph(td.grad(loss, argnums=(0, 1, 2)))(q, k, v)
    return max(all_sizes(graph))


def test_no_value_in_the_graph_of_blocks_grows_with_queries_times_keys():
    time = 4 * dot_product.ROWS
    size, node = largest_value("auto", time)
    block = 2 * dot_product.ROWS * dot_product.COLUMNS
    assert size <= block, node
    assert largest_value("plain", time)[0] >= 2 * time * time
    assert largest_value("auto", 2 * time)[0] <= block  # twice the time: no more than the inputs grow


def test_the_plan_of_blocks_needs_memory_that_grows_with_time_alone():
    def arena(method, time):
        q = td.zeros((1, time, 1, 8))
        run = td.compile(td.grad(lambda q, k, v: td.sum(attention(q, k, v, method=method)), argnums=(0, 1, 2)))
        return run.explain(q, q, q).arena

    one, two = arena("blocks", 1024), arena("blocks", 2048)
    assert two < 2.2 * one
    assert arena("plain", 2048) > 3.5 * arena("plain", 1024)
    assert two < arena("plain", 1024)


# PyTorch


@pytest.mark.parametrize("kind", ["plain", "causal", "mask", "bias"])
@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_pytorch_forward_and_gradient(kind, method):
    torch = pytest.importorskip("torch")
    q, k, v = inputs(2, 6, 6, 4, 4, 8, 8, dtype="float32")
    mask = td.asarray(RNG.random((6, 6)) < 0.6).at[:, 0].set(True)
    bias = td.asarray(RNG.standard_normal((2, 1, 6, 6)).astype("f4"))
    mine = {"causal": {"causal": True}, "mask": {"mask": mask}, "bias": {"bias": bias}}.get(kind, {})
    theirs = {
        "causal": {"is_causal": True},
        "mask": {"attn_mask": torch.tensor(mask.numpy())},
        "bias": {"attn_mask": torch.tensor(bias.numpy())},
    }.get(kind, {})
    weights = RNG.standard_normal((2, 6, 4, 8)).astype("f4")

    def loss(q, k, v):
        y = attention(q, k, v, **mine, method=method)
        return td.sum(y * td.asarray(weights)), y

    with small_blocks():
        gradients, y = td.grad(loss, argnums=(0, 1, 2), has_aux=True)(q, k, v)
    leaves = [torch.tensor(x.numpy(), requires_grad=True) for x in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*(x.transpose(1, 2) for x in leaves), **theirs)
    expected = expected.transpose(1, 2)
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    for g, x in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(g.numpy(), x.grad.numpy(), rtol=1e-5, atol=1e-5)


# messages


def test_errors_say_what_and_how():
    q, k, v = inputs(2, 5, 7, 4, 2)
    with pytest.raises(ShapeError, match="features of query and key differ, 3 and 2"):
        attention(q, k[..., :2], v)
    with pytest.raises(ShapeError, match="numbers of keys differ, 7 and 6"):
        attention(q, k, v[:, :6])
    with pytest.raises(ShapeError, match="batch axes differ, 2 and 1"):
        attention(q, k[:1], v[:1])
    with pytest.raises(ShapeError, match="same number of axes"):
        attention(q, k[0], v[0])
    with pytest.raises(ShapeError, match=r"Heads come after time here.*moveaxis"):
        attention(td.zeros((2, 4, 6, 3)), td.zeros((2, 4, 5, 3)), td.zeros((2, 4, 5, 3)))
    with pytest.raises(DTypeError, match=r"pass numbers to be added as bias="):
        attention(q, k, v, mask=td.zeros((5, 7)))
    with pytest.raises(DTypeError, match=r"mask.astype\(td.bool\)"):
        attention(q, k, v, mask=td.ones((5, 7), dtype="int32"))
    with pytest.raises(ShapeError, match=r"mask\[:, None, None\]"):
        attention(q, k, v, mask=td.ones((2, 7), dtype=td.bool))
    with pytest.raises(DTypeError, match="lengths must be integers"):
        attention(q, k, v, lengths=td.ones(2))
    with pytest.raises(ShapeError, match=r"lengths must have the batch's shape \[2\], and has \[3\]"):
        attention(q, k, v, lengths=td.asarray([1, 2, 3]))
    with pytest.raises(DTypeError, match=r"query must be floating point.*query.astype"):
        attention(td.ones((2, 5, 4, 3), dtype="int32"), k, v)
    with pytest.raises(ArgumentError, match="'auto', 'plain', 'blocks'"):
        attention(q, k, v, method="flash")
    with pytest.raises(ArgumentError, match="dropout needs dropout_key"):
        attention(q, k, v, dropout=0.1)
    with pytest.raises(ArgumentError, match=r"from 0 to less than 1; got 1.5"):
        attention(q, k, v, dropout=1.5)
    with pytest.raises(ShapeError, match=r"\[heads, 2 \* n - 1\] with n >= 5 and 7"):
        attention(q, k, v, distance_bias=td.zeros((4, 12)))
    time = td.Dim("time")
    with pytest.raises(DimError, match=r'needs known numbers of queries and keys.*method="auto"'):
        td.eval_shape(lambda x: attention(x, x, x, method="blocks"))(td.Spec((2, time, 4, 3), td.float32))
    assert td.eval_shape(attention)(*[td.Spec((2, time, 4, 3), td.float32)] * 3).shape == (2, time, 4, 3)


def test_blocks_of_uneven_sizes():
    q, k, v = inputs(1, 7, 9, 2, 2)
    for rows, columns in ((7, 9), (3, 4), (1, 1), (99, 99)):
        terms = dot_product.Terms(causal=False)
        made = blockwise(q, k, v, terms, tiling=Tiling.of(7, 9, rows, columns))
        np.testing.assert_allclose(made.numpy(), by_hand(q, k, v, scale=1.0), rtol=1e-12)
