"""What is particular to compiled rollouts; their numbers are tested with those of ``fused``."""

import pytest
import torch

from lawm_models.networks.latent_action import ActionDecoder, InversePosterior, LatentActionConfig
from lawm_models.networks.rssm import RSSM, RSSMConfig
from lawm_models.networks.scan import native, plain
from lawm_models.networks.scan.operation import Scan

STEPS, ACTION = 2, 3


@pytest.fixture
def compiled(compiler):
    """Where there is a compiler, ``steps.c`` compiles."""
    assert native.library(torch.float32) is not None


def same(x):
    return x


def turned(x):
    """The same numbers, of which those of a row lie apart."""
    return x.mT.contiguous().mT


def rollout(scan, width, batch, laid=same):
    """Features and gradients of networks of one width, in float32."""
    torch.manual_seed(0)
    latent = LatentActionConfig(dim=width, units=width, inverse_layers=2)
    rssm = RSSM(RSSMConfig(deter=width, stoch=width, hidden=width), ACTION, width)
    inverse = InversePosterior(latent, rssm.feature_dim, width)
    decoder = ActionDecoder(latent, rssm.feature_dim, ACTION)
    window = torch.randn(batch, STEPS + 1, width)
    window, action = laid(window), laid(torch.randn(batch, STEPS, ACTION).tanh())
    noise = laid(torch.randn(batch, STEPS + 1, width)), laid(torch.randn(batch, STEPS, width)), None
    m = (torch.arange(batch) % 2).float()
    known = window, window[:, 1:]
    _, feature, *_ = scan.infer(rssm, [inverse], decoder, known, action, m, noise, True)
    parameters = [p for module in (rssm, inverse, decoder) for p in module.parameters()]
    grads = torch.autograd.grad(
        feature.square().sum(), parameters, allow_unused=True, materialize_grads=True
    )
    return feature, *grads


@pytest.mark.parametrize("width", [3, 15, 16, 33, 64])
@pytest.mark.parametrize("batch", [1, 7, 12])
def test_any_width_and_any_number_of_rows(compiled, width, batch):
    """Registers hold a few rows and columns at once, of which there may be some left."""
    both = rollout(native, width, batch), rollout(plain, width, batch)
    for found, wanted in zip(*both, strict=True):
        largest = wanted.abs().amax().item()
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * largest)


def test_numbers_may_lie_in_any_way(compiled):
    both = rollout(native, 5, 4, turned), rollout(native, 5, 4)
    assert all(torch.equal(found, wanted) for found, wanted in zip(*both, strict=True))


def test_there_may_be_no_rows(compiled):
    rssm = RSSM(RSSMConfig(deter=4, stoch=3, hidden=4), ACTION, 5)
    nothing = [torch.zeros(0, STEPS + 1, 5), torch.zeros(0, STEPS, ACTION)]
    observed = native.observe(rssm, *nothing, torch.zeros(0, STEPS + 1, 3))
    observed.state.feature.sum().backward()
    assert not any(p.grad.any() for p in rssm.parameters() if p.grad is not None)
    assert rssm.input.linear.weight.grad is not None


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_what_is_no_number_stays_none(compiled, value):
    """The training that made it is stopped by that."""
    torch.manual_seed(0)
    rssm = RSSM(RSSMConfig(deter=20, stoch=3, hidden=20), ACTION, 5)
    embed, noise = torch.randn(2, STEPS + 1, 5), torch.randn(2, STEPS + 1, 3)
    embed[0, 1] = value
    action = torch.zeros(2, STEPS, ACTION)
    found, wanted = (x.observe(rssm, embed, action, noise).state.stoch for x in (native, plain))
    assert torch.equal(found.isnan(), wanted.isnan())
    torch.testing.assert_close(found, wanted, equal_nan=True, rtol=1e-4, atol=1e-5)


@pytest.fixture
def anew():
    """Libraries are looked for once more, and afterwards again."""
    native.library.cache_clear()
    yield
    native.library.cache_clear()


def test_without_a_compiler_torch_takes_its_place(anew, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    assert [native.scan_of(torch.zeros(1)) for _ in range(2)] == [Scan, Scan]
    (said,) = capsys.readouterr().err.splitlines()  # once
    assert said.startswith("warning: model.scan: native is not to be had, fused takes its place: ")
    assert said.endswith("install a C compiler, or name it in CC")


def test_other_types_and_devices_are_not_compiled():
    assert native.scan_of(torch.zeros(1, dtype=torch.bfloat16)) is Scan
    assert native.scan_of(torch.zeros(1, device="meta")) is Scan
