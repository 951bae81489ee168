from __future__ import annotations

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Role

from lawm_data.exchange.formats.lerobot.features import features_of, films, joined, parted

ARRAYS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="height", shape=()),
    ArraySpec(name="state", shape=(3,), dtype="float64"),
    ArraySpec(name="camera", shape=(8, 10, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="depth", shape=(8, 10, 5), dtype="uint8", role=Role.pixels),
    ArraySpec(name="simulator", shape=(3,), dtype="float64", role=Role.physics),
)


@pytest.mark.parametrize("videos", [False, True])
def test_every_array_is_in_one_feature_and_comes_back(videos: bool) -> None:
    rng = np.random.default_rng(0)
    features = features_of(ARRAYS, videos)
    assert sorted(spec.name for f in features for spec in f.arrays) == sorted(
        spec.name for spec in ARRAYS
    )
    assert len({feature.name for feature in features}) == len(features)
    for feature in features:
        if feature.storage != "numbers":
            continue
        given = {s.name: rng.integers(0, 9, (4, *s.shape)) for s in feature.arrays}
        back = parted(feature, joined(feature, given))
        for name, array in given.items():
            np.testing.assert_array_equal(back[name], array)


def test_a_video_holds_three_channels_and_even_edges_only() -> None:
    shapes = [(8, 10, 3), (8, 9, 3), (7, 10, 3), (8, 10, 1), (8, 10, 4)]
    kept = [films(ArraySpec(name="c", shape=s, dtype="uint8", role=Role.pixels)) for s in shapes]
    assert kept == [True, False, False, False, False]
