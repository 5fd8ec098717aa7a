"""A small local Hub for data sets and models: the HTTP routes of huggingface_hub and datasets, on 127.0.0.1.

Create, branches, preupload, LFS, commit, pull request, tree, paths-info, resolve with ranges. Keeps files in memory and
counts what was sent. `fail(method, path)` may return a status that is answered instead.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from tests.local_server import Handler, LocalServer
from tests.local_xet import XetStore

_DATE = "2026-01-01T00:00:00.000Z"
_DATASET = r"/api/(?:datasets|models)/(?P<repo>[^/]+/[^/]+)"
_ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("POST", _DATASET + r"/branch/(?P<revision>.+)", "branch"),
    ("POST", _DATASET + r"/preupload/(?P<revision>[^/]+)", "preupload"),
    ("GET", _DATASET + r"/xet-(?P<kind>write|read)-token/(?P<revision>[^/]+)", "xet_token"),
    ("POST", _DATASET + r"/commit/(?P<revision>[^/]+)", "commit"),
    ("GET", _DATASET + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", "tree"),
    ("POST", _DATASET + r"/paths-info/(?P<revision>[^/]+)", "paths_info"),
    ("POST", _DATASET + r"/super-squash/(?P<revision>[^/]+)", "squash"),
    ("POST", _DATASET + r"/discussions/(?P<number>[0-9]+)/merge", "merge"),
    ("GET", _DATASET + r"/refs", "list_refs"),
    ("GET", _DATASET + r"/revision/(?P<revision>[^/]+)", "info"),
    ("GET", _DATASET, "info"),
    ("PUT", _DATASET + r"/settings", "settings"),
    ("POST", r"(?:/datasets)?/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", "lfs_put"),
    ("GET", r"(?:/datasets)?/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    ("HEAD", r"(?:/datasets)?/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
]


class Refused(Exception):
    """An error answer, with the code that the client reads."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Repo:
    """A repository: branches point to commits, a commit is the files it holds (path -> sha256)."""

    private: bool = False
    gated: str | bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, str]] = field(default_factory=dict)
    num_pull_requests: int = 0

    def commit(self, ref: str, files: dict[str, str]) -> str:
        sha = hashlib.sha1(f"{ref} {len(self.commits)} {sorted(files.items())}".encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        return sha


class LocalHub(LocalServer):
    """The server; `.url` is what HF_ENDPOINT is set to."""

    def __init__(
        self, fail: Callable[[str, str], int | None] = lambda method, path: None, xet: XetStore | None = None
    ) -> None:
        self.xet = xet
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.num_bytes_received = 0
        self.reads: list[tuple[str, int]] = []  # path and number of bytes of each file that was asked for, in order
        self.fail = fail
        self.lock = threading.Lock()
        super().__init__(type("Routes", (_Routes,), {"hub": self}))

    def put(self, repo: str, files: dict[str, bytes]) -> None:
        """Make a repository that holds these files."""
        oids = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
        self.blobs |= {oids[path]: data for path, data in files.items()}
        self.repos[repo] = Repo()
        self.repos[repo].commit("main", oids)

    def files(self, repo: str, ref: str = "main") -> list[str]:
        """Paths on a branch."""
        found = self.repos[repo]
        return sorted(found.commits[found.refs[ref]])


class _Routes(Handler):
    hub: LocalHub

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query))
        self.body = self._read_body()
        try:
            status = self.hub.fail(self.command, parts.path)
            if status is not None:
                raise Refused(status, "Injected")
            for method, pattern, name in _ROUTES:
                match = re.fullmatch(pattern, parts.path)
                if match and method == self.command:
                    found = {key: unquote(value) if value else value for key, value in match.groupdict().items()}
                    with self.hub.lock:
                        answer = getattr(self, name)(**found)
                    if answer is not None:
                        self._send_json(answer)
                    return
            raise Refused(404, "EntryNotFound")
        except Refused as refused:
            self._send_json({"error": refused.code}, refused.status, {"X-Error-Code": refused.code})

    do_GET = do_POST = do_PUT = do_HEAD = _answer

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    def _at(self, repo: str, revision: str) -> tuple[Repo, str, dict[str, str]]:
        if repo not in self.hub.repos:
            raise Refused(404, "RepoNotFound")
        found = self.hub.repos[repo]
        sha = found.refs.get(revision, revision)
        if sha not in found.commits:
            raise Refused(404, "RevisionNotFound")
        return found, sha, found.commits[sha]

    def whoami(self) -> Any:
        return {"type": "user", "name": "tester", "auth": {"type": "access_token", "accessToken": {"role": "write"}}}

    def create(self) -> Any:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
        url = f"{self.hub.url}/datasets/{name}"
        if name in self.hub.repos:
            return self._send_json({"error": "exists", "url": url, "name": name}, 409)
        self.hub.repos[name] = Repo(private=bool(asked.get("private")) or asked.get("visibility") == "private")
        self.hub.repos[name].commit("main", {".gitattributes": self._keep(b"*.parquet filter=lfs\n")})
        return {"url": url, "name": name}

    def validate(self) -> Any:
        return {"errors": [], "warnings": []}

    def branch(self, repo: str, revision: str) -> Any:
        found, sha, _ = self._at(repo, "main")
        if revision in found.refs:
            raise Refused(409, "Conflict")
        found.refs[revision] = sha
        return {}

    def squash(self, repo: str, revision: str) -> Any:
        found, _, files = self._at(repo, revision)
        kept = {sha for ref, sha in found.refs.items() if ref != revision}
        for sha in found.commits.keys() - kept:
            del found.commits[sha]
        found.commit(revision, files)
        return {}

    def merge(self, repo: str, number: str) -> Any:
        found, _, files = self._at(repo, f"refs/pr/{number}")
        found.commit("main", files)
        return {}

    def list_refs(self, repo: str) -> Any:
        found, _, _ = self._at(repo, "main")
        refs = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in found.refs.items()]
        pull_requests = [ref for ref in refs if ref["name"].startswith("refs/pr/")]
        branches = [ref for ref in refs if ref not in pull_requests]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": pull_requests}

    def info(self, repo: str, revision: str = "main") -> Any:
        found, sha, files = self._at(repo, revision)
        siblings = [{"rfilename": path} for path in files]
        times = {"lastModified": _DATE, "createdAt": _DATE}
        flags = {
            "private": found.private,
            "gated": found.gated,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
        }
        return {"_id": "0", "id": repo, "sha": sha, "siblings": siblings, **times, **flags}

    def preupload(self, repo: str, revision: str) -> Any:
        _, _, files = self._at(repo, "main" if self.query.get("create_pr") else revision)
        answers = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if file["path"].endswith(".parquet") else "regular"
            oid = files.get(file["path"])
            known = _git_oid(self.hub.blobs[oid]) if oid and mode == "regular" else oid
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": known})
        return {"files": answers}

    def settings(self, repo: str) -> Any:
        found, _, _ = self._at(repo, "main")
        found.gated = json.loads(self.body).get("gated", found.gated)
        return {}

    def xet_token(self, repo: str, kind: str, revision: str) -> Any:
        if self.hub.xet is None:
            raise Refused(404, "NotFound")
        token = {"accessToken": kind, "exp": int(time.time()) + 3600, "casUrl": self.hub.xet.address}
        headers = {"X-Xet-Cas-Url": self.hub.xet.address, "X-Xet-Access-Token": kind}
        return self._send_json(token, 200, headers | {"X-Xet-Token-Expiration": str(token["exp"])})

    def lfs_batch(self, repo: str) -> Any:
        objects = []
        for entry in json.loads(self.body)["objects"]:
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.hub.blobs:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{entry['oid']}", "header": {}}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}

    def lfs_put(self, oid: str) -> Any:
        if self._keep(self.body) != oid:
            raise Refused(400, "BadDigest")
        self.hub.num_bytes_received += len(self.body)
        return self._send(b"")

    def _keep(self, data: bytes) -> str:
        oid = hashlib.sha256(data).hexdigest()
        self.hub.blobs[oid] = data
        return oid

    def commit(self, repo: str, revision: str) -> Any:
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        as_pr = bool(self.query.get("create_pr"))
        found, sha, before = self._at(repo, "main" if as_pr else revision)
        parent = lines[0]["value"].get("parentCommit")
        if parent and parent != sha:
            raise Refused(412, "PreconditionFailed")
        files = dict(before)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = self._keep(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs and not self._take_from_xet(value["oid"], value.get("size")):
                    raise Refused(400, "BadRequest")
                files[value["path"]] = value["oid"]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        url = f"{self.hub.url}/datasets/{repo}"
        answer = {}
        if as_pr:
            found.num_pull_requests += 1
            revision = f"refs/pr/{found.num_pull_requests}"
            answer = {"pullRequestUrl": f"{url}/discussions/{found.num_pull_requests}"}
        oid = found.commit(revision, files)
        return {"success": True, "commitOid": oid, "commitUrl": f"{url}/commit/{oid}", "hookOutput": ""} | answer

    def _take_from_xet(self, oid: str, size: int | None) -> bool:
        data = self.hub.xet.read(oid, size) if self.hub.xet is not None else None
        return data is not None and self._keep(data) == oid

    def _entry(self, path: str, oid: str) -> dict[str, Any]:
        data = self.hub.blobs[oid]
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _git_oid(data)}
        if path.endswith(".parquet"):
            entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 134}
            xet_hash = self.hub.xet.hashes().get(oid) if self.hub.xet is not None else None
            if xet_hash is not None:
                entry["xetHash"] = xet_hash
        return entry

    def tree(self, repo: str, revision: str, path: str | None = None) -> Any:
        _, _, files = self._at(repo, revision)
        start = f"{path.rstrip('/')}/" if path else ""
        inside = {name: oid for name, oid in sorted(files.items()) if name.startswith(start)}
        if path and not inside:
            raise Refused(404, "EntryNotFound")
        deep = self.query.get("recursive", "").lower() in ("1", "true")
        folders = {start + name[len(start) :].split("/")[0] for name in inside if "/" in name[len(start) :]}
        shown = [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders)]
        return shown + [self._entry(n, oid) for n, oid in inside.items() if deep or "/" not in n[len(start) :]]

    def paths_info(self, repo: str, revision: str) -> Any:
        _, _, files = self._at(repo, revision)
        if "json" in (self.headers.get("Content-Type") or ""):
            paths = json.loads(self.body)["paths"]
        else:
            paths = parse_qs(self.body.decode())["paths"]
        asked = [paths] if isinstance(paths, str) else paths
        folders = [p for p in asked if any(name.startswith(f"{p.rstrip('/')}/") for name in files)]
        found = [self._entry(p, files[p]) for p in asked if p in files]
        return found + [{"type": "directory", "path": p, "size": 0, "oid": "0" * 40} for p in folders]

    def resolve(self, repo: str, revision: str, path: str) -> Any:
        _, sha, files = self._at(repo, revision)
        if path not in files:
            raise Refused(404, "EntryNotFound")
        data = self.hub.blobs[files[path]]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{files[path]}"', "Accept-Ranges": "bytes"}
        xet_hash = self.hub.xet.hashes().get(files[path]) if self.hub.xet is not None else None
        if xet_hash is not None:
            token = f"{self.hub.url}/api/datasets/{repo}/xet-read-token/{sha}"
            headers |= {"X-Xet-Hash": xet_hash, "Link": f'<{token}>; rel="xet-auth"'}
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(data))}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            self._note(path, len(data))
            return self._send(data, 200, headers)
        first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
        last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
        if first > last:
            return self._send(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._note(path, last + 1 - first)
        return self._send(data[first : last + 1], 206, headers)

    def _note(self, path: str, num_bytes: int) -> None:
        if self.command == "GET":
            self.hub.reads.append((path, num_bytes))


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
