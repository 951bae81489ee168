"""Whatever goes wrong while publishing, the repository is as it was or complete."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_handler import Fault, Handler, drop, status
from hub_server import Hub
from hub_store import Blob
from lawm_schemas import RemoteError

from lawm_data import Corpus
from lawm_data.exchange.hub import pull, push
from lawm_data.exchange.hub.remote import ChangedMeanwhile

INITIAL = {".gitattributes"}


def lose_answer(handler: Handler) -> bool:
    """Do what is asked, but hang up instead of saying so."""
    handler.wfile = io.BytesIO()
    handler.close_connection = True
    return False


def slow(handler: Handler) -> bool:
    time.sleep(0.5)
    return False


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "preupload", status(429, Retry_After="0")),
        Fault("PUT", "/lfs/", status(503)),
        Fault("PUT", "/lfs/", drop, skip=1),
        Fault("POST", "/commit/", status(429, Retry_After="0"), times=2),
        Fault("POST", "/commit/", lose_answer),
        Fault("GET", "lawm.json", status(503, Retry_After="0")),
        Fault("GET", "/tree/", status(500, Retry_After="0"), skip=1),
        Fault("POST", "/tag/", status(503, Retry_After="0")),
        Fault("PUT", "/lfs/", slow),
    ],
    ids=lambda fault: f"{fault.method} {fault.path} {fault.act.__name__}",
)
def test_what_passes_is_waited_for(
    hub: Hub, random_corpus: Callable, tmp_path: Path, fault: Fault
) -> None:
    corpus = random_corpus(lengths=(4, 6))
    hub.faults.append(fault)
    pushed = push(corpus, "user/cs")
    assert fault.times == 0
    assert pull("user/cs", tmp_path / "out").fingerprint == corpus.fingerprint
    assert len(hub.repos["user/cs"].commits) == 2
    assert hub.repos["user/cs"].tags == {pushed.tag: pushed.commit}


def says(content: object) -> Callable[[Handler], bool]:
    """Answer with something else."""

    def act(handler: Handler) -> bool:
        handler.answer(200, content)
        return True

    return act


@pytest.mark.parametrize("content", [None, [], [[1]], [{}], {"objects": [3]}, {"files": "x"}, "x"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/datasets/user/cs"),
        ("GET", "/tree/"),
        ("POST", "preupload"),
        ("POST", "/batch"),
        ("POST", "/commit/"),
    ],
)
def test_a_server_that_is_no_hub_is_named(
    hub: Hub, random_corpus: Callable, method: str, path: str, content: object
) -> None:
    corpus = random_corpus(lengths=(4,))
    hub.faults.append(Fault(method, path, says(content), times=99))
    with pytest.raises(RemoteError) as error:
        push(corpus, "user/cs")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("PUT", "/lfs/", status(400), skip=1), "the Hub answers 400"),
        (Fault("POST", "/batch", status(403)), "the token has no right"),
        (Fault("POST", "/commit/", status(400)), "the Hub answers 400"),
        (Fault("POST", "/commit/", status(403)), "the token has no right"),
        (Fault("POST", "/commit/", status(429, Retry_After="3600")), "in 3600 seconds"),
        (Fault("POST", "/commit/", status(412)), "changed by somebody else"),
    ],
    ids=lambda value: f"{value.method} {value.path}" if isinstance(value, Fault) else "",
)
def test_what_stays_is_one_line_and_leaves_nothing(
    hub: Hub, random_corpus: Callable, fault: Fault, words: str
) -> None:
    corpus = random_corpus(lengths=(4, 6), shards=2)
    hub.faults.append(fault)
    with pytest.raises(RemoteError, match=words) as error:
        push(corpus, "user/cs")
    assert "\n" not in str(error.value)
    repo = hub.repos["user/cs"]
    assert set(repo.files) == INITIAL
    sent = set(hub.lfs)
    hub.log.clear()
    push(corpus, "user/cs")
    assert not {path.rpartition("/")[2] for path in hub.uploads()} & sent
    assert len(repo.commits) == 2


def test_another_commit_in_the_meantime_is_not_overwritten(
    hub: Hub, random_corpus: Callable
) -> None:
    corpus = random_corpus(lengths=(4, 6))

    def interfere(handler: Handler) -> bool:
        repo = hub.repos["user/cs"]
        repo.put({**repo.files, "theirs.md": Blob(b"theirs", False)})
        return False

    hub.faults.append(Fault("POST", "/commit/", interfere))
    with pytest.raises(ChangedMeanwhile, match="nothing was overwritten"):
        push(corpus, "user/cs")
    assert set(hub.repos["user/cs"].files) == {*INITIAL, "theirs.md"}


def test_an_upload_that_arrived_altered_is_noticed(hub: Hub, random_corpus: Callable) -> None:
    def alter(handler: Handler) -> bool:
        for oid, data in hub.lfs.items():
            hub.lfs[oid] = data[:-1] + b"\0"
        return False

    hub.faults.append(Fault("POST", "/commit/", alter))
    with pytest.raises(RemoteError, match=r"is not what was sent .* was changed"):
        push(random_corpus(lengths=(4, 6)), "user/cs")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("hf_other", "the token has no right to do this; use a token that may write"),
        ("hf_unknown", "the Hub wants a token, or another one; log in"),
        ("", "the Hub wants a token, or another one; log in"),
    ],
)
def test_tokens(
    hub: Hub,
    random_corpus: Callable,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    words: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(RemoteError, match=words):
        push(random_corpus(lengths=(4,)), "user/cs")
    assert not hub.repos


def test_a_secret_repository_is_nowhere_for_others(
    hub: Hub, random_corpus: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    push(random_corpus(lengths=(4,)), "user/secret", private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(RemoteError, match="no such dataset repository"):
        pull("user/secret", tmp_path / "out")


def test_nobody_at_home(
    hub: Hub, random_corpus: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RemoteError, match="switched off by HF_HUB_OFFLINE"):
        pull("user/cs", tmp_path / "out")


def test_a_server_that_is_not_there_is_no_matter_of_versions(
    hub: Hub, random_corpus: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("lawm_data.exchange.hub.remote.WAITS", ())
    with pytest.raises(RemoteError, match=r"cannot be reached .* check the connection"):
        push(random_corpus(lengths=(4,)), "user/cs", dry_run=True)


PUSH = """
import sys
import time
from lawm_data import open_corpus
from lawm_data.exchange.hub import push
push(open_corpus(sys.argv[1]).with_mask("half"), "user/cs")
"""


@pytest.mark.parametrize(
    ("method", "path", "skip"),
    [("PUT", "/lfs/", 2), ("POST", "/commit/", 0), ("POST", "/tag/", 0)],
)
def test_a_killed_push_is_finished_by_the_next(
    hub: Hub, rich: Corpus, tmp_path: Path, method: str, path: str, skip: int
) -> None:
    children: list[subprocess.Popen] = []

    def kill(handler: Handler) -> bool:
        os.kill(children[0].pid, signal.SIGKILL)
        return False

    hub.faults.append(Fault(method, path, kill, skip=skip))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-c", PUSH, str(rich.path)]
    children.append(subprocess.Popen(words, env=environment, stderr=subprocess.PIPE))
    children[0].communicate()
    assert children[0].returncode == -signal.SIGKILL
    repo, sent = hub.repos["user/cs"], set(hub.lfs)
    complete = set(repo.files) > INITIAL
    # The server may finish what it was asked before the death.
    assert complete or set(repo.files) == INITIAL
    hub.log.clear()
    pushed = push(rich.with_mask("half"), "user/cs")
    assert not {name.rpartition("/")[2] for name in hub.uploads()} & sent
    assert pull("user/cs", tmp_path / "out").fingerprint == pushed.fingerprint
    assert len(repo.commits) == 2
    assert repo.tags == {pushed.tag: pushed.commit}
