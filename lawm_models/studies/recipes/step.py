"""One job of a recipe: what state it is in, and doing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lawm_schemas import ConfigError, CorpusSource, ExperimentConfig, StepRecord
from lawm_schemas.recipe import (
    CollectStep,
    FeaturesStep,
    FilterStep,
    MaskStep,
    MergeStep,
    RerenderStep,
    ShippedStep,
    TierStep,
)

from lawm_data.system import terminal as show
from lawm_models.collection.agents import AGENTS
from lawm_models.studies.recipes.job import AGENT, RUN, Job

if TYPE_CHECKING:
    from lawm_data.curation.tier import Tiered
    from lawm_models.collection.session import Collection

State = Literal["done", "begun", "open", "changed", "foreign"]
"""``changed`` was made from something else, ``foreign`` was not made, or altered, by a recipe."""
SNAPSHOTS = "@snapshots:"


def record_path(out: Path, name: str) -> Path:
    """Where it is written what a job was made from."""
    return out / f"{name}.made.json"


def read_record(out: Path, job: Job) -> StepRecord | None:
    """What an output was made from; None when nothing is known.

    Raises:
        ConfigError: the record is damaged.
    """
    path = record_path(out, job.name)
    return StepRecord.read_json(path) if path.is_file() else None


def write_record(out: Path, job: Job, record: StepRecord) -> None:
    """Remember what an output is made from."""
    from lawm_data.system.atomic import write_file

    write_file(record_path(out, job.name), record.to_json().encode())


def output_of(out: Path, job: Job) -> str | None:
    """Fingerprint of what a job has made so far, or None when there is nothing.

    Of a mask it is the hash of the labeled ids, of features the checksum of their numbers.
    """
    from lawm_data.corpus.features import FEATURES, feature_names, read_feature_set
    from lawm_data.corpus.mask import mask_sha256, read_mask
    from lawm_data.corpus.store import read_manifest
    from lawm_data.corpus.writing.leftovers import is_barely_begun

    if job.operation == "mask":
        path = out / job.corpus / "masks" / f"{job.beside}.json"
        return mask_sha256(read_mask(path)) if path.is_file() else None
    if job.operation == "features":
        there = out / job.corpus / FEATURES / str(job.beside)
        known = there.name in feature_names(out / job.corpus)
        return read_feature_set(there).sha256 if known else None
    folder = out / job.name
    if not folder.exists() or is_barely_begun(folder):
        return None
    return read_manifest(folder).fingerprint


def state_of(out: Path, job: Job, inputs: Mapping[str, str | None]) -> tuple[State, str]:
    """Whether a job is done, and if something else is in its place, what.

    Args:
        out: folder of the study.
        job: the job.
        inputs: fingerprints of what it uses, None where that is not there yet.
    """
    record, there = read_record(out, job), output_of(out, job)
    if there is None:
        return "open", ""
    if record is None:
        return "foreign", "is there, but not from a recipe"
    difference = _difference(job, record, inputs)
    if difference:
        return "changed", difference
    if record.output is None:
        return "begun", ""
    if record.output != there:
        return "foreign", "has changed since it was made"
    return ("begun" if _can_grow(job, record) else "done"), ""


def _difference(job: Job, record: StepRecord, inputs: Mapping[str, str | None]) -> str:
    if record.operation != job.operation:
        return f"was made by {record.operation}, not by {job.operation}"
    # older records lack settings that did not exist then
    fields = type(job.settings).model_fields.items()
    usual = {name: field.default for name, field in fields if not field.is_required()}
    now, settings = job.plain(), {**usual, **record.settings}
    for key in {**settings, **now}:
        before, after = settings.get(key), now.get(key)
        if before != after and not (key == "trajectories" and _can_grow(job, record)):
            return f"was made with {key} {before}, not {after}"
    for name in {**record.inputs, **inputs}:
        if record.inputs.get(name) != inputs.get(name):
            return f"was made from another {name}"
    return ""


def _can_grow(job: Job, record: StepRecord) -> bool:
    """More trajectories of a collection that goes on are no other collection."""
    if not isinstance(job.settings, CollectStep) or "@" in job.settings.agent:
        return False
    return job.settings.trajectories > int(record.settings.get("trajectories", 0))


def clear(out: Path, job: Job) -> None:
    """Remove a derived corpus, or the run that learned an encoder, that will be made again.

    Raises:
        ConfigError: actions inferred for it would be lost.
    """
    from lawm_data.corpus.overlay import overlay_names
    from lawm_data.system.output import remove

    remove(encoder_run(out, job))
    if job.beside is not None or not (out / job.name).exists():
        return
    came_along = {name for used in job.inputs for name in overlay_names(out / used)}
    own = sorted(set(overlay_names(out / job.name)) - came_along)
    if own:
        hint = "build into another folder (--out), or remove it yourself"
        raise ConfigError(f"has inferred actions of its own ({own[0]})", str(out / job.name), hint)
    remove(out / job.name)


def encoder_run(out: Path, job: Job) -> Path:
    """Where the run is that learns the encoder of a features job."""
    return out / f"{job.name}{RUN}"


def draw(out: Path, job: Job, workers: int | None) -> None:
    """Do a rerender job; one that was killed goes on.

    Raises:
        LawmError: as the command of that name.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.rerender import drawing_of, rerender_corpus
    from lawm_data.system.workers import executor

    settings = job.settings
    assert isinstance(settings, RerenderStep)
    view = open_corpus(out / settings.corpus)
    how = settings.draw, settings.camera, settings.distractors, settings.seed
    with show.Bars() as bars:
        rerender_corpus(
            view,
            out / job.name,
            size=settings.size,
            drawing=drawing_of(view, *how),
            execute=None if workers == 1 else executor(),
            workers=workers,
            progress=bars.of("drawing"),
        )


def encode(out: Path, job: Job, workers: int | None, backend: str) -> None:
    """Do a features job: train an encoder, and encode; what was killed goes on.

    Raises:
        LawmError: as the commands ``lawm train`` and ``lawm-data features``.
    """
    from lawm_data.system.workers import executor
    from lawm_models.runs.make_features import make_features
    from lawm_models.training.trainer import train

    run = encoder_run(out, job)
    execute = None if workers == 1 and backend == "processes" else executor(backend)
    with show.Bars() as bars:
        train(encoder_config(out, job), run, bars)
        make_features(
            run,
            out / job.corpus,
            str(job.beside),
            replace=True,
            progress=bars,
            execute=execute,
            workers=workers,
        )


def encoder_config(out: Path, job: Job) -> ExperimentConfig:
    """The training of the encoder of a features job.

    Raises:
        ConfigError: an algorithm, a preset or a setting that there is not.
    """
    from lawm_models.training.configure import configure
    from lawm_models.training.experiment import resolve

    settings = job.settings
    assert isinstance(settings, FeaturesStep)
    return resolve(
        configure(
            CorpusSource(path=str(out / job.corpus)),
            algorithm=settings.algorithm,
            preset=settings.preset,
            seed=settings.seed,
            settings=settings.settings,
        )
    )


def derive(out: Path, job: Job, *, dry_run: bool) -> tuple[str, int]:
    """Do a job that makes its output from other corpora, and that knows it before.

    Args:
        out: folder of the study.
        job: the job; nothing is in the place of its output but a mask.
        dry_run: only report what would come out.

    Returns:
        Fingerprint of the output, and how many trajectories miss.

    Raises:
        LawmError: as the command of that name.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import make_mask, mask_sha256, save_mask
    from lawm_data.curation.derive import filter_corpus, merge_corpora
    from lawm_data.curation.shipped import shipped_fingerprint, unpack_corpus
    from lawm_data.curation.tier import parse_band, write_tier

    views, target = [open_corpus(out / name) for name in job.inputs], out / job.name
    match job.settings:
        case ShippedStep(corpus=name):
            if dry_run:
                return shipped_fingerprint(name), 0
            return open_corpus(unpack_corpus(target, name)).fingerprint, 0
        case TierStep(tier=tier, trajectories=count, returns=returns, seed=seed):
            band = None if returns is None else parse_band(returns)
            tiered = write_tier(
                views, tier, count, target, returns=band, seed=seed, dry_run=dry_run
            )
            if not dry_run:
                warn(tiered)
            return str(tiered.derived.fingerprint), tiered.missing
        case MergeStep():
            return str(merge_corpora(views, target, dry_run=dry_run).fingerprint), 0
        case FilterStep(where=where):
            derived = filter_corpus(views[0], where, target, dry_run=dry_run)
            return str(derived.fingerprint), 0
        case MaskStep(fraction=fraction, seed=seed, by=by, stratify=stratify):
            mask = make_mask(views[0], fraction, seed, str(job.beside), by, stratify)
            if not dry_run:
                save_mask(views[0], mask, replace=True)
            return mask_sha256(mask), 0
    raise AssertionError(job.operation)


def collection(out: Path, job: Job) -> Collection:
    """A collect job as settings of the command."""
    from lawm_models.collection.session import Collection

    settings = job.settings
    assert isinstance(settings, CollectStep)
    return Collection(
        agent=_agent(out, settings),
        task=settings.env,
        out=out / job.name,
        trajectories=settings.trajectories,
        seed=settings.seed,
        action_repeat=settings.action_repeat,
        pixels=settings.pixels,
        num_envs=settings.num_envs,
        noise=settings.noise,
        append=False,
        workers=None,
        backend="processes",
        physics=settings.physics,
        draw=settings.draw,
        distractors=settings.distractors,
    )


def _agent(out: Path, settings: CollectStep) -> str:
    """The agent where it lies; of ``@snapshots:TIER`` the rounds in which it was of that tier."""
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.tier import TIERS, rounds_of

    agent = settings.agent
    if agent == "random" or agent in AGENTS:
        return agent
    before, mark, tier = agent.partition(SNAPSHOTS)
    if not mark or tier not in TIERS:
        return str(out / agent)
    corpus = open_corpus(out / agent.partition(AGENT)[0])
    low, high = rounds_of(corpus, tier)
    return f"{out / before}{SNAPSHOTS}{low}:{high}"


def warn(tiered: Tiered) -> None:
    """A line on stderr for every collection that could not fill its share."""
    for share in tiered.shares:
        if share.missing:
            show.line(
                f"warning: {share.path}: has {share.eligible:,} of {share.wanted:,} trajectories "
                f"of tier {tiered.tier} (returns {tiered.returns}); {share.missing:,} are missing"
            )
