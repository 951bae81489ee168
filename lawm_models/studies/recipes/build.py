"""Building: the jobs of a recipe, one after another; what was stopped goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import ConfigError, StepRecord
from lawm_schemas.recipe import CollectStep

from lawm_data.system import terminal as show
from lawm_models.studies.recipes import step
from lawm_models.studies.recipes.job import Job


class JobState(NamedTuple):
    """A job and the state it is in."""

    job: Job
    state: step.State
    reason: str
    """Why it is ``changed``."""


class Options(NamedTuple):
    """How a study is built; what comes out does not depend on it."""

    replace: bool
    """Make again what is derived from something that changed."""
    workers: int | None
    """Workers at once; None takes one per core."""
    backend: str
    """Where they work."""


def build(out: Path, all_jobs: Sequence[Job], options: Options) -> list[JobState]:
    """Do everything that is not done, and say the state of every job after it.

    Raises:
        LawmError: as the command that does what could not be done; what is done stays done.
    """
    from lawm_data.system.atomic import WriterLock, storage_errors
    from lawm_data.system.output import remove_beside

    _require_unchanged(out, survey(out, all_jobs), options.replace)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(out, "study")
    try:
        for number, job in enumerate(all_jobs, 1):
            # looked at again: an earlier step may have changed what it is made from
            now = _look(out, job, _outputs(out, all_jobs))
            if now.state == "done":
                remove_beside(out / job.name)  # of a build that was killed when it was done
                continue
            _require_unchanged(out, [now], options.replace)
            place = f"step {number} of {len(all_jobs)}: {job.operation} {job.name}"
            show.line(f"{place}{_time_left(out, all_jobs)}")
            if job.operation == "collect":
                _collect(out, job, all_jobs, options)
                continue
            if now.state != "open":
                step.clear(out, job)
            outputs = _outputs(out, all_jobs)
            if job.operation in ("rerender", "features"):
                _make(out, job, outputs, options)
            else:
                _derive(out, job, outputs)
        return survey(out, all_jobs)
    finally:
        lock.release()


def survey(out: Path, all_jobs: Sequence[Job]) -> list[JobState]:
    """The state of every job, in order."""
    outputs = _outputs(out, all_jobs)
    return [_look(out, job, outputs) for job in all_jobs]


def _outputs(out: Path, all_jobs: Sequence[Job]) -> dict[str, str | None]:
    return {job.name: step.output_of(out, job) for job in all_jobs}


def _look(out: Path, job: Job, outputs: dict[str, str | None]) -> JobState:
    inputs = {name: outputs[name] for name in job.inputs}
    return JobState(job, *step.state_of(out, job, inputs))


def _require_unchanged(out: Path, found: Sequence[JobState], replace: bool) -> None:
    for job, state, reason in found:
        derived = state == "changed" and job.operation != "collect"
        if state in ("changed", "foreign") and not (replace and derived):
            first = "make it again (--replace)" if derived else "remove it yourself"
            hint = f"{first}, or build into another folder (--out)"
            raise ConfigError(reason, str(out / job.name), hint)


def _collect(out: Path, job: Job, all_jobs: Sequence[Job], options: Options) -> None:
    """Collect for this job, and for those that differ only in the seed at the same time."""
    from lawm_models.collection.agents import AGENTS
    from lawm_models.collection.seeds import collect_seeds
    from lawm_models.collection.session import collect

    outputs = _outputs(out, all_jobs)
    begun = [job]
    if job.together is not None:
        same = [other for other in all_jobs if other.together == job.together]
        begun = [other for other in same if _look(out, other, outputs).state != "done"]
    records = {}
    for one in begun:
        inputs = {name: outputs[name] for name in one.inputs}
        records[one.name] = _begin(out, one, inputs)
    began = time.monotonic()
    try:
        wanted = [step.collection(out, one) for one in begun]
        first = wanted[0]
        if len(begun) > 1 or first.agent not in AGENTS:
            # one agent learns in one place
            first = first._replace(workers=options.workers, backend=options.backend)
        if len(begun) > 1:
            shared = first._replace(out=out / str(job.together))
            collect_seeds(shared, tuple(one.seed for one in wanted))
        else:
            with show.Bars() as bars:
                collect(first, bars)
        for one in begun:
            update = {"output": step.output_of(out, one)}
            records[one.name] = records[one.name].model_copy(update=update)
    finally:
        seconds = (time.monotonic() - began) / len(begun)
        for one in begun:
            record = records[one.name]
            update = {"seconds": record.seconds + seconds}
            step.write_record(out, one, record.model_copy(update=update))


def _derive(out: Path, job: Job, outputs: dict[str, str | None]) -> None:
    """Do a job whose output is known before it is made."""
    began = time.monotonic()
    output, missing = step.derive(out, job, dry_run=True)
    # written before the output itself: a kill in between cannot leave one that nobody knows
    record = _begin(out, job, {name: outputs[name] for name in job.inputs})
    record = record.model_copy(update={"output": output, "missing": missing})
    step.write_record(out, job, record)
    step.derive(out, job, dry_run=False)
    seconds = time.monotonic() - began
    step.write_record(out, job, record.model_copy(update={"seconds": seconds}))


def _make(out: Path, job: Job, outputs: dict[str, str | None], options: Options) -> None:
    """Do a job that takes its time: what was stopped goes on."""
    record = _begin(out, job, {name: outputs[name] for name in job.inputs})
    began = time.monotonic()
    if job.operation == "rerender":
        step.draw(out, job, options.workers)
    else:
        step.encode(out, job, options.workers, options.backend)
    seconds = time.monotonic() - began
    update = {"output": step.output_of(out, job), "seconds": seconds}
    step.write_record(out, job, record.model_copy(update=update))


def _begin(out: Path, job: Job, inputs: dict[str, str | None]) -> StepRecord:
    """Remember from what a job is made, before it is: what is half made must not be mistaken."""
    before = step.read_record(out, job) if step.output_of(out, job) is not None else None
    record = StepRecord(
        operation=job.operation,
        settings=job.plain(),
        inputs={name: fingerprint or "" for name, fingerprint in inputs.items()},
        seconds=before.seconds if before and job.operation == "collect" else 0.0,
    )
    (out / job.name).parent.mkdir(parents=True, exist_ok=True)
    step.write_record(out, job, record)
    return record


def _time_left(out: Path, all_jobs: Sequence[Job]) -> str:
    """How long the rest will take, estimated from collections of the same kind."""
    from lawm_models.collection.session import collected

    rates: dict[tuple[str, ...], float] = {}
    rest: list[tuple[tuple[str, ...], int]] = []
    for job in all_jobs:
        if not isinstance(job.settings, CollectStep):
            continue
        # all snapshots act at one speed
        kind = job.settings.env, "rollouts" if "." in job.settings.agent else job.settings.agent
        record, there = step.read_record(out, job), collected(out / job.name)
        if record is not None and record.seconds and there:
            rates[kind] = record.seconds / there
            rates[kind[1:]] = rates[kind]
        rest.append((kind, max(0, job.settings.trajectories - there)))
    known = [(rates.get(kind, rates.get(kind[1:])), count) for kind, count in rest if count]
    seconds = sum(rate * count for rate, count in known if rate is not None)
    if not seconds:
        return ""
    more = " and more" if any(rate is None for rate, _ in known) else ""
    return f", about {show.clock(seconds)}{more} left"
