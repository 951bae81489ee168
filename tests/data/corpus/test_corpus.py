from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    LabelState,
    Provenance,
    Role,
    TrajectoryInfo,
)

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus, summarize
from lawm_data.corpus.integrity.validate import validate

PLAIN = (ArraySpec(name="position", shape=(3,)),)
RICH = (
    ArraySpec(name="camera", shape=(4, 5, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="position", shape=(2, 2)),
    ArraySpec(name="clock", shape=(), dtype="float64"),
    ArraySpec(name="height", shape=()),
    ArraySpec(name="contact", shape=(2,), dtype="bool"),
    ArraySpec(name="physics", shape=(5,), dtype="float64", role=Role.physics),
)
PIXELS = RICH[:1]
CONTINUOUS = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1, -1), high=(1, 1))
DISCRETE = ArraySpec(name="button", shape=(), dtype="int32", role=Role.action, low=(0,), high=(9,))


class Given(NamedTuple):
    """One trajectory as it is handed to the writer."""

    observations: dict[str, np.ndarray]
    rewards: np.ndarray
    actions: np.ndarray | None
    action_observed: np.ndarray | None
    terminated: bool
    truncated: bool
    metadata: dict[str, Any] | None
    seed: int | None


def random_array(rng: np.random.Generator, spec: ArraySpec, rows: int) -> np.ndarray:
    shape = (rows, *spec.shape)
    if spec.dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(spec.dtype).kind in "iu":
        return rng.integers(0, 10, shape).astype(spec.dtype)
    return rng.uniform(-1, 1, shape).astype(spec.dtype)


def random_trajectory(
    rng: np.random.Generator,
    observations: tuple[ArraySpec, ...],
    action: ArraySpec,
    steps: int,
    labels: str,
) -> Given:
    flags = None
    if labels == "partial":
        flags = rng.random(steps) < 0.5
        flags[rng.integers(steps)] = True
    return Given(
        {spec.name: random_array(rng, spec, steps + 1) for spec in observations},
        rng.uniform(-1, 1, steps).astype(np.float32),
        None if labels == "missing" else random_array(rng, action, steps),
        flags,
        bool(rng.integers(2)),
        bool(rng.integers(2)),
        {"note": "ünïcode", "n": steps} if rng.integers(2) else None,
        int(rng.integers(100)) if rng.integers(2) else None,
    )


def assert_same(stored: Any, given: Given) -> None:
    for name, array in given.observations.items():
        kept = stored.physics if name == "physics" else stored.observations[name]
        assert kept.dtype == array.dtype
        np.testing.assert_array_equal(kept, array)
    np.testing.assert_array_equal(stored.rewards, given.rewards)
    steps = len(given.rewards)
    flags = np.full(steps, given.actions is not None)
    if given.action_observed is not None:
        flags = given.action_observed
    np.testing.assert_array_equal(stored.action_observed, flags)
    if given.actions is None:
        assert stored.actions is None
        assert stored.labels is LabelState.missing
    else:
        expected = given.actions.copy()
        expected[~flags] = 0
        assert stored.actions.dtype == given.actions.dtype
        np.testing.assert_array_equal(stored.actions, expected)
        assert stored.labels is LabelState.observed
    assert stored.is_labeled == flags.all()
    assert stored.terminated.tolist() == [False] * (steps - 1) + [given.terminated]
    assert stored.truncated.tolist() == [False] * (steps - 1) + [given.truncated]
    info = stored.info
    assert (info.length, info.num_observed) == (steps, flags.sum())
    assert info.episode_return == pytest.approx(given.rewards.sum(dtype=np.float64))
    assert (info.metadata, info.seed) == (given.metadata or {}, given.seed)


@settings(max_examples=15, deadline=None)
@given(
    shape=st.lists(
        st.tuples(st.integers(1, 50), st.sampled_from(["full", "missing", "partial"])),
        min_size=1,
        max_size=8,
    ),
    observations=st.sampled_from([PLAIN, RICH, PIXELS]),
    action=st.sampled_from([CONTINUOUS, DISCRETE]),
    commits=st.sets(st.integers(0, 7)),
    join=st.booleans(),
    seed=st.integers(0, 1 << 30),
)
def test_what_is_written_is_read(
    shape: list[tuple[int, str]],
    observations: tuple[ArraySpec, ...],
    action: ArraySpec,
    commits: set[int],
    join: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    data = [random_trajectory(rng, observations, action, t, labels) for t, labels in shape]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus"
        writer = CorpusWriter.create(path, observations=observations, action=action)
        for i, item in enumerate(data):
            writer.add(**item._asdict(), provenance=Provenance(source=f"source {i % 2}"))
            if i in commits:
                writer.commit()
        writer.commit()
        if join:
            writer.close()
        writer.discard()
        corpus = open_corpus(path, verify=True)
        assert len(corpus) == len(data)
        for i, (stored, item) in enumerate(zip(corpus, data, strict=True)):
            assert_same(stored, item)
            assert stored.info.source == f"source {i % 2}"
        # Actions that were never recorded take no bytes, not even for a row.
        rows = sum(len(shard.actions) for shard in corpus.shards if shard.actions is not None)
        assert rows == sum(t for t, labels in shape if labels != "missing")
        assert validate(path) == []


def test_the_state_is_the_fields_in_order_as_float32(random_corpus: Callable) -> None:
    corpus = random_corpus(observations=RICH, action=CONTINUOUS)
    trajectory = corpus[0]
    seen = trajectory.observations
    parts = [seen[name] for name in ("position", "clock", "height", "contact")]
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    np.testing.assert_array_equal(seen.state, flat.astype(np.float32))
    assert seen.state.shape == (len(trajectory) + 1, corpus.manifest.state_dim)
    assert "physics" not in seen
    assert trajectory.physics is not None
    assert corpus.shards[0].steps.shape[1] == 4 + 1 + 1


def test_what_float32_cannot_hold_is_kept_in_its_field(tmp_path: Path) -> None:
    wide = ArraySpec(name="wide", shape=(1,), dtype="float64")
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    given = np.array([[1e300], [-1e300], [0.5]])
    with CorpusWriter.create(tmp_path / "a", observations=[wide], action=action) as writer:
        writer.add({"wide": given}, np.zeros(2), provenance=Provenance(source="test"))
    corpus = open_corpus(tmp_path / "a")
    np.testing.assert_array_equal(corpus[0].observations["wide"], given)
    np.testing.assert_array_equal(corpus[0].observations.state, [[np.inf], [-np.inf], [0.5]])
    assert summarize(corpus, stats=True)["stats"]["observations"][0]["max"] == [1e300]


def test_indices_point_at_the_arrays(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(1, 6), partial=(2, 5), shards=4)
    index = corpus.index
    assert index.partial.tolist() == [i in (2, 5) for i in range(8)]
    assert index.position.tolist() == list(range(8))
    for i, trajectory in enumerate(corpus):
        shard = corpus.shards[index.shard[i]]
        rows = slice(index.row[i], index.row[i] + index.length[i] + 1)
        np.testing.assert_array_equal(shard.steps[rows, :3], trajectory.observations.state)
        assert shard.steps[rows.stop - 1, -1] == 0
        if trajectory.actions is None:
            assert index.action_row[i] == -1
        else:
            start = index.action_row[i]
            taken = shard.actions[start : start + index.length[i]]
            np.testing.assert_array_equal(taken, trajectory.actions)


def test_filters_keep_the_order_and_compose(random_corpus: Callable) -> None:
    corpus = random_corpus(shards=2)

    def long(info: TrajectoryInfo) -> bool:
        return info.length >= 6

    view = corpus.filter(long)
    assert view.table.length.tolist() == [9, 12, 6, 20, 7, 30]
    names = [str(view.table.id[i]) for i in (3, 0)]
    picked = view.filter(names)
    assert picked.table.length.tolist() == [9, 20]
    assert picked.index.position.tolist() == [0, 5]
    np.testing.assert_array_equal(picked[1].rewards, corpus[5].rewards)
    flags = corpus.table.length >= 6
    assert corpus.filter(flags).fingerprint == view.fingerprint
    assert corpus.filter(flags.tolist()).fingerprint == view.fingerprint
    assert len(corpus.filter(lambda info: False)) == len(corpus.filter([])) == 0
    with pytest.raises(CorpusError, match="abc: is not in this view"):
        view.filter(["abc"])
    with pytest.raises(CorpusError, match=r"shape \(2,\).*8 trajectories"):
        corpus.filter(np.array([True, False]))


def test_positions_count_from_both_ends(random_corpus: Callable) -> None:
    corpus = random_corpus()
    assert corpus[-1].info == corpus[7].info
    for i in (8, -9):
        with pytest.raises(IndexError, match=f"trajectory {i} of 8"):
            corpus[i]


def test_a_trajectory_is_asked_for_by_place_or_id(random_corpus: Callable) -> None:
    corpus = random_corpus()
    for key in (3, np.int64(3), np.array(3), str(corpus.table.id[3]), corpus.table.id[3], -5):
        assert corpus[key].info == corpus.table.info(3)
    with pytest.raises(CorpusError, match="abc: is not in this view"):
        corpus["abc"]
    for key in (1.0, None, {1}, [[1, 2]]):
        with pytest.raises(TypeError, match=r"takes a place, an id, a slice, places, ids or bools"):
            corpus[key]  # pyright: ignore


@pytest.mark.parametrize("view", [slice(None), slice(None, None, -1), slice(1, 7)])
def test_several_trajectories_are_a_view_in_the_order_asked_for(
    random_corpus: Callable, view: slice
) -> None:
    corpus = random_corpus(shards=2)[view]
    ids, places = corpus.table.id, np.arange(len(corpus))
    shown = corpus.table.length > 6
    asked = [
        (slice(2, 5), places[2:5]),
        (slice(None, None, -2), places[::-2]),
        ([1, 4], [1, 4]),
        ([4, -1, 0], [4, len(corpus) - 1, 0]),
        (np.array([5, 0], np.uint8), [5, 0]),
        (ids[[3, 2]], [3, 2]),
        (ids[[3, 2]].tolist(), [3, 2]),
        (ids[[3, 2]].astype(object), [3, 2]),
        (shown, np.flatnonzero(shown)),
        (shown.tolist(), np.flatnonzero(shown)),
        ([], []),
    ]
    for key, wanted in asked:
        seen = corpus[key]
        assert isinstance(seen, Corpus)
        assert seen.table.id.tolist() == ids[wanted].tolist()
        again = pickle.loads(pickle.dumps(seen))
        assert again.table.id.tolist() == ids[wanted].tolist()
        assert again.fingerprint == seen.fingerprint
        for one, place in zip(seen, wanted, strict=True):
            np.testing.assert_array_equal(one.rewards, corpus[int(place)].rewards)


def test_what_cannot_be_a_view_is_refused(random_corpus: Callable) -> None:
    corpus = random_corpus()
    for twice in ([1, 1], [0, -8], [str(corpus.table.id[1])] * 2):
        with pytest.raises(CorpusError, match="stands twice; ask for each one once"):
            corpus[twice]
    assert len(corpus[100:]) == 0
    for beyond in ([0, 8], [-9]):
        with pytest.raises(IndexError, match="of 8"):
            corpus[beyond]
    with pytest.raises(CorpusError, match=r"shape \(7,\); give one bool for each of 8"):
        corpus[[True] * 7]


def test_a_mask_holds_for_every_choice(random_corpus: Callable) -> None:
    corpus = random_corpus()
    view = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))[[6, 1, 4, 0]]
    labeled = set(view.mask.labeled)
    assert [t.actions is not None for t in view] == [t.info.id in labeled for t in view]
    assert view.with_mask(view.mask).fingerprint == view.fingerprint


def test_trajectories_are_copies_and_shards_are_read_only(random_corpus: Callable) -> None:
    corpus = random_corpus(observations=RICH, action=CONTINUOUS)
    first = corpus[0]
    for array in (first.observations.state, first.rewards, first.actions, first.physics):
        array[...] = 7
    assert not np.array_equal(corpus[0].rewards, first.rewards)
    shard = corpus.shards[0]
    for array in (shard.steps, shard.actions, shard.fields["clock"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_an_empty_corpus_opens(tmp_path: Path) -> None:
    CorpusWriter.create(tmp_path / "empty", observations=RICH, action=CONTINUOUS).close()
    corpus = open_corpus(tmp_path / "empty", verify=True)
    assert (len(corpus), list(corpus), corpus.shards) == (0, [], ())
    assert len(corpus.filter(lambda info: True)) == 0
    assert corpus.table.id.tolist() == corpus.table.source.tolist() == []


def test_two_physics_arrays_are_refused(tmp_path: Path) -> None:
    twice = (*RICH, RICH[-1].model_copy(update={"name": "more"}))
    with pytest.raises(ConfigError, match="two arrays have the role physics"):
        CorpusWriter.create(tmp_path / "corpus", observations=twice, action=CONTINUOUS)
    assert not (tmp_path / "corpus").exists()


def test_reading_a_corpus_does_not_import_torch(random_corpus: Callable) -> None:
    path = random_corpus().path
    code = (
        "import sys, lawm_data\n"
        f"lawm_data.open_corpus({str(path)!r}, verify=True)[0]\n"
        "heavy = {'torch', 'dm_control', 'mujoco'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_can_be_imported() -> None:
    import lawm_data

    for name in ("Batch", "Loader", "Trajectory", "Observations", "withhold", "summarize"):
        assert getattr(lawm_data, name).__name__ == name
        assert name in dir(lawm_data)
    with pytest.raises(AttributeError, match="nonsense"):
        attrgetter("nonsense")(lawm_data)
