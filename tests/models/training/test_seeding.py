"""One seed decides everything, and disturbs nothing."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lawm_models.training import seeding


@given(st.integers(0, 2**40))
def test_streams_are_apart_and_always_the_same(seed: int) -> None:
    found = seeding.derive(seed)
    assert found == seeding.derive(seed)
    assert len(set(found)) == len(found)
    assert not set(found) & set(seeding.derive(seed + 1))
    assert all(0 <= stream < 2**31 for stream in found)


def test_what_is_drawn_inside_changes_nothing_outside() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeding.ambient_randomness(torch.device("cpu")):
        torch.manual_seed(2)
        torch.rand(5)
    assert torch.equal(torch.rand(3), expected)


def test_generators_go_back_to_where_they_were() -> None:
    generator = torch.Generator().manual_seed(3)
    states = seeding.generator_states(generator)
    drawn = torch.rand(2, generator=generator), torch.rand(2)
    seeding.restore_generators(generator, states)
    again = torch.rand(2, generator=generator), torch.rand(2)
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with seeding.thread_limit(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
