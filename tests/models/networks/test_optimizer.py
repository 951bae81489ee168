import pytest
import torch

from lawm_models.networks.optimizer import clip_and_step


def setup(rate=0.1):
    mine = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    other = torch.nn.Parameter(torch.tensor([1.0]))
    return mine, other, torch.optim.SGD([mine], rate)


def test_large_gradient_is_clipped():
    mine, _, optimizer = setup()
    norm = clip_and_step(optimizer, 0.5 * mine.square().sum(), clip=1.0)
    assert norm.item() == pytest.approx(5)
    assert mine.tolist() == pytest.approx([3 - 0.1 * 0.6, 4 - 0.1 * 0.8], abs=1e-5)


def test_small_gradient_is_not():
    mine, _, optimizer = setup()
    norm = clip_and_step(optimizer, 0.5 * mine.square().sum(), clip=100.0)
    assert norm.item() == pytest.approx(5)
    assert mine.tolist() == pytest.approx([2.7, 3.6])


def test_only_its_own_parameters_learn():
    mine, other, optimizer = setup()
    clip_and_step(optimizer, (mine.sum() * other).sum(), clip=1.0)
    assert other.grad is None
    assert other.item() == 1


def test_steps_do_not_add_up():
    mine, _, optimizer = setup()
    for _ in range(2):
        mine.data.fill_(1.0)
        assert clip_and_step(optimizer, mine.sum(), 10.0).item() == pytest.approx(2**0.5)
