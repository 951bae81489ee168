"""What holds of every constraint, and constraints as a setting of a model."""

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, Schema

from lawm_models.networks.constraints import CONSTRAINTS, ConstraintChoice, gaussian, vq
from lawm_models.networks.constraints._protocol import (
    REMEMBERED,
    Remembered,
    Sampled,
    effective_size,
)
from lawm_models.networks.latent_action_model import LatentActionModelConfig

DIM, ROWS = 4, 300


class Model(Schema):
    """Anything with a constraint."""

    constraint: ConstraintChoice = gaussian.Config()


SAMPLED = [
    name for name in CONSTRAINTS.names() if issubclass(CONSTRAINTS.load(name).Constraint, Sampled)
]
"""Those without a density."""


@pytest.fixture(params=CONSTRAINTS.names())
def module(request):
    return CONSTRAINTS.load(request.param)


@pytest.fixture
def constraint(module):
    torch.manual_seed(0)
    return module.Constraint(module.Config(), DIM).double()


def draws(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_latents_have_their_width_and_a_gradient(constraint):
    hidden = draws(0, ROWS, constraint.inputs).requires_grad_()
    weight = torch.ones(ROWS, dtype=torch.float64)
    found = constraint(hidden, weight, torch.Generator().manual_seed(1))
    assert found.latent.shape == (ROWS, DIM)
    assert found.loss.shape == ()
    (found.latent.square().sum() + found.loss).backward()
    assert torch.isfinite(hidden.grad).all()
    assert hidden.grad.abs().sum() > 0
    assert constraint.latent(hidden.view(3, -1, constraint.inputs)).shape == (3, ROWS // 3, DIM)


def test_rows_without_weight_change_nothing(constraint):
    """Not the loss, and nothing that is remembered."""
    weight = (torch.arange(ROWS) % 3 > 0).double()
    hidden = draws(0, ROWS, constraint.inputs)
    other = torch.where(weight.bool().unsqueeze(-1), hidden, 7.0)
    state = {k: v.clone() for k, v in constraint.state_dict().items()}
    found = []
    for x in (hidden, other):
        constraint.load_state_dict(state)
        result = constraint(x, weight, torch.Generator().manual_seed(1))
        found.append((result.loss, constraint.prior_sample(50, torch.Generator().manual_seed(2))))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_batch_without_weight_adds_nothing(constraint):
    hidden = draws(0, ROWS, constraint.inputs).requires_grad_()
    found = constraint(hidden, torch.zeros(ROWS, dtype=torch.float64), torch.Generator())
    assert found.loss.item() == 0
    (found.loss + 0 * hidden.sum()).backward()
    assert (hidden.grad == 0).all()


def test_draws_are_as_latents_are(constraint):
    """Of latents that were constrained to be near N(0, I), draws have about that spread."""
    hidden = draws(0, 2000, constraint.inputs)
    weight = torch.ones(2000, dtype=torch.float64)
    for seed in range(3):
        constraint(hidden, weight, torch.Generator().manual_seed(seed))
    drawn = constraint.prior_sample(1000, torch.Generator().manual_seed(5))
    assert drawn.shape == (1000, DIM)
    assert 0.6 < drawn.std() < 1.4
    again = constraint.prior_sample(1000, torch.Generator().manual_seed(5))
    assert torch.equal(drawn, again)


def test_the_effective_size_is_the_participation_ratio():
    latent = draws(0, 500, DIM) @ draws(1, DIM, DIM)
    weight = (torch.arange(500) % 4 > 0).double()
    values = np.linalg.eigvalsh(np.cov(latent[weight > 0].numpy().T, bias=True))
    expected = values.sum() ** 2 / (values**2).sum()
    assert effective_size(latent, weight).item() == pytest.approx(expected, rel=1e-9)
    flat = torch.cat((latent[:, :1], torch.zeros(500, DIM - 1, dtype=torch.float64)), -1)
    assert effective_size(flat, weight).item() == pytest.approx(1)
    assert effective_size(torch.ones_like(latent), weight).item() == 0


def test_the_newest_latents_are_remembered():
    memory, generator = Remembered(1), torch.Generator().manual_seed(0)
    assert (memory.sample(5, generator) == 0).all()
    for first in range(0, REMEMBERED + 400, 200):
        latent = torch.arange(first, first + 200.0).unsqueeze(-1)
        memory.add(latent, (torch.arange(200) % 2 == 0).float())
    seen = set(memory.sample(20_000, generator).flatten().tolist())
    assert all(value % 2 == 0 for value in seen)
    assert max(seen) == first + 198
    assert len(seen) <= REMEMBERED


@pytest.mark.parametrize("rows", [7, 256, REMEMBERED, REMEMBERED + 300])
@pytest.mark.parametrize("models", [(), (2,)], ids=["one", "a stack"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.75, 1.0])
def test_what_is_remembered_is_the_newest_with_weight_and_nothing_else(rows, models, share):
    """The newest batch stands in front, in its order; a batch without weight changes nothing."""
    memory = Remembered(1)
    if models:
        for name, buffer in (("latents", memory.latents), ("filled", memory.filled)):
            setattr(memory, name, buffer.expand(*models, *buffer.shape).clone())
    expected = [[] for _ in range(*models or (1,))]
    generator, steps = torch.Generator().manual_seed(0), 2 + 2 * REMEMBERED // rows
    for step in range(steps):
        latent = (1 + step * rows + torch.arange(float(rows))).expand(*models, rows).unsqueeze(-1)
        weight = (torch.rand(*models, rows, generator=generator) < share).float()
        memory.add(latent, weight)
        each = zip(latent.view(-1, rows), weight.view(-1, rows), strict=True)
        for number, (new, counts) in enumerate(each):
            expected[number] = [*new[counts > 0].tolist(), *expected[number]][:REMEMBERED]
    filled = memory.filled.view(-1).tolist()
    for found, count, kept in zip(
        memory.latents.view(-1, REMEMBERED), filled, expected, strict=True
    ):
        assert count == len(kept)
        assert found.tolist() == kept + [0] * (REMEMBERED - len(kept))


@pytest.mark.parametrize("module", SAMPLED, indirect=True)
def test_draws_of_the_data_are_latents_that_had_weight(constraint):
    had_weight = []
    for step in range(2 + 3 * REMEMBERED // ROWS):
        hidden, weight = draws(step, ROWS, DIM), (torch.arange(ROWS) % 3 > 0).double()
        constraint(hidden, weight, torch.Generator().manual_seed(step))
        had_weight.append(constraint.latent(hidden)[weight > 0])
    drawn = constraint.prior_sample(4 * REMEMBERED, torch.Generator().manual_seed(5))
    among = torch.cat(had_weight).to(constraint.remembered.latents.dtype)
    assert {tuple(row) for row in drawn.tolist()} <= {tuple(row) for row in among.tolist()}


@pytest.mark.parametrize("name", CONSTRAINTS.names())
def test_every_constraint_survives_a_configuration_file(name):
    model = Model(constraint=CONSTRAINTS.load(name).Config())
    again = Model.parse(model.model_dump(mode="json"), "test")
    assert again == model
    assert type(again.constraint) is CONSTRAINTS.load(name).Config


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"name": "vow"}, r"^m: constraint: no constraint 'vow'; .*known ones: .*vq; correct it$"),
        ({"name": "vq", "beta": 1}, r"^m: constraint\.beta: Extra inputs.*; check its spelling$"),
        ({"beta": -1}, r"^m: constraint\.beta: Input should be greater than or equal to 0"),
    ],
)
def test_mistakes_are_named(value, line):
    with pytest.raises(ConfigError, match=line):
        Model.parse({"constraint": value}, "m")


def test_lawm_takes_what_has_a_density():
    assert LatentActionModelConfig().constraint.beta == 1
    with pytest.raises(ConfigError, match="'vq' has no density of u, which Eq"):
        LatentActionModelConfig.parse({"constraint": {"name": "vq"}}, "m")
    old = LatentActionModelConfig.parse({"latent_action_kl_weight": 0.25}, "m")
    assert old.constraint.beta == 0.25
    assert "latent_action_kl_weight" not in old.model_dump()


def test_another_package_brings_a_constraint(install):
    lines = (
        '"""Half: half of what is said."""',
        "from typing import Literal",
        "from lawm_models.networks.constraints import none",
        "class Config(none.Config):",
        "    name: Literal['half'] = 'half'",
        "class Constraint(none.Constraint):",
        "    def latent(self, hidden):",
        "        return 0.5 * hidden",
    )
    files = {"lab/__init__.py": "", "lab/half.py": "\n".join(lines)}
    install("lab 1.0", files, {"lawm.constraints": {"half": "lab.half"}})
    assert Model.parse({"constraint": {"name": "half"}}, "m").constraint.name == "half"
    assert vq.Config().name == "vq"
