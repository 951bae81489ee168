"""A published corpus lists files that can only lie in its own folder."""

import pytest
from documents import require_refused, require_round_trip
from lawm_schemas.publication import Publication, PublishedFile

FILE = {"path": "corpus/shards/a.h5", "bytes": 1, "sha256": "0" * 64}
PUBLICATION = {"fingerprint": "0" * 64, "trajectories": 1, "files": [FILE]}


@pytest.mark.parametrize("path", ["a", "README.md", "corpus/masks/half.json", "a/b.c/d-e_f"])
def test_plain_paths_are_taken(path: str) -> None:
    assert require_round_trip(PublishedFile, {**FILE, "path": path}).path == path


@pytest.mark.parametrize(
    "path", ["", "/a", "../a", "a/../b", "a//b", "a/", ".git/config", "a/.b", "a\\b", "a b", "a\n"]
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    require_refused(PublishedFile, FILE, {"path": path}, "path")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": [FILE, FILE]}, "lists a file twice"),
        ({"format_version": "1"}, "format_version"),
        ({"fingerprint": "0" * 63}, "fingerprint"),
        ({"shards": [{"file": "../a.h5", "labeled": 1}]}, r"shards\.0\.file"),
        ({"withheld": -1}, "withheld"),
    ],
)
def test_bad_publications_are_refused(change: dict, words: str) -> None:
    require_refused(Publication, PUBLICATION, change, words)
