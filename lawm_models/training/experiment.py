"""From an experiment's configuration to what it is run on: settings, corpora, device."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from lawm_schemas import (
    ConfigError,
    CorpusRecord,
    CorpusSource,
    ExperimentConfig,
    Role,
    RunRecord,
    Schema,
    StageBatches,
)

from lawm_data.batches.loader import Loader, device_of
from lawm_data.batches.stacks import stacked_specs
from lawm_data.corpus.agreement import require_joint
from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.mask import mask_sha256
from lawm_data.corpus.overlay import require_same_mask
from lawm_data.exchange.hub.cache import is_here, is_hub_address, located, parse_hub_address, pin
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import Algorithm, ModelSpec
from lawm_models.networks.scaling import require_bounds
from lawm_models.training import seeding
from lawm_models.training.frozen_encoders import RunEncoders
from lawm_models.training.observing import (
    observes_pixels,
    require_one_encoder,
    with_pixel_encoder,
)
from lawm_models.training.versions import installed_versions


class Sources(NamedTuple):
    """The data of an experiment, opened and checked."""

    corpora: tuple[tuple[Corpus, float], ...]
    """Views through their masks, and their weights."""
    loaders: dict[str, Loader]
    """Batches of every stage, on the experiment's device."""
    record: RunRecord
    """What a run folder keeps of them."""
    encoders: RunEncoders
    """What made the features that are observed."""


def resolve(config: ExperimentConfig) -> ExperimentConfig:
    """Write out every default of the algorithm; make paths absolute and pin addresses.

    Raises:
        ConfigError: unknown algorithm, settings or stages.
    """
    settings = settings_of(config).model_dump(mode="json")
    module = ALGORITHMS.load(config.algorithm.name)
    stages = module.Algorithm.stages
    for key, named in (("steps", config.steps), ("batches", config.batches)):
        for stage in named:
            if stage not in stages:
                known = ", ".join(stages)
                raise ConfigError("no such stage", f"{key}.{stage}", f"known ones: {known}")
    for stage in stages:
        if stage not in config.steps:
            raise ConfigError("missing", f"steps.{stage}", "say how many gradient steps")
    if not sum(config.steps.values()):
        raise ConfigError("all are 0", "steps", "give at least one stage a gradient step")
    corpora = tuple(
        source.model_copy(update={"path": _absolute(source.path)}) for source in config.corpora
    )
    choice = config.algorithm.model_copy(update={"settings": settings})
    steps = {stage: config.steps[stage] for stage in stages}
    return config.model_copy(update={"algorithm": choice, "corpora": corpora, "steps": steps})


def _absolute(path: str) -> str:
    """A path that does not depend on the current folder; on the Hub, on what is newest there."""
    return str(pin(parse_hub_address(path))) if is_hub_address(path) else str(Path(path).absolute())


def settings_of(config: ExperimentConfig) -> Schema:
    """The algorithm's settings, validated, with every default.

    Where pixels are observed, the encoder ``pixels`` takes the place of ``vectors``.
    """
    module = ALGORITHMS.load(config.algorithm.name)
    settings = module.Config.parse(config.algorithm.settings, "algorithm.settings")
    return with_pixel_encoder(settings) if observes_pixels(config.observe) else settings


def build(config: ExperimentConfig, record: RunRecord, device: torch.device) -> Algorithm:
    """The algorithm with fresh weights, drawn from the experiment's seed."""
    module = ALGORITHMS.load(config.algorithm.name)
    observations = stacked_specs(record.observations, config.frame_stack)
    spec = ModelSpec(observations, record.action, record.terminates)
    with seeding.ambient_randomness(torch.device("cpu")):
        torch.manual_seed(seeding.derive(config.seed).weights)
        return module.Algorithm(settings_of(config), spec).to(device)


def open_sources(config: ExperimentConfig, share: tuple[int, int] = (0, 1)) -> Sources:
    """Open and verify every corpus, checksums included, and check that they fit together.

    Args:
        config: resolved.
        share: (r, N) for process r of N, see ``Loader``.

    Raises:
        ConfigError: corpora of different arrays, or nothing to draw.
        CorpusError: a corpus is damaged.
        MaskError: a mask is unknown or of another corpus.
    """
    views = [_view(source, config.observe, verify=True) for source in config.corpora]
    first = views[0].manifest
    state, action = require_joint(views)
    require_one_encoder(views)
    record = RunRecord(
        command=shlex.join(sys.argv),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        device=_device_name(device_of(config.device)),
        versions=installed_versions(),
        corpora=tuple(corpus_record(v, s.path) for v, s in zip(views, config.corpora, strict=True)),
        state=state,
        pixels=tuple(spec for spec in first.observations if spec.role is Role.pixels),
        action=action,
        environment=first.environment,
        terminates=any((v.table.terminated & v.table.final_observed).any() for v in views),
        processes=share[1],
    )
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    if algorithm.needs_labels:
        require_bounds(record.action, views)
    if algorithm.needs_labels and not any(c.labeled or c.inferred for c in record.corpora):
        raise ConfigError(
            "not a single trajectory has readable actions", "corpora", "add some or another mask"
        )
    if getattr(algorithm, "needs_whole_labels", False) and not any(
        _labeled(config, view) for view in views
    ):
        what = "trajectory leaves no window labeled: every trajectory lacks some actions"
        raise ConfigError(
            what, "label_unit", "set it to window, or take a corpus with whole labels"
        )
    _require_rewards(config, views)
    _require_frames(config, record)
    weighted = tuple((v, s.weight) for v, s in zip(views, config.corpora, strict=True))
    loaders = make_loaders(config, weighted, share)
    drawn = [loader.settings for loader in loaders.values()]
    if algorithm.needs_labels and all(s.labeled_ratio == 0 for s in drawn):
        what = f"0 leaves no labeled window, and {config.algorithm.name} learns from these"
        raise ConfigError(what, "labeled_ratio", "give a larger share, or null")
    return Sources(weighted, loaders, record, RunEncoders.of(views[0]))


def learns_policy(config: ExperimentConfig) -> bool:
    """Whether the algorithm has a policy to evaluate and to collect with."""
    return hasattr(ALGORITHMS.load(config.algorithm.name).Algorithm, "policy")


def data_now(config: ExperimentConfig) -> tuple[Corpus | None, ...]:
    """The corpora of an experiment as they are now, through their masks, but not read through.

    None stands for one that is no longer there.
    """
    return tuple(
        _view(source, config.observe, verify=False) if is_here(source.path) else None
        for source in config.corpora
    )


def _view(source: CorpusSource, observe: str, verify: bool) -> Corpus:
    corpus = open_corpus(located(source.path), verify=verify).observing(observe)
    return through(corpus, source)


def through(whole: Corpus, source: CorpusSource) -> Corpus:
    """A corpus through the mask of its source, and with the inferred actions that it names.

    Raises:
        MaskError: the mask is unknown or of another corpus.
        CorpusError: there are no such inferred actions, or they are damaged.
        ConfigError: who inferred them had seen other actions than the mask shows.
    """
    view = whole.with_mask(source.mask) if source.mask else whole
    if source.labels is None:
        return view
    view = view.with_labels(source.labels)
    require_same_mask(view)
    return view


def make_loaders(
    config: ExperimentConfig,
    corpora: tuple[tuple[Corpus, float], ...],
    share: tuple[int, int] = (0, 1),
) -> dict[str, Loader]:
    """The batches of every stage of an experiment, from views and their weights.

    Stages that draw alike share a loader, and what it keeps in the device's memory.
    """
    corpora = tuple((view.observing(config.observe), weight) for view, weight in corpora)
    own = {stage: config.batches.get(stage, StageBatches()) for stage in config.steps}
    kinds = dict.fromkeys(own.values())
    loaders = {kind: _loader(config, kind, corpora, share) for kind in kinds}
    return {stage: loaders[kind] for stage, kind in own.items()}


def _loader(
    config: ExperimentConfig,
    own: StageBatches,
    corpora: tuple[tuple[Corpus, float], ...],
    share: tuple[int, int],
) -> Loader:
    unlabeled = not all(view.table.complete.all() for view, _ in corpora)
    labeled = any(_labeled(config, view) for view, _ in corpora)
    return Loader(
        corpora,
        own.batch_size or config.batch_size,
        config.window,
        labeled_ratio=_ratio(config, own, unlabeled, labeled),
        seed=seeding.derive(config.seed).loader,
        short=config.short,
        label_unit=config.label_unit,
        oversample_ends=config.oversample_ends,
        random_shift=config.random_shift,
        frame_stack=config.frame_stack,
        inferred=any(source.labels for source in config.corpora),
        device=config.device,
        share=share,
    )


def _labeled(config: ExperimentConfig, view: Corpus) -> bool:
    """Whether there are trajectories that labeled windows can come from."""
    table = view.table
    return bool((table.complete if config.label_unit == "trajectory" else table.readable).any())


def _ratio(
    config: ExperimentConfig, own: StageBatches, unlabeled: bool, labeled: bool
) -> float | None:
    """Share of labeled windows, where there are unlabeled ones and labeled ones to draw."""
    ratio = config.labeled_ratio if own.labeled_ratio is None else own.labeled_ratio
    # With every action readable there is nothing to balance: one preset serves 5% and 100%.
    # Nor is there with none, for what can do without.
    return ratio if unlabeled and (labeled or not ratio) else None


def expected_labeled(
    config: ExperimentConfig, data: Sequence[CorpusRecord]
) -> dict[str, int | None]:
    """``Loader.num_labeled`` of every stage, by what is known without opening a corpus.

    That is not which trajectories are labeled in part; they count as labeled.
    """
    counts = [(seen.labeled + seen.inferred, seen.trajectories) for seen in data]
    unlabeled = any(readable < there for readable, there in counts)
    labeled = any(readable for readable, _ in counts)
    found: dict[str, int | None] = {}
    for stage in config.steps:
        own = config.batches.get(stage, StageBatches())
        size, ratio = own.batch_size or config.batch_size, _ratio(config, own, unlabeled, labeled)
        found[stage] = None if ratio is None else round(size * ratio)
        if not unlabeled:
            found[stage] = size
        elif not labeled:
            found[stage] = 0
    return found


def features_of(view: Corpus) -> dict[str, str]:
    """Checksums of the features that a view observes, by their names."""
    return {info.name: info.sha256 for info in view.features}


def corpus_record(view: Corpus, path: str) -> CorpusRecord:
    """What is remembered of a corpus that was seen; of no action that its mask hides.

    Args:
        view: the corpus through its mask.
        path: its address in the configuration.
    """
    counts = view.label_counts()
    return CorpusRecord(
        path=path,
        fingerprint=view.visible_fingerprint,
        unlabeled=view.unlabeled_fingerprint,
        mask=view.mask.name if view.mask else None,
        mask_sha256=mask_sha256(view.mask) if view.mask else None,
        features=features_of(view),
        trajectories=len(view),
        labeled=counts["observed"],
        labels=view.overlay and view.overlay.name,
        labels_sha256=view.overlay and view.overlay.sha256,
        inferred=counts["inferred"],
    )


def is_of(record: CorpusRecord, view: Corpus) -> bool:
    """Whether a record is of this view, whatever its path; also one of an earlier version."""
    if record.unlabeled is None:
        same_mask = record.mask_sha256 == (mask_sha256(view.mask) if view.mask else None)
        return record.fingerprint == view.fingerprint and same_mask
    return corpus_record(view, record.path) == record


def seen_through(run: Path, records: Sequence[CorpusRecord], whole: Corpus) -> CorpusRecord | None:
    """The record of a corpus, if a run has seen it; one without a mask where it saw all actions.

    Args:
        run: folder of the run, for messages.
        records: what it has seen.
        whole: the corpus.

    Raises:
        ConfigError: it saw the corpus through several masks: no mask says which actions it knew.
    """
    seen = [record for record in records if is_of_unlabeled(record, whole)]
    bare = [record for record in seen if record.mask is None]
    if bare or not seen:
        return bare[0] if bare else None
    if len({record.mask_sha256 for record in seen}) > 1:
        names = " and ".join(str(record.mask) for record in seen)
        what = f"has seen the corpus through the masks {names}: no one says which actions it knew"
        raise ConfigError(what, str(run), "take a run that was trained through one mask")
    return seen[0]


def is_of_unlabeled(record: CorpusRecord, view: Corpus) -> bool:
    """Whether a record is of this corpus, whatever the mask and the actions."""
    if record.unlabeled is None:
        return record.fingerprint == view.fingerprint
    return record.unlabeled == view.unlabeled_fingerprint


def _require_rewards(config: ExperimentConfig, views: Sequence[Corpus]) -> None:
    """Refuse to learn a policy where nothing tells what is worth doing."""
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    kind, last = algorithm.rewards_from, algorithm.stages[-1]
    if kind == "none" or not config.steps[last]:
        return
    labeled = "labeled " if kind == "labeled" else ""
    for table in (view.table for view in views):
        read = table.readable if labeled else True
        if (table.rewarded & read).any():
            return
    hint = "take --algorithm bc"
    if len(algorithm.stages) > 1:
        hint = f"leave the policy out with --set steps.{last}=0"
    raise ConfigError(
        f"not a single {labeled}trajectory has recorded rewards, and a policy is learned from them",
        "corpora",
        f"add some, or {hint}",
    )


def _require_frames(config: ExperimentConfig, record: RunRecord) -> None:
    """Refuse to stack frames where there are none, or for an encoder of single ones."""
    if config.frame_stack == 1:
        return
    where, hint = f"frame_stack: {config.frame_stack}", "set frame_stack to 1"
    if not record.pixels:
        raise ConfigError("no pixels are observed that could be stacked", where, hint)
    if not learns_policy(config):
        raise ConfigError(f"{config.algorithm.name} encodes single frames", where, hint)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
