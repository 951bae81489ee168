from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, CorpusError

from lawm_data import CorpusWriter, make_mask, open_corpus
from lawm_data.corpus.integrity.leakage import leakage, leakage_findings
from lawm_data.curation.derive import withhold
from lawm_data.curation.edit import edit_corpus


def test_equal_trajectories_are_found_whatever_is_known_of_their_actions(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus, other = random_corpus(seed=1), random_corpus("other", seed=2)
    assert leakage(corpus.path, other.path).equal == []
    ids = corpus.table.id[[1, 4]].tolist()
    part = corpus.filter(ids)
    withhold(part.with_mask(make_mask(part, 0.5, 0, "m")), tmp_path / "part")
    found = leakage(tmp_path / "part", corpus.path)
    assert (found.equal, found.near) == ([(name, name) for name in ids], [])
    assert found.compared == ["height", "position"]
    assert [f.severity for f in leakage_findings("a", "b", found)] == ["error"] * 2
    assert leakage(corpus.path, tmp_path / "part").equal == found.equal


def test_long_lists_are_cut(random_corpus: Callable) -> None:
    corpus = random_corpus()
    found = leakage(corpus.path, corpus.path)
    assert len(found.equal) == 8
    assert list(leakage_findings("a", "b", found))[-1].what == "3 more of these"


def test_equal_origins_are_near(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    paths = [tmp_path / "one", tmp_path / "two"]
    for number, path in enumerate(paths):
        manifest = corpus.manifest
        with CorpusWriter.create(
            path, observations=manifest.observations, action=manifest.action
        ) as writer:
            for seed in (None, 3, 4 + number):
                noise = np.float32(number + 1)
                fields = {k: v + noise for k, v in corpus[0].observations.items()}
                writer.add(fields, corpus[0].rewards, provenance=manifest.provenance[0], seed=seed)
    names = [open_corpus(path).table.id[1] for path in paths]
    found = leakage(*paths)
    assert (found.equal, found.near) == ([], [tuple(names)])
    (finding,) = leakage_findings(*paths, found)
    assert (finding.severity, finding.what.split()[0]) == ("warning", "1")


def test_no_corpus_is_refused(random_corpus: Callable, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        leakage(random_corpus().path, tmp_path / "nowhere")


STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=()))
ONE_STATE = (ArraySpec(name="obs", shape=(2,)),)
DOUBLE = (ArraySpec(name="position", shape=(2,), dtype="float64"),)
WHOLE = (ArraySpec(name="position", shape=(2,), dtype="int32"),)


@pytest.mark.parametrize(
    ("observations", "options", "compared"),
    [
        (ONE_STATE, {"rename": {"obs": "state"}}, ["obs"]),
        (STATE, {"dtype": {"position": "float64", "height": "float64"}}, ["height", "position"]),
        (DOUBLE, {"dtype": {"position": "float32"}}, ["position"]),
        (WHOLE, {"dtype": {"position": "float32"}}, ["position"]),
        (STATE, {"rename": {"position": "place"}}, ["height"]),
    ],
)
def test_edited_copies_are_found(
    random_corpus: Callable, tmp_path: Path, observations: tuple, options: dict, compared: list
) -> None:
    """Under another name of a state, in another type, or by the arrays that are as they were."""
    corpus = random_corpus(observations=observations)
    edit_corpus(corpus, tmp_path / "edited", **options)
    found = leakage(corpus.path, tmp_path / "edited")
    assert (len(found.equal), found.compared) == (8, compared)
    back = leakage(tmp_path / "edited", corpus.path)
    assert sorted(back.equal) == sorted((b, a) for a, b in found.equal)
    other = random_corpus("other", observations=observations, seed=1)
    assert leakage(other.path, tmp_path / "edited").equal == []


def test_where_no_array_is_shared_nothing_is_said_to_be_disjoint(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus()
    edit_corpus(corpus, tmp_path / "edited", rename={"position": "a", "height": "b"})
    found = leakage(corpus.path, tmp_path / "edited")
    assert (found.equal, found.compared) == ([], [])
    (finding,) = leakage_findings(corpus.path, tmp_path / "edited", found)
    assert finding.severity == "error"
    assert finding.what.endswith("nothing was compared")
