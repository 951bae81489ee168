"""Every constraint against an evaluation of its formula in NumPy, in float64."""

import numpy as np
import pytest
import torch

from lawm_models.networks.constraints import gaussian, nested, none, sparse, vq

ROWS, DIM = 40, 3


@pytest.fixture
def hidden():
    generator = torch.Generator().manual_seed(0)
    return 0.7 * torch.randn(ROWS, 2 * DIM, generator=generator, dtype=torch.float64) + 0.2


@pytest.fixture
def weight():
    return (torch.arange(ROWS) % 5 > 0).double()


def kept(x, weight):
    """The rows that count, in NumPy."""
    return x.detach().numpy()[weight.numpy() > 0]


def seeded():
    return torch.Generator().manual_seed(3)


def test_none_is_what_the_inverse_model_says(hidden, weight):
    found = none.Constraint(none.Config(), DIM).double()(hidden[:, :DIM], weight, None)
    assert torch.equal(found.latent, hidden[:, :DIM])
    assert found.loss == 0


def test_gaussian_is_a_kl_with_a_plus(hidden, weight):
    constraint = gaussian.Constraint(gaussian.Config(beta=0.3), DIM)
    found = constraint(hidden, weight, seeded())
    x = hidden.numpy()
    mean, std = x[:, :DIM], 2 / (1 + np.exp(-x[:, DIM:] / 2)) + gaussian.MIN_STD
    each = 0.5 * (mean**2 + std**2 - np.log(std**2) - 1).sum(-1)
    assert found.loss.item() == pytest.approx(0.3 * each[weight.numpy() > 0].mean(), rel=1e-12)
    noise = torch.randn(ROWS, DIM, generator=seeded(), dtype=torch.float64).numpy()
    np.testing.assert_allclose(found.latent.numpy(), mean + std * noise, rtol=1e-12)
    np.testing.assert_array_equal(constraint.latent(hidden).numpy(), mean)


@pytest.mark.parametrize("norm", ["squared", "plain"])
@pytest.mark.parametrize("dim", [1, DIM])
def test_sparse_is_an_energy_and_moments(hidden, weight, norm, dim):
    config = sparse.Config(l1=0.07, l2=0.9, variance=0.2, covariance=0.3, mean=0.4, norm=norm)
    constraint = sparse.Constraint(config, dim).double()
    found = constraint(hidden[:, :dim], weight, None)
    z = kept(hidden[:, :dim], weight)
    size = (z**2).sum(-1) if norm == "squared" else np.linalg.norm(z, axis=-1)
    energy = 0.9 * np.maximum(np.sqrt(dim) - size, 0) + 0.07 * np.abs(z).sum(-1)
    cov = np.atleast_2d(np.cov(z.T, bias=True))
    others = (cov**2).sum() - (np.diag(cov) ** 2).sum()
    vcm = 0.2 * np.maximum(1 - np.sqrt(np.diag(cov)), 0).mean()
    vcm += 0.3 * (others / (dim * (dim - 1)) if dim > 1 else 0)
    vcm += 0.4 * (z.mean(0) ** 2).mean()
    assert found.loss.item() == pytest.approx(energy.mean() + vcm, rel=1e-9)
    assert torch.equal(found.latent, hidden[:, :dim])


def test_vq_takes_the_nearest_code_straight_through(hidden, weight):
    constraint = vq.Constraint(vq.Config(codes=6, commitment=0.25, reset_after=100), DIM).double()
    constraint.idle.zero_()  # none is new
    h, codes = hidden[:, :DIM].clone().requires_grad_(), constraint.codebook.detach().numpy()
    found = constraint(h, weight, seeded())
    x = h.detach().numpy()
    index = ((x[:, None] - codes) ** 2).sum(-1).argmin(-1)
    np.testing.assert_allclose(found.latent.detach().numpy(), codes[index], atol=1e-12)
    distance = ((x - codes[index]) ** 2).sum(-1)[weight.numpy() > 0].mean()
    assert found.loss.item() == pytest.approx(1.25 * distance, rel=1e-9)
    slope = torch.randn(ROWS, DIM, generator=seeded(), dtype=torch.float64)
    (found.latent * slope).sum().backward(retain_graph=True)
    np.testing.assert_allclose(h.grad.numpy(), slope.numpy())  # as if there were no codes
    h.grad = None
    found.loss.backward()
    pull = 0.25 * 2 * (x - codes[index]) * weight.numpy()[:, None] / weight.sum().item()
    np.testing.assert_allclose(h.grad.numpy(), pull, atol=1e-12)
    follow = np.zeros_like(codes)
    np.add.at(follow, index, -4 * pull)
    np.testing.assert_allclose(constraint.codebook.grad.numpy(), follow, atol=1e-12)


def test_vq_replaces_codes_that_nobody_chooses(hidden, weight):
    constraint = vq.Constraint(vq.Config(codes=8, reset_after=3), DIM).double()
    with torch.no_grad():
        constraint.codebook.fill_(1e3)
    x = hidden[:, :DIM]
    rows = {tuple(row) for row in kept(x, weight)}
    first = constraint(x, weight, seeded())
    moved = [tuple(code) in rows for code in constraint.codebook.detach().numpy()]
    assert sum(moved) == 7  # all but the one that was the nearest of those far away
    with torch.no_grad():
        constraint.codebook[moved.index(True)] = 1e3  # of no use any more
    seen = [constraint(x, weight, seeded()).metrics["codes"].item() for _ in range(12)]
    assert first.metrics["codes"].item() == 1
    assert max(seen) >= 6
    assert (constraint.codebook.detach().abs().max(-1).values < 1e3).all()


def test_vq_counts_what_is_used(weight):
    constraint = vq.Constraint(vq.Config(codes=5, reset_after=10**6), 1).double()
    with torch.no_grad():
        constraint.codebook.copy_(torch.arange(5.0).unsqueeze(-1))
    constraint.idle.zero_()
    constraint.idle[3:] = 10**6 + 1
    x = (torch.arange(ROWS) % 2).double().unsqueeze(-1)
    metrics = constraint(x, torch.ones(ROWS, dtype=torch.float64), None).metrics
    assert metrics["perplexity"].item() == pytest.approx(2, rel=1e-6)
    assert metrics["codes"].item() == 3


def test_nested_keeps_prefixes_of_all_lengths(weight):
    constraint = nested.Constraint(nested.Config(), DIM).double()
    x = torch.rand(3000, DIM, generator=seeded(), dtype=torch.float64) + 1
    latent = constraint(x, torch.ones(3000), seeded()).latent
    length = (latent != 0).sum(-1)
    places = torch.arange(DIM)
    assert torch.equal(latent, torch.where(places < length.unsqueeze(-1), x, 0.0))
    counts = length.bincount(minlength=DIM + 1).tolist()
    assert counts[0] == 0
    assert all(abs(count - 1000) < 120 for count in counts[1:])
    cut = nested.Constraint(nested.Config(kept=2), DIM).double()
    assert torch.equal(cut.latent(x)[:, :2], x[:, :2])
    assert (cut.latent(x)[:, 2:] == 0).all()
    assert torch.equal(constraint.latent(x), x)
