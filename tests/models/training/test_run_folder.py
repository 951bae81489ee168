"""Run folders: found again, told from other folders, and kept small."""

import json
import shutil
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, LawmError, StorageError

from lawm_models.training import checkpoint
from lawm_models.training.experiment import open_sources, resolve
from lawm_models.training.run_folder import UNSET, RunFolder, first_difference, is_run
from lawm_models.training.trainer import train

TREES = st.recursive(
    st.integers(0, 3) | st.none(),
    lambda tree: (
        st.dictionaries(st.sampled_from("abc"), tree, max_size=3) | st.lists(tree, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(TREES, TREES)
def test_first_difference_finds_one_if_there_is_one(old, new):
    difference = first_difference(old, new)
    assert (difference is None) == (old == new)
    if difference:
        key, before, after = difference
        assert before != after
        for tree, leaf in ((old, before), (new, after)):
            for part in key.split(".") if key else []:
                tree = tree.get(part, UNSET) if isinstance(tree, dict) else tree[int(part)]
            assert tree == leaf


@settings(max_examples=20)
@given(TREES)
def test_nothing_differs_from_itself(tree):
    assert first_difference(tree, tree) is None


@pytest.fixture(scope="module")
def prepared(experiment):
    config = resolve(experiment("lawm", steps={"model": 10, "agent": 20}))
    return config, open_sources(config).record


@pytest.fixture
def run(prepared, tmp_path):
    (tmp_path / "run").mkdir()
    return RunFolder.create(tmp_path / "run", *prepared)


def test_a_record_that_was_altered_is_refused(run):
    path = run.path / "run.json"
    text = path.read_text()
    path.write_text(text.replace('"labeled": ', '"labeled": 1', 1))
    with pytest.raises(ConfigError, match=r"run\.json: was altered: its checksum differs"):
        RunFolder.open(run.path)
    record = json.loads(text)
    del record["checksum"]  # as it was before there was one
    path.write_text(json.dumps(record))
    assert RunFolder.open(run.path).record == run.record


def test_opened_run_is_the_created_one(run):
    again = RunFolder.open(run.path)
    assert (again.config, again.record) == (run.config, run.record)
    assert again.metrics() == []
    assert is_run(run.path)


def test_other_folder_is_no_run(tmp_path):
    with pytest.raises(ConfigError, match="not a run folder"):
        RunFolder.open(tmp_path)
    assert not is_run(tmp_path)
    assert not is_run(tmp_path / "nothing")


@pytest.mark.parametrize("name", [".lock", "run.json", ".tmp-1-ff-run.json"])
def test_trainer_killed_at_once_leaves_a_usable_folder(tmp_path, name):
    (tmp_path / name).touch()
    assert not is_run(tmp_path)


def test_run_without_checkpoint_has_no_policy(run):
    with pytest.raises(ConfigError, match="has no checkpoint yet; train it first"):
        run.algorithm()


def test_checkpoint_removed_meanwhile_is_no_error(experiment, tmp_path, monkeypatch):
    """Another process trains, and prunes the checkpoint that was just looked up."""
    run = train(experiment("lawm", checkpoint_every=1), tmp_path / "run")
    newest, load = run.latest_checkpoint(), checkpoint.load_module
    older = run.checkpoint_path(1)
    shutil.copytree(newest, older)
    answers = iter([older, newest])

    def prune_and_load(folder, module):
        if folder == older:
            shutil.rmtree(older)
        load(folder, module)

    monkeypatch.setattr(RunFolder, "latest_checkpoint", lambda self: next(answers))
    monkeypatch.setattr(checkpoint, "load_module", prune_and_load)
    assert run.trained().sha256 == checkpoint.model_sha256(newest)


def test_damaged_checkpoint_is_an_error(experiment, tmp_path):
    run = train(experiment("bc"), tmp_path / "run")
    (run.latest_checkpoint() / checkpoint.MODEL).write_bytes(b"")
    with pytest.raises(StorageError, match="does not match its checksum"):
        run.algorithm()


@settings(max_examples=20)
@given(st.sets(st.integers(1, 30), min_size=1))
def test_pruning_keeps_the_newest_and_the_ends_of_stages(prepared, tmp_path_factory, steps):
    run = RunFolder(tmp_path_factory.mktemp("run"), *prepared)
    for step in steps:
        run.checkpoint_path(step).mkdir(parents=True)
    run.prune_checkpoints()
    kept = list(run.checkpoints())
    assert all(a < b for a, b in pairwise(kept))
    assert set(kept) == set(sorted(steps)[-2:]) | (steps & {10, 30})
    run.prune_checkpoints()
    assert list(run.checkpoints()) == kept


def test_a_checkpoint_that_leads_nowhere_is_named(trained):
    folder = RunFolder.open(trained).latest_checkpoint()
    shutil.rmtree(folder)
    folder.symlink_to(trained / "nowhere")
    with pytest.raises(LawmError, match=folder.name):
        RunFolder.open(trained).algorithm()


@pytest.mark.parametrize("name", ["step_²", "step_x", "step_", "step_-1"])
def test_names_that_are_no_numbers_are_no_checkpoints(run, name):
    (run.path / "checkpoints" / name).mkdir(parents=True)
    (run.path / "checkpoints" / "step_00000007").mkdir()
    assert list(run.checkpoints()) == [7]


def test_metrics_of_a_stage_that_is_not_there_are_refused(run):
    row = {"stage": "model", "step": 1, "elapsed": 0.5}
    lines = [json.dumps(row | {"stage": stage}) for stage in ("model", "agent", "../x")]
    run.metrics_path.write_text("".join(f"{line}\n" for line in lines))
    assert len(run.metrics(len(lines[0]) + 1)) == 1
    with pytest.raises(ConfigError, match=r"metrics.jsonl, line 3: is of a stage '../x'"):
        run.metrics()
