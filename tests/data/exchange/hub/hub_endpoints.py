"""The endpoints that the client of the Hub asks for, each a method of the handler."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from urllib.parse import parse_qs, urlsplit

from hub_handler import Handler
from hub_store import ATTRIBUTES, Blob, Repo

PAGE = 7
"""Entries of one page of a listing: few, so that paging happens."""
LARGE = (".h5", ".parquet", ".png")


class Endpoints(Handler):
    """Answers of the Hub."""

    def create(self) -> None:
        asked = json.loads(self.body())
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repos:
            self.answer(409, {"error": "exists"})
            return
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.hub.repos[name] = Repo(private)
        if self.writable(name) is None:
            del self.hub.repos[name]
            return
        self.hub.repos[name].put({".gitattributes": Blob(ATTRIBUTES, False)})
        self.answer(200, {"url": f"{self.hub.url}/datasets/{name}", "id": name, "name": name})

    def preupload(self, name: str, _revision: str) -> None:
        asked = json.loads(self.body())
        repo = self.writable(name)
        if repo is None:
            return
        files = []
        for file in asked["files"]:
            large, there = file["path"].endswith(LARGE), repo.files.get(file["path"])
            oid = None if there is None else there.sha256 if there.large else there.oid
            mode = "lfs" if large else "regular"
            about = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}
            files.append(about)
        self.answer(200, {"files": files})

    def batch(self, name: str) -> None:
        asked = json.loads(self.body())
        if self.writable(name) is None:
            return
        objects = []
        for item in asked["objects"]:
            entry = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.lfs:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
            objects.append(entry)
        self.answer(200, {"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        data = self.body()
        if hashlib.sha256(data).hexdigest() != oid:
            self.answer(400, {"error": "the checksum differs"})
            return
        self.hub.lfs[oid] = data
        self.answer(200, {})

    def commit(self, name: str, _revision: str) -> None:
        lines = [json.loads(line) for line in self.body().splitlines()]
        repo = self.writable(name)
        if repo is None:
            return
        with self.hub.lock:
            if lines[0]["value"].get("parentCommit", repo.head) != repo.head:
                self.answer(412, {"error": "the head has moved"})
                return
            files = dict(repo.files)
            for line in lines[1:]:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
                elif line["key"] == "lfsFile":
                    if value["oid"] not in self.hub.lfs:
                        self.answer(400, {"error": "was not uploaded"})
                        return
                    files[value["path"]] = Blob(self.hub.lfs[value["oid"]], True)
                else:
                    del files[value["path"]]
            oid = repo.put(files)
        self.answer(
            200, {"commitUrl": f"{self.hub.url}/datasets/{name}/commit/{oid}", "commitOid": oid}
        )

    def info(self, name: str, revision: str | None = None) -> None:
        repo = self.readable(name)
        if repo is None:
            return
        commit = repo.find(revision or "main")
        if commit is None:
            self.missing("RevisionNotFound")
            return
        siblings = [{"rfilename": path} for path in repo.commits[commit]]
        about = {"id": name, "sha": commit, "private": repo.private, "siblings": siblings}
        self.answer(200, {**about, "tags": [], "downloads": 0, "likes": 0, "gated": False})

    def entry(self, path: str, blob: Blob) -> dict:
        entry = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
        if blob.large:
            entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 130}
        return entry | self.hub.listed.get(path, {})

    def found(self, name: str, revision: str) -> dict[str, Blob] | None:
        repo = self.readable(name)
        commit = None if repo is None else repo.find(revision)
        if repo is not None and commit is None:
            self.missing("RevisionNotFound")
        return None if repo is None or commit is None else repo.commits[commit]

    def tree(self, name: str, revision: str, folder: str | None) -> None:
        files = self.found(name, revision)
        if files is None:
            return
        prefix = f"{folder}/" if folder else ""
        deep = self.query.get("recursive", ["false"])[0].lower() == "true"
        entries: dict[str, dict] = {}
        for path, blob in sorted(files.items()):
            if path.startswith(prefix):
                rest = path.removeprefix(prefix).split("/")
                for depth in range(1, len(rest) if deep else min(2, len(rest))):
                    parent = prefix + "/".join(rest[:depth])
                    entry = {"type": "directory", "path": parent, "oid": "0" * 40, "size": 0}
                    entries.setdefault(parent, entry)
                if deep or len(rest) == 1:
                    entries[path] = self.entry(path, blob)
        if folder and not entries:
            self.missing("EntryNotFound")
            return
        start = int(self.query.get("cursor", ["0"])[0])
        page, link = list(entries.values())[start : start + PAGE], {}
        if start + PAGE < len(entries):
            here = urlsplit(self.path).path
            query = f"recursive={str(deep).lower()}&cursor={start + PAGE}"
            link = {"Link": f'<{self.hub.url}{here}?{query}>; rel="next"'}
        self.answer(200, page, link)

    def paths_info(self, name: str, revision: str) -> None:
        asked = self.body().decode()
        kind = self.headers.get("Content-Type", "")
        paths = json.loads(asked)["paths"] if "json" in kind else parse_qs(asked).get("paths", [])
        files = self.found(name, revision)
        if files is None:
            return
        entry = [self.entry(path, files[path]) for path in paths if path in files]
        for path in paths:
            if any(other.startswith(f"{path}/") for other in files):
                entry.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        self.answer(200, entry)

    def resolve(self, name: str, revision: str, path: str) -> None:
        files = self.found(name, revision)
        if files is None:
            return
        if path not in files:
            self.missing("EntryNotFound")
            return
        blob, repo = files[path], self.hub.repos[name]
        data = self.hub.served.get(path, blob.data)
        headers = {
            "ETag": f'"{blob.sha256 if blob.large else blob.oid}"',
            "X-Repo-Commit": str(repo.find(revision)),
            "Accept-Ranges": "bytes",
        }
        if blob.large:
            size = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{blob.sha256}"'}
            headers |= size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.command == "GET":
            first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self.answer(206, data[first : last + 1], headers)
            return
        self.answer(200, data, headers)

    def tag(self, name: str, revision: str) -> None:
        asked = json.loads(self.body())
        repo = self.writable(name)
        if repo is None:
            return
        if asked["tag"] in repo.tags:
            self.answer(409, {"error": "the tag exists"})
            return
        repo.tags[asked["tag"]] = str(repo.find(revision))
        self.answer(200, {})

    def fine(self) -> None:
        self.body()
        self.answer(200, {"errors": [], "warnings": []})


NAME = r"([^/]+/[^/]+)"
ROUTES = (
    ("POST", "/api/repos/create", Endpoints.create),
    ("POST", "/api/validate-yaml", Endpoints.fine),
    ("POST", f"/api/datasets/{NAME}/preupload/(.+)", Endpoints.preupload),
    ("POST", rf"/datasets/{NAME}\.git/info/lfs/objects/batch", Endpoints.batch),
    ("PUT", "/lfs/([0-9a-f]{64})", Endpoints.store),
    ("POST", f"/api/datasets/{NAME}/commit/(.+)", Endpoints.commit),
    ("POST", f"/api/datasets/{NAME}/tag/(.+)", Endpoints.tag),
    ("GET", f"/api/datasets/{NAME}/tree/([^/]+)(?:/(.+))?", Endpoints.tree),
    ("POST", f"/api/datasets/{NAME}/paths-info/(.+)", Endpoints.paths_info),
    ("GET", f"/api/datasets/{NAME}(?:/revision/(.+))?", Endpoints.info),
    ("GET|HEAD", f"/datasets/{NAME}/resolve/([^/]+)/(.+)", Endpoints.resolve),
)
