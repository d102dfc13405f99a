"""Stream: it moves on, compiled too; the process's own one."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import DTypeError

CALLS = {
    "bits": ((3,),),
    "uniform": ((3,),),
    "normal": ((3,),),
    "truncated_normal": ((3,),),
    "exponential": ((3,),),
    "gumbel": ((3,),),
    "laplace": ((3,),),
    "gamma": (2.0, (3,)),
    "bernoulli": (0.5, (3,)),
    "categorical": (td.zeros(4),),
    "randint": ((3,), 0, 9),
    "permutation": (5,),
    "shuffle": (5,),
    "choice": (9, (3,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_the_function_with_the_next_key(name):
    first = td.random.fold_in(td.random.key(6), 0)
    got = getattr(td.random.Stream(6), name)(*CALLS[name])
    np.testing.assert_array_equal(got.numpy(), getattr(td.random, name)(first, *CALLS[name]).numpy())


def test_every_sampler_is_a_method():
    functions = set(td.random.__all__) - {"Stream", "default_stream", "set_seed", "key", "split", "fold_in"}
    assert functions == set(CALLS)


def test_it_moves_on():
    stream = td.random.Stream(0)
    keys = [tuple(stream.next_key().tolist()) for _ in range(50)]
    assert len(set(keys)) == 50
    assert stream.counter.item() == 50
    again = td.random.Stream(0)
    assert [tuple(again.next_key().tolist()) for _ in range(50)] == keys


def test_a_key_may_be_the_seed():
    key = td.random.split(td.random.key(1))[0]
    assert td.random.Stream(key).uniform().item() == td.random.uniform(td.random.fold_in(key, 0)).item()
    with pytest.raises(DTypeError, match="u32"):
        td.random.Stream(td.zeros(2))


def test_compiled_it_moves_on_as_eager():
    @td.compile
    def draw(stream):
        return stream.uniform((2,)) + stream.uniform((2,))

    compiled, eager = td.random.Stream(9), td.random.Stream(9)
    for _ in range(3):
        np.testing.assert_array_equal(draw(compiled).numpy(), (eager.uniform((2,)) + eager.uniform((2,))).numpy())
    assert compiled.counter.item() == 6


def test_it_resumes_from_its_variables():
    stream = td.random.Stream(4)
    stream.normal()
    saved = stream.variables()
    assert set(saved) == {"key", "counter"}
    assert set(stream.states()) == {"key", "counter"}
    assert not stream.parameters()
    want = stream.normal().item()
    other = td.random.Stream(0)
    other.assign(saved)
    assert other.normal().item() == want


def test_the_default_stream_is_seeded():
    td.random.set_seed(5)
    a = [td.random.default_stream().next_seed() for _ in range(3)]
    td.random.set_seed(5)
    assert [td.random.default_stream().next_seed() for _ in range(3)] == a
    assert td.random.default_stream() is td.random.default_stream()
    assert len(set(a)) == 3
    assert all(isinstance(s, int) and 0 <= s < 2**64 for s in a)
    td.random.set_seed(0)


def test_a_seed_is_a_number_inside_of_a_trace():
    stream = td.random.Stream(2)

    @td.compile
    def f(x):
        return x + float(stream.next_seed() % 2)

    f(td.zeros(2))
    assert stream.counter.item() == 1
    assert isinstance(stream.next_seed(), int)
