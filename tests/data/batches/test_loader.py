from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Provenance, Role
from windows_read import identical

from lawm_data import Batch, Corpus, CorpusWriter, Loader, make_mask, open_corpus, withhold


def test_every_valid_start_is_drawn_equally_often(random_corpus):
    corpus = random_corpus()
    loader = Loader(corpus, 100, 7, short="pad", seed=1)
    counts: dict[tuple[int, int], int] = {}
    batches = 300
    for _ in range(batches):
        batch = loader.next()
        for window in zip(batch.trajectory.tolist(), batch.start.tolist(), strict=True):
            counts[window] = counts.get(window, 0) + 1
    valid = {(i, s) for i, n in enumerate(corpus.index.length) for s in range(max(n - 6, 1))}
    assert counts.keys() == valid
    expected = 100 * batches / len(valid)
    k = len(valid) - 1
    # The 99.9% quantile of chi-square with k degrees of freedom (Wilson and Hilferty 1931).
    limit = k * (1 - 2 / (9 * k) + 3.09 * np.sqrt(2 / (9 * k))) ** 3
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < limit


def test_a_batch_is_a_function_of_its_number(random_corpus):
    corpus = random_corpus()
    one, other = Loader(corpus, 4, 7), Loader(corpus, 4, 7)
    batches = [one.next() for _ in range(200)]
    for step in (130, 3, 131, 132, 3, 199, 0):
        assert identical(other.batch(step), batches[step])
    assert not identical(batches[0], batches[1])


def test_processes_share_a_batch(random_corpus):
    """Process r of N reads windows r::N, moved as they are where one process reads them all."""
    camera = ArraySpec(name="camera", shape=(6, 5, 3), dtype="uint8", role=Role.pixels)
    corpus = random_corpus(observations=(ArraySpec(name="x", shape=(2,)), camera))
    whole = Loader(corpus, 6, 7, random_shift=2)
    parts = [Loader(corpus, 6, 7, random_shift=2, share=(r, 3)) for r in range(3)]
    for step in range(20):
        batch = whole.batch(step)
        for first, part in enumerate(parts):
            assert identical(part.next(), batch.rows(torch.arange(first, 6, 3)))
            assert part.state_dict() == {**whole.state_dict(), "step": step + 1}
    assert identical(parts[1].batch(30), whole.batch(30))


@pytest.mark.parametrize("size", [1, 5])
def test_batches_that_cannot_be_dealt_are_refused(random_corpus, size):
    with pytest.raises(ConfigError, match=r"batch_size: . windows .* give a multiple of 2"):
        Loader(random_corpus(), size, 7, share=(0, 2))


def test_resuming_is_exact(random_corpus):
    corpus = random_corpus(partial=(5,))
    one = Loader(corpus, 4, 7, seed=5)
    for _ in range(77):
        next(one)
    state = json.loads(json.dumps(one.state_dict()))
    other = Loader(corpus, 4, 7, seed=5)
    other.load_state_dict(state)
    assert all(identical(a, b) for a, b, _ in zip(one, other, range(80), strict=False))


def test_what_a_caller_does_to_a_batch_stays_there(random_corpus):
    corpus = random_corpus(partial=(5,))
    loader, untouched = Loader(corpus, 4, 7), Loader(corpus, 4, 7)
    for _ in range(2):
        loader.load_state_dict({**loader.state_dict(), "step": 0})
        for step in range(5):
            batch = loader.next()
            assert identical(batch, untouched.batch(step))
            for f in fields(Batch)[:-1]:
                getattr(batch, f.name).zero_()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 5},
        {"window": 6},
        {"short": "drop"},
        {"label_unit": "window"},
        {"labeled_ratio": 0.5},
    ],
)
def test_a_state_of_other_settings_is_refused(random_corpus, change):
    corpus = random_corpus(unlabeled=(2,))
    settings = {"batch_size": 4, "window": 7}
    state = Loader(corpus, **settings).state_dict()
    with pytest.raises(ConfigError, match="loader state: it was saved with other corpora"):
        Loader(corpus, **{**settings, **change}).load_state_dict(state)


def test_numbers_of_any_kind_are_the_same_settings(random_corpus):
    corpus = random_corpus(unlabeled=(2,))
    one = Loader(corpus, np.int64(4), np.int32(7), labeled_ratio=np.float32(0.5), seed=np.int64(1))
    assert one.state_dict() == Loader(corpus, 4, 7, labeled_ratio=0.5, seed=1).state_dict()


def test_a_state_of_other_data_is_refused(random_corpus):
    corpus = random_corpus()
    masked = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))
    views = [
        corpus,
        masked,
        corpus.with_mask(make_mask(corpus, 0.5, 1, "other")),
        corpus.filter(np.arange(len(corpus)) > 0),
        random_corpus("other", seed=1),
    ]
    loaders = [Loader(view, 4, 7) for view in views]
    for i, one in enumerate(loaders):
        for other in loaders[:i] + loaders[i + 1 :]:
            with pytest.raises(ConfigError, match="other corpora"):
                other.load_state_dict(one.state_dict())


def test_batches_do_not_depend_on_shards_or_place(random_corpus):
    few, many = random_corpus("few", shards=1), random_corpus("many", shards=4)
    one, other = Loader(few, 8, 7), Loader(many, 8, 7)
    assert one.state_dict() == other.state_dict()
    assert all(identical(one.next(), other.next()) for _ in range(20))
    with CorpusWriter.append(many.path):
        pass
    joined = open_corpus(many.path)
    assert len(joined.shards) == 1
    assert identical(Loader(joined, 8, 7).next(), Loader(few, 8, 7).next())


def poison(corpus: Corpus, readable: np.ndarray) -> None:
    """Overwrite every byte of every action of the corpus that is not to be read."""
    for number, path in enumerate(sorted((corpus.path / "shards").iterdir())):
        with h5py.File(path) as file:
            offset, row = file["actions"].id.get_offset(), file["actions"][0].nbytes
        with path.open("r+b") as file:
            for hidden in np.flatnonzero(~readable[number]):
                file.seek(offset + int(hidden) * row)
                file.write(b"\xff" * row)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_hidden_actions_are_never_read(random_corpus, tmp_path, masked, resident):
    corpus = random_corpus(partial=(0, 5), unlabeled=(2,))
    mask = make_mask(corpus, 0.4, 0, "few")
    shutil.copytree(corpus.path, tmp_path / "copy")
    copy = open_corpus(tmp_path / "copy")
    view = copy.with_mask(mask) if masked else copy
    readable = np.zeros(len(copy.shards[0].actions), bool)
    for i, first in enumerate(copy.index.action_row):
        if view.index.action_row[i] >= 0:
            readable[first : first + copy.index.length[i]] = copy[i].action_observed
    poison(copy, readable[None])
    damaged = open_corpus(tmp_path / "copy")
    assert not np.isfinite(damaged.shards[0].actions[~readable]).any()
    views = [c.with_mask(mask) if masked else c for c in (corpus, damaged)]
    for settings in ({}, {"labeled_ratio": 0.5}, {"labeled_ratio": 0.5, "label_unit": "window"}):
        loaders = [Loader([(view, 1.0)], 8, 7, resident=resident, **settings) for view in views]
        for _ in range(30):
            clean, batch = (loader.next() for loader in loaders)
            assert identical(clean, batch)
            assert (batch.action[~batch.action_mask] == 0).all()


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("window", [1, 3, 6, 9])
def test_a_missing_last_observation_is_no_target(tmp_path, window, resident):
    """Its step is real but for that; everything else is as in other trajectories."""
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(
        tmp_path / "corpus", observations=[ArraySpec(name="x", shape=(1,))], action=action
    ) as writer:
        for i in range(4):
            steps = np.arange(6.0) + 10 * i
            writer.add(
                {"x": np.append(steps, steps[-1])[:, None]},
                steps + 1,
                steps[:, None] if i != 1 else None,
                terminated=i % 2 == 0,
                provenance=Provenance(source="test"),
                metadata={"final_observation": "missing"} if i < 2 else {},
            )
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.table.final_observed.tolist() == [False, False, True, True]
    loader = Loader([(corpus, 1.0)], 32, min(window, 6), resident=resident)
    seen = set()
    for _ in range(20):
        batch = loader.next()
        step = batch.start[:, None] + torch.arange(batch.valid.shape[1])
        last = (step == 5) & (batch.trajectory < 2)[:, None]
        assert torch.equal(batch.unseen, last)
        assert torch.equal(batch.valid, (step < 6) & ~last)
        assert torch.equal(batch.terminated, (step == 5) & (batch.trajectory % 2 == 0)[:, None])
        assert torch.equal(batch.action_mask, (step < 6) & (batch.trajectory != 1)[:, None])
        real = step < 6
        value = (step + 10 * batch.trajectory[:, None]).float()
        assert torch.equal(batch.reward[real], value[real] + 1)
        assert torch.equal(batch.action[..., 0][batch.action_mask], value[batch.action_mask])
        seen |= {int(i) for i in batch.trajectory[last.any(1)]}
    assert seen == {0, 1}


def with_other_actions(corpus: Corpus, shown: Collection[str], out: Path) -> Corpus:
    """The same corpus, in which actions are others unless the trajectory is shown."""
    rng = np.random.default_rng(1)
    manifest = corpus.manifest
    with CorpusWriter.create(
        out, observations=manifest.observations, action=manifest.action
    ) as writer:
        for t in corpus:
            actions = t.actions
            if actions is not None and t.info.id not in shown:
                actions = rng.uniform(-1, 1, actions.shape)
            writer.add(
                t.arrays(manifest.observations),
                t.rewards,
                actions,
                action_observed=None if actions is None else t.action_observed,
                terminated=t.info.terminated,
                truncated=t.info.truncated,
                provenance=manifest.provenance[0],
                metadata=t.info.metadata,
                trajectory_id=t.info.id,
            )
    return open_corpus(out)


def test_hidden_actions_choose_no_batch(random_corpus, tmp_path):
    physics = ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics)
    observations = (ArraySpec(name="position", shape=(2,)), physics)
    corpus = random_corpus(observations=observations, partial=(0, 5), unlabeled=(2,))
    mask = make_mask(corpus, 0.4, 0, "few")
    other = with_other_actions(corpus, mask.labeled, tmp_path / "other")
    assert other.fingerprint != corpus.fingerprint
    assert other.unlabeled_fingerprint == corpus.unlabeled_fingerprint
    there = mask.model_copy(update={"corpus": other.fingerprint})
    views = [corpus.with_mask(mask), other.with_mask(there)]
    assert len({view.visible_fingerprint for view in views}) == 1
    published = open_corpus(withhold(views[0], tmp_path / "published"))
    for settings in ({}, {"labeled_ratio": 0.5}):
        loaders = [Loader(view, 8, 7, **settings) for view in (*views, published)]
        assert len({loader.identity for loader in loaders}) == 1
        for _ in range(30):
            first, *others = (loader.next() for loader in loaders)
            assert all(identical(first, batch) for batch in others)


def test_a_state_of_an_earlier_version_is_refused(random_corpus):
    loader = Loader(random_corpus(), 4, 7)
    state = loader.state_dict()
    del state["draws"]
    with pytest.raises(ConfigError, match="another version of lawm, which drew other windows"):
        loader.load_state_dict(state)
