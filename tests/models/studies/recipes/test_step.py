"""Whether a step is done is known from what it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lawm_schemas import ConfigError, StepRecord
from lawm_schemas.recipe import CollectStep, FilterStep, MaskStep

from lawm_data import open_corpus
from lawm_models.studies.recipes import step
from lawm_models.studies.recipes.job import Job

FILTER = Job("kept", "filter", FilterStep(corpus="all", where="length > 0"), ("all",))
MASK = Job("all@some", "mask", MaskStep(fraction=0.5), ("all",))
COLLECT = Job("all", "collect", CollectStep(env="cartpole-swingup", trajectories=6), ())


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """The folder of a study with one corpus in it."""
    shutil.copytree(made / "corpus", tmp_path / "study" / "all")
    return tmp_path / "study"


def made_by(out: Path, job: Job, inputs: dict[str, str | None]) -> str:
    """The output of a job, with its record."""
    output, missing = step.derive(out, job, dry_run=False)
    assert missing == 0
    known = {"operation": job.operation, "settings": job.plain(), "inputs": inputs}
    step.write_record(out, job, StepRecord.parse({**known, "output": output}, ""))
    return output


@pytest.mark.parametrize("job", [FILTER, MASK], ids=["filter", "mask"])
def test_a_step_is_open_then_done_then_changed(out: Path, job: Job) -> None:
    inputs: dict[str, str | None] = {"all": open_corpus(out / "all").fingerprint}
    assert step.state_of(out, job, inputs) == ("open", "")
    planned = step.derive(out, job, dry_run=True)
    assert step.output_of(out, job) is None
    assert (made_by(out, job, inputs), 0) == planned
    assert step.output_of(out, job) == planned[0]
    assert step.state_of(out, job, inputs) == ("done", "")
    assert step.state_of(out, job, {"all": "other"}) == ("changed", "was made from another all")
    key, value = next(iter(job.plain().items()))
    other = {"where": "length > 1"} if key == "corpus" else {key: value / 2}
    again = job._replace(settings=job.settings.model_copy(update=other))
    state, what = step.state_of(out, again, inputs)
    assert (state, what.split(" with ")[0]) == ("changed", "was made")
    step.record_path(out, job.name).unlink()
    assert step.state_of(out, job, inputs) == ("foreign", "is there, but not from a recipe")


def test_only_collections_grow(out: Path) -> None:
    output = step.output_of(out, COLLECT)
    known = {"operation": "collect", "settings": COLLECT.plain(), "inputs": {}, "output": output}
    step.write_record(out, COLLECT, StepRecord.parse(known, ""))
    assert step.state_of(out, COLLECT, {}) == ("done", "")
    for trajectories, state in ((9, "begun"), (3, "changed")):
        settings = COLLECT.settings.model_copy(update={"trajectories": trajectories})
        assert step.state_of(out, COLLECT._replace(settings=settings), {})[0] == state


def test_inferred_actions_are_not_removed(out: Path) -> None:
    made_by(out, FILTER, {})
    step.clear(out, FILTER)
    assert step.output_of(out, FILTER) is None
    made_by(out, FILTER, {})
    labels = out / "kept" / "labels" / "own"
    labels.mkdir(parents=True)
    (labels / "overlay.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has inferred actions of its own \(own\)"):
        step.clear(out, FILTER)
    assert step.output_of(out, FILTER) is not None
