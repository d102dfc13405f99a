"""GPT: generation with the cache against generation without, prompts of different lengths, sampling, learning."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, ShapeError

BUILDS = {
    "learned": {},
    "rotary, shared": {"positions": "rotary", "key_heads": 1, "norm": "rms", "gated": True, "activation": "silu"},
    "alibi, untied": {"positions": "alibi", "tied": False, "use_bias": False},
}
every = pytest.mark.parametrize("build", BUILDS)


def gpt(build="learned", **options):
    td.random.set_seed(4)
    model = nn.models.GPT(13, width=16, depth=2, heads=4, max_length=20, **BUILDS[build], **options)
    # Larger than at the start of training, so that places and tokens matter.
    model.assign({k: v * 3 if v.ndim > 1 else v for k, v in model.parameters().items()})
    return model


PROMPT = td.asarray(np.random.default_rng(0).integers(0, 13, (3, 5)).astype("i4"))


def without_cache(model, prompt, steps):
    """The whole text through the model again for each token."""
    tokens = prompt
    for _ in range(steps):
        new = td.argmax(model(tokens)[:, -1], axis=-1).astype(td.int32)
        tokens = td.concat([tokens, new[:, None]], axis=1)
    return tokens[:, prompt.shape[1] :]


@every
def test_generation_with_the_cache_equals_generation_without(build):
    model = gpt(build)
    expected = without_cache(model, PROMPT, 10).numpy()
    found = model.generate(PROMPT, 10)
    np.testing.assert_array_equal(found.tokens.numpy(), expected)
    assert len({tuple(row) for row in expected.tolist()}) > 1  # the texts differ: the prompt is heeded
    log_p = td.log_softmax(model(td.concat([PROMPT, found.tokens], axis=1)), axis=-1)[:, 4:-1]
    chosen = td.take_along_axis(log_p, found.tokens[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(found.log_probability.numpy(), td.sum(chosen, axis=1).numpy(), rtol=1e-4)


@every
def test_prompts_of_different_lengths_are_continued_as_alone(build):
    model, lengths = gpt(build), [5, 1, 3]
    found = model.generate(PROMPT, 8, lengths=td.asarray(np.array(lengths, np.int64))).tokens.numpy()
    for i, n in enumerate(lengths):
        np.testing.assert_array_equal(found[i], without_cache(model, PROMPT[i : i + 1, :n], 8).numpy()[0])


def test_steps_give_the_logits_of_the_whole():
    model = gpt("rotary, shared")
    whole = model(PROMPT).numpy()
    state, token = model.prompt(PROMPT[:, :1])
    for t in range(5):
        np.testing.assert_array_equal(token.numpy(), PROMPT[:, t].numpy())
        state, logits = model.step(state, token)
        np.testing.assert_allclose(logits.numpy(), whole[:, t], rtol=1e-4, atol=1e-5)
        token = PROMPT[:, min(t + 1, 4)]


def test_padded_texts_are_scored_as_alone():
    model, lengths = gpt("rotary, shared"), [5, 1, 3]
    padded = nn.pad_sequences([PROMPT[i, :n] for i, n in enumerate(lengths)])
    whole = model(*padded)
    for i, n in enumerate(lengths):
        np.testing.assert_allclose(whole[i, :n].numpy(), model(PROMPT[i : i + 1, :n])[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model(padded.values, lengths=lengths).numpy(), whole.numpy())


def test_sampling_follows_the_key_and_the_filters():
    model = gpt()
    one, again, other = (model.generate(PROMPT, 10, key=td.random.key(k), temperature=2.0).tokens for k in (0, 0, 1))
    np.testing.assert_array_equal(one.numpy(), again.numpy())
    assert (one.numpy() != other.numpy()).any()
    greedy = model.generate(PROMPT, 10).tokens.numpy()
    for filters in ({"top_k": 1}, {"top_p": 1e-6}):
        np.testing.assert_array_equal(
            model.generate(PROMPT, 10, key=td.random.key(0), **filters).tokens.numpy(), greedy
        )


def test_an_end_token_ends_a_text():
    model = gpt()
    free = model.generate(PROMPT, 10).tokens.numpy()
    end = int(free[0, 4])
    found = model.generate(PROMPT, 10, end=end)
    for row, whole, n in zip(found.tokens.numpy(), free, found.lengths.tolist(), strict=True):
        before = np.flatnonzero(whole == end)
        assert n == (before[0] if len(before) else 10)
        np.testing.assert_array_equal(row[:n], whole[:n])
        assert (row[n:] == end).all()


def test_a_text_learned_by_heart_is_recited():
    text = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3], "i4")
    td.random.set_seed(0)
    model = nn.models.GPT(13, width=32, depth=1, heads=2, max_length=16, dropout=0.05)
    adam = td.optim.Adam(1e-2)

    @td.compile
    def step(model, adam, tokens):
        def loss(model):
            logits = model(tokens[:, :-1], training=True)
            return td.losses.sparse_categorical_crossentropy(logits, tokens[:, 1:])

        value, gradients = td.value_and_grad(loss)(model)
        adam.update(model, gradients)
        return value

    for _ in range(120):
        value = step(model, adam, td.asarray(text[None]))
    assert value.item() < 0.3
    np.testing.assert_array_equal(model.generate(td.asarray(text[None, :3]), 13).tokens.numpy()[0], text[3:])


def test_errors_say_what_and_how():
    model = gpt()
    with pytest.raises(ShapeError, match="longer than max_length=20"):
        model(td.zeros((1, 21), dtype="int32"))
    with pytest.raises(ShapeError, match=r"a prompt \[3, 5\] and 16 tokens more are longer than max_length=20"):
        model.generate(PROMPT, 16)
    with pytest.raises(ShapeError, match=r"a prompt is tokens \[batch, time\]"):
        model.prompt(PROMPT[0])
    with pytest.raises(ArgumentError, match="give key="):
        model.generate(PROMPT, 2, top_k=3)
    with pytest.raises(ArgumentError, match='"learned", "rotary" or "alibi"; got \'sin\''):
        nn.models.GPT(5, positions="sin")
