"""The Batch API as part of the local chat server: files, batches, states, answers out of order, mishaps.

`FakeBatches.plan(number) -> BatchPlan` decides what becomes of the n-th batch that is made (from 0).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CREATED = 1_760_000_000  # a fixed date, so that two runs give the same bytes


@dataclass(frozen=True)
class BatchPlan:
    """What becomes of a batch: by default it is done the third time it is looked at, with all answers."""

    looks: int = 2
    answered: int | None = None  # only so many lines are answered, then the batch expires
    forgotten: int = 0  # so many lines come back neither as answer nor as error
    refused: str | None = None  # the code of a failed validation
    lost_reply: bool = False  # the batch is made, and the connection breaks before we hear of it


@dataclass
class FakeBatches:
    """Files and batches of one server; `complete` gives the (status, body) of a single request."""

    complete: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
    plan: Callable[[int], BatchPlan] = lambda number: BatchPlan()
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests of all batches that were taken."""
        taken = [batch for batch in self.batches.values() if batch["status"] != "failed"]
        return [json.loads(line)["body"] for b in taken for line in self.files[b["input_file_id"]].splitlines()]

    def upload(self, content_type: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """POST /v1/files: multipart with `purpose` and `file`."""
        boundary = b"--" + content_type.split("boundary=")[1].strip('"').encode()
        parts = {}
        for part in body.split(boundary)[1:-1]:
            head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
            parts[head.split(b'name="')[1].split(b'"')[0].decode()] = content
        if parts.get("purpose") != b"batch" or "file" not in parts:
            return 400, {"error": {"message": "expected purpose=batch and a file", "code": None}}
        with self.lock:
            file_id = f"file-{len(self.files)}"
            self.files[file_id] = parts["file"]
        return 200, {"id": file_id, "object": "file", "purpose": "batch", "bytes": len(parts["file"])}

    def create(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """POST /v1/batches."""
        if request.get("endpoint") != "/v1/chat/completions" or request.get("completion_window") != "24h":
            return 400, {"error": {"message": "wrong endpoint or window", "code": None}}
        with self.lock:
            number = len(self.batches)
            batch = {
                "id": f"batch_{number}",
                "object": "batch",
                "created_at": CREATED,
                "status": "validating",
                "metadata": request.get("metadata"),
                "input_file_id": request["input_file_id"],
                "looks_left": self.plan(number).looks,
            }
            self.batches[f"batch_{number}"] = batch
        return 200, dict(batch)

    def look(self, batch_id: str) -> tuple[int, dict[str, Any]]:
        """GET /v1/batches/ID: moves on at each look."""
        with self.lock:
            batch = self.batches[batch_id]
            plan = self.plan(int(batch_id.split("_")[1]))
            if batch["status"] in ("validating", "in_progress"):
                batch["looks_left"] -= 1
                batch["status"] = "in_progress"
                if batch["looks_left"] < 0:
                    self._end(batch, plan)
            return 200, dict(batch)

    def content(self, file_id: str) -> tuple[int, bytes]:
        """GET /v1/files/ID/content."""
        return 200, self.files[file_id]

    def _end(self, batch: dict[str, Any], plan: BatchPlan) -> None:
        if plan.refused:
            errors = [{"code": plan.refused, "message": f"refused: {plan.refused}", "line": 1}]
            batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        good, bad = [], []
        for place, line in enumerate(lines[plan.forgotten :]):
            if plan.answered is not None and place >= plan.answered:
                expired = {"code": "batch_expired", "message": "This request could not be executed in time."}
                bad.append({"id": "r", "custom_id": line["custom_id"], "response": None, "error": expired})
                continue
            status, body = self.complete(line["body"])
            response = {"status_code": status, "request_id": "q", "body": body}
            (good if status == 200 else bad).append(
                {"id": "r", "custom_id": line["custom_id"], "response": response, "error": None}
            )
        batch["status"] = "completed" if plan.answered is None else "expired"
        batch["completed_at"] = CREATED + 60
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        for kind, rows in (("output", good), ("error", bad)):
            if rows:
                file_id = f"file-{kind}-{batch['id']}"
                self.files[file_id] = "".join(json.dumps(row) + "\n" for row in reversed(rows)).encode()
                batch[f"{kind}_file_id"] = file_id

    def list(self, after: str | None) -> tuple[int, dict[str, Any]]:
        """GET /v1/batches: newest first, three a page."""
        with self.lock:
            ids = list(self.batches)[::-1]
            ids = ids[ids.index(after) + 1 :] if after else ids
            data = [dict(self.batches[batch_id]) for batch_id in ids[:3]]
        return 200, {"object": "list", "data": data, "has_more": len(ids) > 3}
