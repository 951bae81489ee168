"""Streaming: the batches of a loader, from a few shards at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import Hub
from lawm_schemas import ArraySpec, ConfigError, RemoteError, Role

import lawm_data
from lawm_data import Batch, Corpus, make_mask, open_corpus, save_mask
from lawm_data.batches.loader import Loader
from lawm_data.exchange.hub import Stream, push
from lawm_data.exchange.hub.stream import Rounds, ShardLabels

ADDRESS = "hf://user/cs"
LENGTHS = (9, 4, 12, 8, 6, 20, 7, 30, 11, 5, 16, 9)
PIXELS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(2, 2, 3), dtype="uint8", role=Role.pixels),
)


@pytest.fixture
def corpus(hub: Hub, random_corpus: Callable[..., Corpus]) -> Corpus:
    """Twelve trajectories in six shards, published with a mask."""
    made = random_corpus(
        lengths=LENGTHS, observations=PIXELS, unlabeled=(0, 1, 6), partial=(4,), shards=6
    )
    save_mask(made, make_mask(made, 0.34, 0, "third"))
    push(open_corpus(made.path), "user/cs")
    return made


def same(one: Batch, other: Batch) -> bool:
    plain = [f.name for f in fields(one) if f.name != "pixels"]
    equal = [torch.equal(getattr(one, name), getattr(other, name)) for name in plain]
    return all(equal) and all(torch.equal(one.pixels[k], other.pixels[k]) for k in one.pixels)


def stream(**options: Any) -> Stream:
    return lawm_data.stream(ADDRESS, 4, 5, **options)


@pytest.mark.parametrize("options", [{}, {"labeled_ratio": 0.5, "seed": 3}])
def test_what_fits_is_streamed_as_a_loader_reads_it(corpus: Corpus, options: dict) -> None:
    loader = Loader(corpus.with_mask("third"), 4, 5, **options)
    streamed = stream(mask="third", shards=6, **options)
    assert all(same(one, other) for one, other in islice(zip(loader, streamed, strict=True), 20))


@pytest.mark.parametrize(("ratio", "mask"), [(None, None), (0.25, None), (0.5, "third")])
def test_every_window_is_one_of_the_corpus(
    corpus: Corpus, ratio: float | None, mask: str | None
) -> None:
    view = corpus if mask is None else corpus.with_mask(mask)
    seen = set()
    for batch in islice(stream(labeled_ratio=ratio, mask=mask), 40):
        if ratio is not None:
            assert batch.labeled.tolist() == [i < 4 * ratio for i in range(4)]
        for b, (i, start) in enumerate(
            zip(batch.trajectory.tolist(), batch.start.tolist(), strict=True)
        ):
            one, count = view[i], int(batch.valid[b].sum())
            steps = slice(start, start + count)
            seen.add(i)
            observed = one.action_observed[steps]
            assert batch.action_mask[b].tolist() == [*observed, *[False] * (5 - count)]
            actions = np.zeros((5, 3), np.float32)
            if one.actions is not None:
                actions[:count][observed] = one.actions[steps][observed]
            np.testing.assert_array_equal(batch.action[b], actions)
            window = one.observations.state[start : start + count + 1]
            np.testing.assert_array_equal(batch.observation[b, : count + 1], window)
            camera = one.observations["camera"][start : start + count + 1]
            np.testing.assert_array_equal(batch.pixels["camera"][b, : count + 1], camera)
            np.testing.assert_array_equal(batch.reward[b, :count], one.rewards[steps])
    assert {i // 2 for i in seen} == set(range(6))  # every shard was there


@pytest.mark.parametrize("ratio", [None, 0.5])
def test_it_resumes_anywhere_and_depends_on_the_seed_alone(
    corpus: Corpus, ratio: float | None
) -> None:
    options = {"labeled_ratio": ratio, "seed": 1}
    first, batches, states = stream(**options), [], []
    for _ in range(25):
        states.append(first.state_dict())
        batches.append(first.next())
    for k in (0, 7, 24):
        other = stream(**options)
        other.load_state_dict(states[k])
        assert all(same(one, two) for one, two in zip(batches[k:], other, strict=False))
    different = stream(labeled_ratio=ratio, seed=2)
    assert not all(same(one, two) for one, two in zip(batches, different, strict=False))
    with pytest.raises(ConfigError, match="saved with another corpus, mask or settings"):
        different.load_state_dict(states[0])


def test_settings_that_are_as_usual_say_nothing(corpus: Corpus) -> None:
    """A state that was saved before a setting existed is one of today."""
    usual = {"short": "pad", "label_unit": "trajectory", "oversample_ends": False}
    one, other = stream(), stream(**usual, labeled_ratio=None, device="cpu")
    assert one.state_dict() == other.state_dict()
    assert one.state_dict() != stream(short="drop").state_dict()
    with pytest.raises(TypeError, match="seeed"):
        stream(seeed=1)
    assert "labeled_ratio=0.5" in repr(stream(labeled_ratio=0.5))


def test_few_shards_are_there_at_a_time_and_none_is_left(
    hub: Hub, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "space"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    streamed = stream(shards=2)
    hub.log.clear()
    for _ in range(3):
        streamed.next()
        assert not list(folder.iterdir())
    asked = [path for _, path in hub.log if path.endswith(".h5")]
    assert 2 <= len(asked) == len(set(asked)) < 6


def test_a_shard_that_was_altered_is_refused(hub: Hub, corpus: Corpus) -> None:
    for path, blob in hub.repos["user/cs"].files.items():
        if path.endswith(".h5") and "shards" in path:
            hub.served[path] = blob.data[:-1] + b"\0\1"[blob.data[-1] == 0 :][:1]
    with pytest.raises(RemoteError, match="its checksum differs"):
        stream().next()


def test_arguments(hub: Hub, corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match="no such mask"):
        stream(mask="none")
    with pytest.raises(ConfigError, match="1 is below 2"):
        stream(shards=1)
    with pytest.raises(ConfigError, match="the longest trajectory"):
        lawm_data.stream(ADDRESS, 4, 500).next()
    with pytest.raises(RemoteError, match="no such dataset"):
        lawm_data.stream("hf://user/none", 4, 5)


SHARDS = [ShardLabels(5, 100, 5 * (i % 3 == 0)) for i in range(7)]


@pytest.mark.parametrize("at_once", [2, 3])
def test_rounds_visit_every_shard_equally_often(at_once: int) -> None:
    rounds = Rounds(SHARDS, 1, at_once, by_label=False)
    visits = [i for number in range(7 * 4) for i in rounds.shards(number)]
    assert set(visits) == set(range(7))
    leaving = [rounds.shards(number)[0] for number in range(7 * 4)]
    assert all(sorted(leaving[7 * e : 7 * e + 7]) == list(range(7)) for e in range(4))
    assert leaving[:7] != leaving[7:14]


def test_rounds_by_label_hold_both_kinds() -> None:
    rounds = Rounds(SHARDS, 1, 2, by_label=True)
    for number in range(20):
        labeled, *rest = rounds.shards(number)
        assert SHARDS[labeled].labeled
        assert not SHARDS[rest[0]].labeled
    with pytest.raises(ConfigError, match="there are no labeled trajectories"):
        Rounds([s._replace(labeled=0) for s in SHARDS], 1, 2, by_label=True)
