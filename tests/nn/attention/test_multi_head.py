"""Multi-head attention: lengths and masks, shared heads, positions, the cache, PyTorch; what may go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, BuildError, DTypeError, OutOfRangeError, ShapeError

RNG = np.random.default_rng(0)


def layer(**options):
    td.random.set_seed(3)
    return nn.MultiHeadAttention(4, bias_initializer="random_normal", input_size=8, **{"dtype": "float64"} | options)


def data(batch=3, time=6, features=8, seed=1, dtype="float64"):
    return td.asarray(np.random.default_rng(seed).standard_normal((batch, time, features))).astype(dtype)


def positions(kind):
    return nn.RelativePositionBias(4, 8, 16, dtype="float64") if kind == "relative" else kind


KINDS = (None, "rotary", "alibi", "relative")


# lengths


@settings(max_examples=20)
@given(
    kind=st.sampled_from(KINDS),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    causal=st.booleans(),
    masked=st.booleans(),
    method=st.sampled_from(["plain", "blocks"]),
)
def test_each_sequence_gives_what_it_gives_alone(kind, lengths, causal, masked, method):
    attend, x = layer(positions=positions(kind), method=method), data(len(lengths))
    n = np.array(lengths)
    real = {"mask": td.asarray(np.arange(6) < n[:, None])} if masked else {"lengths": td.asarray(n.astype(np.int8))}
    dirty = td.where(td.asarray(np.arange(6) < n[:, None])[:, :, None], x, td.nan)
    y = attend(dirty, causal=causal, **real)
    for i, length in enumerate(lengths):
        assert not np.any(y[i, length:].numpy())
        if length:
            alone = attend(x[i : i + 1, :length], causal=causal)
            np.testing.assert_allclose(y[i, :length].numpy(), alone[0].numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", ["attention", "encoder", "encoder, norm last", "decoder"])
def test_gradients_of_padded_sequences_are_those_of_each_alone(block):
    lengths, x, z = [4, 0, 6, 1], data(4), data(4, 5, seed=2)
    sources = [5, 2, 0, 3]
    td.random.set_seed(1)
    options = {"input_size": 8, "dtype": "float64"}
    model = {
        "attention": lambda: layer(),
        "encoder": lambda: nn.TransformerEncoderLayer(2, 12, norm="rms", gated=True, **options),
        "encoder, norm last": lambda: nn.TransformerEncoderLayer(2, 12, norm_first=False, **options),
        "decoder": lambda: nn.TransformerDecoderLayer(2, 12, **options),
    }[block]()

    def loss(model, x, z, n=None, m=None):
        more = {"memory_lengths": m} if block == "decoder" else {}
        return td.sum(td.sin(model(x, *((z,) if block == "decoder" else ()), lengths=n, **more)))

    dirty = td.where(td.arange(6)[None, :] < td.asarray(lengths)[:, None], 0.0, td.nan)[:, :, None]
    padding = td.where(td.arange(5)[None, :] < td.asarray(sources)[:, None], 0.0, td.nan)[:, :, None]
    together = td.compile(td.grad(loss))(model, x + dirty, z + padding, td.asarray(lengths), td.asarray(sources))
    alone = dict.fromkeys(together, 0.0)
    for k, (n, m) in enumerate(zip(lengths, sources, strict=True)):
        if n:
            found = td.grad(loss)(model, x[k : k + 1, :n], z[k : k + 1, : max(m, 1)], m=td.asarray([m]))
            for name, g in found.items():
                alone[name] = alone[name] + g.numpy()
    for name, g in together.items():
        np.testing.assert_allclose(g.numpy(), alone[name], rtol=1e-8, atol=1e-11, err_msg=name)


def test_in_a_sequential_of_padded_sequences():
    td.random.set_seed(0)
    encoder = nn.TransformerEncoderLayer(2, 8, positions="rotary")
    model = nn.Sequential([nn.Embedding(9, 4), encoder, nn.MultiHeadAttention(2), nn.GlobalAveragePooling1D()])
    lengths = [4, 2, 6]
    x = nn.pad_sequences([RNG.integers(1, 9, n).astype("i4") for n in lengths])
    y = model(x)
    np.testing.assert_array_equal(model(*x).numpy(), y.numpy())
    np.testing.assert_array_equal(model(x.values, lengths=lengths).numpy(), y.numpy())
    for k, n in enumerate(lengths):
        np.testing.assert_allclose(y[k].numpy(), model(x.values[k : k + 1, :n])[0].numpy(), rtol=1e-5, atol=1e-6)
    h = encoder(model.layers[0](x.values), lengths=lengths)
    np.testing.assert_array_equal(encoder(model.layers[0](x.values), mask=x.mask).numpy(), h.numpy())


def test_attention_masks_of_two_three_and_four_axes():
    attend, x = layer(), data()
    lower = td.asarray(np.tri(6, dtype=bool))
    expected = attend(x, causal=True).numpy()
    for mask in (lower, td.broadcast_to(lower, (3, 6, 6)), td.broadcast_to(lower, (3, 4, 6, 6))):
        np.testing.assert_allclose(attend(x, attention_mask=mask).numpy(), expected, rtol=1e-12)
    both = attend(x, attention_mask=lower, mask=td.asarray(np.arange(6) < np.array([[6], [3], [0]])))
    np.testing.assert_allclose(both.numpy(), attend(x, causal=True, lengths=td.asarray([6, 3, 0])).numpy(), rtol=1e-12)


def test_cross_attention_with_keys_of_their_own():
    attend, x = layer(), data()
    z, other = data(3, 4, seed=2), data(3, 4, seed=3)
    y = attend(x, z, other, lengths=td.asarray([4, 2, 0]))
    q, k, v = (
        td.reshape(dense(a), (3, -1, 4, 2)) for dense, a in ((attend.query, x), (attend.key, other), (attend.value, z))
    )
    expected = nn.scaled_dot_product_attention(q, k, v, lengths=td.asarray([4, 2, 0]))
    np.testing.assert_allclose(y.numpy(), attend.output(td.reshape(expected, (3, 6, 8))).numpy(), rtol=1e-12)
    np.testing.assert_allclose(y[2].numpy(), np.broadcast_to(attend.output.bias.numpy(), (6, 8)))  # it sees nothing


def test_heads_that_share_keys_are_heads_with_equal_keys():
    shared, full = layer(key_heads=2), layer()
    values = dict(shared.parameters())
    for name in ("key.kernel", "key.bias", "value.kernel", "value.bias"):
        old = values[name]
        values[name] = td.reshape(
            td.repeat(td.reshape(old, (*old.shape[:-1], 2, 1, 2)), 2, axis=-2), (*old.shape[:-1], 8)
        )
    full.assign(values)
    x = data()
    np.testing.assert_allclose(shared(x, causal=True).numpy(), full(x, causal=True).numpy(), rtol=1e-12)


# positions


def test_rotary_against_complex_numbers():
    x = RNG.standard_normal((2, 5, 3, 6))
    angles = np.arange(5)[:, None] / 10000.0 ** (np.arange(3) / 3)
    turned = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * angles)[:, None, :]
    expected = np.concatenate([turned.real, turned.imag], -1)
    # The angles are float32.
    np.testing.assert_allclose(nn.rotary(td.asarray(x)).numpy(), expected, atol=1e-6)
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None, :]
    expected = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    np.testing.assert_allclose(nn.rotary(td.asarray(x), interleaved=True).numpy(), expected, atol=1e-6)


def test_rotary_products_depend_on_distances_alone():
    q, k = (td.asarray(RNG.standard_normal((4, 1, 8)).astype("f4")) for _ in range(2))
    here, there = (
        td.einsum("thd,shd->ts", nn.rotary(q, td.arange(4) + n), nn.rotary(k, td.arange(4) + n)) for n in (0, 50)
    )
    np.testing.assert_allclose(here.numpy(), there.numpy(), atol=1e-4)


def test_alibi_slopes_and_distances():
    table = nn.alibi(8, 4).numpy()
    np.testing.assert_allclose(-table[:, 4], [2.0**-h for h in range(1, 9)])
    np.testing.assert_allclose(table[0], -0.5 * np.abs(np.arange(-3, 4)))
    np.testing.assert_allclose(-nn.alibi(6, 2).numpy()[:, 2], [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])


def t5_bucket(distance, bidirectional, buckets, farthest):
    """One distance at a time, after the formula of the T5 paper's code."""
    n, first = -distance, 0
    if bidirectional:
        buckets //= 2
        first = buckets if n < 0 else 0
        n = abs(n)
    n = max(n, 0)
    single = buckets // 2
    if n < single:
        return first + n
    far = single + int(np.log(n / single) / np.log(farthest / single) * (buckets - single))
    return first + min(far, buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_of_distances(bidirectional):
    bias = nn.RelativePositionBias(2, 32, 100, bidirectional)
    distances = np.arange(-250, 251)
    expected = [t5_bucket(int(d), bidirectional, 32, 100) for d in distances]
    assert bias.bucket(td.asarray(distances.astype("i4"))).tolist() == expected
    table = bias(251).numpy()
    np.testing.assert_array_equal(table, bias.embeddings.numpy()[expected].T)


def test_positions_are_added_from_an_offset():
    x = td.zeros((2, 3, 4))
    for made in (nn.SinusoidalPositions(), nn.LearnedPositions(9, input_size=4)):
        whole = made(td.zeros((1, 9, 4)))[0]
        np.testing.assert_allclose(made(x, offset=2)[1].numpy(), whole[2:5].numpy(), atol=1e-6)
        each = made(x, offset=td.asarray([0, 5]))
        np.testing.assert_allclose(each[0].numpy(), whole[:3].numpy(), atol=1e-6)
        np.testing.assert_allclose(each[1].numpy(), whole[5:8].numpy(), atol=1e-6)
    waves = nn.sinusoidal(td.arange(7), 6).numpy()
    angles = np.arange(7)[:, None] / 10000 ** (np.arange(3) / 3)
    np.testing.assert_allclose(waves, np.stack([np.sin(angles), np.cos(angles)], -1).reshape(7, 6), atol=1e-6)


# the cache


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [4, 1])
def test_pieces_with_a_cache_give_what_the_whole_gives(kind, shared):
    attend, x = layer(positions=positions(kind), key_heads=shared), data()
    expected = attend(x, causal=True).numpy()
    cache, pieces = attend.empty_cache(3, 8), []
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        y, cache = attend(x[:, start:stop], cache=cache)
        pieces.append(y.numpy())
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, rtol=1e-10, atol=1e-12)
    assert cache["length"].tolist() == [6, 6, 6]


def test_prompts_of_different_lengths_fill_a_cache():
    attend, x = layer(positions="rotary"), data(2, 6)
    lengths = [2, 4]
    y, cache = attend(x[:, :4], cache=attend.empty_cache(2, 8), lengths=td.asarray(lengths))
    assert cache["length"].tolist() == lengths
    more, cache = attend(x[:, 4:], cache=cache)
    for i, n in enumerate(lengths):
        alone = attend(td.concat([x[i : i + 1, :n], x[i : i + 1, 4:]], axis=1), causal=True)[0].numpy()
        np.testing.assert_allclose(y[i, :n].numpy(), alone[:n], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(more[i].numpy(), alone[n:], rtol=1e-9, atol=1e-12)


def test_the_cache_is_carried_by_a_compiled_loop():
    attend, x = layer(dtype="float32"), data(dtype="float32")

    def run(attend, x):
        def step(cache, one):
            y, cache = attend(one[:, None], cache=cache)
            return cache, y[:, 0]

        return td.scan(step, attend.empty_cache(3, 6), td.moveaxis(x, 1, 0))

    cache, ys = td.compile(run)(attend, x)
    np.testing.assert_allclose(np.moveaxis(ys.numpy(), 0, 1), attend(x, causal=True).numpy(), rtol=1e-4, atol=1e-5)
    assert cache["length"].tolist() == [6, 6, 6]


def test_a_full_cache_is_an_error():
    attend, x = layer(), data()
    with pytest.raises(ShapeError, match=r"room for 4 times, and x .* has 6"):
        attend(x, cache=attend.empty_cache(3, 4))
    _, cache = attend(x[:, :4], cache=attend.empty_cache(3, 4))
    with pytest.raises(OutOfRangeError):
        attend(x[:, 4:5], cache=cache)


def test_a_remembered_memory_is_the_memory():
    attend, x, z = layer(), data(), data(3, 5, seed=2)
    lengths = td.asarray([5, 0, 2])
    remembered = attend.remember(z, lengths=lengths)
    np.testing.assert_allclose(attend(x, memory=remembered).numpy(), attend(x, z, lengths=lengths).numpy(), rtol=1e-12)
    decoder = nn.TransformerDecoderLayer(2, 16, input_size=8, dtype="float64")
    whole = decoder(x, z, memory_lengths=lengths).numpy()
    kept, cache, pieces = decoder.remember(z, lengths), decoder.empty_cache(3, 6), []
    for t in range(6):
        y, cache = decoder(x[:, t : t + 1], kept, cache=cache)
        pieces.append(y.numpy())
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-9, atol=1e-12)


# PyTorch


def gradients_close(found, expected, rtol=1e-5, atol=1e-5):
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=atol, err_msg=name)


def by_torch_names(model, gradients):
    """Gradients in PyTorch's layout: a copy of the model that has them in the place of its weights."""
    import copy

    other = copy.deepcopy(model)
    other.assign(gradients)
    return nn.attention.to_torch(other)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_pytorch_multihead_attention(bias, causal):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 4, bias=bias, batch_first=True)
    mine = nn.MultiHeadAttention(4, use_bias=bias, input_size=8)
    nn.attention.from_torch(mine, theirs.state_dict())
    x, weights = data(dtype="float32"), RNG.standard_normal((3, 6, 8)).astype("f4")
    lengths = np.array([6, 2, 4])
    real = np.arange(6) < lengths[:, None]

    def loss(model, x):
        return td.sum(model(x, lengths=td.asarray(lengths), causal=causal) * td.asarray(weights))

    leaf = torch.tensor(x.numpy(), requires_grad=True)
    hidden = {"key_padding_mask": torch.tensor(~real)}
    if causal:
        hidden["attn_mask"] = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
    y = theirs(leaf, leaf, leaf, need_weights=False, **hidden)[0]
    y = y * torch.tensor(real)[:, :, None]  # what PyTorch leaves in the padding is of no use
    np.testing.assert_allclose(
        mine(x, lengths=td.asarray(lengths), causal=causal).numpy(), y.detach().numpy(), rtol=1e-5, atol=1e-5
    )
    (y * torch.tensor(weights)).sum().backward()
    by_model, by_x = td.grad(loss, argnums=(0, 1))(mine, x)
    np.testing.assert_allclose(
        by_x.numpy() * real[:, :, None], leaf.grad.numpy() * real[:, :, None], rtol=1e-5, atol=1e-5
    )
    expected = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    gradients_close(by_torch_names(mine, by_model), expected)
    back = nn.attention.to_torch(mine)
    for name, w in theirs.state_dict().items():
        np.testing.assert_array_equal(back[name], w.numpy())


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_pytorch_transformer_layers(kind, norm_first):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    sizes = {"nhead": 2, "dim_feedforward": 16, "dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    x, z = data(dtype="float32"), data(3, 5, seed=2, dtype="float32")
    weights = RNG.standard_normal((3, 6, 8)).astype("f4")
    leaves = [torch.tensor(a.numpy(), requires_grad=True) for a in (x, z)]
    triangle = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
    options = {"norm_first": norm_first, "input_size": 8}
    if kind == "encoder":
        theirs = torch.nn.TransformerEncoderLayer(8, activation="gelu", **sizes)
        mine = nn.TransformerEncoderLayer(2, 16, **options)
        y = theirs(leaves[0])
        run = lambda model, x, z: model(x)  # noqa: E731
    else:
        theirs = torch.nn.TransformerDecoderLayer(8, activation="relu", **sizes)
        mine = nn.TransformerDecoderLayer(2, 16, activation="relu", **options)
        short = np.arange(5) < np.array([5, 2, 3])[:, None]
        y = theirs(*leaves, tgt_mask=triangle, memory_key_padding_mask=torch.tensor(~short))
        run = lambda model, x, z: model(x, z, memory_lengths=td.asarray([5, 2, 3]))  # noqa: E731
    nn.attention.from_torch(mine, theirs.state_dict())
    np.testing.assert_allclose(run(mine, x, z).numpy(), y.detach().numpy(), rtol=1e-5, atol=1e-5)
    (y * torch.tensor(weights)).sum().backward()
    by_model, by_x, by_z = td.grad(lambda *a: td.sum(run(*a) * td.asarray(weights)), argnums=(0, 1, 2))(mine, x, z)
    np.testing.assert_allclose(by_x.numpy(), leaves[0].grad.numpy(), rtol=1e-5, atol=2e-5)
    if kind == "decoder":
        np.testing.assert_allclose(by_z.numpy(), leaves[1].grad.numpy(), rtol=1e-5, atol=2e-5)
    # Sums over 18 places, in another order than PyTorch's.
    gradients_close(
        by_torch_names(mine, by_model), {n: p.grad.numpy() for n, p in theirs.named_parameters()}, atol=2e-5
    )


def test_weights_of_other_builds_are_refused():
    mine = nn.MultiHeadAttention(2, input_size=8)
    weights = nn.attention.to_torch(mine)
    with pytest.raises(
        ArgumentError, match=r"out_proj.bias are missing and bias_k have no place in a MultiHeadAttention"
    ):
        nn.attention.from_torch(
            mine, {k: v for k, v in weights.items() if k != "out_proj.bias"} | {"bias_k": np.ones(2)}
        )
    halves = {f"{n}_proj_weight": w for n, w in zip("qkv", np.split(weights["in_proj_weight"], 3), strict=True)}
    nn.attention.from_torch(mine, {k: v for k, v in weights.items() if k != "in_proj_weight"} | halves)
    np.testing.assert_array_equal(nn.attention.to_torch(mine)["in_proj_weight"], weights["in_proj_weight"])
    with pytest.raises(ArgumentError, match="differ in size"):
        nn.attention.from_torch(mine, halves | {"k_proj_weight": np.ones((8, 3))})
    with pytest.raises(ArgumentError, match="as many key heads as heads"):
        nn.attention.to_torch(nn.MultiHeadAttention(2, key_heads=1, input_size=8))
    with pytest.raises(ArgumentError, match="not gated"):
        nn.attention.to_torch(nn.TransformerEncoderLayer(2, 16, gated=True, input_size=8))
    with pytest.raises(ArgumentError, match="not Dense"):
        nn.attention.to_torch(nn.Dense(2, input_size=8))
    with pytest.raises(ArgumentError, match=r"8 arrays are needed, and 1 were given"):
        nn.attention.from_keras(mine, [np.ones(3)])
    arrays = nn.attention.to_keras(mine)
    with pytest.raises(ArgumentError, match=r"an array of \(8, 2, 4\) is needed"):
        nn.attention.from_keras(mine, [arrays[0].T, *arrays[1:]])


# what may go wrong


def test_errors_say_what_and_how():
    x, z = data(dtype="float32"), data(3, 4, dtype="float32")
    attend = nn.MultiHeadAttention(4, input_size=8)
    with pytest.raises(ShapeError, match="10 features do not divide among 4 heads; give key_dim="):
        nn.MultiHeadAttention(4)(td.ones((1, 2, 10)))
    with pytest.raises(ArgumentError, match="key_heads must divide num_heads"):
        nn.MultiHeadAttention(4, key_heads=3)
    with pytest.raises(ArgumentError, match=r'None, "rotary", "alibi" or an nn.RelativePositionBias; got \'rope\''):
        nn.MultiHeadAttention(4, positions="rope")
    with pytest.raises(ArgumentError, match="has 2 heads, and the layer 4"):
        nn.MultiHeadAttention(4, positions=nn.RelativePositionBias(2))
    with pytest.raises(ArgumentError, match="key_dim is 3"):
        nn.MultiHeadAttention(4, 3, positions="rotary", input_size=8)
    with pytest.raises(ArgumentError, match="from 0 to less than 1; got 1"):
        nn.MultiHeadAttention(4, dropout=1)
    with pytest.raises(
        ShapeError, match=r"MultiHeadAttention, query, takes \[batch, time, features\], and got \[6, 8\]"
    ):
        attend(x[0])
    with pytest.raises(DTypeError, match=r"nn.Embedding makes it of numbers"):
        attend(td.ones((2, 3, 8), dtype="int32"))
    with pytest.raises(ArgumentError, match="give the value, too"):
        attend(x, key=z)
    with pytest.raises(ShapeError, match="differ in time"):
        attend(x, z, x)
    with pytest.raises(ArgumentError, match="give a mask or lengths, not both"):
        attend(x, lengths=td.asarray([1, 2, 3]), mask=td.ones((3, 6), dtype=td.bool))
    with pytest.raises(ArgumentError, match="a cache is for what attends to itself"):
        attend(x, z, cache=attend.empty_cache(3, 8))
    with pytest.raises(ArgumentError, match="memory= stands for the value"):
        attend(x, z, memory=attend.remember(z))
    with pytest.raises(BuildError, match="MultiHeadAttention has no key yet"):
        nn.MultiHeadAttention(4).empty_cache(1, 2)
    with pytest.raises(ArgumentError, match='norm is "layer" or "rms"'):
        nn.TransformerEncoderLayer(2, 16, norm="batch")
    with pytest.raises(ShapeError, match=r"TransformerEncoderLayer takes \[batch, time, features\]"):
        nn.TransformerEncoderLayer(2, 16)(x[0])
    decoder = nn.TransformerDecoderLayer(2, 16, input_size=8)
    with pytest.raises(ArgumentError, match="remember\\(memory, lengths\\)"):
        decoder(x, decoder.remember(z), memory_lengths=td.asarray([1, 2, 3]))
    with pytest.raises(ShapeError, match=r"has 6 times, and there are 5 learned positions"):
        nn.LearnedPositions(5)(x)
    with pytest.raises(ShapeError, match="the positions have 4 features"):
        nn.LearnedPositions(9, input_size=4)(x)
    with pytest.raises(ArgumentError, match="an even number of features is needed, not 3"):
        nn.sinusoidal(td.arange(2), 3)
    with pytest.raises(ShapeError, match="rotary turns pairs of features"):
        nn.rotary(td.ones((2, 1, 3)))
    with pytest.raises(ShapeError, match=r"rotary takes \[..., T, heads, D\]"):
        nn.rotary(td.ones((2, 4)))
    with pytest.raises(ArgumentError, match="at least one is needed, and max_distance beyond"):
        nn.RelativePositionBias(2, 32, 8)


@pytest.mark.parametrize("positions", [None, "rotary", "alibi"])
def test_unknown_time(positions):
    attend = layer(positions=positions, dtype="float32")
    run = td.compile(lambda m, x: m(x, causal=True), dynamic={"x": ("batch", "time", None)})
    for time in (6, 3):
        x = data(2, time, dtype="float32")
        np.testing.assert_allclose(run(attend, x).numpy(), attend(x, causal=True).numpy(), rtol=1e-4, atol=1e-5)
    assert run.traces == 1


@pytest.mark.parametrize("method", ["plain", "blocks"])
def test_weights_on_request(method):
    layer = nn.MultiHeadAttention(4, key_heads=2, positions="alibi", input_size=8, method=method, dropout=0.5)
    x = td.asarray(np.random.default_rng(0).standard_normal((3, 5, 8)).astype("f"))
    n = [5, 2, 0]
    y, p = layer(x, lengths=n, causal=True, return_weights=True)
    np.testing.assert_array_equal(y.numpy(), layer(x, lengths=n, causal=True).numpy())
    assert p.shape == (3, 4, 5, 5)
    sees = np.tril(np.ones((5, 5), bool)) & nn.mask_of(n, 5).numpy()[:, None, :]
    assert ((p.numpy() > 0) == sees[:, None]).all()
    np.testing.assert_allclose(p.numpy().sum(-1), sees.any(-1)[:, None] * np.ones((3, 4, 5)), rtol=1e-5)
    v = td.reshape(layer.value(x), (3, 5, 2, 2)).numpy().repeat(2, axis=2)
    mixed = np.einsum("bhts,bshe->bthe", p.numpy(), v).reshape(3, 5, 8)
    made = layer.output(td.asarray(mixed)).numpy() * nn.mask_of(n, 5).numpy()[:, :, None]
    np.testing.assert_allclose(y.numpy(), made, rtol=1e-4, atol=1e-5)
    _, cache, part = layer(x, cache=layer.empty_cache(3, 7), return_weights=True)
    assert part.shape == (3, 4, 5, 7)
    assert cache["length"].tolist() == [5] * 3
    _, remembered = layer(x, memory=layer.remember(x, lengths=n), return_weights=True)
    assert remembered.shape == (3, 4, 5, 5)
