"""Rules between the fields of manifest, mask, experiment and trajectory."""

import pytest
from lawm_schemas import (
    FORMAT_VERSION,
    ArraySpec,
    ConfigError,
    ExperimentConfig,
    Manifest,
    Mask,
    Role,
    Schema,
    ShardInfo,
    TrajectoryInfo,
)

STATE = {"name": "position", "shape": [3]}
ACTION = {"name": "action", "shape": [2], "role": "action"}
SHARD = {"file": "a.h5", "sha256": "0" * 64, "bytes": 9, "trajectories": 2, "steps": 7}
GOOD: dict[type[Schema], dict] = {
    Manifest: {"observations": [STATE], "action": ACTION},
    Mask: {"name": "m", "corpus": "c", "fraction": 0.5, "seed": 0, "labeled": ["t"]},
    ExperimentConfig: {
        "corpora": [{"path": "c"}],
        "algorithm": {"name": "bc"},
        "steps": {"agent": 1},
    },
    ShardInfo: SHARD,
    TrajectoryInfo: {
        "id": "a",
        "length": 3,
        "labels": "observed",
        "num_observed": 3,
        "episode_return": 1.5,
        "terminated": False,
        "truncated": True,
        "source": "random",
    },
}


@pytest.mark.parametrize("schema", GOOD, ids=lambda schema: schema.__name__)
def test_good_documents_are_taken(schema: type[Schema]) -> None:
    document = schema.parse(GOOD[schema], "")
    assert schema.parse(document.model_dump(mode="json"), "") == document


@pytest.mark.parametrize(
    ("schema", "change", "words"),
    [
        (Manifest, {"action": STATE}, "needs the role 'action'"),
        (Manifest, {"observations": [STATE, STATE]}, "one name"),
        (Manifest, {"observations": []}, "at least one state or pixels"),
        (Manifest, {"observations": [{**STATE, "role": "physics"}]}, "at least one state"),
        (Manifest, {"fingerprint": "x"}, "fingerprint"),
        (Manifest, {"shards": [{**SHARD, "file": "../a.h5"}]}, r"shards\.0\.file"),
        (ShardInfo, {"trajectories": 0}, "trajectories"),
        (ShardInfo, {"bytes": -1}, "bytes"),
        (Mask, {"fraction": 0}, "fraction"),
        (Mask, {"fraction": 1.01}, "fraction"),
        (Mask, {"name": "../m"}, "name"),
        (Mask, {"name": ".m"}, "name"),
        (Mask, {"by": "hours"}, "by"),
        (ExperimentConfig, {"corpora": []}, "corpora"),
        (ExperimentConfig, {"steps": {"agent": -1}}, r"steps\.agent is negative"),
        (ExperimentConfig, {"labeled_ratio": 1.5}, "labeled_ratio"),
        (ExperimentConfig, {"window": 0}, "window"),
        (ExperimentConfig, {"corpora": [{"path": "c", "weight": 0}]}, r"corpora\.0\.weight"),
        (ExperimentConfig, {"seed": -1}, "seed"),
        (TrajectoryInfo, {"labels": "guessed"}, "labels"),
        (TrajectoryInfo, {"episode_return": float("nan")}, "episode_return"),
    ],
)
def test_bad_documents_are_refused(schema: type[Schema], change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        schema.parse({**GOOD[schema], **change}, "")


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
