"""A small GPT that learns the pages of Python's own manual, character by character, and writes such text.

Run: python examples/tiny_gpt.py
"""

from pydoc_data.topics import topics  # the language reference, which comes with Python

import numpy as np

import treadle as td

nn = td.nn
TIME = 128


def pages() -> tuple[td.data.TextVectorization, np.ndarray, np.ndarray]:
    """(characters to numbers, numbers to learn, numbers to test on): the last tenth of the pages is never seen."""
    names = sorted(topics)
    texts = ["\n\n".join(topics[n] for n in part) for part in (names[: -len(names) // 10], names[-len(names) // 10 :])]
    characters = td.data.TextVectorization("characters", lower=False, at_least=20).adapt(texts[:1])
    return characters, characters(texts[0]), characters(texts[1])


def score(model: nn.Module, tokens: td.Tensor) -> td.Tensor:
    """Mean of -log p of each next character, tokens `[batch, time]`."""
    return td.losses.sparse_categorical_crossentropy(model(tokens[:, :-1]), tokens[:, 1:])


@td.compile
def step(model: nn.Module, optimizer: td.optim.Optimizer, tokens: td.Tensor) -> td.Tensor:
    loss, gradients = td.value_and_grad(score)(model, tokens)
    optimizer.update(model, gradients)
    return loss


def main(steps: int = 600, width: int = 128, depth: int = 3) -> float:
    td.random.set_seed(0)
    characters, train, test = pages()
    model = nn.models.GPT(len(characters), width, depth, heads=4, max_length=2 * TIME, positions="rotary")
    schedules = td.optim.schedules
    optimizer = td.optim.AdamW(schedules.warmup(schedules.cosine(2e-3, 1e-4, steps=steps), steps=steps // 20))
    draw = np.random.default_rng(0)
    for k in range(steps):
        starts = draw.integers(0, len(train) - TIME, 16)
        loss = step(model, optimizer, td.asarray(train[starts[:, None] + np.arange(TIME + 1)]))
        if k % 100 == 0 or k == steps - 1:
            print(f"step {k}: {loss.item() / np.log(2):.2f} bits a character")
    unseen = test[: len(test) // (TIME + 1) * (TIME + 1)].reshape(-1, TIME + 1)[:64]
    bits = td.compile(score)(model, td.asarray(unseen)).item() / np.log(2)
    counts = np.bincount(train, minlength=len(characters)) + 1
    alone = -np.log2(counts / counts.sum())[unseen[:, 1:]].mean()
    print(
        f"pages that it has never seen: {bits:.2f} bits a character; by the characters' frequencies alone {alone:.2f}"
    )
    prompt = 'The "'
    found = model.generate(
        td.asarray(characters(prompt)[None]), max_steps=200, key=td.random.key(0), temperature=0.7, top_p=0.95
    )
    print(prompt + characters.decode(found.tokens[0]))
    return bits


if __name__ == "__main__":
    main()
