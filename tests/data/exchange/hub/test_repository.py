"""What a push may replace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hub_server import Hub
from hub_store import Blob, Repo
from lawm_schemas import Provenance, RemoteError

from lawm_data import Corpus, CorpusWriter, filter_corpus, open_corpus
from lawm_data.curation.derive import withhold
from lawm_data.exchange.hub import pull, push

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def grown(corpus: Corpus) -> Corpus:
    """The corpus with one more trajectory."""
    with CorpusWriter.append(corpus.path) as writer:
        seen = {"position": np.ones((3, 2), np.float32), "height": np.ones(3, np.float32)}
        writer.add(seen, np.ones(2), provenance=Provenance(source="more"))
    return open_corpus(corpus.path)


def test_a_corpus_may_grow(hub: Hub, random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    first = push(corpus, "user/cs")
    more = grown(corpus)
    second = push(more, "user/cs")
    assert pull("user/cs", tmp_path / "new").fingerprint == more.fingerprint
    assert pull("user/cs", tmp_path / "old", revision=first.tag).fingerprint == corpus.fingerprint
    assert list(hub.repos["user/cs"].commits)[-2:] == [first.commit, second.commit]
    shards = [path for path in hub.repos["user/cs"].files if path.endswith(".h5")]
    assert len(shards) == len(more.manifest.shards)
    with pytest.raises(RemoteError, match="holds another corpus"):
        push(random_corpus("twin"), "user/cs")  # the shorter one again


def test_a_derived_corpus_replaces_its_parent(
    hub: Hub, random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus()
    push(corpus, "user/cs")
    part = filter_corpus(corpus, "length > 5", tmp_path / "part").path
    pushed = push(open_corpus(part), "user/cs")
    assert pull("user/cs", tmp_path / "out").fingerprint == pushed.fingerprint


def test_hiding_what_was_public_is_refused(hub: Hub, rich: Corpus, tmp_path: Path) -> None:
    push(rich, "user/rich")
    public = withhold(rich.with_mask("quarter"), tmp_path / "public")
    head = hub.repos["user/rich"].head
    for view in (rich.with_mask("quarter"), open_corpus(public)):
        with pytest.raises(RemoteError, match="earlier commits would go on showing"):
            push(view, "user/rich")
    assert hub.repos["user/rich"].head == head


def test_showing_what_was_hidden_needs_to_be_asked_for(hub: Hub, rich: Corpus) -> None:
    hidden = push(rich.with_mask("quarter"), "user/rich")
    with pytest.raises(RemoteError, match=f"--revision-of {hidden.fingerprint[:12]}"):
        push(rich, "user/rich")
    with pytest.raises(RemoteError, match="not 00000000"):
        push(rich, "user/rich", revision_of="00000000")
    pushed = push(rich, "user/rich", revision_of=hidden.fingerprint[:12])
    assert hub.repos["user/rich"].head == pushed.commit


def test_what_somebody_else_has_changed_is_refused(hub: Hub, random_corpus: Callable) -> None:
    corpus = random_corpus()
    first = push(corpus, "user/cs")
    repo = hub.repos["user/cs"]
    whole = dict(repo.files)
    for changed in (
        {**whole, "README.md": Blob(b"mine", False)},
        {**whole, "notes.md": Blob(b"mine", False)},
        {path: blob for path, blob in whole.items() if path != "returns.png"},
    ):
        head = repo.put(changed)
        with pytest.raises(RemoteError, match="was changed since it was published"):
            push(grown(corpus), "user/cs")
        assert repo.head == head
    pushed = push(grown(corpus), "user/cs", revision_of=first.fingerprint[:8])
    assert set(repo.files) >= {"README.md", "returns.png"}
    assert pushed.commit == repo.head


def test_a_repository_of_something_else_is_refused(hub: Hub, random_corpus: Callable) -> None:
    corpus, repo = random_corpus(), Repo(private=False)
    hub.repos["user/cs"] = repo
    for files, words in (
        ({"data.csv": b"1"}, "holds something else than a corpus"),
        ({"lawm.json": b"{"}, "is not JSON"),
        ({"lawm.json": b"{}"}, "Field required"),
        ({"lawm.json": json.dumps({"format_version": 9}).encode()}, "format version 9"),
    ):
        head = repo.put({path: Blob(data, False) for path, data in files.items()})
        with pytest.raises(RemoteError, match=words):
            push(corpus, "user/cs", revision_of="0" * 12)
        assert repo.head == head
