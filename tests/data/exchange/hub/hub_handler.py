"""Requests: who asks, what was sent, and what goes wrong on purpose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from hub_store import Repo

if TYPE_CHECKING:
    from hub_server import Hub


@dataclass
class Fault:
    """What goes wrong with the next requests of a kind; ``act`` may answer, or return False."""

    method: str
    path: str
    act: Callable[[Handler], bool]
    skip: int = 0
    times: int = 1


def status(code: int, **headers: str) -> Callable[[Handler], bool]:
    def act(handler: Handler) -> bool:
        handler.body()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer(code, {"error": f"fault {code}"}, named)
        return True

    return act


def drop(handler: Handler) -> bool:
    """Take half of the request's body, and hang up."""
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)) // 2)
    handler.close_connection = True
    handler.connection.shutdown(2)
    return True


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client has gone
            self.close_connection = True

    def serve(self) -> None:
        self.read = False
        parts = urlsplit(self.path)
        self.query, path = parse_qs(parts.query), unquote(parts.path)
        with self.hub.lock:
            self.hub.log.append((self.command, path))
            fault = self.take_fault(path)
        if fault is not None and fault.act(self):
            return
        for method, pattern, answer in self.hub.routes:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split("|"):
                answer(self, *match.groups())
                return
        self.answer(404, {"error": f"no route for {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def take_fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.method == self.command and re.search(fault.path, path) and fault.times:
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def body(self) -> bytes:
        self.read = True
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(
        self, code: int, content: object = None, headers: dict[str, str] | None = None
    ) -> None:
        if not self.read:
            self.body()
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, kind: str) -> None:
        self.answer(404, {"error": kind}, {"X-Error-Code": kind, "X-Error-Message": kind})

    def user(self) -> str | None:
        """Who asks; None after the answer that nobody knows the token."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.hub.rights:
            return self.hub.rights[token]
        if token:
            words = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self.answer(401, {"error": "unknown token"}, words)
            return None
        return ""

    def readable(self, name: str) -> Repo | None:
        user, repo = self.user(), self.hub.repos.get(name)
        if user is None:
            return None
        if repo is None or (repo.private and user != name.split("/")[0]):
            self.missing("RepoNotFound")
            return None
        return repo

    def writable(self, name: str) -> Repo | None:
        user = self.user()
        if user is None:
            return None
        if user != name.split("/")[0]:
            code, words = (403, "no right to write") if user else (401, "no token")
            self.answer(code, {"error": words}, {"X-Error-Message": words})
            return None
        return self.readable(name)
