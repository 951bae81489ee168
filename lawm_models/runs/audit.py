"""Proof of which actions a run could see: its records, and a training on two corpora."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import torch
from lawm_schemas import (
    CHECKSUM,
    ConfigError,
    CorpusRecord,
    CorpusSource,
    ExperimentConfig,
    LawmError,
    Role,
    load_json,
)
from lawm_schemas.plain_yaml import read_yaml

from lawm_data.batches.loader import Loader
from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.mask import mask_sha256
from lawm_data.corpus.table import LABEL_STATES
from lawm_data.exchange.hub.cache import is_hub_address, located
from lawm_data.system.output import scratch_folder
from lawm_models.algorithms import ALGORITHMS
from lawm_models.runs.other_actions import write_with_other_actions
from lawm_models.training import checkpoint
from lawm_models.training.experiment import is_of_unlabeled, make_loaders, through
from lawm_models.training.run_folder import CONFIG, RECORD, RunFolder
from lawm_models.training.trainer import train


class Check(NamedTuple):
    """One thing that an audit looks at."""

    name: str
    passed: bool
    what: str
    """What was found."""


class TrainingDigest(NamedTuple):
    """A training of a few steps of every stage."""

    weights: str
    """Hash of all weights at its end."""
    artefacts: dict[str, str]
    """Hash of everything that it wrote, by name."""
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
    labeled trajectories, and what the loader of its newest checkpoint could read. Then three runs
    are made from its own seed, with a few steps of every stage: on its corpora, on others on disk
    that differ in nothing but hidden actions, which are garbage, and on others with other observed
    actions. All that the first two write must be the same, byte for byte but for times and paths,
    and the third must end in other weights, unless the algorithm needs no labels.

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
        whole = open_corpus(located(source.path), verify=True)
        found, view = _check_corpus(record, whole, source)
        checks += found
        views += [] if view is None else [view]
    poison = None
    if len(views) == len(config.corpora) and all(check.passed for check in checks):
        checks += _check_identity(run, views)
        poison = _garbage_test(run, views, steps, garbage_seed)
        checks += _verdict(poison, ALGORITHMS.load(config.algorithm.name).Algorithm.needs_labels)
        checks += _exogenous(views, checks[-2])
    return {
        "passed": all(check.passed for check in checks),
        "checks": [check._asdict() for check in checks],
        "corpora": [_states(view) for view in views],
        "poison": poison,
    }


def _check_corpus(
    record: CorpusRecord, whole: Corpus, source: CorpusSource
) -> tuple[list[Check], Corpus | None]:
    """Compare a corpus with its record.

    Returns:
        The checks, and the corpus through its mask, if that is the one of the run.
    """
    name = f"fingerprint of {record.path}"
    if not is_of_unlabeled(record, whole):
        now = whole.fingerprint if record.unlabeled is None else whole.unlabeled_fingerprint
        return [_equal(name, record.unlabeled or record.fingerprint, now)], None
    masked = _check_mask(record, whole)
    if not masked.passed:
        return [masked], None
    checks = [masked]
    if source.labels is not None:
        checks.append(inferred := _check_inferred(record, whole, source))
        if not inferred.passed:
            return checks, None
    view = through(whole, source)
    now = whole.fingerprint if record.unlabeled is None else view.visible_fingerprint
    same = _equal(name, record.fingerprint, now)
    return [same, *checks, _check_labeled(record, view)], view


def _equal(name: str, then: str, now: str) -> Check:
    return Check(name, now == then, f"{then[:12]} in the run, {now[:12]} now")


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


def _check_inferred(record: CorpusRecord, whole: Corpus, source: CorpusSource) -> Check:
    name = f"inferred actions of {record.path}"
    try:
        overlay = through(whole, source).overlay
    except LawmError as error:
        return Check(name, False, error.what)
    assert overlay is not None
    now, then = overlay.sha256, record.labels_sha256 or ""
    return Check(name, now == then, f"{record.labels}: {then[:12]} in the run, {now[:12]} now")


def _check_labeled(record: CorpusRecord, view: Corpus) -> Check:
    now = view.label_counts()["observed"]
    what = f"{record.labeled} in the run, {now} now"
    return Check(f"labeled trajectories of {record.path}", now == record.labeled, what)


def _check_identity(run: RunFolder, views: Sequence[Corpus]) -> list[Check]:
    """What the training's own loader could read, from its newest checkpoint."""
    if not run.checkpoints():
        return []
    folder = run.latest_checkpoint()
    state = checkpoint.load_state(folder)
    name = "loader of the newest checkpoint"
    if run.record.draws_by_hidden_actions:
        what = "of an earlier version of lawm, whose batches depended on hidden actions"
        return [Check(name, False, what)]
    loaders = _loaders(run.config, views)
    with checkpoint.understood(folder):
        saved, stage = state["loader"]["identity"], state["position"][0]
        same = saved == loaders[stage].state_dict()["identity"]
    detail = "the same trajectories with and without actions" if same else "other data or settings"
    return [Check(name, same, detail)]


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


def _hidden_steps(view: Corpus) -> int:
    """Steps whose actions a mask hides, whether others are inferred in their place or not."""
    states = _states(open_corpus(view.path).with_mask(view.mask.name) if view.mask else view)
    return states["states"]["withheld"]["steps"]


def _loaders(config: ExperimentConfig, views: Sequence[Corpus]) -> dict[str, Loader]:
    weights = (source.weight for source in config.corpora)
    return make_loaders(config, tuple(zip(views, weights, strict=True)))


def _garbage_test(
    run: RunFolder, views: Sequence[Corpus], steps: int, garbage_seed: int
) -> dict[str, Any]:
    with scratch_folder("audit") as folder:
        clean = _train(run, views, steps, folder)
        sources = list(zip(views, run.config.corpora, strict=True))
        dirty = _train(run, _others(sources, folder, garbage_seed, hidden=True), steps, folder)
        other = _train(run, _others(sources, folder, garbage_seed, hidden=False), steps, folder)
    names = sorted(clean.artefacts.keys() | dirty.artefacts.keys())
    return {
        "steps": sum(_shortened(run.config, views, steps).steps.values()),
        "hidden_steps": sum(_hidden_steps(view) for view in views),
        "batches_equal": clean.batches == dirty.batches,
        "weights": clean.weights,
        "weights_poisoned": dirty.weights,
        "weights_altered": other.weights,
        "labeled_windows": clean.labeled,
        "artefacts": names,
        "artefacts_differing": [
            name for name in names if clean.artefacts.get(name) != dirty.artefacts.get(name)
        ],
    }


def _others(
    sources: Sequence[tuple[Corpus, CorpusSource]], folder: Path, seed: int, hidden: bool
) -> list[Corpus]:
    """The same views of corpora with other actions, written below a folder."""
    others = []
    for number, (view, source) in enumerate(sources):
        out = folder / f"{'hidden' if hidden else 'observed'}-{number}"
        write_with_other_actions(view.path, view.mask, out, seed, hidden)
        others.append(through(open_corpus(out), source))
    return others


def _verdict(poison: dict[str, Any], needs_labels: bool) -> list[Check]:
    differing = poison["artefacts_differing"]
    same = f"all {len(poison['artefacts'])} artefacts are the same, bit for bit, after"
    if not poison["batches_equal"]:
        same = "other batches in"
    elif differing:
        same = f"other {', '.join(differing)} after"
    equal = poison["batches_equal"] and not differing
    differ = poison["weights"] != poison["weights_altered"]
    steps = f"{poison['steps']} gradient steps"
    unread = "" if needs_labels or differ else ", which need no action"
    return [
        Check("garbage in the hidden actions", equal, f"{same} {steps}"),
        Check(
            "other observed actions",
            differ or not needs_labels,
            f"{'other' if differ else 'the same'} weights after {steps}{unread}",
        ),
    ]


def _exogenous(views: Sequence[Corpus], garbage: Check) -> list[Check]:
    """Whether what distractors did was read: the same training had garbage there, too."""
    specs = [spec for view in views for spec in view.manifest.observations]
    names = dict.fromkeys(spec.name for spec in specs if spec.role is Role.exogenous)
    name = f"garbage in what is exogenous ({', '.join(names)})"
    return [garbage._replace(name=name)] if names else []


def _shortened(config: ExperimentConfig, views: Sequence[Corpus], steps: int) -> ExperimentConfig:
    """The configuration on other corpora, with at most so many steps of a stage."""
    corpora = tuple(
        source.model_copy(update={"path": str(view.path.absolute())})
        for source, view in zip(config.corpora, views, strict=True)
    )
    update = {
        "corpora": corpora,
        "steps": {stage: min(steps, count) for stage, count in config.steps.items()},
        "log_every": 1,
        "evaluation_episodes": 0,  # returns follow from the weights
    }
    return config.model_copy(update=update)


def _train(run: RunFolder, views: Sequence[Corpus], steps: int, folder: Path) -> TrainingDigest:
    """Make a short run from the seed of another one, and look at all that it wrote."""
    config = _shortened(run.config, views, steps)
    number = len(list(folder.glob("run-*")))
    weights, artefacts = "", {}
    try:
        made = train(config, folder / f"run-{number}")
        weights = checkpoint.model_sha256(made.latest_checkpoint())
        artefacts = _artefacts(made)
    except LawmError:
        if not number:
            raise
        # garbage that reaches a loss makes it infinite, and the training stops
    loaders = _loaders(config, views)
    batches, labeled = hashlib.sha256(), 0
    for stage, count in config.steps.items():
        for _ in range(count):
            batch = loaders[stage].next()
            for tensor in (batch.observation, batch.action, batch.action_mask, batch.reward):
                batches.update(_bytes(tensor))
            labeled += int(batch.action_mask.any(1).sum())
    return TrainingDigest(weights, artefacts, batches.hexdigest(), labeled)


def _artefacts(run: RunFolder) -> dict[str, str]:
    """Hashes of what a run wrote, without times and paths.

    TensorBoard's files repeat the metrics, and hold times and the name of the machine.
    """
    config, record = read_yaml(run.path / CONFIG), load_json(run.path / RECORD)
    for key in ("command", "started", CHECKSUM):
        record.pop(key)
    for corpus in (*config["corpora"], *record["corpora"]):
        corpus.pop("path")
    lines = run.metrics()
    for line in lines:
        line.pop("elapsed")
    found: dict[str, Any] = {CONFIG: config, RECORD: record, run.metrics_path.name: lines}
    for path in run.checkpoints().values():
        # its position ends with the seconds and the length of the log
        state = load_json(path / checkpoint.STATE)
        state.pop(CHECKSUM)
        state["state"]["position"]["tuple"][-2:] = []
        found[f"{path.name}/{checkpoint.STATE}"] = state
        for name in (checkpoint.MODEL, checkpoint.TENSORS):
            found[f"{path.name}/{name}"] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    return {
        name: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        for name, content in found.items()
    }


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
