"""What every format promises in its row of ``lawm-data formats``, and what all of them owe."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    LabelState,
    LawmError,
    Role,
    StorageError,
)

from lawm_data import Corpus, Trajectory, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.curation.action_clues import CLUES
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats import FORMATS
from lawm_data.exchange.formats._protocol import About
from lawm_data.system.atomic import TEMPORARY

from .conftest import Plan, plans

ABOUTS = {name: FORMATS.load(name).ABOUT for name in FORMATS.names()}
WRITABLE = [name for name, about in ABOUTS.items() if about.reads and about.writes]
FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty current folder, in which the place of every ``ABOUT`` is a valid one."""
    before, memory = Path.cwd(), "/dev/shm"
    where = memory if os.access(memory, os.W_OK) else None  # syncing a disk takes long
    with tempfile.TemporaryDirectory(dir=where) as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MINARI_DATASETS_PATH", folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def address(name: str) -> str:
    return f"{name}:{ABOUTS[name].place}"


def target(name: str) -> Path:
    return FORMATS.load(name).locate(ABOUTS[name].place)


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kept(view: Corpus, about: About) -> Corpus:
    """The trajectories whose actions the format can hold as they are."""
    table = view.table
    none, all_ = table.num_observed == 0, table.num_observed == table.length
    holds = all_ | (none & (LabelState.missing in about.label_states))
    return view.filter(holds | (~none & ~all_ & about.partial))


def require_same(one: Trajectory, other: Trajectory, about: About, view: Corpus) -> None:
    """Compare what ``about`` says is kept."""
    steps = len(one) if about.final_observation else len(one) - 1
    rows = slice(0, steps + 1)
    assert len(other) == steps
    np.testing.assert_array_equal(one.rewards[:steps], other.rewards)
    assert np.array_equal(one.action_observed[:steps], other.action_observed)
    seen = one.action_observed[:steps]
    if seen.any():
        assert one.actions is not None
        assert other.actions is not None
        left, right = one.actions[:steps][seen], other.actions[seen]
        assert about.arrays == "state" or left.dtype == right.dtype
        assert np.array_equal(left, right.reshape(left.shape))
    else:
        assert other.actions is None
    roles = {spec.name: spec.role for spec in view.manifest.observations}
    if about.arrays == "all":
        for name, array in one.observations.items():
            if roles[name] is Role.pixels and about.pixels != "lossless":
                continue
            assert array.dtype == other.observations[name].dtype
            assert array[rows].tobytes() == other.observations[name].tobytes()
        if one.physics is not None:
            assert other.physics is not None
            assert np.array_equal(one.physics[rows], other.physics)
    else:
        np.testing.assert_array_equal(one.observations.state[rows], other.observations.state)
    if about.ends == "both":
        assert one.info.truncated == other.info.truncated
    if about.ends in ("both", "terminated"):
        assert one.info.terminated == other.info.terminated
    if about.metadata:
        for key in ("id", "source", "seed", "agent_step", "metadata"):
            assert getattr(one.info, key) == getattr(other.info, key), key


def require_pixels(one: Trajectory, other: Trajectory, about: About, view: Corpus) -> None:
    names = [spec.name for spec in view.manifest.observations if spec.role is Role.pixels]
    for name in names:
        if about.pixels == "none":
            assert name not in other.observations
        elif about.pixels == "lossy":
            assert other.observations[name].shape[1:] == one.observations[name].shape[1:]


@pytest.mark.parametrize("name", WRITABLE)
@FEW
@given(plan=plans())
def test_a_round_trip_keeps_what_is_promised(name: str, plan: Plan) -> None:
    about = ABOUTS[name]
    with workplace() as folder:
        whole = plan.write(folder / "corpus")
        view = plan.view(whole)
        expected = kept(view, about)
        if not len(expected) or (about.arrays == "state" and not whole.manifest.state):
            with pytest.raises(CorpusError):
                export_corpus(view, address(name))
            assert not target(name).exists()
            return
        written = export_corpus(view, address(name), keep=CLUES)
        assert len(expected) == len(view) or written.notes
        made = import_corpus(address(name), folder / "back")
        back = open_corpus(folder / "back", verify=True)
        assert not [f for f in validate(folder / "back") if f.severity == "error"]
        assert made.trajectories == len(back) == len(expected)
        for one, other in zip(expected, back, strict=True):
            require_same(one, other, about, view)
            require_pixels(one, other, about, view)
        if about.metadata:
            used = [expected.manifest.provenance[i] for i in expected.table.provenance]
            assert [back.manifest.provenance[i] for i in back.table.provenance] == used
        require_beside(view, expected, back, about)
        if about.exact and view.mask is None:
            require_exact(view, back)


def require_beside(view: Corpus, expected: Corpus, back: Corpus, about: About) -> None:
    """Masks and inferred actions, where they are promised."""
    if LabelState.withheld in about.label_states and view.mask is None:
        assert {k: mask.labeled for k, mask in back.masks().items()} == {
            k: mask.labeled for k, mask in view.masks().items()
        }
        for mask in view.masks():
            looked_at = open_corpus(view.path).with_mask(mask).label_counts()
            assert back.with_mask(mask).label_counts() == looked_at
    if LabelState.inferred in about.label_states and view.overlay is not None:
        assert back.with_labels("idm").overlay.r2 == view.overlay.r2
        for one, other in zip(expected, back.with_labels("idm"), strict=True):
            if one.labels is LabelState.inferred:
                assert other.labels is LabelState.inferred
                assert np.array_equal(one.actions, other.actions)
                assert np.array_equal(one.action_std, other.action_std)


INFERRING = [name for name in WRITABLE if LabelState.inferred in ABOUTS[name].label_states]


@pytest.mark.parametrize("name", INFERRING)
def test_inferred_actions_come_along_beside_recorded_ones(name: str, plain_plan: Callable) -> None:
    """Without the mask that they were inferred through, and a line says what is shown instead."""
    with workplace() as folder:
        whole = plain_plan(seen="both").write(folder / "corpus")
        masked = whole.with_mask("mask-0").with_labels("idm")
        inferred = [t for t in masked if t.labels is LabelState.inferred]
        assert inferred
        exported = export_corpus(whole.with_labels("idm"), address(name))
        count = f"{len(inferred)} of the {len(inferred)} trajectories that they label"
        (note,) = [note for note in exported.notes if note.startswith("labels idm: ")]
        assert note.startswith(f"labels idm: {count} show recorded actions, which are taken; ")
        assert note.endswith("with --mask mask-0 they show the inferred ones")
        assert import_corpus(address(name), folder / "back").overlays == ("idm",)
        back = open_corpus(folder / "back", verify=True)
        assert back.fingerprint == whole.fingerprint
        back = back.with_mask("mask-0").with_labels("idm")
        for one, other in zip(masked, back, strict=True):
            assert one.labels is other.labels
            assert np.array_equal(one.actions, other.actions)
            assert np.array_equal(one.action_std, other.action_std)


@pytest.mark.parametrize("name", WRITABLE)
def test_an_overlay_that_labels_nothing_is_not_exported(name: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        view = plain_plan(seen="both").write(folder / "corpus").with_labels("idm")
        rest = view.filter(~view.inferred_beside_recorded)
        assert len(rest)
        what = "labels idm: label none of these trajectories; leave --labels out, or export others"
        with pytest.raises(ConfigError, match=what):
            export_corpus(rest, address(name))
        assert not target(name).exists()


def require_exact(view: Corpus, back: Corpus) -> None:
    assert back.fingerprint == view.fingerprint
    for key in ("observations", "action", "environment", "licence"):
        assert getattr(back.manifest, key) == getattr(view.manifest, key)
    steps = [step.operation for step in back.manifest.lineage]
    assert steps == [*(s.operation for s in view.manifest.lineage), "export", "import"]
    assert str(view.path) not in back.manifest.to_json()


@pytest.mark.parametrize("name", WRITABLE)
def test_hidden_actions_are_nowhere_in_the_files(name: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        whole = plain_plan(seen="masked").write(folder / "corpus")
        view = whole.with_mask("mask-0")
        hidden = whole.filter([t.info.id for t in view if t.labels is LabelState.withheld])
        assert len(hidden)
        export_corpus(view, address(name))
        place = target(name)
        data = place.read_bytes() if place.is_file() else b"".join(content(place).values())
        for trajectory in hidden:
            assert trajectory.actions is not None
            for row in trajectory.actions:
                assert row.tobytes() not in data


def forget(name: str) -> None:
    """Remove what an export adds for us alone, as tools of the format do, or their users."""
    place = target(name)
    if name == "lerobot":
        shutil.rmtree(place / "meta/lawm")
    elif name == "minari":
        path = place / "data/metadata.json"
        metadata = json.loads(path.read_text())
        del metadata["lawm"]
        path.write_text(json.dumps(metadata))
    else:
        with h5py.File(place, "a") as file:
            del file[{"robomimic": "lawm", "d4rl": "metadata/lawm"}[name]]


ACTIONS = {
    "bounded": {"shape": (2,), "low": (-1.0,) * 2, "high": (1.0,) * 2},
    "free": {"shape": (2,), "dtype": "float64"},
    "discrete": {"shape": (), "dtype": "int64", "low": (0.0,), "high": (5.0,)},
    "whole": {"shape": (2,), "dtype": "int32"},
    "switches": {"shape": (3,), "dtype": "bool"},
}


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("seen", ["plain", "masked", "labels", "both"])
@pytest.mark.parametrize("kind", ACTIONS)
def test_without_the_sidecar_no_action_becomes_an_observed_one(
    name: str, seen: str, kind: str, plain_plan: Callable
) -> None:
    labels = ("observed", "missing", "partial", "observed", "observed")
    one = plain_plan().trajectories[0]
    plan = plain_plan(
        action=ArraySpec.parse({"name": "action", "role": Role.action, **ACTIONS[kind]}, kind),
        trajectories=tuple({**one, "length": 3 + i, "labels": k} for i, k in enumerate(labels)),
        seen=seen,
    )
    with workplace() as folder:
        view = plan.view(plan.write(folder / "corpus"))
        export_corpus(view, address(name))
        forget(name)
        import_corpus(address(name), folder / "back")
        back = open_corpus(folder / "back", verify=True)
        assert any(t.action_observed.any() for t in back)
        by_rewards = {t.rewards.tobytes(): t for t in view}
        for other in back:
            expected = by_rewards[other.rewards.tobytes()]
            shown = expected.action_observed
            assert np.array_equal(other.action_observed, shown)
            if shown.any():
                np.testing.assert_array_equal(
                    other.actions[shown].ravel(), expected.actions[shown].ravel()
                )
            else:
                assert other.labels is LabelState.missing
        if name in ("lerobot", "minari"):  # the others keep those trajectories out of their data
            assert len(back) == len(view)


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("after", [1, 3])
def test_an_error_leaves_nothing(name: str, after: int, plain_plan: Callable) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == after:
            raise Stop

    with workplace() as folder:
        whole = plain_plan().write(folder / "corpus")
        before = sorted(folder.rglob("*"))
        with pytest.raises(Stop):
            export_corpus(whole, address(name), progress=stop)
        assert sorted(folder.rglob("*")) == before
        export_corpus(whole, address(name))
        before = sorted(folder.rglob("*"))
        with pytest.raises(Stop):
            import_corpus(address(name), folder / "back", progress=stop)
        assert sorted(folder.rglob("*")) == before


KILLED = """
import os, signal, sys
from lawm_data import open_corpus
from lawm_data.exchange import export_corpus, import_corpus

def kill(done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "export":
    export_corpus(open_corpus("corpus"), sys.argv[2], progress=kill)
else:
    import_corpus(sys.argv[2], "back", progress=kill)
"""


@pytest.mark.parametrize("name", WRITABLE)
def test_after_a_kill_the_same_again_leaves_nothing_but_its_output(
    name: str, plain_plan: Callable
) -> None:
    def unfinished() -> list[Path]:
        return [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)]

    with workplace() as folder:
        whole = plain_plan().write(folder / "corpus")
        words = [sys.executable, "-c", KILLED]
        done = subprocess.run([*words, "export", address(name)])
        assert done.returncode == -signal.SIGKILL
        assert not target(name).exists()
        assert unfinished()
        export_corpus(whole, address(name))
        assert not unfinished()
        done = subprocess.run([*words, "import", address(name)])
        assert done.returncode == -signal.SIGKILL
        assert not (folder / "back").exists()
        assert unfinished()
        import_corpus(address(name), folder / "back")
        assert not unfinished()
        if ABOUTS[name].exact:
            assert open_corpus(folder / "back").fingerprint == whole.fingerprint


@pytest.mark.parametrize("name", WRITABLE)
def test_what_is_there_is_not_overwritten(name: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        whole = plain_plan().write(folder / "corpus")
        export_corpus(whole, address(name))
        before = content(folder)
        with pytest.raises(StorageError, match="already there"):
            export_corpus(whole, address(name))
        with pytest.raises(StorageError, match="already there"):
            import_corpus(address(name), folder / "corpus")
        assert content(folder) == before


@pytest.mark.parametrize("name", WRITABLE)
def test_a_dry_run_writes_nothing(name: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        whole = plain_plan().write(folder / "corpus")
        before = content(folder)
        planned = export_corpus(whole, address(name), dry_run=True)
        assert (planned.trajectories, planned.path) == (4, target(name))
        assert content(folder) == before
        export_corpus(whole, address(name))
        before = content(folder)
        made = import_corpus(address(name), folder / "back", dry_run=True)
        assert made.trajectories in (4, None)
        assert content(folder) == before


def spoiled(data: bytes) -> dict[str, bytes]:
    """Ways in which a file comes back from a bad disk, or from somebody who means harm."""
    half = len(data) // 2
    return {
        "empty": b"",
        "cut": data[:half],
        "no end": data[:-1],
        "no head": data[half:],
        "zeros": bytes(len(data)),
        "text": b"not what it was\n" * 8,
        "hole": data[: half // 2] + bytes(half) + data[half + half // 2 :],
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x93.",
    }


def imported(name: str, folder: Path) -> Corpus | None:
    """The corpus, or None when it was refused, in one line and with nothing written."""
    out = folder / "back"
    shutil.rmtree(out, ignore_errors=True)
    try:
        import_corpus(address(name), out)
    except LawmError as refusal:
        line = str(refusal)
    else:
        return open_corpus(out, verify=True)
    assert "\n" not in line
    assert not out.exists()
    return None


def require_refusal_or_harmless(name: str, folder: Path, fingerprint: str) -> None:
    """Refused, or the very same corpus."""
    back = imported(name, folder)
    assert back is None or back.fingerprint == fingerprint


def require_only_refusals(name: str, folder: Path) -> None:
    """Refused, or a sound corpus: a number that became another one cannot be told from it."""
    if imported(name, folder) is not None:
        assert not list(validate(folder / "back"))


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("way", list(spoiled(b"")))
def test_spoiled_files_are_refused(name: str, way: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        export_corpus(plain_plan().write(folder / "corpus"), address(name))
        import_corpus(address(name), folder / "first")
        fingerprint = open_corpus(folder / "first").fingerprint
        place = target(name)
        files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
        for file in files:
            data = file.read_bytes()
            file.write_bytes(spoiled(data)[way])
            if way == "hole":
                require_only_refusals(name, folder)
            else:
                require_refusal_or_harmless(name, folder, fingerprint)
            file.write_bytes(data)


@pytest.mark.parametrize("name", WRITABLE)
def test_flipped_bytes_never_crash(name: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        export_corpus(plain_plan().write(folder / "corpus"), address(name))
        place = target(name)
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        for seed in range(60):
            rng = np.random.default_rng(seed)
            file = files[rng.integers(len(files))]
            data = file.read_bytes()
            content = np.frombuffer(data, np.uint8).copy()
            where = rng.integers(0, min(len(content), rng.choice([512, 8192, 1 << 30])), 4)
            content[where[: rng.integers(1, 5)]] = rng.integers(0, 256)
            file.write_bytes(content.tobytes())
            require_only_refusals(name, folder)
            file.write_bytes(data)


@pytest.mark.parametrize("name", WRITABLE)
def test_links_and_missing_files_are_refused(name: str, plain_plan: Callable) -> None:
    with workplace() as folder:
        export_corpus(plain_plan().write(folder / "corpus"), address(name))
        import_corpus(address(name), folder / "first")
        fingerprint = open_corpus(folder / "first").fingerprint
        place = target(name)
        for file in [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]:
            data = file.read_bytes()
            file.unlink()
            require_refusal_or_harmless(name, folder, fingerprint)
            file.symlink_to("/dev/zero")
            require_refusal_or_harmless(name, folder, fingerprint)
            file.unlink()
            file.write_bytes(data)


@pytest.mark.parametrize("name", ABOUTS)
def test_what_is_not_there_is_refused(name: str) -> None:
    if not ABOUTS[name].reads:
        return
    with workplace() as folder, pytest.MonkeyPatch.context() as patch:
        # deep down, so that nothing outside is looked through: a whole disk takes long
        deep = folder / "a" / "b" / "c"
        deep.mkdir(parents=True)
        patch.chdir(deep)
        with pytest.raises(LawmError):
            import_corpus(address(name), folder / "back")
        Path("a folder").mkdir()
        Path("a file").write_text("nothing")
        for place in ("a folder", "a file", "../../..", "x/../../y", "/dev/null", "/proc/self/mem"):
            with pytest.raises(LawmError):
                import_corpus(f"{name}:{place}", folder / "back")
        assert not (folder / "back").exists()


@pytest.mark.parametrize("name", ABOUTS)
def test_unknown_settings_are_refused(name: str, tmp_path: Path) -> None:
    verb = import_corpus if ABOUTS[name].reads else None
    if verb is not None:
        with pytest.raises(ConfigError, match="no setting 'no_such'"):
            verb(address(name), tmp_path / "back", {"no_such": 1})


@pytest.mark.parametrize("name", [name for name, about in ABOUTS.items() if about.reads])
def test_every_format_can_leave_something_out_unread(name: str) -> None:
    assert "without" in ABOUTS[name].settings


@pytest.mark.parametrize("name", ABOUTS)
def test_rows_of_the_table_are_well_formed(name: str) -> None:
    about = ABOUTS[name]
    assert about.reads or about.writes
    assert about.arrays in ("all", "state")
    assert about.alignment in ("a_t leaves o_t", "a_t enters o_t")
    assert about.ends in ("both", "terminated", "none")
    assert about.pixels in ("lossless", "lossy", "none")
    assert LabelState.observed in about.label_states or name == "video"
