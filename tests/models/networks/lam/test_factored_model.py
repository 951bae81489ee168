"""Slots of a state, each with a latent action of its own."""

import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.networks.constraints import CONSTRAINTS
from lawm_models.networks.lam.factored_model import FactoredConfig, FactoredModel

K, PART = 3, 2


@pytest.fixture
def make(spec, randomize):
    def build(**settings) -> FactoredModel:
        sizes = {"units": 8, "layers": 1, "latent": K * PART, "slots": K, "slot": 5}
        config = FactoredConfig.parse({**sizes, **settings}, "test")
        model = FactoredModel(config, spec.observations, 2, "flam").double()
        randomize(model)
        return model

    return build


@pytest.fixture
def steps(make, make_batch):
    return make(context=2).steps(make_batch("none", dtype=torch.float64), None)


def test_slots_are_those_of_the_formula(make, steps) -> None:
    slots = make(context=2).dynamics.slots
    found = slots(steps.state)

    def normed(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, correction=0, keepdim=True) + 1e-5
        ).sqrt()

    for row, state in list(zip(found, steps.state, strict=True))[:3]:
        tokens = [
            normed(slots.place[e] + sum(state[c, e] * slots.value[c, e] for c in range(2)))
            for e in range(3)
        ]
        x = slots.first
        for _ in range(slots.rounds):
            query = slots.query(normed(x))
            scores = torch.stack([query @ slots.key(token) for token in tokens], 1) / 5**0.5
            share = scores.exp() / scores.exp().sum(0)  # slots compete for a number
            weight = share / share.sum(1, keepdim=True)
            update = sum(weight[:, e, None] * slots.read(tokens[e]) for e in range(3))
            moved = slots.cell(update, x)
            x = moved + slots.after(normed(moved))
        torch.testing.assert_close(row, x, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("inverse", ["state", "change"])
@pytest.mark.parametrize("constraint", ["none", "gaussian"])
def test_a_latent_action_is_that_of_each_slot_side_by_side(
    make, steps, inverse, constraint
) -> None:
    model = make(context=2, inverse=inverse, constraint={"name": constraint})
    latent = model.inverse(steps.state, steps.after)
    slots = model.dynamics.slots
    following = torch.stack((steps.state[:, 1], steps.after), 1)
    before, after = slots(steps.state), slots(following)
    for k in range(K):
        moved = (after[:, k] - before[:, k]) / model.change.mean()
        known = torch.cat((before[:, k], moved), 1) if inverse == "state" else moved
        hidden = model.inverse_dynamics(known) + model.direct(moved)
        part = latent[:, k * PART : (k + 1) * PART]
        torch.testing.assert_close(part, hidden[:, :PART])  # the mean, of a density
    still = model.inverse(steps.state[:, [1, 1]], steps.state[:, 1])
    if inverse == "change":
        assert (still == still[0]).all()


@pytest.mark.parametrize("constraint", ["gaussian", "sparse", "vq", "nested"])
def test_every_slot_is_constrained_alone(make, steps, constraint) -> None:
    """As if each were a model with a latent action of that width, and one codebook for all."""
    chosen = CONSTRAINTS.load(constraint)
    model = make(
        context=2,
        constraint={"name": constraint, "codes": 4} if constraint == "vq" else {"name": constraint},
    )
    rows, weight = len(steps.state), steps.weight
    hidden = model._hidden(steps.state, steps.after)
    one = chosen.Constraint(model.config.constraint, PART).double()
    one.load_state_dict(
        {n.removeprefix("one."): v for n, v in model.constraint.state_dict().items()}
    )
    apart = hidden.reshape(rows * K, -1)
    torch.testing.assert_close(model.constraint.latent(hidden).reshape(-1, PART), one.latent(apart))
    found = model.constraint(hidden, weight, torch.Generator().manual_seed(0))
    alone = one(apart, weight.repeat_interleave(K), torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.latent.reshape(-1, PART), alone.latent)
    torch.testing.assert_close(found.loss, K * alone.loss)
    drawn = model.constraint.prior_sample(6, torch.Generator().manual_seed(0))
    assert drawn.shape == (6, K * PART)


def test_slots_take_codes_apart(make, steps) -> None:
    model = make(context=2, constraint={"name": "vq", "codes": 4})
    model.constraint(model._hidden(steps.state, steps.after), steps.weight, torch.Generator())
    latent = model.inverse(steps.state, steps.after)
    book = model.constraint.one.codebook
    codes = (latent.reshape(-1, K, 1, PART) == book).all(-1)
    assert codes.any(-1).all()
    assert (codes != codes[:, :1]).any()
    assert model.constraint.codes is None


def test_slots_differ_in_nothing_but_where_they_begin(make, steps) -> None:
    """In another order they find and foresee the same, in that order."""
    model = make(context=2)
    state, after, order = steps.state, steps.after, [2, 0, 1]
    latent = model.inverse(state, after)
    each = model.dynamics.each(state.flatten(1), latent)
    with torch.no_grad():
        model.dynamics.slots.first.copy_(model.dynamics.slots.first[order])
    parts = latent.unflatten(1, (K, PART))[:, order]
    torch.testing.assert_close(model.inverse(state, after), parts.flatten(1))
    again = model.dynamics.each(state.flatten(1), parts.flatten(1))
    torch.testing.assert_close(again, each[:, order])
    torch.testing.assert_close(model.dynamics(state.flatten(1), parts.flatten(1)), each.sum(1))


def test_a_latent_action_moves_its_own_slot(make, steps) -> None:
    dynamics = make(context=2).dynamics
    slots, latent = dynamics.slots(steps.state), torch.zeros(len(steps.state), K, PART).double()
    other = latent.clone()
    other[:, 1] = 1.0
    same = (dynamics.motion(slots, latent) == dynamics.motion(slots, other)).all(-1)
    assert same[:, [0, 2]].all()
    assert not same[:, 1].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent": 7}, r"of 7 numbers is not divided by 3 slots.*set model\.latent to 9"),
        ({"slots": 4, "latent": 8}, "4 slots are more than the 3 numbers of an observation"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**settings)
