"""Every column on a linear system, against formulas in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_system import A, B, Constant, Difference, Linear, System

from lawm_models.probes.columns import PROBES
from lawm_models.probes.evidence import Row, Seen


def measure(probe: str, row: Row, system: System) -> dict[str, float]:
    return dict(PROBES.load(probe).measure(row, system.evidence))


def squares(x: np.ndarray, system: System) -> float:
    """Mean squared norm in units of σ_Δ."""
    return float(np.square(x / system.evidence.unit.numpy()).sum(-1).mean())


def arrays(system: System) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """o, o' and a of judged transitions, and the places of the other ones."""
    judged = system.evidence.judged
    parts = (judged.before, judged.after, judged.action, system.evidence.other)
    before, after, action, other = (part.numpy() for part in parts)
    return before, after, action, other


def test_error_and_capacity_of_a_latent_that_says_a_share(linear: System) -> None:
    before, after, action, _ = arrays(linear)
    without = squares(action @ B.T, linear) / squares(after - before, linear)
    for share in (0.0, 0.3, 1.0):
        found = measure("error", linear.row(Linear(share)), linear)
        assert found["error"] == pytest.approx((1 - share) ** 2 * without, abs=1e-12)
        assert found["capacity"] == pytest.approx(1 - (1 - share) ** 2, abs=1e-9)


def test_leak_of_the_difference_is_one_and_of_a_constant_none(linear: System) -> None:
    assert measure("leak", linear.row(Difference()), linear)["leak"] == pytest.approx(1)
    assert measure("leak", linear.row(Constant()), linear)["leak"] == pytest.approx(0)


def test_leak_of_the_true_dynamics_is_what_an_action_can_do(linear: System) -> None:
    before, after, _, other = arrays(linear)
    jump, expected = after[other], before @ A.T
    reached = expected + (jump - expected) @ np.linalg.pinv(B).T @ B.T
    leak = 1 - squares(reached - jump, linear) / squares(jump - before, linear)
    found = measure("leak", linear.row(Linear()), linear)["leak"]
    assert found == pytest.approx(leak, abs=1e-12)
    assert 0.05 < found < 0.95


def test_transfer_gain_of_the_true_dynamics_is_one_and_of_the_state_none(linear: System) -> None:
    truth = measure("transfer", linear.row(Linear()), linear)
    assert truth["transfer"] == pytest.approx(0, abs=1e-12)
    assert truth["transfer_gain"] == pytest.approx(1)
    nothing = measure("transfer", linear.row(Linear(share=0)), linear)
    assert nothing["transfer_gain"] == pytest.approx(0, abs=1e-12)


def test_transfer_of_the_difference_is_the_change_of_another_place(linear: System) -> None:
    before, after, action, other = arrays(linear)
    there = before[other] @ A.T + action @ B.T
    error = squares(before[other] + after - before - there, linear)
    expected = error / squares(there - before[other], linear)
    found = measure("transfer", linear.row(Difference()), linear)
    assert found["transfer"] == pytest.approx(expected, abs=1e-12)
    without = squares(action @ B.T, linear) / squares(there - before[other], linear)
    assert found["transfer_gain"] == pytest.approx(1 - expected / without, abs=1e-9)


def test_nothing_is_said_of_transfer_and_plans_without_a_simulator(linear: System) -> None:
    silent = linear._replace(evidence=replace(linear.evidence, transfer=None, goals=None))
    assert measure("transfer", linear.row(Linear()), silent) == {}
    assert measure("planning", linear.row(Linear()), silent) == {}


@pytest.mark.parametrize("exact", [Linear(), Difference()])
def test_cycle_of_an_exact_inverse_is_none(linear: System, exact: Linear) -> None:
    found = measure("cycle", linear.row(exact), linear)
    assert found["cycle"] == pytest.approx(0, abs=1e-12)


def test_cycle_loses_a_share_twice(linear: System) -> None:
    before, after, action, _ = arrays(linear)
    without = squares(action @ B.T, linear) / squares(after - before, linear)
    found = measure("cycle", linear.row(Linear(share=0.5)), linear)
    assert found["cycle"] == pytest.approx(0.75**2 * without)
    assert found["cycle_ratio"] == pytest.approx(0.75**2 / 0.5**2)


def test_actions_by_least_squares(linear: System) -> None:
    fit, judged, row = linear.evidence.fit, linear.evidence.judged, linear.row(Difference())
    taught = fit.shown.numpy()

    def beside(x: torch.Tensor) -> np.ndarray:
        return np.concatenate([x.numpy(), np.ones((len(x), 1))], 1)

    weight = np.linalg.lstsq(beside(row.fit.latent)[taught], fit.action.numpy()[taught])[0]
    truth = judged.action.numpy()
    error = np.square(beside(row.judged.latent) @ weight - truth).sum()
    found = measure("actions", row, linear)
    expected = 1 - error / np.square(truth - truth.mean(0)).sum()
    assert found["action_linear"] == pytest.approx(expected, abs=1e-4)
    # both together tell all, and the state, which is drawn apart from them, nothing
    assert found["action_from_both"] > 0.8
    assert found["action_from_state"] < 0.1
    assert measure("actions", linear.row(Linear()), linear)["action_linear"] > 0.9999


def test_labels_that_the_mask_hides_teach_nothing(linear: System) -> None:
    fit = linear.evidence.fit
    other = fit._replace(action=torch.where(fit.shown[:, None], fit.action, 1e9))
    linear = linear._replace(evidence=replace(linear.evidence, steps=10))
    poisoned = linear._replace(evidence=replace(linear.evidence, fit=other))
    for probe in ("actions", "controller", "planning"):
        row = linear.row(Difference())
        assert measure(probe, row, poisoned) == measure(probe, row, linear)


def test_exogenous_change_is_found_by_least_squares(linear: System) -> None:
    evidence, row = linear.evidence, linear.row(Linear())
    # of a + noise of variance 1 each, half can be told from a
    assert measure("exogenous", row, linear)["exogenous"] == pytest.approx(0.5, abs=0.1)
    whole = (Seen(row.fit.state, evidence.fit.exogenous),)
    whole += (Seen(row.judged.state, evidence.judged.exogenous),)
    copied = Row("run", row.dynamics, *whole)
    assert measure("exogenous", copied, linear)["exogenous"] == pytest.approx(1, abs=1e-4)


def test_a_controller_needs_the_state_only_where_the_latent_does(linear: System) -> None:
    without = measure("error", linear.row(Linear(share=0)), linear)["error"]
    free = measure("controller", linear.row(Linear()), linear)
    assert free["controller"] < 0.5 * without
    bound = measure("controller", linear.row(Difference()), linear)
    assert bound["controller_state"] < 0.7 * bound["controller"]


def test_planning_with_true_actions_comes_near(linear: System) -> None:
    told = Linear()
    told.infers = False
    row = linear.row(told, "acwm_all")
    linear = linear._replace(evidence=replace(linear.evidence, anchors={"acwm_all": row}))
    goals = linear.evidence.goals
    assert goals is not None
    start = goals.distance(linear.evidence.judged.before[goals.place])
    silent = measure("planning", linear.row(Linear(share=0), "state_only"), linear)
    assert silent == {"planning": goals.distance(goals.without) / start, "planning_gain": 0}
    found = measure("planning", row, linear)
    assert found == {"planning": pytest.approx(0, abs=0.3 * silent["planning"]), "planning_gain": 1}


def test_plans_need_the_state_only_where_the_latent_does(linear: System) -> None:
    linear = linear._replace(evidence=replace(linear.evidence, anchors={}))
    free = measure("planning", linear.row(Linear()), linear)
    bound = measure("planning", linear.row(Difference()), linear)
    assert free["planning_blind"] < 0.7 * bound["planning_blind"]
    assert bound["planning"] < 0.8 * bound["planning_blind"]


def test_rare_transitions_against_the_state_alone(linear: System) -> None:
    for share in (0.0, 0.5, 1.0):
        found = measure("rare", linear.row(Linear(share)), linear)
        assert found["rare"] == pytest.approx((1 - share) ** 2, abs=1e-9)


def test_rare_transitions_are_those_that_change_most(linear: System) -> None:
    before, after, *_ = arrays(linear)
    size = np.square((after - before) / linear.evidence.unit.numpy()).sum(-1)
    most = np.argsort(-size)[: len(size) // 10]
    without = squares((after - before @ A.T)[most], linear)
    expected = squares((after - before)[most], linear) / without
    found = measure("rare", linear.row(Constant()), linear)
    assert found["rare"] == pytest.approx(expected)


def test_effective_size_is_the_participation_ratio(linear: System) -> None:
    row = linear.row(Difference())
    values = np.linalg.eigvalsh(np.cov(row.judged.latent.numpy().T, bias=True))
    found = measure("size", row, linear)
    expected = values.sum() ** 2 / np.square(values).sum()
    assert found == {"effective_size": pytest.approx(expected)}
    assert measure("size", linear.row(Constant()), linear)["effective_size"] == 0


def test_codes_that_are_used_as_often_have_their_number_as_perplexity(linear: System) -> None:
    dynamics = Linear()
    dynamics.codes = 64
    latent = torch.eye(2, dtype=torch.float64)[torch.arange(400) % 2]
    row = linear.row(dynamics)
    found = measure("size", Row("run", dynamics, row.fit, Seen(row.judged.state, latent)), linear)
    assert found["codes"] == 2
    assert found["perplexity"] == pytest.approx(2)


def test_names_of_columns_are_one_each() -> None:
    names = [column.name for name in PROBES.names() for column in PROBES.load(name).COLUMNS]
    assert len(names) == len(set(names))


def test_a_probe_measures_its_columns_and_no_others(linear: System) -> None:
    linear = linear._replace(evidence=replace(linear.evidence, steps=1))
    for name in PROBES.names():
        columns = {column.name for column in PROBES.load(name).COLUMNS}
        for dynamics in (Linear(), Difference(), Constant()):
            assert set(measure(name, linear.row(dynamics), linear)) <= columns
