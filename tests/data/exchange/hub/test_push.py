"""What is published, and what may be replaced."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hub_server import Hub
from lawm_schemas import ConfigError, CorpusError

from lawm_data import Corpus, open_corpus
from lawm_data.curation.action_clues import without_clues
from lawm_data.exchange.hub import pull, push

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
WRITES = ("POST", "PUT", "DELETE")


def table(hub: Hub, repo: str, name: str) -> dict[str, list]:
    """A published table, whole."""
    files = hub.repos[repo].files
    parts = [files[path].data for path in sorted(files) if path.startswith(f"{name}/")]
    read = pyarrow.concat_tables([parquet.read_table(io.BytesIO(part)) for part in parts])
    return read.to_pydict()


def test_pull_gives_back_every_byte(
    hub: Hub, rich: Corpus, contents: Callable, tmp_path: Path
) -> None:
    pushed = push(rich, "user/rich")
    pulled = pull("user/rich", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(rich.path)
    assert pulled.fingerprint == pushed.fingerprint == rich.fingerprint
    assert pulled.masks == pushed.masks == ("half", "quarter")
    assert pulled.overlays == pushed.overlays == ("idm",)
    assert pulled.revision == pushed.commit == hub.repos["user/rich"].tags[pushed.tag]
    assert open_corpus(tmp_path / "out").with_mask("half").label_counts()["observed"] == 4


KILLED = """
import os, sys
from lawm_data import open_corpus
from lawm_data.exchange.hub import push
from lawm_data.exchange.hub.remote import Remote
Remote.upload = lambda *_, **__: os.kill(os.getpid(), 9)
push(open_corpus(sys.argv[1]).with_mask("quarter"), "user/rich")
"""


def test_the_copy_of_a_killed_push_goes_with_the_next_one(
    hub: Hub, rich: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    words = [sys.executable, "-c", KILLED, str(rich.path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = scratch.glob("lawm-push-*")
    assert [path for path in left.rglob("*") if path.is_file()] != []
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    push(rich.with_mask("quarter"), "user/rich")
    assert list(scratch.glob("lawm-push-*")) == []


def test_hidden_actions_are_published_nowhere(hub: Hub, rich: Corpus, tmp_path: Path) -> None:
    view = rich.with_mask("quarter")
    pushed = push(view, "user/quarter")
    assert pushed.withheld == 4
    assert (pushed.masks, pushed.overlays) == ((), ())
    why = "belongs to the whole corpus, which is published through a mask"
    names = ("mask half", "mask quarter", "overlay idm")
    assert pushed.left[:3] == tuple(f"{name}: {why}" for name in names)
    assert pushed.left[3:] == without_clues(view).left
    steps = table(hub, "user/quarter", "steps")
    shown = {
        (identity, step): action
        for identity, step, action, observed in zip(
            steps["trajectory_id"],
            steps["step"],
            steps["action"],
            steps["action_observed"],
            strict=True,
        )
        if observed
    }
    sent = b"\0".join(hub.lfs.values()) + b"\0".join(
        blob.data for blob in hub.repos["user/quarter"].files.values()
    )
    for seen, whole in zip(view, rich, strict=True):
        for t, observed in enumerate(whole.action_observed.tolist()):
            key = (whole.info.id, t)
            assert (key in shown) == bool(seen.action_observed[t])
            if key in shown:
                np.testing.assert_array_equal(np.float32(shown[key]), whole.actions[t])
            elif observed:
                assert whole.actions[t].tobytes() not in sent
    hidden = [a for a, o in zip(steps["action"], steps["action_observed"], strict=True) if not o]
    assert hidden
    assert all(action == [None] * 3 for action in hidden)
    pulled = open_corpus(pull("user/quarter", tmp_path / "out").path)
    assert pulled.label_counts()["observed"] == 2
    assert pulled.table.id.tolist() == rich.table.id.tolist()


def test_what_is_of_the_whole_stays_behind_a_part(hub: Hub, rich: Corpus) -> None:
    pushed = push(rich.filter(rich.table.id.tolist()[:2]), "user/part", dry_run=True)
    why = "belongs to the whole corpus, which is published in part"
    assert pushed.left == tuple(f"{n}: {why}" for n in ("mask half", "mask quarter", "overlay idm"))


def test_tables_hold_every_number(hub: Hub, rich: Corpus) -> None:
    push(rich, "user/rich")
    steps, rows = (table(hub, "user/rich", name) for name in ("steps", "trajectories"))
    assert rows["id"] == rich.table.id.tolist()
    assert rows["length"] == rich.table.length.tolist()
    assert rows["return"] == rich.table.episode_return.tolist()
    assert rows["labels"] == [t.labels.value for t in rich]
    first = 0
    for i, one in enumerate(rich):
        here, first = slice(first, first + len(one)), first + len(one)
        assert steps["trajectory_id"][here] == [one.info.id] * len(one)
        assert steps["step"][here] == list(range(len(one)))
        arrays = {**dict(one.observations.items()), "physics": one.physics}
        for name in ("position", "height", "count", "physics"):
            read = [*steps[f"observation.{name}"][here], rows[f"final_observation.{name}"][i]]
            np.testing.assert_array_equal(np.array(read, arrays[name].dtype), arrays[name])
        np.testing.assert_array_equal(np.float32(steps["reward"][here]), one.rewards)
        assert steps["terminated"][here] == one.terminated.tolist()
        assert steps["truncated"][here] == one.truncated.tolist()
        assert steps["action_observed"][here] == one.action_observed.tolist()
        states = ["observed" if seen else "missing" for seen in one.action_observed]
        assert steps["action_state"][here] == states


def test_latent_actions_are_a_column_and_come_back(
    hub: Hub, rich: Corpus, write_latents: Callable, tmp_path: Path
) -> None:
    """Of the whole and through a mask; null where there is none."""
    write_latents(rich.path, "z", codes=7, horizon=2)
    assert "latent actions z: go along with --latents z" in push(rich, "u/no", dry_run=True).left
    for number, seen in enumerate((rich, rich.with_mask("half"))):
        view, repo = seen.with_latents("z"), f"user/z{number}"
        assert push(view, repo).latents == "z"
        steps, each = table(hub, repo, "steps"), [t.latents for t in view]
        values = [row for row in steps["latent_action"] if row != [None] * 3]
        np.testing.assert_array_equal(
            np.array(values, "f4"), np.concatenate([one.values for one in each])
        )
        codes = [code for code in steps["latent_code"] if code is not None]
        assert codes == [code for one in each for code in one.codes.tolist()]
        pulled = pull(repo, tmp_path / str(number))
        assert pulled.latents == ("z",)
        back = open_corpus(tmp_path / str(number)).with_latents("z")
        for before, after in zip(view, back, strict=True):
            np.testing.assert_array_equal(after.latents.values, before.latents.values)


def test_kept_actions_are_in_the_corpus_and_not_in_the_table(
    hub: Hub, rich: Corpus, contents: Callable, tmp_path: Path
) -> None:
    pushed = push(rich.with_mask("quarter"), "user/kept", keep_withheld=True)
    assert pushed.kept
    assert pushed.withheld == 4
    steps = table(hub, "user/kept", "steps")
    states = zip(steps["action_state"], steps["action"], strict=True)
    assert all(action == [None] * 3 for state, action in states if state == "withheld")
    assert "withheld" in steps["action_state"]
    pull("user/kept", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(rich.path)
    assert (
        "holds the hidden actions all the same"
        in hub.repos["user/kept"].files["README.md"].data.decode()
    )


def test_the_same_again_changes_nothing(hub: Hub, rich: Corpus) -> None:
    first = push(rich.with_mask("half"), "user/half", licence="CC-BY-4.0")
    hub.log.clear()
    again = push(rich.with_mask("half"), "user/half", licence="CC-BY-4.0")
    assert again.commit == first.commit
    assert again.new == 0
    assert not hub.uploads()
    assert not [path for _, path in hub.log if "/commit/" in path]


def test_dry_run_writes_nothing(hub: Hub, rich: Corpus) -> None:
    planned = push(rich, "user/rich", dry_run=True)
    assert planned.commit is None
    assert not [method for method, _ in hub.log if method in WRITES]
    assert not hub.repos
    pushed = push(rich, "user/rich")
    assert pushed._replace(commit=None, dry_run=True) == planned


@pytest.mark.parametrize("package", ["huggingface_hub", "pyarrow", "PIL"])
def test_a_missing_package_is_named_before_anything_is_sent(
    hub: Hub, rich: Corpus, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}; .*lawm\[hub\]"):
        push(rich, "user/rich")
    assert not hub.log


def test_private(hub: Hub, random_corpus: Callable) -> None:
    corpus = random_corpus()
    push(corpus, "user/secret", private=True)
    assert hub.repos["user/secret"].private
    push(corpus, "user/open")
    with pytest.raises(ConfigError, match="is public"):
        push(corpus, "user/open", private=True)


@pytest.mark.parametrize("name", ["cs", "a/b/c", "../x", "user/", "user/a b", "", "user/.git"])
def test_names_of_no_repository(hub: Hub, random_corpus: Callable, name: str) -> None:
    with pytest.raises(ConfigError, match="not the name of a repository"):
        push(random_corpus(), name)
    assert not hub.log


def test_arguments_that_contradict_each_other(hub: Hub, rich: Corpus) -> None:
    with pytest.raises(ConfigError, match="goes with a mask"):
        push(rich, "user/rich", keep_withheld=True)
    with pytest.raises(ConfigError, match="shows inferred actions"):
        push(rich.with_labels("idm"), "user/rich")
    part = rich.with_mask("half").filter(np.arange(len(rich)) > 2)
    with pytest.raises(ConfigError, match="goes with a whole corpus"):
        push(part, "user/rich", keep_withheld=True)
    with pytest.raises(CorpusError, match="holds no trajectories"):
        push(rich.filter(lambda info: False), "user/none")
    assert not hub.repos
