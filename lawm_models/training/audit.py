"""Proof of which actions a run could see: its records, and the poison test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from lawm_schemas import ConfigError, CorpusRecord, ExperimentConfig, LawmError, Mask

from lawm_data.batches.loader import Loader, device_of
from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.mask import mask_sha256
from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store, open_store
from lawm_data.corpus.table import LABEL_STATES
from lawm_data.exchange.hub.cache import is_hub_address, located
from lawm_models.algorithms import ALGORITHMS
from lawm_models.training import checkpoint, seeding
from lawm_models.training.experiment import build, make_loaders
from lawm_models.training.run_folder import RECORD, RunFolder

GARBAGE = (np.nan, np.inf, -np.inf, 1e30, -7.0)
"""Values that no arithmetic survives; half of the garbage looks like real actions instead."""


def with_garbage(path: str | Path, mask: str | Mask | None, seed: int = 0) -> Corpus:
    """A view of a corpus in which every action that the view hides is overwritten in memory.

    The files are not touched, and the true hidden actions are nowhere in what is returned.

    Args:
        path: folder of the corpus.
        mask: as in ``Corpus.with_mask``; without one, only unobserved steps are hidden.
        seed: of the garbage.

    Raises:
        LawmError: the corpus or the mask cannot be opened.
    """
    return _altered(path, mask, seed, hidden=True)


def altered(path: str | Path, mask: str | Mask | None, seed: int = 0) -> Corpus:
    """The same view with other actions where they are observed: training on it must differ."""
    return _altered(path, mask, seed, hidden=False)


def _altered(path: str | Path, mask: str | Mask | None, seed: int, hidden: bool) -> Corpus:
    store = open_store(Path(path))
    view = Corpus(store)
    view = view if mask is None else view.with_mask(mask)
    readable = np.ones(len(view), bool)
    if view.mask is not None:
        # Not from what the view shows: whether that is right is the question.
        readable = np.isin(store.table.id, view.mask.labeled)
    generator, shards = np.random.default_rng(seed), []
    for number, shard in enumerate(store.shards):
        here = (store.index.shard == number) & (store.index.action_row >= 0)
        shards.append(_overwritten(store, shard, here, readable, generator, hidden))
    view = Corpus(replace(store, shards=tuple(shards)))
    return view if mask is None else view.with_mask(mask)


def _overwritten(
    store: Store,
    shard: Shard,
    here: np.ndarray,
    readable: np.ndarray,
    generator: np.random.Generator,
    hidden: bool,
) -> Shard:
    if shard.actions is None:
        return shard
    shown = np.zeros(len(shard.actions), bool)
    for i in np.flatnonzero(here & readable):
        first = int(store.index.action_row[i])
        shown[first : first + int(store.index.length[i])] = True
    if shard.action_observed is not None:
        shown &= shard.action_observed
    chosen, actions = ~shown if hidden else shown, np.array(shard.actions)
    actions[chosen] = _garbage(store, (int(chosen.sum()), actions.shape[1]), generator, hidden)
    actions.flags.writeable = False
    return replace(shard, actions=actions)


def _garbage(
    store: Store, shape: tuple[int, int], generator: np.random.Generator, wild: bool
) -> np.ndarray:
    """Actions within their bounds and, where ``wild``, impossible ones in every second row."""
    spec = layout_of(store.manifest).action
    low, high = (np.ravel(bound) for bound in spec.bounds() or (np.array(-1.0), np.array(1.0)))
    values = generator.uniform(low, high, shape)
    if wild and np.dtype(spec.dtype).kind == "f":
        values[::2] = generator.choice(GARBAGE, values[::2].shape)
    return values.astype(spec.dtype)


class Check(NamedTuple):
    """One thing that an audit looks at."""

    name: str
    passed: bool
    what: str
    """What was found."""


class TrainingDigest(NamedTuple):
    """A few steps of training."""

    weights: str
    """Hash of all weights."""
    batches: str
    """Hash of all batches."""
    labeled: int
    """Windows in them with an observed action."""


class Audit(TypedDict):
    """What an audit found, as in docs/json.md."""

    passed: bool
    """All checks passed."""
    checks: list[dict[str, Any]]
    """``name``, ``passed`` and ``what`` was found, of each."""
    corpora: list[dict[str, Any]]
    """Which actions of each corpus the run could see."""
    poison: dict[str, Any] | None
    """The training with garbage; none when it was not made, as the records do not match."""


def audit(run: RunFolder, steps: int = 5, garbage_seed: int = 0) -> Audit:
    """Prove which actions a run could see, and that it could not see the others.

    First its records are compared with the corpora as they are now: fingerprint, mask, number of
    labeled trajectories, and what the loader of its newest checkpoint could read. Then it is
    trained for a few steps from its own seed, three times: on its corpora, on copies in memory
    whose hidden actions are garbage, and on copies whose observed actions are others. The first
    two must end in the same weights, bit for bit, and the third in different ones, unless the
    algorithm needs no labels.

    Args:
        run: the run.
        steps: gradient steps of every stage.
        garbage_seed: seed of what is put in place of actions.

    Raises:
        ConfigError: a corpus is gone.
        LawmError: a corpus is damaged.
    """
    if steps < 1:
        raise ConfigError(f"{steps} is below 1", "steps", "give 1 or more")
    config, checks = run.config, []
    for source in config.corpora:
        if not (is_hub_address(source.path) or Path(source.path).exists()):
            raise ConfigError("is gone", source.path, "put the corpus back; its path is in the run")
    if len(run.record.corpora) != len(config.corpora):
        what = f"names {len(run.record.corpora)} corpora, the configuration {len(config.corpora)}"
        raise ConfigError(what, str(run.path / RECORD), "restore it from a copy")
    if not run.checkpoints():
        raise ConfigError("has no checkpoint", str(run.path), "there is nothing to audit yet")
    views: list[Corpus] = []
    for record, source in zip(run.record.corpora, config.corpora, strict=True):
        view = open_corpus(located(source.path), verify=True)
        found = _check_fingerprint(record, view)
        checks.append(found)
        if found.passed:
            found = _check_mask(record, view)
            checks.append(found)
        if found.passed:
            view = view if source.mask is None else view.with_mask(source.mask)
            views.append(view)
            checks.append(_check_labeled(record, view))
    poison = None
    if len(views) == len(config.corpora) and all(check.passed for check in checks):
        checks += _check_identity(run, views)
        poison = _garbage_test(run, views, steps, garbage_seed)
        checks += _verdict(poison, ALGORITHMS.load(config.algorithm.name).Algorithm.needs_labels)
    return {
        "passed": all(check.passed for check in checks),
        "checks": [check._asdict() for check in checks],
        "corpora": [_states(view) for view in views],
        "poison": poison,
    }


def _check_fingerprint(record: CorpusRecord, view: Corpus) -> Check:
    now, then = view.root_fingerprint, record.fingerprint
    what = f"{then[:12]} in the run, {now[:12]} now"
    return Check(f"fingerprint of {record.path}", now == then, what)


def _check_mask(record: CorpusRecord, view: Corpus) -> Check:
    name = f"mask of {record.path}"
    if record.mask is None:
        return Check(name, True, "none: every recorded action could be seen")
    try:
        mask = view.with_mask(record.mask).mask
    except LawmError as error:
        return Check(name, False, error.what)
    assert mask is not None
    now, then = mask_sha256(mask), record.mask_sha256 or ""
    return Check(name, now == then, f"{record.mask}: {then[:12]} in the run, {now[:12]} now")


def _check_labeled(record: CorpusRecord, view: Corpus) -> Check:
    now = view.label_counts()["observed"]
    what = f"{record.labeled} in the run, {now} now"
    return Check(f"labeled trajectories of {record.path}", now == record.labeled, what)


def _check_identity(run: RunFolder, views: Sequence[Corpus]) -> list[Check]:
    """What the training's own loader could read, from its newest checkpoint."""
    if not run.checkpoints():
        return []
    state = checkpoint.load_state(run.latest_checkpoint())
    saved, stage = state["loader"]["identity"], state["position"][0]
    same = saved == _loaders(run.config, views)[stage].state_dict()["identity"]
    detail = "the same trajectories with and without actions" if same else "other data or settings"
    return [Check("loader of the newest checkpoint", same, detail)]


def _states(view: Corpus) -> dict[str, Any]:
    """Which actions of a corpus the run could see: label states, by trajectory and step."""
    table = view.table
    states = {}
    for code, state in enumerate(LABEL_STATES):
        here = table.labels == code
        steps = int(table.length[here].sum())
        states[state.value] = {"trajectories": int(here.sum()), "steps": steps}
    observed = table.id[table.num_observed > 0].tolist()
    mask = None if view.mask is None else view.mask.name
    return {"path": view.path, "mask": mask, "states": states, "observed": observed}


def _loaders(config: ExperimentConfig, views: Sequence[Corpus]) -> dict[str, Loader]:
    weights = (source.weight for source in config.corpora)
    return make_loaders(config, tuple(zip(views, weights, strict=True)))


def _garbage_test(
    run: RunFolder, views: Sequence[Corpus], steps: int, garbage_seed: int
) -> dict[str, Any]:
    sources = [(str(located(source.path)), source.mask) for source in run.config.corpora]
    garbage = [with_garbage(path, mask, garbage_seed) for path, mask in sources]
    clean, dirty = (_train(run, some, steps) for some in (views, garbage))
    other = _train(run, [altered(path, mask, garbage_seed) for path, mask in sources], steps)
    hidden = sum(_states(view)["states"]["withheld"]["steps"] for view in views)
    return {
        "steps": steps * len(run.config.steps),
        "hidden_steps": hidden,
        "batches_equal": clean.batches == dirty.batches,
        "weights": clean.weights,
        "weights_poisoned": dirty.weights,
        "weights_altered": other.weights,
        "labeled_windows": clean.labeled,
    }


def _verdict(poison: dict[str, Any], needs_labels: bool) -> list[Check]:
    equal = poison["batches_equal"] and poison["weights"] == poison["weights_poisoned"]
    differ = poison["weights"] != poison["weights_altered"]
    steps = f"{poison['steps']} gradient steps"
    unread = "" if needs_labels or differ else ", which need no action"
    return [
        Check(
            "garbage in the hidden actions",
            equal,
            f"the {'same' if equal else 'other'} weights, bit for bit, after {steps}",
        ),
        Check(
            "other observed actions",
            differ or not needs_labels,
            f"{'other' if differ else 'the same'} weights after {steps}{unread}",
        ),
    ]


def _train(run: RunFolder, views: Sequence[Corpus], steps: int) -> TrainingDigest:
    """Train from fresh weights for a few steps of every stage, as the run did."""
    config, device = run.config, device_of(run.config.device)
    seeds, loaders = seeding.derive(config.seed), _loaders(config, views)
    weights, batches, labeled = hashlib.sha256(), hashlib.sha256(), 0
    with seeding.thread_limit(config.threads), seeding.ambient_randomness(device):
        torch.manual_seed(seeds.ambient)
        algorithm = build(config, run.record, device)
        algorithm.prepare(views)
        generator = torch.Generator(device).manual_seed(seeds.updates)
        for stage in algorithm.stages:
            algorithm.begin(stage)
            for _ in range(steps):
                batch = loaders[stage].next()
                for tensor in (batch.observation, batch.action, batch.action_mask, batch.reward):
                    batches.update(_bytes(tensor))
                labeled += int(batch.action_mask.any(1).sum())
                algorithm.update(stage, batch, generator)
        for name, tensor in sorted(algorithm.state_dict().items()):
            weights.update(name.encode() + _bytes(tensor))
    return TrainingDigest(weights.hexdigest(), batches.hexdigest(), labeled)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
