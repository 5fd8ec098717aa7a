"""The review on disk: an append-only SQLite event log, and the images it refers to.

Triggers forbid updates and deletions. An event is validated and written in one transaction, so concurrent experts
never lose a mark, even from different processes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmcr_bench.review.accounts import ROLES, Role
from mmcr_bench.review.keeper_log import Act
from mmcr_bench.review.rounds import CRITERIA_OF, NUM_EXPERTS, Event, Item, apply
from mmcr_bench.trust.agreement import Mark
from mmcr_dataset.endpoint.ledger_schema import make_private
from mmcr_dataset.record.dialogue import Dialogue, from_json, image_entries, to_json
from mmcr_dataset.record.recipe import RecipeName

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS image (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """A durable connection (full sync) that waits for other writers; the file alone holds every mark, so a copy does.

    Raises:
        ValueError: the file is not an SQLite database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    try:
        database = sqlite3.connect(path, isolation_level=None, timeout=30.0, check_same_thread=False)
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path}: not a usable review file ({error}); name another or restore a copy") from error
    return database


class ReviewLog:
    """An open review file.

    Attributes:
        num_experts: number of experts who must annotate each item; fixed when the file is created.
        recipe: whose criteria are flagged; fixed when the file is created.
    """

    def __init__(self, path: Path, num_experts: int = NUM_EXPERTS, recipe: RecipeName = "mmcr") -> None:
        self._db = open_database(path)
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'picture'").fetchone():
            self._db.execute("ALTER TABLE picture RENAME TO image")  # its name in version 0.1
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO setting VALUES ('num_experts', ?)", (num_experts,))
        self.num_experts = int(self._db.execute("SELECT value FROM setting WHERE name = 'num_experts'").fetchone()[0])
        is_new = self._db.execute("SELECT 1 FROM event LIMIT 1").fetchone() is None
        if recipe != "mmcr" and is_new:
            self._db.execute("INSERT OR IGNORE INTO setting VALUES ('recipe', ?)", (recipe,))
        stored = self._db.execute("SELECT value FROM setting WHERE name = 'recipe'").fetchone()
        self.recipe: RecipeName = "mmdu" if stored is not None and stored[0] == "mmdu" else "mmcr"
        self._items: dict[str, Item] = {}
        self._events: list[Event] = []
        self._lock = threading.RLock()

    @property
    def criteria(self) -> tuple[str, ...]:
        """What experts may flag."""
        return CRITERIA_OF[self.recipe]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def items(self) -> Mapping[str, Item]:
        """Current state of the review, by item name."""
        with self._lock:
            self._catch_up()
            return dict(self._items)

    def events(self) -> list[Event]:
        """All events, oldest first."""
        with self._lock:
            self._catch_up()
            return list(self._events)

    def last_mark(self, item: Item, expert: str) -> Event | None:
        """An expert's last mark of the item's current version, withdrawn or not; None if there is none."""
        marked = (event for event in reversed(self.events()) if event.kind == "marked" and event.actor == expert)
        return next((event for event in marked if (event.item, event.version) == (item.name, item.version)), None)

    def append(self, event: Event, check: Callable[[Mapping[str, Item]], None] | None = None) -> Item:
        """Append an event if it is valid; returns the item after it.

        Args:
            event: the event.
            check: called with the items inside the transaction; raises ReviewConflict against the event.

        Raises:
            ReviewConflict: the event is invalid in the current state; nothing is written.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._catch_up()
                if check is not None:
                    check(self._items)
                item = apply(self._items, event, self.num_experts, self.criteria)
                self._db.execute("INSERT INTO event (value) VALUES (?)", (json.dumps(asdict(event)),))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._catch_up()
            return item

    def _catch_up(self) -> None:
        """Apply the events that this or another process has written since the last call."""
        rows = self._db.execute("SELECT value FROM event WHERE seq > ? ORDER BY seq", (len(self._events),)).fetchall()
        for (text,) in rows:
            event = to_event(json.loads(text))
            self._items[event.item] = apply(self._items, event, self.num_experts, self.criteria)
            self._events.append(event)

    def add_dialogue(self, event: Event, dialogue: Dialogue) -> Item:
        """Append an event that carries a dialogue; its images are written first."""
        with self._lock:
            for image in dialogue.images:
                self._db.execute("INSERT OR IGNORE INTO image VALUES (?, ?)", (image.sha256, image.data))
        value = {**asdict(event), "flags": event.flags, "dialogue": to_json(dialogue)}
        return self.append(Event(**value))

    def images(self) -> Iterator[tuple[str, bytes]]:
        """All images with their hashes."""
        with self._lock:
            hashes = [row[0] for row in self._db.execute("SELECT sha256 FROM image ORDER BY sha256").fetchall()]
        return ((sha256, self.image(sha256) or b"") for sha256 in hashes)

    def image(self, sha256: str) -> bytes | None:
        """The bytes of an image by its hash, None if unknown."""
        with self._lock:
            row = self._db.execute("SELECT data FROM image WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else bytes(row[0])

    def dialogue(self, item: Item) -> Dialogue:
        """The current dialogue of an item with its images."""
        images: dict[str, bytes] = {}
        for image in image_entries(item.dialogue):
            data = self.image(image["sha256"])
            assert data is not None, f"image {image['sha256']} of {item.name} was stored before its event"
            images[image["sha256"]] = data
        return from_json(item.dialogue, images)


def to_marks(events: Iterable[Event]) -> list[Mark]:
    """The valid marks of all versions of the bench's items: each expert's last one, unless withdrawn."""
    last: dict[tuple[str, str], Mark] = {}
    planted: set[str] = set()
    for event in events:
        if event.kind == "opened" and event.flags:
            planted.add(event.item)
        if event.item in planted:
            continue
        key = (f"{event.item}#{event.version}", event.actor)
        if event.kind == "marked":
            last[key] = Mark(*key, frozenset(event.flags))
        elif event.kind == "withdrawn":
            last.pop(key, None)
    return list(last.values())


def export_lines(log: ReviewLog, roles: Mapping[str, str] | None = None, acts: Iterable[Act] = ()) -> Iterator[str]:
    """The whole review as JSON lines: the panel with the keepers' log, images, then events in their order.

    Args:
        log: the review.
        roles: role by name of an account; passwords are not exported.
        acts: what keepers did.
    """
    panel: dict[str, Any] = {"num_experts": log.num_experts, "roles": dict(roles or {})}
    panel |= {"acts": kept} if (kept := [act._asdict() for act in acts]) else {}
    yield json.dumps(panel if log.recipe == "mmcr" else panel | {"recipe": log.recipe})
    for sha256, data in log.images():
        yield json.dumps({"sha256": sha256, "base64": base64.b64encode(data).decode("ascii")})
    for event in log.events():
        yield json.dumps(asdict(event), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Panel:
    """The first line of an export.

    Attributes:
        num_experts: experts who mark each item, None for exports that don't say it.
        roles: role by name of an account.
        acts: what keepers did.
        recipe: whose criteria were flagged.
    """

    num_experts: int | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    acts: tuple[Act, ...] = ()
    recipe: RecipeName = "mmcr"


def read_panel(line: str) -> Panel:
    """Number of experts, roles and the keepers' log in the first line of an export; empty for exports without.

    Raises:
        ValueError: the line is no JSON object, or the number, a role or an act is not one.
    """
    value = json.loads(line)
    if not isinstance(value, dict) or "num_experts" not in value:
        return Panel()
    number, roles = value["num_experts"], value.get("roles", {})
    if type(number) is not int or number < 1 or set(roles.values()) - set(ROLES):
        raise ValueError(f"line 1: {line[:200]!r}: expected a number of experts, and the roles expert, keeper, former")
    try:
        acts = tuple(Act(**act) for act in value.get("acts", []))
    except TypeError as error:
        raise ValueError(f"line 1: an act of the keepers' log can't be read: {error}") from error
    return Panel(number, dict(roles), acts, "mmdu" if value.get("recipe") == "mmdu" else "mmcr")


def import_lines(log: ReviewLog, lines: Iterable[str]) -> int:
    """Import exported lines into an empty review; returns the number of events.

    Raises:
        ValueError: the review isn't empty, a line is malformed or conflicts, or an image is missing.
    """
    if log.events():
        raise ValueError("the review has events already; import into a new file")
    images: dict[str, bytes] = {}
    for number, line in enumerate(lines, start=1):
        try:
            value: dict[str, Any] = json.loads(line)
            if "num_experts" in value:
                continue
            if "base64" in value:
                data = base64.b64decode(value["base64"], validate=True)
                images[hashlib.sha256(data).hexdigest()] = data
                continue
            event = to_event(value)
            if event.dialogue is None:
                log.append(event)
            else:
                log.add_dialogue(event, from_json(event.dialogue, images))
        except KeyError as error:
            raise ValueError(f"line {number}: {error} is missing; the file is incomplete") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"line {number}: {error}") from error
    return len(log.events())


def to_event(value: Mapping[str, Any]) -> Event:
    """The event of a JSON value."""
    return Event(**{**value, "flags": tuple(value["flags"])})
