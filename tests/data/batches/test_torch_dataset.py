"""In PyTorch's own ``DataLoader``, with worker processes: the batches of one process, in order."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Role
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lawm_data import Batch, Corpus, Loader, TorchWindows, make_mask

CAMERA = ArraySpec(name="camera", shape=(4, 5, 3), dtype="uint8", role=Role.pixels)
POSITION = ArraySpec(name="position", shape=(2,))

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        same(a, other[name]) if isinstance(a, dict) else torch.equal(a, other[name])
        for name, a in one.items()
    )


def expected(corpus: Corpus, count: int, **settings: Any) -> list[dict[str, Any]]:
    loader = Loader(corpus, 3, 5, **settings)
    return [loader.batch(step).as_dict() for step in range(count)]


def all_same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    return len(found) == len(wanted) and all(map(same, found, wanted))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_make_the_batches_of_one_process_in_order(random_corpus, workers: int) -> None:
    corpus = random_corpus(observations=(POSITION, CAMERA), partial=(5, 7), shards=2)
    view = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))[::-1]
    data = TorchWindows(view, 3, 5, batches=9, labeled_ratio=1 / 3, seed=4)
    loader = DataLoader(data, batch_size=None, num_workers=workers)
    assert len(loader) == 9
    wanted = expected(view, 9, labeled_ratio=1 / 3, seed=4)
    for _ in range(2):  # every iteration begins at the same batch
        assert all_same(list(loader), wanted)
    assert Batch(**next(iter(loader))).pixels.keys() == {"camera"}


def test_workers_that_were_not_forked_make_the_same(random_corpus) -> None:
    corpus = random_corpus()
    data = TorchWindows(corpus, 3, 5, batches=4)
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert all_same(list(loader), expected(corpus, 4))
    assert all_same(list(pickle.loads(pickle.dumps(data))), expected(corpus, 4))


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_go_through_the_batches(random_corpus, workers: int) -> None:
    corpus = random_corpus()
    data = TorchWindows(corpus, 3, 5, batches=5)
    lasting = workers > 0
    loader = DataLoader(data, batch_size=None, num_workers=workers, persistent_workers=lasting)
    wanted = expected(corpus, 20)
    for epoch in (0, 1, 3):
        data.set_epoch(epoch)
        assert all_same(list(loader), wanted[5 * epoch : 5 * epoch + 5])


def test_ranks_share_the_batches(random_corpus) -> None:
    corpus = random_corpus()
    ranks = [TorchWindows(corpus, 3, 5, rank=r, world_size=3, batches=4) for r in range(3)]
    found = [batch for together in zip(*ranks, strict=True) for batch in together]
    assert all_same(found, expected(corpus, 12))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [0, 4, 7])
def test_resuming_by_the_count_of_the_training_loop(random_corpus, workers, taken) -> None:
    corpus = random_corpus()
    wanted = expected(corpus, 14)
    first, second = (TorchWindows(corpus, 3, 5, batches=7) for _ in range(2))
    loader = DataLoader(first, batch_size=None, num_workers=workers)
    batches = iter(loader)
    assert all_same([next(batches) for _ in range(taken)], wanted[:taken])
    state = json.loads(json.dumps(first.state_dict(taken)))
    second.load_state_dict(state)
    rest = list(DataLoader(second, batch_size=None, num_workers=workers))
    # an epoch that was all taken is followed by the next one
    assert all_same(rest, wanted[taken:7] or wanted[7:])


def test_one_process_counts_by_itself(random_corpus) -> None:
    corpus = random_corpus()
    first, second = TorchWindows(corpus, 3, 5), TorchWindows(corpus, 3, 5)
    batches = iter(first)
    for _ in range(6):
        next(batches)
    second.load_state_dict(first.state_dict())
    found = [batch for batch, _ in zip(second, range(3), strict=False)]
    assert all_same(found, expected(corpus, 9)[6:])


class AskedInWorkers(IterableDataset):
    """Asks and tells the data where it is as torchdata's loader does: in each worker."""

    def __init__(self, data: TorchWindows, states: list[dict[str, Any]] | None = None) -> None:
        self._data, self._states = data, states

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
        info = get_worker_info()
        assert info is not None
        if self._states is not None:
            self._data.load_state_dict(self._states[info.id])
        before = self._data.state_dict()
        for batch in self._data:
            yield info.id, before, batch
            before = self._data.state_dict()


@pytest.mark.parametrize("taken", [0, 1, 4, 5])
def test_each_worker_goes_on_where_it_was(random_corpus, taken: int) -> None:
    corpus = random_corpus()
    data = TorchWindows(corpus, 3, 5, batches=7)
    loader = DataLoader(AskedInWorkers(data), batch_size=None, num_workers=2)
    every = list(loader)
    # what a worker said before the batch that it is to make next
    states = [next(state for by, state, _ in every[taken:] if by == worker) for worker in (0, 1)]
    again = DataLoader(AskedInWorkers(data, states), batch_size=None, num_workers=2)
    # the first worker is asked first, also where it was the second one's turn
    wanted = _swapped(every[taken:]) if taken % 2 else every[taken:]
    assert all_same([batch for *_, batch in again], [batch for *_, batch in wanted])


def _swapped(batches: list) -> list:
    """Neighbours change places."""
    pairs = [batches[i : i + 2][::-1] for i in range(0, len(batches), 2)]
    return [batch for pair in pairs for batch in pair]


def test_what_makes_no_sense_is_refused(random_corpus) -> None:
    corpus = random_corpus()
    endless = TorchWindows(corpus, 3, 5)
    with pytest.raises(TypeError, match=r"endless dataset has no length; give batches"):
        len(endless)
    with pytest.raises(ConfigError, match=r"no epochs; give TorchWindows batches"):
        endless.set_epoch(1)
    with pytest.raises(ConfigError, match=r"not counted here; give the number of batches taken"):
        endless.state_dict()
    with pytest.raises(ConfigError, match="0 is below 1"):
        TorchWindows(corpus, 3, 5, batches=0)
    with pytest.raises(ConfigError, match="3 is not among 3 processes"):
        TorchWindows(corpus, 3, 5, rank=3, world_size=3)
    with pytest.raises(ConfigError, match="window"):  # as a Loader says, before any worker
        TorchWindows(corpus, 3, 500)


def test_other_data_or_processes_are_not_resumed(random_corpus) -> None:
    corpus = random_corpus()
    state = TorchWindows(corpus, 3, 5).state_dict(taken=2)
    with pytest.raises(ConfigError, match="saved with other corpora, masks or settings"):
        TorchWindows(corpus, 3, 5, seed=1).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"world_size 1, not 2; resume with world_size 1"):
        TorchWindows(corpus, 3, 5, world_size=2).load_state_dict(state)
    with pytest.raises(ConfigError, match="workers 2, not 1"):
        TorchWindows(corpus, 3, 5).load_state_dict({**state, "workers": 2})
