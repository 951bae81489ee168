"""A server on loopback that speaks the Hub's protocol for datasets, in memory, with faults."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer

from hub_endpoints import ROUTES, Endpoints
from hub_handler import Fault
from hub_store import Repo

TOKEN = "hf_good"


class Hub:
    """The server; ``with Hub() as hub``."""

    def __init__(self) -> None:
        self.routes = ROUTES
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.rights = {TOKEN: "user", "hf_other": "other"}
        """Whose repositories a token may write."""
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str]] = []
        self.served: dict[str, bytes] = {}
        """Other content for a path: a server that lies."""
        self.listed: dict[str, dict] = {}
        """Changes of what the listing says of a path."""
        self.lock = threading.Lock()
        hub = self

        class Bound(Endpoints):
            pass

        Bound.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def uploads(self) -> list[str]:
        return [path for method, path in self.log if method == "PUT"]
