"""The summary: rows, counts against sums by hand."""

from __future__ import annotations

import pytest

import treadle as td
from treadle import nn


def test_rows_and_totals() -> None:
    model = nn.Sequential(
        [
            nn.Conv2D(8, 3, padding="same"),
            nn.BatchNorm(),
            nn.MaxPooling2D(),
            nn.Sequential([nn.Conv2D(4, 3, groups=2), nn.Conv2DTranspose(2, 2, 2)]),
            nn.Flatten(),
            nn.Dense(10),
        ]
    )
    s = nn.summary(model, (5, 8, 8, 2))
    rows = {r.scope: r for r in s.rows}
    assert list(rows) == [
        "layers.0",
        "layers.1",
        "layers.2",
        "layers.3/layers.0",
        "layers.3/layers.1",
        "layers.4",
        "layers.5",
    ]
    assert rows["layers.0"].parameters == 3 * 3 * 2 * 8 + 8
    assert rows["layers.0"].multiply_adds == 5 * 8 * 8 * 8 * (3 * 3 * 2)
    assert rows["layers.1"].parameters == 16
    assert rows["layers.3/layers.0"].multiply_adds == 5 * 2 * 2 * 4 * (3 * 3 * 4)
    # Each of the 2 * 2 * 4 inputs meets each of the 2 * 2 * 2 weights of its channel.
    assert rows["layers.3/layers.1"].multiply_adds == 5 * 2 * 2 * 4 * (2 * 2 * 2)
    assert rows["layers.5"].output == "[5, 10]"
    assert rows["layers.5"].multiply_adds == 5 * (4 * 4 * 2) * 10
    assert s.multiply_adds == sum(r.multiply_adds for r in s.rows)
    assert s.parameters == sum(v.size for v in model.parameters().values()) == sum(r.parameters for r in s.rows)
    assert s.states == 16
    assert s.bytes == 4 * (s.parameters + 16)


def test_unknown_batch() -> None:
    s = nn.summary(nn.Dense(3), ("batch", 4))
    assert s.multiply_adds == 12 * td.Dim("batch")
    assert "[batch, 3]" in str(s)
    assert "12*batch" in str(s)


def test_shared_layers_count_once() -> None:
    shared = nn.Dense(4)

    class Twice(nn.Module):
        def __init__(self) -> None:
            self.a, self.b = shared, nn.Sequential([shared])

        def __call__(self, x: td.Tensor) -> td.Tensor:
            return self.a(x) + self.b(x)

    s = nn.summary(Twice(), (2, 4))
    assert [(r.scope, r.parameters, r.shared) for r in s.rows] == [("a", 20, False), ("b/layers.0", 0, True)]
    assert s.parameters == 20
    assert s.multiply_adds == 2 * (2 * 4 * 4)
    assert "shared" in str(s)


def test_own_computations_of_a_model_have_a_row() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.scale = nn.Parameter(td.ones(4))
            self.dense = nn.Dense(3)

        def __call__(self, x: td.Tensor) -> td.Tensor:
            with td.scope("gram"):
                y = (x * self.scale) @ x.T
            return self.dense(y)

    s = nn.summary(Net(), (2, 4))
    assert [(r.scope, r.layer, r.parameters, r.multiply_adds) for r in s.rows] == [
        ("", "Net", 4, 2 * 4 * 2),
        ("dense", "Dense", 9, 2 * 2 * 3),
    ]


def test_loops_count_as_often_as_they_run() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(3, use_bias=False, input_size=3)

        def __call__(self, x: td.Tensor) -> td.Tensor:
            return td.scan(lambda carry, _: (self.dense(carry), carry), x, None, length=7)[0]

    assert nn.summary(Loop(), (2, 3)).multiply_adds == 7 * 2 * 3 * 3


def test_a_choice_counts_its_larger_branch() -> None:
    class Choice(nn.Module):
        def __init__(self) -> None:
            self.large = nn.Dense(9, use_bias=False, input_size=3)

        def __call__(self, x: td.Tensor) -> td.Tensor:
            return td.cond(td.sum(x) > 0, lambda x: td.sum(self.large(x)), td.sum, x)

    assert nn.summary(Choice(), (2, 3)).multiply_adds == 2 * 3 * 9


def test_several_inputs_and_options() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(2)

        def __call__(
            self, x: td.Tensor, pair: dict[str, td.Tensor], double: bool = False
        ) -> tuple[td.Tensor, td.Tensor]:
            y = self.dense(x)
            return (y * 2 if double else y), pair["a"]

    s = nn.summary(Two(), td.zeros((1, 3)), {"a": td.zeros(5)}, double=True)
    assert s.parameters == 8


def test_summary_is_plain_text_of_equal_lines() -> None:
    lines = str(nn.summary(nn.Sequential([nn.Flatten(), nn.Dense(1000)]), (1, 28, 28))).splitlines()
    assert lines[0] == "Sequential(f32[1,28,28])"
    assert lines[-1] == "785,000 parameters (3.0 MiB); 784,000 multiply-adds"
    assert len(lines[1]) == max(map(len, lines[1:-1]))


def test_wrong_shapes_are_the_layers_errors() -> None:
    with pytest.raises(td.errors.ShapeError, match=r"layers.0 \(Conv2D\)"):
        nn.summary(nn.Sequential([nn.Conv2D(1, 3)]), (1, 28, 28))
