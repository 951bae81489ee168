from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, CorpusError, Manifest, Provenance, Role

from lawm_data import CorpusWriter
from lawm_data.corpus.writing.record import Record, make_record

ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0, -0.1), high=(1.0, 0.1))
MANIFEST = Manifest(
    observations=(
        ArraySpec(name="position", shape=(3,)),
        ArraySpec(name="count", shape=(), dtype="int16"),
        ArraySpec(name="touch", shape=(2,), dtype="bool"),
        ArraySpec(name="camera", shape=(2, 2, 3), dtype="uint8", role=Role.pixels),
    ),
    action=ACTION,
)


def arguments(steps: int = 4, **changes: Any) -> dict[str, Any]:
    """A good trajectory of that many steps; ``changes`` replace arguments or observed fields."""
    rng = np.random.default_rng(steps)
    fields = {
        "position": rng.standard_normal((steps + 1, 3)),
        "count": np.arange(steps + 1),
        "touch": rng.random((steps + 1, 2)) < 0.5,
        "camera": rng.integers(0, 256, (steps + 1, 2, 2, 3), np.uint8),
    }
    fields |= {name: changes.pop(name) for name in list(changes) if name in fields}
    good = {
        "observations": fields,
        "rewards": rng.random(steps),
        "actions": rng.uniform(-0.1, 0.1, (steps, 2)),
        "action_observed": None,
        "terminated": False,
        "truncated": False,
        "metadata": None,
    }
    return good | changes


def record(manifest: Manifest = MANIFEST, **changes: Any) -> Record:
    return make_record(manifest, **arguments(**changes))


def changed(array: np.ndarray, at: Any, value: Any) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


GOOD = arguments()
POSITION, ACTIONS = GOOD["observations"]["position"], GOOD["actions"]
BAD = {
    "a field is missing": (
        {"observations": {"position": POSITION}},
        "observations: fields differ from the corpus: camera, count, touch",
    ),
    "a field is unknown": (
        {"observations": GOOD["observations"] | {"smell": POSITION}},
        "fields differ from the corpus: smell",
    ),
    "T observations": ({"position": POSITION[:-1]}, r"position: has shape \(4, 3\).*\(5, 3\)"),
    "wrong width": ({"position": POSITION[:, :2]}, r"position: has shape \(5, 2\)"),
    "ragged": ({"position": [[1.0], [1.0, 2.0]]}, "position: is ragged"),
    "NaN observation": ({"position": changed(POSITION, (2, 1), np.nan)}, r"nan at \[2, 1\]"),
    "overflowing observation": (
        {"position": changed(POSITION, (0, 0), 1e39)},
        r"position: 1e\+39 at \[0, 0\] does not fit float32",
    ),
    "overflowing integer": ({"count": np.full(5, 1 << 15)}, "count: 32768 .* not fit int16"),
    "an integer that is rounded": (
        {"position": np.full((5, 3), (1 << 24) + 1)},
        r"position: 16777217 at \[0, 0\] does not fit float32",
    ),
    "the largest integer": (
        {"position": np.full((5, 3), (1 << 63) - 1)},
        r"position: 9223372036854775807 at .* does not fit float32",
    ),
    "the largest of all": (
        {"position": np.full((5, 3), (1 << 64) - 1, np.uint64)},
        r"position: 18446744073709551615 at .* does not fit float32",
    ),
    "float for an integer": ({"count": np.zeros(5)}, "count: has type float64; give int16"),
    "integer for a bool": ({"touch": np.zeros((5, 2), int)}, "touch: has type int64; give bool"),
    "text": ({"position": np.full((5, 3), "x")}, "position: has type <U1"),
    "objects": ({"position": np.full((5, 3), None)}, "position: has type object"),
    "pixels below 0": ({"camera": np.full((5, 2, 2, 3), -1)}, "camera: -1 .* fit uint8"),
    "no steps": ({"rewards": np.zeros(0)}, r"rewards: has shape \(0,\)"),
    "rewards in columns": ({"rewards": np.zeros((4, 1))}, r"rewards: has shape \(4, 1\)"),
    "infinite reward": ({"rewards": np.array([0, np.inf, 0, 0])}, r"rewards: inf at \[1\]"),
    "T+1 actions": ({"actions": np.zeros((5, 2))}, r"actions: has shape \(5, 2\).*\(4, 2\)"),
    "wide actions": ({"actions": np.zeros((4, 3))}, r"actions: has shape \(4, 3\)"),
    "NaN action": ({"actions": changed(ACTIONS, (1, 0), np.nan)}, "actions: nan"),
    "high action": (
        {"actions": changed(ACTIONS, (3, 1), 0.11)},
        r"actions: 0\.11.* at step 3 is outside \[-0\.1, 0\.1\]",
    ),
    "low action": ({"actions": changed(ACTIONS, (0, 0), -1.001)}, r"outside \[-1, 1\]"),
    "observed but absent": (
        {"actions": None, "action_observed": np.array([True, False, False, False])},
        "actions: some actions are observed, but there are none",
    ),
    "flags too short": ({"action_observed": np.ones(3, bool)}, "action_observed: has type bool"),
    "flags of another type": ({"action_observed": np.ones(4)}, "action_observed: has type float"),
    "terminated in the middle": (
        {"terminated": np.array([False, True, False, False])},
        "terminated: is true at step 1 of 4",
    ),
    "truncated by number": ({"truncated": 1}, "truncated: has type int64"),
    "metadata of objects": ({"metadata": {"x": object()}}, "metadata: is not plain JSON"),
    "metadata of NaN": ({"metadata": {"x": float("nan")}}, "metadata: is not plain JSON"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_bad_trajectories_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        record(**changes)


def test_a_refused_trajectory_leaves_nothing_behind(tmp_path: Path) -> None:
    specs = {"observations": MANIFEST.observations, "action": ACTION}
    source = Provenance(source="test")
    with CorpusWriter.create(tmp_path / "corpus", **specs) as writer:
        before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
        with pytest.raises(CorpusError, match="nan"):
            writer.add(**arguments(actions=changed(ACTIONS, 0, np.nan)), provenance=source)
        for number in (-1, 1 << 64, 0.5, True):
            with pytest.raises(CorpusError, match="seed"):
                writer.add(**arguments(), provenance=source, seed=number)
        with pytest.raises(CorpusError, match="trajectory_id"):
            writer.add(**arguments(), provenance=source, trajectory_id="../x")
        writer.commit()
        assert writer.pending == 0
        assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_actions_on_the_bounds_and_within_float32_rounding_are_kept() -> None:
    edge = np.array([[1.0, 0.1], [-1.0, -0.1]] * 2)
    exact = record(actions=edge).actions
    assert exact is not None
    # 0.1 is not a float32; the nearest one lies above it.
    assert float(exact[0, 1]) > 0.1
    np.testing.assert_array_equal(exact, edge.astype(np.float32))
    nudged = np.nextafter(edge.astype(np.float32), np.float32(2) * edge.astype(np.float32))
    np.testing.assert_array_equal(record(actions=nudged).actions, nudged)


@given(flags=st.lists(st.booleans(), min_size=4, max_size=4))
def test_what_was_not_observed_never_gets_in(flags: list[bool]) -> None:
    observed = np.array(flags)
    garbage = np.where(observed[:, None], ACTIONS, [[np.nan, 1e300]])
    clean = np.where(observed[:, None], ACTIONS, 0)
    with_garbage = record(actions=garbage, action_observed=observed)
    if not observed.any():
        assert with_garbage.actions is None
        assert with_garbage.digest == record(actions=None).digest
    else:
        np.testing.assert_array_equal(with_garbage.actions, clean.astype(np.float32))
        assert with_garbage.digest == record(actions=clean, action_observed=observed).digest
    assert (with_garbage.digest == record().digest) == observed.all()


def test_the_id_depends_on_observations_and_rewards_and_not_on_actions() -> None:
    ids = {record(actions=a).base_id for a in (ACTIONS, ACTIONS / 2, None)}
    assert len(ids) == 1
    assert ids == {record(terminated=True, metadata={"a": 1}).base_id}
    assert record(rewards=GOOD["rewards"] + 1).base_id not in ids
    assert record(position=POSITION + 1).base_id not in ids


def test_the_digest_depends_on_all_arrays_and_flags() -> None:
    variants = [
        record(),
        record(actions=None),
        record(actions=ACTIONS / 2),
        record(action_observed=np.array([True, True, True, False])),
        record(terminated=True),
        record(truncated=True),
        record(touch=~GOOD["observations"]["touch"]),
        record(camera=GOOD["observations"]["camera"] ^ 1),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    assert record(metadata={"note": "hello"}).digest == variants[0].digest


def test_records_are_copies() -> None:
    given_arrays = arguments()
    kept = make_record(MANIFEST, **given_arrays)
    before = kept.steps.copy(), kept.fields["camera"].copy()
    for array in given_arrays["observations"].values():
        array[...] = 0
    given_arrays["rewards"][:] = 0
    np.testing.assert_array_equal(kept.steps, before[0])
    np.testing.assert_array_equal(kept.fields["camera"], before[1])


@given(values=st.lists(st.integers(-5, 7), min_size=4, max_size=4))
def test_discrete_actions_keep_their_type_and_bounds(values: list[int]) -> None:
    action = ArraySpec(
        name="button", shape=(), dtype="int64", role=Role.action, low=(0.0,), high=(4.0,)
    )
    manifest = MANIFEST.model_copy(update={"action": action})
    if min(values) < 0 or max(values) > 4:
        with pytest.raises(CorpusError, match=r"outside \[0, 4\]"):
            record(manifest, actions=np.array(values))
    else:
        stored = record(manifest, actions=np.array(values)).actions
        assert stored is not None
        assert (stored.dtype, stored.ravel().tolist()) == (np.dtype("<i8"), values)


def test_a_shape_that_nothing_has_takes_no_memory() -> None:
    manifest = Manifest(
        observations=(ArraySpec(name="x", shape=(1 << 15, 1 << 15)),),
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    )
    given = {"x": np.zeros((3, 2))}
    with pytest.raises(CorpusError, match=r"x: has shape \(3, 2\)"):
        make_record(manifest, given, np.zeros(2), None, None, False, False, None)
