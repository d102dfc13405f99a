"""What a derivative makes is tied to the node that was differentiated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import treadle as td
from treadle.core.graph import Graph, Node


def loss(w: td.Tensor, x: td.Tensor) -> td.Tensor:
    return td.tanh(x @ w).sum()


def walked(graph: Graph) -> list[Node]:
    return list(graph.walk())


def ties(graph: Graph) -> Iterator[tuple[str, set[str]]]:
    """Primitives that carry cotangents, with those they were made for."""
    nodes = walked(graph)
    for node in nodes:
        if node.origin is not None and node.origin.backward:
            number = node.origin.number
            yield (
                node.primitive.name,
                {n.primitive.name for n in nodes if n.origin == node.origin._replace(number=number, backward=False)},
            )


def test_backward_nodes_name_their_forward_node() -> None:
    graph = td.graph(td.compile(td.value_and_grad(loss)))(td.ones((3, 2)), td.ones((4, 3)))
    found = dict(ties(graph))
    assert "tanh" in found["masked_mul"]
    assert found["broadcast"] == {"sum"}
    assert found["transpose"] == {"contract"}


def test_the_body_of_a_scan_is_tied_node_by_node() -> None:
    def rnn(w: td.Tensor, xs: td.Tensor) -> td.Tensor:
        return td.scan(lambda h, x: (td.tanh(h @ w + x), h), td.zeros(3), xs)[0].sum()

    graph = td.graph(td.value_and_grad(rnn))(td.ones((3, 3)), td.ones((5, 3)))
    pairs = list(ties(graph))
    assert ("scan", {"scan"}) in [(name, of & {"scan"}) for name, of in pairs]
    assert any(name == "contract" and "contract" in of for name, of in pairs)


def test_ties_survive_vmap_compile_and_sizes_put_in() -> None:
    gradient = td.compile(td.vmap(td.grad(lambda x: (td.sin(x) * x).sum())), dynamic={"x": ("batch", None)})
    graph = td.graph(gradient)(td.ones((4, 3)))
    back = [n.origin for n in graph.nodes if n.origin is not None and n.origin.backward]
    assert len(back) >= 2
    sized = graph.substitute({"batch": 4})
    assert [n.origin for n in sized.nodes] == [n.origin for n in graph.nodes]


@pytest.mark.parametrize("transform", [lambda f: f, td.compile])
def test_without_a_derivative_there_is_no_tie(transform: object) -> None:
    graph = td.graph(transform(loss))(td.ones((3, 2)), td.ones((4, 3)))  # type: ignore[operator]
    assert all(n.origin is None for n in walked(graph))


def test_origins_are_no_part_of_what_graphs_compute() -> None:
    f = td.grad(loss)
    first, second = (td.graph(f)(td.ones((3, 2)), td.ones((4, 3))) for _ in range(2))
    assert [n.origin for n in first.nodes] != [n.origin for n in second.nodes]
    assert first == second
    assert str(first) == str(second)
