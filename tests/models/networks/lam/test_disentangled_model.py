"""A structure that moves apart from a content that stays."""

import math

import pytest
import torch

from lawm_models.networks.lam.disentangled_model import DisentangledConfig, DisentangledModel

WEIGHTS = {"structure_error": 0.3, "cycle": 0.4, "variance": 0.5, "opposition": 0.6, "norm": 0.7}


@pytest.fixture
def make(spec, randomize):
    def build(**settings) -> DisentangledModel:
        sizes = {"units": 8, "layers": 1, "latent": 3, "structure": 4, "content": 5}
        config = DisentangledConfig.parse({**sizes, **settings}, "test")
        model = DisentangledModel(config, spec.observations, 2, "dila").double()
        randomize(model)
        model.dynamics.scale.fill_(0.5)
        return model

    return build


def test_its_terms_are_those_of_the_formulas(make, make_batch) -> None:
    model = make(**WEIGHTS)
    steps = model.steps(make_batch("none", padded=True, dtype=torch.float64), None)
    latent = model.inverse(steps.state, steps.after)
    found = model.terms(steps, latent)
    dynamics, rows = model.dynamics, steps.weight.nonzero().squeeze(1).tolist()

    def g(m: torch.Tensor) -> torch.Tensor:
        return model.inverse_dynamics(m) + model.direct(m)

    each = {name: [] for name in ("structure_error", "cycle", "opposition", "norm")}
    latents = []
    for row in rows:
        x, after = dynamics.structure(steps.state[row, -1]), dynamics.structure(steps.after[row])
        m = (after - x) / 0.5
        z = g(m)
        latents.append(z)
        predicted = dynamics.motion(x, z)
        each["structure_error"].append(((predicted - m) ** 2).mean())
        each["cycle"].append(((g(predicted) - z) ** 2).mean())
        back = g(-m)
        each["opposition"].append((1 + z @ back / (z.norm() * back.norm())) ** 2)
        each["norm"].append((z**2).sum())
    std = torch.stack(latents).std(0, correction=0).mean()
    expected = {name: torch.stack(values).mean() for name, values in each.items()}
    expected["variance"] = math.e ** (-10 * std)
    assert found.keys() == WEIGHTS.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, WEIGHTS[name] * expected[name])


def test_what_stands_still_need_not_be_opposed(make, make_batch) -> None:
    model = make()
    steps = model.steps(make_batch("none", dtype=torch.float64), None)
    still = steps._replace(after=steps.state[:, -1])
    latent = model.inverse(still.state, still.after)
    assert model.terms(still, latent)["opposition"] == 0
    assert model.terms(steps, latent)["opposition"] > 0


def test_a_latent_action_moves_the_structure_alone(make, make_batch) -> None:
    """And what is observed is fused of that and a content that z cannot reach."""
    model = make(context=2)
    steps = model.steps(make_batch("none", dtype=torch.float64), None)
    dynamics, state = model.dynamics, steps.state.flatten(-2)
    latent = model.inverse(steps.state, steps.after)
    x = dynamics.structure(steps.state[:, -1])
    motion = dynamics.motion(x, latent)
    content = dynamics.content(state)
    expected = dynamics.fusion(content, torch.cat((x + 0.5 * motion, motion), -1))
    torch.testing.assert_close(dynamics(state, latent), expected)
    # z is of the newest observation and the one after; the content alone remembers the one before
    before = steps.state.clone()
    before[:, 0] += 1.0
    torch.testing.assert_close(model.inverse(before, steps.after), latent)
    assert not torch.allclose(dynamics(before.flatten(-2), latent), expected)


def test_scales_are_of_the_data(make, random_view) -> None:
    model = make()
    model.fit([random_view])
    torch.testing.assert_close(model.dynamics.scale, model.change.mean())


@pytest.mark.parametrize("term", WEIGHTS)
def test_every_term_moves_what_it_is_about_and_nothing_else(make, make_batch, term) -> None:
    model = make(**WEIGHTS)
    steps = model.steps(make_batch("none", dtype=torch.float64), None)
    model.terms(steps, model.inverse(steps.state, steps.after))[term].backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    paths = {"inverse_dynamics", "direct", "dynamics.structure"}
    if term in ("structure_error", "cycle"):
        paths.add("dynamics.motion")
    assert {path for path in paths for name in moved if name.startswith(path)} == paths
    assert all(any(name.startswith(path) for path in paths) for name in moved)
