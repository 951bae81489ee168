"""Rules between the fields of a manifest."""

import pytest
from documents import require_refused
from lawm_schemas import FORMAT_VERSION, ArraySpec, Manifest, Role, ShardInfo

STATE = {"name": "position", "shape": [3]}
ACTION = {"name": "action", "shape": [2], "role": "action"}
SHARD = {"file": "a.h5", "sha256": "0" * 64, "bytes": 9, "trajectories": 2, "steps": 7}
MANIFEST = {"observations": [STATE], "action": ACTION}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": STATE}, "needs the role 'action'"),
        ({"observations": [STATE, STATE]}, "one name"),
        ({"observations": []}, "at least one state or pixels"),
        ({"observations": [{**STATE, "role": "physics"}]}, "at least one state"),
        ({"fingerprint": "x"}, "fingerprint"),
        ({"shards": [{**SHARD, "file": "../a.h5"}]}, r"shards\.0\.file"),
    ],
)
def test_bad_manifests_are_refused(change: dict, words: str) -> None:
    require_refused(Manifest, MANIFEST, change, words)


@pytest.mark.parametrize(
    ("change", "words"), [({"trajectories": 0}, "trajectories"), ({"bytes": -1}, "bytes")]
)
def test_bad_shards_are_refused(change: dict, words: str) -> None:
    require_refused(ShardInfo, SHARD, change, words)


def test_manifest_adds_up() -> None:
    manifest = Manifest(
        observations=(
            ArraySpec(name="position", shape=(3,)),
            ArraySpec(name="camera", shape=(8, 8, 3), dtype="uint8", role=Role.pixels),
            ArraySpec(name="velocity", shape=(2, 2)),
            ArraySpec(name="physics", shape=(9,), dtype="float64", role=Role.physics),
        ),
        action=ArraySpec(name="action", shape=(2,), role=Role.action),
        shards=(ShardInfo(**SHARD), ShardInfo(**{**SHARD, "file": "b.h5"})),
    )
    assert manifest.format_version == FORMAT_VERSION
    assert [spec.name for spec in manifest.state] == ["position", "velocity"]
    assert (manifest.state_dim, manifest.trajectories, manifest.steps) == (7, 4, 14)
