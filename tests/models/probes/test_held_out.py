import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError, CorpusError

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.curation.derive import derive
from lawm_models.probes.held_out import divide
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train


@pytest.fixture(scope="module")
def part(corpus_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of the first four trajectories."""
    out = tmp_path_factory.mktemp("corpora") / "part"
    derive([open_corpus(corpus_path).filter(np.arange(4))], out, "filter", {})
    return out


@pytest.fixture(scope="module")
def run_on(experiment: Callable, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """A run of two steps on a corpus."""

    def make(path: Path) -> RunFolder:
        changes = {"corpora": [{"path": str(path)}], "steps": {"model": 2, "controller": 0}}
        return train(experiment("lam", **changes), tmp_path_factory.mktemp("runs") / "run")

    return make


@pytest.fixture(scope="module")
def run(run_on: Callable, part: Path) -> RunFolder:
    return run_on(part)


def names(corpus: Corpus, places: np.ndarray) -> set[str]:
    return set(corpus.table.id[places].tolist())


def test_what_a_run_has_not_seen_is_judged(corpus_path: Path, part: Path, run: RunFolder) -> None:
    whole = open_corpus(corpus_path)
    found = divide(whole, [run])
    assert found.by == "record"
    assert names(whole, found.fit) == set(open_corpus(part).table.id.tolist())
    assert len(found.judged) == 2


def test_every_run_counts(corpus_path: Path, run: RunFolder, run_on: Callable) -> None:
    with pytest.raises(ConfigError, match=r"no trajectory is held out.*lawm-data split"):
        divide(open_corpus(corpus_path), [run, run_on(corpus_path)])


def test_a_hash_divides_what_no_run_has_seen(
    corpus_path: Path, run: RunFolder, tmp_path: Path
) -> None:
    last = open_corpus(corpus_path).filter(np.array([4, 5]))
    found = divide(last, [run])
    assert found.by == "hash"
    assert sorted([*found.fit, *found.judged]) == [0, 1]
    again = divide(last.filter(np.array([0, 1])), [run])
    assert names(last, again.judged) == names(last, found.judged)


def test_one_trajectory_cannot_be_divided(corpus_path: Path, run: RunFolder) -> None:
    with pytest.raises(CorpusError, match="one trajectory"):
        divide(open_corpus(corpus_path).filter(np.array([5])), [run])


def test_another_name_hides_no_trajectory(
    corpus_path: Path, run_on: Callable, part: Path, tmp_path: Path
) -> None:
    whole = open_corpus(corpus_path)
    derive([open_corpus(part), whole.filter(np.array([5]))], tmp_path / "merged", "merge", {})
    found = divide(whole, [run_on(tmp_path / "merged")])
    assert names(whole, found.judged) == names(whole, np.array([4]))


def test_without_the_corpus_of_a_run_nothing_is_known(
    corpus_path: Path, part: Path, run_on: Callable, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(part, tmp_path / "copy"))
    run = run_on(copy)
    shutil.rmtree(copy)
    with pytest.raises(ConfigError, match=r"is gone.*put it back"):
        divide(open_corpus(corpus_path), [run])
    shutil.copytree(corpus_path, copy)
    with pytest.raises(ConfigError, match="has changed"):
        divide(open_corpus(corpus_path), [run])
