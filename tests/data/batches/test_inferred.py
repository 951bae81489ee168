"""Inferred actions in batches: only where they are asked for, and then as if observed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import (
    Corpus,
    CorpusWriter,
    Loader,
    TorchWindows,
    make_mask,
    open_corpus,
    save_mask,
    write_overlay,
)
from lawm_data.corpus.table import FINAL_MISSING


@pytest.fixture
def view(random_corpus: Callable[..., Corpus]) -> Corpus:
    """One trajectory never had actions, one has some, a mask hides half, and half are inferred."""
    corpus = random_corpus(lengths=(9, 30, 12, 25, 7, 20), unlabeled=(1,), partial=(3,), shards=3)
    save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))
    masked, rng = corpus.with_mask("half"), np.random.default_rng(0)
    labels = [
        (t.info.id, rng.uniform(-1, 1, (len(t), 3)), np.ones((len(t), 3)))
        for i, t in enumerate(corpus)
        if i in (1, 2, 3, 5)
    ]
    write_overlay(masked, labels[::-1], name="ours", model="0" * 64, algorithm="lawm")
    found = open_corpus(corpus.path).with_mask("half").with_labels("ours")
    assert found.label_counts()["inferred"] >= 2
    return found


@pytest.mark.parametrize("window", [5, 12])
@pytest.mark.parametrize("resident", [False, True])
def test_batches_hold_what_the_trajectories_do(view: Corpus, window: int, resident: bool) -> None:
    loader = Loader(view, 40, window, inferred=True, resident=resident)
    seen = set()
    for _ in range(3):
        batch = loader.next()
        for b in range(40):
            number, start = int(batch.trajectory[b]), int(batch.start[b])
            trajectory = view[number]
            here = slice(start, min(start + window, len(trajectory)))
            count = here.stop - here.start
            known = trajectory.action_observed[here]
            if trajectory.action_std is not None:
                known = np.ones(count, bool)
                seen.add(number)
            mask = batch.action_mask[b].numpy()
            assert (mask[:count] == known).all()
            assert not mask[count:].any()
            assert bool(batch.labeled[b]) == (
                trajectory.action_std is not None or trajectory.is_labeled
            )
            if trajectory.actions is not None:
                given = batch.action[b].numpy()[:count][known]
                assert (given == trajectory.actions[here][known]).all()
            assert (batch.action[b].numpy()[~mask] == 0).all()
    assert len(seen) == view.label_counts()["inferred"]


@pytest.mark.parametrize("ratio", [None, 1.0])
@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("window", [3, 6, 8])
def test_no_action_is_inferred_where_nobody_recorded_what_it_led_to(
    tmp_path: Path, window: int, resident: bool, ratio: float | None
) -> None:
    """The recorded ones there stay, also those of a partially labeled trajectory."""
    lengths = (6, 6, 6, 8)
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=[ArraySpec(name="x", shape=(1,))],
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    ) as writer:
        for i, steps in enumerate(lengths):
            writer.add(
                {"x": np.append(np.arange(steps), steps - 1)[:, None]},
                np.zeros(steps),
                None if i % 2 else np.ones((steps, 1)),
                action_observed=np.arange(steps) >= 1 if i == 2 else None,
                trajectory_id=f"t{i}",
                terminated=True,
                provenance=Provenance(source="test"),
                metadata=FINAL_MISSING if i < 3 else {},
            )
    corpus = open_corpus(tmp_path / "corpus")
    found = [(f"t{i}", np.full((lengths[i], 1), 5.0), np.ones((lengths[i], 1))) for i in (1, 3)]
    write_overlay(corpus, found, name="ours", model="0" * 64, algorithm="lam")
    view = corpus.with_labels("ours")
    loader = Loader(view, 32, window, labeled_ratio=ratio, inferred=True, resident=resident)
    last = set()
    for _ in range(10):
        batch = loader.next()
        step = batch.start[:, None] + torch.arange(window)
        length = torch.tensor(lengths)[batch.trajectory][:, None]
        known = (step < length) & ~((batch.trajectory == 2)[:, None] & (step == 0))
        known &= ~((batch.trajectory == 1)[:, None] & (step == 5))
        assert torch.equal(batch.action_mask, known)
        expected = torch.tensor([1.0, 5.0, 1.0, 5.0])[batch.trajectory][:, None] * known
        assert torch.equal(batch.action[..., 0], expected)
        assert torch.equal(batch.labeled, batch.trajectory != 2)
        last |= set(batch.trajectory[batch.unseen.any(1)].tolist())
    assert last == ({0, 1} if ratio else {0, 1, 2})


def test_nothing_is_read_without_being_asked_for(view: Corpus) -> None:
    plain = Loader(open_corpus(view.path).with_mask("half"), 16, 5, seed=3)
    other = Loader(view, 16, 5, seed=3)
    assert plain.identity == other.identity
    for _ in range(2):
        one, same = plain.next(), other.next()
        assert torch.equal(one.action, same.action)
        assert torch.equal(one.action_mask, same.action_mask)


def test_other_inferred_actions_are_another_loader(view: Corpus) -> None:
    before = Loader(view, 8, 5, inferred=True).identity
    masked = open_corpus(view.path).with_mask("half")
    labels = [
        (t.info.id, t.actions + 0.25, t.action_std)
        for t in view
        if t.actions is not None and t.action_std is not None
    ]
    write_overlay(masked, labels, name="ours", model="0" * 64, algorithm="lawm", replace=True)
    after = Loader(masked.with_labels("ours"), 8, 5, inferred=True).identity
    assert before != after


def test_labeled_windows_are_of_both_kinds_and_torch_makes_the_same(view: Corpus) -> None:
    loader = Loader(view, 24, 5, labeled_ratio=1.0, inferred=True)
    batch = loader.next()
    assert batch.labeled.all()
    states = {view[int(i)].labels.value for i in batch.trajectory}
    assert states == {"observed", "inferred"}
    windows = TorchWindows(view, 24, 5, labeled_ratio=1.0, inferred=True, batches=1)
    assert torch.equal(next(iter(windows))["action"], batch.action)
