"""IDM-TD3+BC: what the inverse model learns from, which weights are kept, and what they label."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, Provenance

from lawm_data import CorpusWriter, open_corpus
from lawm_data.batches.loader import Loader
from lawm_data.corpus.table import FINAL_MISSING
from lawm_models.algorithms import idm_td3_bc
from lawm_models.algorithms._behind_idm import held_out
from lawm_models.networks.inverse_dynamics import InverseDynamicsConfig
from lawm_models.networks.offline.td3_bc import TD3BC, TD3BCConfig
from lawm_models.networks.offline.transitions import choose_step, every_step
from lawm_models.training.experiment import make_loaders
from lawm_models.training.trainer import train

K = 3
STEPS = 9


@pytest.fixture
def build(spec):
    def make(**settings):
        torch.manual_seed(0)
        inverse = {"units": 4, "layers": 2, "observations": K, "learning_rate": 1e-2, **settings}
        config = idm_td3_bc.Config(
            inverse=InverseDynamicsConfig(**inverse), agent=TD3BCConfig(units=4)
        )
        return idm_td3_bc.Algorithm(config, spec)

    return make


def context_of(algorithm, batch, row, place):
    """The last K observations, normalised, zeros before the first; in NumPy."""
    observation = batch.observation[row].numpy()
    normalizer = algorithm.encoder.normalizer
    mean, std = normalizer.mean.numpy(), normalizer.std.numpy()
    times = [place + 2 - K + k for k in range(K)]
    rows = [(observation[t] - mean) / std if t >= 0 else 0 * mean for t in times]
    return np.concatenate(rows)


def nll(vector, model, context, action, kept):
    """−log p(a | context) with the weights of a vector."""
    torch.nn.utils.vector_to_parameters(torch.from_numpy(vector), model.parameters())
    density = model(torch.from_numpy(context), kept)
    return -density.log_prob(torch.from_numpy(action)).detach().numpy()


def test_updates_against_numpy(build, make_batch, spec, numpy_adam, numpy_gradient):
    """Two steps of the inverse model; ``test_inverse_dynamics`` evaluates the density anew."""
    bounds = spec.action.low, spec.action.high
    low, high = (np.array(bound, np.float32).astype(float) for bound in bounds)
    algorithm = build().double()
    algorithm.encoder.normalizer.fit([np.random.default_rng(0).normal(1, 2, (50, 3))])
    batch = make_batch("mixed", padded=True, dtype=torch.float64)
    batch = replace(batch, start=torch.tensor([0, 3, 0, 0]))
    algorithm._held_out = torch.tensor([3])
    model = build().inverse.double()
    value = torch.nn.utils.parameters_to_vector(algorithm.inverse.parameters()).detach().numpy()
    adam = numpy_adam(1e-2, 1e-8)
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    for number in range(2):
        metrics = algorithm.update("idm", batch, generators[0])
        place, weight = choose_step(batch, generators[1])
        kept = model.draw_kept(4, generators[1])
        weight = weight.numpy() * batch.labeled.numpy()  # row 2 is whole, row 3 is held out
        context = np.stack([context_of(algorithm, batch, b, place[b]) for b in range(4)])
        action = np.stack([batch.action[b, place[b]].numpy() for b in range(4)])
        action = np.where(weight[:, None] > 0, 2 * (action - low) / (high - low) - 1, 0.0)

        def loss(x, c=context, a=action, k=kept, w=weight):
            return (w * nll(x, model, c, a, k)).sum() / w.sum()

        assert metrics["nll"].item() == pytest.approx(loss(value), rel=1e-6)
        value = adam.step(value, numpy_gradient(loss, value))
        actual = torch.nn.utils.parameters_to_vector(algorithm.inverse.parameters())
        np.testing.assert_allclose(actual.detach().numpy(), value, atol=1e-6, err_msg=str(number))


def test_inferred_actions_are_learned_from_like_true_ones(build, make_batch, randomize):
    """The agent stage is TD3+BC on steps whose actions are true or the best weights' mode."""
    algorithm = build()
    randomize(algorithm.best)
    batch = make_batch("mixed", padded=True)
    other = TD3BC(algorithm.config.agent, 3, 2)
    other.load_state_dict(algorithm.agent.state_dict())
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    for _ in range(2):
        algorithm.update("agent", batch, generators[0])
        place, weight = choose_step(batch, generators[1])
        every = every_step(batch, batch.observation, algorithm.scale)
        rows = torch.arange(4) * batch.valid.shape[1] + place
        t = type(every)(*(part[rows] for part in every))._replace(weight=weight)
        contexts = np.stack([context_of(algorithm, batch, b, place[b]) for b in range(4)])
        inferred = algorithm.best(torch.from_numpy(contexts)).mode()
        t = t._replace(action=torch.where(batch.labeled[:, None], t.action, inferred))
        other.update(t, torch.randn(4, 2, generator=generators[1]))
    for name, value in other.state_dict().items():
        torch.testing.assert_close(algorithm.agent.state_dict()[name], value)


def test_labels_are_those_of_relabeling(build, make_batch, spec):
    """What the agent learns from is what ``infer_actions`` says, at any place of a window."""
    algorithm, batch = build(), make_batch("none")
    mean, _ = algorithm.infer_actions(batch)
    later = replace(batch, observation=batch.observation[:, 2:])
    again, _ = algorithm.infer_actions(later)
    torch.testing.assert_close(again[:, K - 2 :], mean[:, 2 + K - 2 :])


def test_held_out_trajectories_choose_and_do_not_teach(build, random_view):
    algorithm = build(held_out=0.3)
    algorithm.prepare([random_view])
    labeled = np.flatnonzero(random_view.table.num_observed > 0)
    places = held_out([random_view], 0.3)
    assert len(places) == 3
    assert places < set(labeled.tolist())
    assert algorithm._held_out.tolist() == sorted(places)
    assert [len(e.action) for e in algorithm._examples] == [STEPS] * 3
    for example, place in zip(algorithm._examples, sorted(places), strict=True):
        actions = algorithm.scale.to_environment(example.action).numpy()
        np.testing.assert_allclose(actions, random_view[place].actions, atol=1e-6)
    batch = Loader(random_view, batch_size=64, window=K - 1, labeled_ratio=1.0).next()
    out = torch.isin(batch.trajectory, algorithm._held_out)
    assert 0 < out.sum() < 64
    changed = torch.where(out[:, None, None], 0.1 * batch.action, batch.action)
    results = []
    for part in (batch, replace(batch, action=changed)):
        algorithm = build(held_out=0.3)
        algorithm.prepare([random_view])
        results.append(algorithm.update("idm", part, torch.Generator().manual_seed(0)))
    assert results[0] == results[1]


@pytest.mark.parametrize(("labeled", "share", "count"), [(1, 0.5, 0), (2, 0.1, 1), (10, 0, 0)])
def test_at_least_one_is_held_out_if_one_is_left(random_view, labeled, share, count):
    ids = random_view.table.id[random_view.table.num_observed > 0][:labeled]
    assert len(held_out([random_view.filter(ids)], share)) == count


def test_what_is_held_out_is_of_one_corpus(build, random_view):
    """The same place in another one is another trajectory: it teaches, and does not choose."""
    views = random_view, random_view.filter(random_view.table.id[3:])
    labeled = [
        len(random_view) * number + place
        for number, view in enumerate(views)
        for place in np.flatnonzero(view.table.num_observed > 0).tolist()
    ]
    out = held_out(views, 0.3)
    assert len(out) == round(0.3 * len(labeled))
    assert out < set(labeled)
    loader = Loader([(view, 1.0) for view in views], 256, K - 1, labeled_ratio=1.0)
    batch = loader.next()
    number = batch.corpus * len(random_view) + batch.trajectory
    assert set(number.tolist()) == set(labeled)
    held = torch.isin(number, torch.tensor(sorted(out)))

    def step(batch):
        algorithm = build(held_out=0.3)
        algorithm.prepare(views)
        return algorithm, algorithm.update("idm", batch, torch.Generator().manual_seed(0))

    algorithm, found = step(batch)
    for example, one in zip(algorithm._examples, sorted(out), strict=True):
        corpus, place = divmod(one, len(random_view))
        actions = algorithm.scale.to_environment(example.action).numpy()
        np.testing.assert_allclose(actions, views[corpus][place].actions, atol=1e-6)
    changed = torch.where(held[:, None, None], 0.1 * batch.action, batch.action)
    assert step(replace(batch, action=changed))[1] == found
    for one in set(labeled) - out:
        changed = torch.where((number == one)[:, None, None], 0.1 * batch.action, batch.action)
        assert step(replace(batch, action=changed))[1] != found


@pytest.mark.parametrize("corpora", [1, 2, 3])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_labeled_trajectory_is_left_to_learn_from(build, random_view, corpora, share):
    """With a single one in each corpus, at the same place."""
    labeled = random_view.table.num_observed > 0
    ids = [str(random_view.table.id[labeled][0]), *random_view.table.id[~labeled].tolist()]
    views = [
        random_view[[int(np.flatnonzero(random_view.table.id == i)[0]) for i in ids]]
    ] * corpora
    assert [np.flatnonzero(view.table.num_observed > 0).tolist() for view in views] == [
        [0]
    ] * corpora
    algorithm = build(held_out=share)
    algorithm.prepare(views)
    assert len(algorithm._examples) == len(held_out(views, share)) < corpora
    loader = Loader([(view, 1.0) for view in views], 64, K - 1, labeled_ratio=1.0)
    before = [value.clone() for value in algorithm.inverse.parameters()]
    metrics = algorithm.update("idm", loader.next(), torch.Generator().manual_seed(0))
    assert metrics["nll"] != 0
    assert metrics["error"] > 0
    assert any(
        map(torch.ne, map(torch.sum, before), map(torch.sum, algorithm.inverse.parameters()))
    )


def test_best_weights_are_kept(build, random_view, make_batch):
    algorithm = build(validate_every=2)
    algorithm.prepare([random_view])
    batch, generator = make_batch("all"), torch.Generator().manual_seed(0)
    before = algorithm.best_loss.item()
    assert "validation_nll" not in algorithm.update("idm", batch, generator)
    first = algorithm.update("idm", batch, generator)["validation_nll"].item()
    assert first == algorithm.best_loss.item() < before
    kept = {k: v.clone() for k, v in algorithm.best.state_dict().items()}
    assert all(torch.equal(v, algorithm.inverse.state_dict()[k]) for k, v in kept.items())
    with torch.no_grad():
        algorithm.inverse.net.out.bias.add_(100.0)  # worse
    algorithm.begin("agent")
    assert algorithm.best_loss.item() == first
    assert all(torch.equal(v, kept[k]) for k, v in algorithm.best.state_dict().items())


def test_last_weights_are_kept_when_nothing_is_held_out(build, make_batch):
    algorithm = build()
    algorithm.update("idm", make_batch("all"), torch.Generator().manual_seed(0))
    algorithm.begin("agent")
    for name, value in algorithm.inverse.state_dict().items():
        assert torch.equal(value, algorithm.best.state_dict()[name])


def test_short_window_is_refused(build):
    with pytest.raises(ConfigError, match=r"1 is too short to look at 3 obs.*; give 2 or more"):
        build().require_window(1)


def write_partial(path, spec, observed, final_missing=()):
    """Ten trajectories of nine steps, t0 to t9; ``observed(i)``: flags of the actions of ti."""
    draws = np.random.default_rng(0)
    low, high = np.array(spec.action.low), np.array(spec.action.high)
    with CorpusWriter.create(path, observations=spec.observations, action=spec.action) as writer:
        for i in range(10):
            state = draws.normal(size=(STEPS + 1, 3)).astype(np.float32)
            if i in final_missing:
                state[-1] = state[-2]
            writer.add(
                {"state": state},
                rewards=np.zeros(STEPS, np.float32),
                actions=draws.uniform(low, high, (STEPS, 2)).astype(np.float32),
                action_observed=observed(i),
                trajectory_id=f"t{i}",
                provenance=Provenance(source="test"),
                metadata=FINAL_MISSING if i in final_missing else {},
            )
    return open_corpus(path)


@pytest.fixture
def first_held_out(spec, tmp_path):
    """Place of the one of ten trajectories that is held out where all have all actions."""
    whole = write_partial(tmp_path / "whole", spec, lambda i: np.ones(STEPS, bool))
    (place,) = held_out([whole], 0.1)
    return place


@pytest.mark.parametrize(
    ("ratio", "unit"), [(1.0, "trajectory"), (1.0, "window"), (None, "window")]
)
def test_what_a_stage_draws_from_is_not_all_held_out(
    spec, tmp_path, first_held_out, experiment, ratio, unit
):
    """The only complete trajectory, or the only one with a full window, is the first to hold out.

    Where batches are drawn from others, too, it is.
    """
    few = np.arange(STEPS) % 2 == 0
    path = tmp_path / "corpus"
    write_partial(path, spec, lambda i: few | (i == first_held_out))
    config = experiment(
        "idm_td3_bc",
        corpora=[{"path": str(path)}],
        batches={"idm": {"labeled_ratio": ratio}},
        labeled_ratio=None,
        label_unit=unit,
        window=4,
    )
    run = train(config, tmp_path / "run")
    found = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    found = [line for line in found if line["stage"] == "idm"]
    assert all(line["nll"] != 0 and line["error"] > 0 for line in found)
    loader = make_loaders(run.config, ((open_corpus(path), 1.0),))["idm"]
    drawn = set(loader.trajectories.tolist())
    assert drawn == ({first_held_out} if ratio else set(range(10)))
    assert (held_out([open_corpus(path)], 0.1, drawn) == {first_held_out}) == (ratio is None)


def test_trajectories_without_a_step_to_judge_by_are_not_held_out(
    build, spec, tmp_path, first_held_out
):
    """Its only known action leads to an observation that nobody recorded."""
    last = np.arange(STEPS) == STEPS - 1
    view = write_partial(
        tmp_path / "corpus",
        spec,
        lambda i: last if i == first_held_out else np.ones(STEPS, bool),
        final_missing={first_held_out},
    )
    assert first_held_out not in held_out([view], 0.99)
    algorithm = build(held_out=0.99)
    algorithm.prepare([view])
    algorithm.begin("agent")
    assert torch.isfinite(algorithm.best_loss)
    # a step before it, or where it led, is enough
    for flags, missing in ((last | (np.arange(STEPS) == 0), {first_held_out}), (last, ())):
        path = tmp_path / str(flags.sum())
        view = write_partial(
            path,
            spec,
            lambda i, flags=flags: flags if i == first_held_out else np.ones(STEPS, bool),
            final_missing=missing,
        )
        assert held_out([view], 0.1) == {first_held_out}


def test_alarm_where_no_batch_teaches(build):
    (alarm,) = build().alarms({"nll": 0.0, "error": 0.0}).values()
    assert "no batch has a step to learn from" in alarm
    assert build().alarms({"nll": 0.0, "error": 0.1}) == {}
    assert build().alarms({"critic": 0.0}) == {}  # of the other stage
