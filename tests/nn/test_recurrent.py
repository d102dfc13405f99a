"""Recurrent layers against their equations in NumPy, alone against padded, against PyTorch, and what may go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(0)
KINDS = {
    "rnn": lambda **k: nn.SimpleRNN(4, **k),
    "lstm": lambda **k: nn.LSTM(4, **k),
    "peephole": lambda **k: nn.LSTM(4, peephole=True, **k),
    "normalised": lambda **k: nn.LSTM(4, layer_norm=True, **k),
    "gru": lambda **k: nn.GRU(4, **k),
    "gru before": lambda **k: nn.GRU(4, reset_after=False, **k),
}
every = pytest.mark.parametrize("kind", KINDS)


def layer(kind: str, **options):
    td.random.set_seed(3)
    return KINDS[kind](bias_initializer="random_normal", dtype="float64", input_size=3, **options)


def data(batch: int = 3, time: int = 6) -> td.Tensor:
    return td.asarray(np.random.default_rng(1).standard_normal((batch, time, 3)))


# the equations


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x, m):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + m.epsilon) * np.asarray(m.gamma) + np.asarray(
        m.beta
    )


def by_hand(kind: str, cell, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(outputs of all steps, last h), as the docstrings' equations say."""
    w, u = np.asarray(cell.kernel), np.asarray(cell.recurrent_kernel)
    b, n = np.asarray(cell.bias), cell.units
    h, c, ys = np.zeros((len(x), n)), np.zeros((len(x), n)), []
    for t in range(x.shape[1]):
        z = x[:, t] @ w
        if kind == "rnn":
            h = np.tanh(z + h @ u + b)
        elif kind == "gru":
            a, r = z + b, h @ u + np.asarray(cell.recurrent_bias)
            update, reset = sigmoid(a[:, :n] + r[:, :n]), sigmoid(a[:, n : 2 * n] + r[:, n : 2 * n])
            h = update * h + (1 - update) * np.tanh(a[:, 2 * n :] + reset * r[:, 2 * n :])
        elif kind == "gru before":
            a = z + b
            update = sigmoid(a[:, :n] + h @ u[:, :n])
            reset = sigmoid(a[:, n : 2 * n] + h @ u[:, n : 2 * n])
            h = update * h + (1 - update) * np.tanh(a[:, 2 * n :] + (reset * h) @ u[:, 2 * n :])
        else:
            p = np.asarray(cell.peepholes) if kind == "peephole" else np.zeros((3, n))
            a = norm(z, cell.norms[0]) + norm(h @ u, cell.norms[1]) + b if kind == "normalised" else z + h @ u + b
            i, f, g, o = np.split(a, 4, axis=-1)
            c = sigmoid(f + p[1] * c) * c + sigmoid(i + p[0] * c) * np.tanh(g)
            h = sigmoid(o + p[2] * c) * np.tanh(norm(c, cell.norms[2]) if kind == "normalised" else c)
        ys.append(h)
    return np.stack(ys, 1), h


@every
@pytest.mark.parametrize("unroll", [False, True])
def test_the_equations(kind, unroll):
    recurrent, x = layer(kind, return_sequences=True, unroll=unroll), data()
    ys, h = by_hand(kind, recurrent.cell, x.numpy())
    np.testing.assert_allclose(recurrent(x).numpy(), ys, rtol=1e-12)
    recurrent.return_sequences = False
    np.testing.assert_allclose(recurrent(x).numpy(), h, rtol=1e-12)
    np.testing.assert_allclose(td.compile(recurrent)(x).numpy(), h, rtol=1e-10)


@every
def test_states_are_returned_and_taken(kind):
    recurrent, x = layer(kind, return_sequences=True, return_state=True), data()
    whole, last = recurrent(x)
    first, middle = recurrent(x[:, :2])
    rest, end = recurrent(x[:, 2:], middle)
    np.testing.assert_allclose(td.concat([first, rest], axis=1).numpy(), whole.numpy(), rtol=1e-13)
    for a, b in zip(td.tree.leaves(end), td.tree.leaves(last), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)


# variable lengths


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    backwards=st.booleans(),
    sequences=st.booleans(),
    masked=st.booleans(),
)
def test_each_sequence_gives_what_it_gives_alone(kind, lengths, backwards, sequences, masked):
    recurrent = layer(kind, return_sequences=sequences, return_state=True, go_backwards=backwards)
    x = data(len(lengths), 5)
    n = td.asarray(np.array(lengths, np.int64 if masked else np.int8))
    real = {"mask": td.arange(5)[None, :] < n[:, None].astype(td.int32)} if masked else {"lengths": n}
    y, state = recurrent(x, **real)
    for k, length in enumerate(lengths):
        if length == 0:
            assert not np.any([a[k].numpy() for a in td.tree.leaves(state)])
            assert not np.any(y[k].numpy())
            continue
        alone, end = recurrent(x[k : k + 1, :length])
        mine = y[k : k + 1]
        if sequences:
            mine = mine[:, 5 - length :] if backwards else mine[:, :length]
            padding = y[k, : 5 - length] if backwards else y[k, length:]
            assert not np.any(padding.numpy())
        # To the last bits only because NumPy multiplies a batch of one in another order than a batch of several.
        np.testing.assert_allclose(mine.numpy(), alone.numpy(), rtol=1e-12, atol=1e-14)
        for a, b in zip(td.tree.leaves(state), td.tree.leaves(end), strict=True):
            np.testing.assert_allclose(a[k].numpy(), b[0].numpy(), rtol=1e-12, atol=1e-14)


@every
def test_gradients_of_padded_sequences_are_those_of_each_alone(kind):
    lengths, x = [4, 0, 6, 1], data(4, 6)

    def loss(recurrent, x, n=None):
        return td.sum(recurrent(x, lengths=n) ** 2)

    recurrent = layer(kind)
    together = td.compile(td.grad(loss))(recurrent, x, td.asarray(lengths))
    alone = dict.fromkeys(together, 0.0)
    for k, n in enumerate(lengths):
        if n:
            for name, g in td.grad(loss)(recurrent, x[k : k + 1, :n]).items():
                alone[name] = alone[name] + g.numpy()
    for name, g in together.items():
        np.testing.assert_allclose(g.numpy(), alone[name], rtol=1e-9, atol=1e-12)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    length=st.integers(1, 40),
    padding=st.integers(0, 40),
    backwards=st.booleans(),
    dtype=st.sampled_from(["int8", "uint16", "int32", "uint64"]),
)
def test_padding_changes_no_bit(kind, length, padding, backwards, dtype):
    """Of equal batches, so that NumPy multiplies the same number of rows; in blocks of steps as well as in one loop."""
    recurrent = layer(kind, return_sequences=True, return_state=True, go_backwards=backwards)
    x = data(2, length + padding)
    lengths = td.asarray(np.array([length, length], dtype))
    y, state = recurrent(x, lengths=lengths)
    alone, end = recurrent(x[:, :length])
    mine = y[:, padding:] if backwards else y[:, :length]
    np.testing.assert_array_equal(mine.numpy(), alone.numpy())
    for a, b in zip(td.tree.leaves(state), td.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    ("kind", "lengths", "backwards", "sequences"),
    [("lstm", [0, 37, 3], False, True), ("gru", [15, 16, 0], True, True), ("rnn", [1, 2, 33], True, False)],
)
def test_blocks_without_real_steps_are_skipped_natively_and_in_gradients(kind, lengths, backwards, sequences):
    recurrent = layer(kind, return_sequences=sequences, go_backwards=backwards)
    x, n = data(3, 37), td.asarray(lengths)

    def loss(recurrent, x, n):
        y = recurrent(x, lengths=n)
        return td.sum(y**2), y

    (_, y), by_layer = td.compile(td.value_and_grad(loss, has_aux=True))(recurrent, x, n)
    by_x = td.compile(td.grad(lambda x, r, n: loss(r, x, n)[0]))(x, recurrent, n)
    totals = dict.fromkeys(by_layer, 0.0)
    for k, length in enumerate(lengths):
        assert not np.any(by_x[k, length:].numpy())
        if length:
            (_, alone), gradients = td.value_and_grad(loss, has_aux=True)(recurrent, x[k : k + 1, :length], None)
            padding = 37 - length
            mine = y[k] if not sequences else y[k, padding:] if backwards else y[k, :length]
            np.testing.assert_allclose(mine.numpy(), alone[0].numpy(), rtol=1e-10, atol=1e-12)
            totals = {name: totals[name] + g.numpy() for name, g in gradients.items()}
    for name, g in by_layer.items():
        np.testing.assert_allclose(g.numpy(), totals[name] + np.zeros(g.shape), rtol=1e-8, atol=1e-11)


def test_steps_that_nobody_needs_are_not_run():
    seen = []

    def add(state, x):
        seen.append(1)
        return state + x

    def step(state, x):
        return td.host(add, state, x, result_shape=td.Spec((2, 1), td.float32)), None

    recurrent = nn.Recurrent(step, return_sequences=True, return_state=True)
    y = td.compile(lambda x, n: recurrent(x, td.zeros((2, 1)), lengths=n)[1])(td.ones((2, 160, 1)), td.asarray([3, 18]))
    assert y.tolist() == [[3.0], [18.0]]
    assert len(seen) == 32


def test_a_list_of_sequences_and_padded_ones_go_in_and_come_out():
    recurrent = layer("gru", return_sequences=True, return_state=True)
    sequences = [data(1, n)[0] for n in (4, 0, 7)]
    y, _ = recurrent(sequences)
    assert isinstance(y, td.data.Padded)
    padded = nn.pad_sequences(sequences)
    again, _ = recurrent(td.data.Padded(*(a.numpy() for a in padded)))
    np.testing.assert_array_equal(y.values.numpy(), again.values.numpy())
    for k, (mine, x) in enumerate(zip(nn.unpad_sequences(y), sequences, strict=True)):
        alone = recurrent(x[None])[0][0] if len(x) else td.zeros((0, 4))
        np.testing.assert_allclose(mine.numpy(), alone.numpy(), rtol=1e-12)
        assert mine.shape == (len(x), 4), k
    last = nn.GRU(4)([s.astype("float32") for s in sequences])
    assert last.shape == (3, 4)
    assert nn.Bidirectional(nn.GRU(4, return_sequences=True))(padded).values.shape == (3, 7, 8)


def test_what_lies_in_the_padding_does_not_matter():
    recurrent = layer("lstm")
    x = data(2, 4).numpy().copy()
    x[0, 2:] = np.nan
    y = recurrent(td.asarray(x), lengths=td.asarray([2, 4]))
    assert np.isfinite(y.numpy()).all()
    g = td.grad(lambda m, x, n: td.sum(m(x, lengths=n)))(recurrent, td.asarray(x), td.asarray([2, 4]))
    assert all(np.isfinite(v.numpy()).all() for v in g.values())


# layers around


def test_bidirectional_is_two_layers():
    td.random.set_seed(0)
    both = nn.Bidirectional(nn.GRU(4, return_sequences=True, return_state=True, dtype="float64"))
    x, n = data(3, 5), td.asarray([5, 2, 0])
    y, (ahead, back) = both(x, lengths=n)
    one, state = both.forward_layer(x, lengths=n)
    np.testing.assert_array_equal(y[..., :4].numpy(), one.numpy())
    np.testing.assert_array_equal(ahead.numpy(), state.numpy())
    for k, length in enumerate((5, 2)):
        alone, end = both.backward_layer(x[k : k + 1, :length])
        np.testing.assert_allclose(y[k, :length, 4:].numpy(), td.flip(alone, axis=1)[0].numpy(), rtol=1e-12)
        np.testing.assert_allclose(back[k].numpy(), end[0].numpy(), rtol=1e-12)
    assert not np.array_equal(both.forward_layer.cell.kernel.numpy(), both.backward_layer.cell.kernel.numpy())


@pytest.mark.parametrize(
    ("merge", "f"),
    [("sum", np.add), ("mul", np.multiply), ("ave", lambda a, b: (a + b) / 2), (None, lambda a, b: (a, b))],
)
def test_merging(merge, f):
    both = nn.Bidirectional(nn.SimpleRNN(4, dtype="float64"), merge_mode=merge)
    x = data()
    y = both(x)
    want = f(both.forward_layer(x).numpy(), both.backward_layer(x).numpy())
    np.testing.assert_allclose(np.stack([a.numpy() for a in y]) if merge is None else y.numpy(), want)


def test_stacked_cells_are_stacked_layers():
    td.random.set_seed(0)
    stack = nn.Recurrent(
        nn.StackedCells([nn.LSTMCell(4, dtype="float64"), nn.GRUCell(2, dtype="float64")]), return_sequences=True
    )
    x = data()
    y = stack(x)
    lower, upper = nn.LSTM(4, return_sequences=True, dtype="float64"), nn.GRU(2, return_sequences=True, dtype="float64")
    lower.init(x), upper.init(lower(x))
    lower.cell.assign(stack.cell.cells[0].variables())
    upper.cell.assign(stack.cell.cells[1].variables())
    np.testing.assert_allclose(y.numpy(), upper(lower(x)).numpy(), rtol=1e-12)


def test_any_function_is_a_layer():
    def fibonacci(state, x):
        a, b = state
        return (b, a + b + 0.0 * x), a

    recurrent = nn.Recurrent(fibonacci, return_sequences=True)
    zero, one = td.zeros((1, 1)), td.ones((1, 1))
    assert recurrent(td.zeros((1, 8, 1)), (zero, one)).numpy().ravel().tolist() == [0, 1, 1, 2, 3, 5, 8, 13]
    recurrent.return_sequences = False
    n = td.asarray([5])
    assert recurrent(td.zeros((1, 8, 1)), (zero, one), lengths=n).item() == 3.0
    assert recurrent(td.zeros((1, 8, 1)), (zero, one), lengths=n - 5).item() == 0.0


def test_inputs_and_outputs_may_be_trees():
    def step(state, x):
        total = state + x["a"] * x["b"]
        return total, {"total": total, "term": x["a"] * x["b"]}

    x = {"a": data()[..., :1], "b": data()[..., 1:2]}
    y = nn.Recurrent(step, return_sequences=True)(x, td.zeros((3, 1), dtype=td.float64))
    np.testing.assert_allclose(y["total"].numpy(), np.cumsum(y["term"].numpy(), axis=1))


def test_a_stateful_layer_goes_on():
    stateful, plain = layer("lstm", stateful=True, return_sequences=True), layer("lstm", return_sequences=True)
    x = data()
    run = td.compile(lambda m, x: m(x))
    parts = [run(stateful, x[:, k : k + 2]).numpy() for k in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), plain(x).numpy(), rtol=1e-10)
    stateful.reset_states()
    np.testing.assert_allclose(stateful(x[:, :2]).numpy(), parts[0], rtol=1e-10)
    assert {"kept.0", "kept.1"} <= set(stateful.states())
    with pytest.raises(ShapeError, match="keeps the state of 3 sequences"):
        stateful(x[:2])


def test_dropout_is_the_same_at_all_steps_and_off_outside_of_training():
    recurrent = nn.Recurrent(lambda s, x: (s + x, x), return_sequences=True, dropout=0.5, seed=0)
    x = td.ones((4, 9, 6))
    start = td.zeros((4, 6))
    y = recurrent(x, start, training=True).numpy()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1]).all()
    np.testing.assert_array_equal(recurrent(x, start).numpy(), x.numpy())
    lstm = nn.LSTM(5, recurrent_dropout=0.5, seed=0)
    assert not np.array_equal(lstm(x, training=True).numpy(), lstm(x, training=True).numpy())
    np.testing.assert_array_equal(lstm(x).numpy(), lstm(x).numpy())


def test_recurrent_dropout_of_stacked_cells_has_a_choice_for_each():
    cells = [nn.LSTMCell(4, dtype="float64", input_size=3), nn.GRUCell(5, dtype="float64", input_size=4)]
    stack = nn.Recurrent(nn.StackedCells(cells), recurrent_dropout=0.5, seed=0, return_sequences=True)
    x, stream = data(), td.random.Stream(0)
    masks = [td.where(stream.bernoulli(0.5, (3, n)), 2.0, 0.0).astype("float64") for n in (4, 5)]
    lower, upper = cells
    one, two, ys = lower.initial_state(3, td.float64), upper.initial_state(3, td.float64), []
    for t in range(6):
        one, h = lower(one, x[:, t], recurrent_mask=masks[0])
        two, y = upper(two, h, recurrent_mask=masks[1])
        ys.append(y)
    np.testing.assert_allclose(stack(x, training=True).numpy(), td.stack(ys, axis=1).numpy(), rtol=1e-12)
    odd = nn.Recurrent(nn.StackedCells([nn.GRUCell(4), nn.ResidualCell(nn.GRUCell(4))]), recurrent_dropout=0.5)
    with pytest.raises(ArgumentError, match="recurrent_mask"):
        odd(td.ones((2, 3, 3)), training=True)


def test_compile_time_does_not_grow_with_the_number_of_steps():
    recurrent = layer("lstm")
    counts = {
        time: len(td.compile(lambda m, x: m(x)).graph(recurrent, td.zeros((2, time, 3), dtype=td.float64)).nodes)
        for time in (4, 400)
    }
    assert counts[4] == counts[400]


@pytest.mark.parametrize(
    ("checkpoint", "options"),
    [(True, {}), (20, {"return_sequences": True, "go_backwards": True, "recurrent_dropout": 0.5})],
)
@pytest.mark.parametrize("lengths", [None, [70, 3, 0]])
def test_a_checkpointed_layer_gives_the_same(checkpoint, options, lengths):
    x = data(3, 75)
    more = {"seed": 1} if "recurrent_dropout" in options else {}
    plain, kept = (layer("lstm", checkpoint=c, **options, **more) for c in (False, checkpoint))
    given = {} if lengths is None else {"lengths": lengths}

    def gradients(m, x):
        return td.value_and_grad(lambda m, x: td.sum(m(x, training=True, **given) ** 2), argnums=(0, 1))(m, x)

    for run in (gradients, td.compile(gradients)):
        (a, (da, ga)), (b, (db, gb)) = run(plain, x), run(kept, x)
        np.testing.assert_allclose(b.item(), a.item(), rtol=1e-12)
        np.testing.assert_allclose(gb.numpy(), ga.numpy(), rtol=1e-9, atol=1e-13)
        for name, g in da.items():
            np.testing.assert_allclose(db[name].numpy(), g.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lengths", [False, True])
def test_memory_of_a_checkpointed_layer_grows_with_the_square_root_of_time(lengths):
    """Beside x itself, which is small here, and its copy with time in front."""

    def working(time, checkpoint):
        recurrent = nn.LSTM(64, input_size=1, checkpoint=checkpoint)
        x, n = td.zeros((8, time, 1)), td.full((8,), time)
        f = td.compile(lambda m, x, n: td.grad(lambda m: td.sum(m(x, lengths=n if lengths else None)))(m))
        return f.explain(recurrent, x, n).arena

    plain, kept = ([working(n, c) for n in (1024, 4096)] for c in (False, True))
    assert plain[1] > 3.5 * plain[0]
    assert kept[1] < 2.6 * kept[0]
    assert kept[1] < plain[1] / 10


def test_unknown_number_of_steps():
    recurrent, x = layer("gru", return_sequences=True), data()
    f = td.compile(lambda m, x: m(x), dynamic={"x": ("batch", "time", None)})
    for part in (x, x[:2, :3], x[:1, :1]):
        np.testing.assert_allclose(f(recurrent, part).numpy(), recurrent(part).numpy(), rtol=1e-10)
    assert f.traces == 1


# other toolkits


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_weights_go_out_and_come_back(kind):
    a, b = layer(kind), KINDS[kind](dtype="float64", input_size=3)
    x = data()
    nn.recurrent.from_torch(b, nn.recurrent.to_torch(a))
    np.testing.assert_allclose(b(x).numpy(), a(x).numpy(), rtol=1e-12)
    b = KINDS[kind](dtype="float64", input_size=3)
    nn.recurrent.from_keras(b, nn.recurrent.to_keras(a))
    np.testing.assert_array_equal(b(x).numpy(), a(x).numpy())


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_agreement_with_pytorch(kind, use_bias):
    torch = pytest.importorskip("torch")
    make = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    theirs = make(3, 4, batch_first=True, bias=use_bias).double()
    ours = layer(kind, return_sequences=True, use_bias=use_bias)
    nn.recurrent.from_torch(ours, {n: w.detach().numpy() for n, w in theirs.state_dict().items()})
    x = data()
    y = torch.tensor(x.numpy(), requires_grad=True)
    out, _ = theirs(y)
    (out**2).sum().backward()
    np.testing.assert_allclose(ours(x).numpy(), out.detach().numpy(), rtol=1e-10)
    by_layer, g = td.grad(lambda layer, x: td.sum(layer(x) ** 2), argnums=(0, 1))(ours, x)
    np.testing.assert_allclose(g.numpy(), y.grad.numpy(), rtol=1e-8)
    # Their gradients, taken over as if they were weights, are ours. (Of two biases that are added, each has it.)
    gradients = {n: w.grad.numpy() for n, w in theirs.named_parameters()}
    if kind != "gru" and use_bias:
        gradients["bias_hh_l0"] = np.zeros_like(gradients["bias_hh_l0"])
    nn.recurrent.from_torch(ours, gradients)
    for name, w in ours.parameters().items():
        np.testing.assert_allclose(by_layer[name].numpy(), w.numpy(), rtol=1e-8, atol=1e-12)


def test_two_layers_in_both_directions_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True).double()
    x, n = data(3, 6), [6, 2, 4]

    def taken_over(weights):
        layers = []
        for k, size in enumerate((3, 8)):
            one, other = (
                nn.LSTM(4, return_sequences=True, go_backwards=back, dtype="float64", input_size=size)
                for back in (False, True)
            )
            nn.recurrent.from_torch(one, weights, f"l{k}")
            nn.recurrent.from_torch(other, weights, f"l{k}_reverse")
            layers.append(nn.Bidirectional(one, backward_layer=other))
        return nn.Sequential(layers)

    ours = taken_over({name: w.detach().numpy() for name, w in theirs.state_dict().items()})
    leaf = torch.tensor(x.numpy(), requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(leaf, n, batch_first=True, enforce_sorted=False)
    expected = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    (expected**2).sum().backward()
    np.testing.assert_allclose(ours(x, n).numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    by_layer, g = td.grad(lambda m, x: td.sum(m(x, td.asarray(n)) ** 2), argnums=(0, 1))(ours, x)
    np.testing.assert_allclose(g.numpy(), leaf.grad.numpy(), rtol=1e-8, atol=1e-12)
    # Of two biases that are added each has the gradient of the sum.
    gradients = {k: w.grad.numpy() * (0 if "bias_hh" in k else 1) for k, w in theirs.named_parameters()}
    for name, w in taken_over(gradients).parameters().items():
        np.testing.assert_allclose(by_layer[name].numpy(), w.numpy(), err_msg=name, rtol=1e-8, atol=1e-12)


# mistakes


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.LSTM(4)(td.ones((2, 3))), ShapeError, r"\[batch, time, features\]"),
        (lambda: nn.LSTM(4)(td.ones(3)), ShapeError, r"\[batch, time"),
        (lambda: layer("lstm")(td.ones((2, 5, 7), dtype=td.float64)), ShapeError, r"takes \[batch, 3\] at each step"),
        (lambda: layer("gru")(data(), lengths=td.asarray([1, 2])), ShapeError, r"lengths \[batch\]"),
        (lambda: layer("gru")(data(), lengths=td.ones(3)), DTypeError, "lengths are integers"),
        (lambda: layer("gru")(data(), mask=td.ones((3, 6))), DTypeError, "mask is bool"),
        (
            lambda: layer("gru")(data(), mask=td.ones((3, 6), dtype=td.bool), lengths=td.asarray([1, 2, 3])),
            ArgumentError,
            "not both",
        ),
        (lambda: layer("gru")([data()[0]], lengths=[1]), ArgumentError, "has its own lengths"),
        (lambda: nn.GRU(4, go_backwards=True, return_sequences=True)([data()[0]]), ArgumentError, "padding first"),
        (lambda: nn.pad_sequences([]), ArgumentError, "no sequences"),
        (lambda: nn.pad_sequences([data()[0], data()]), ShapeError, "sequence 1 is"),
        (lambda: nn.pad_sequences([data()[0]], to=2), ShapeError, "does not fit into to=2"),
        (lambda: nn.mask_of([[1]], 2), ShapeError, "one for each sequence"),
        (lambda: nn.Recurrent(lambda s, x: (s, x))(data()), ArgumentError, "does not know its initial state"),
        (lambda: nn.LSTM(4, dropout=1.5), ArgumentError, "dropout is the probability"),
        (lambda: nn.LSTM(4, unroll=True, checkpoint=True), ArgumentError, "no loop to checkpoint"),
        (lambda: nn.LSTM(4, checkpoint=0)(data()), ArgumentError, "checkpoint is True, or how many"),
        (lambda: nn.LSTM(0), ArgumentError, "units"),
        (lambda: nn.StackedCells([]), ArgumentError, "at least one cell"),
        (lambda: nn.Bidirectional(nn.Dense(3)), ArgumentError, "takes a recurrent layer"),
        (lambda: nn.Bidirectional(nn.GRU(3), merge_mode="max"), ArgumentError, "'concat', 'sum'"),
        (lambda: nn.Bidirectional(layer("gru")), ArgumentError, "before it has parameters"),
        (lambda: nn.recurrent.from_torch(layer("gru"), {}), ArgumentError, "weight_ih_l0"),
        (lambda: nn.recurrent.to_torch(layer("gru before")), ArgumentError, "reset_after=True"),
        (lambda: nn.recurrent.to_keras(layer("peephole")), ArgumentError, "without peepholes"),
        (lambda: nn.recurrent.from_keras(layer("lstm"), [1, 2]), ArgumentError, "2 arrays were given"),
    ],
)
def test_mistakes_are_explained(make, error, words):
    with pytest.raises(error, match=words):
        make()
