"""Opt-outs that a host publishes as files: robots.txt (RFC 9309) and /.well-known/tdmrep.json (TDMRep).

Those in the headers of an image's own answer (X-Robots-Tag, tdm-reservation) are read in transfer.py.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import quote, unquote

from yarl import URL

from mmcr_dataset.record.images import ImageError

AGENT = "mmcr-dataset"  # our name in robots.txt
FILE_BYTES_MAX = 500_000  # RFC 9309, 2.5: a crawler reads at least 500 KiB
_RULES_MAX_CHARACTERS = 100_000  # kept of a host, so that many hosts fit in memory
_HOSTS_MAX = 1000
_SAFE = "/*$?&=:@!+,;()'~"
FetchText = Callable[[URL], Awaitable[tuple[int, str]]]  # status (0 for no answer) and text


class Rule(NamedTuple):
    """A path with `*` and a `$` at its end, and whether what it names may be used."""

    path: str
    allowed: bool


class OptOuts:
    """What hosts say, asked once a host.

    Args:
        fetch_text: fetches a small text file.
    """

    def __init__(self, fetch_text: FetchText) -> None:
        self._fetch_text = fetch_text
        self._hosts: OrderedDict[URL, asyncio.Task[tuple[list[Rule] | None, list[Rule]]]] = OrderedDict()

    async def check(self, url: URL) -> None:
        """Check that the host lets this URL be used.

        Raises:
            ImageError: robots_disallowed, tdm_reserved; robots_unknown if the host can't say now.
        """
        origin = url.origin()
        task = self._hosts.get(origin)
        if task is None:
            task = self._hosts[origin] = asyncio.create_task(self._ask(origin))
            while len(self._hosts) > _HOSTS_MAX:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(origin)
        robots, tdm = await asyncio.shield(task)
        if robots is None:
            raise ImageError("robots_unknown", f"{origin}/robots.txt can't be read now")
        path = url.raw_path_qs
        if not is_allowed(robots, path):
            raise ImageError("robots_disallowed", f"{url}: {origin}/robots.txt disallows it")
        if not is_allowed(tdm, path):
            raise ImageError("tdm_reserved", f"{url}: reserved by {origin}/.well-known/tdmrep.json")

    async def close(self) -> None:
        """Stop what is being asked."""
        for task in self._hosts.values():
            task.cancel()
        await asyncio.gather(*self._hosts.values(), return_exceptions=True)

    async def _ask(self, origin: URL) -> tuple[list[Rule] | None, list[Rule]]:
        """Rules of both files; None for robots.txt if the server fails. A missing file forbids nothing."""
        (status, robots), (tdm_status, tdm) = await asyncio.gather(
            self._fetch_text(origin / "robots.txt"), self._fetch_text(origin / ".well-known/tdmrep.json")
        )
        is_unknown = status >= 500 or status == 429
        rules = None if is_unknown else read_robots(robots) if status == 200 else []
        return rules, read_tdmrep(tdm) if tdm_status == 200 else []


def read_robots(text: str, agent: str = AGENT) -> list[Rule]:
    """The rules of a robots.txt for an agent: those of the groups that name it, else those for all."""
    groups: dict[bool, list[Rule]] = {}
    named: set[bool] = set()  # of the current group: True for our name, False for `*`
    is_head = False
    for line in text.lstrip("\ufeff").splitlines():
        field, _, value = line.partition("#")[0].partition(":")
        field, value = field.strip().lower(), value.strip()
        if field == "user-agent":
            named = named if is_head else set()
            is_head = True
            name = value.lower()
            if name in (agent, "*"):
                named.add(name == agent)
                groups.setdefault(name == agent, [])
        elif field in ("allow", "disallow"):
            is_head = False
            for group in named:
                if value:
                    groups[group].append(Rule(_normal(value), field == "allow"))
    return _bounded(groups.get(True, groups.get(False, [])))


def read_tdmrep(text: str) -> list[Rule]:
    """The rules of a tdmrep.json; none for what is no such file.

    Example: `[{"location": "/images/*", "tdm-reservation": 1}]`
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    rules = [(one.get("location"), str(one.get("tdm-reservation")).strip() == "1") for one in found]
    return _bounded([Rule(_normal(path), not reserved) for path, reserved in rules if isinstance(path, str) and path])


def is_allowed(rules: list[Rule], path: str) -> bool:
    """True unless the longest rule that names the path forbids it; of equal ones the one that allows counts."""
    path = _normal(path)
    found = [rule for rule in rules if _names(rule.path, path)]
    return max(found, key=lambda rule: (len(rule.path), rule.allowed)).allowed if found else True


def _names(pattern: str, path: str) -> bool:
    """True if a pattern with `*` and a `$` at its end names the beginning of a path (with `$`, all of it)."""
    is_whole = pattern.endswith("$")
    first, *pieces = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not pieces:
        return not is_whole or path == first
    at = len(first)
    for piece in pieces[: -1 if is_whole else None]:
        at = path.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return not is_whole or (path.endswith(pieces[-1]) and len(path) - len(pieces[-1]) >= at)


def _normal(path: str) -> str:
    """A path in one spelling of its escapes, so that /a%3cb is /a%3Cb."""
    text = quote(unquote(path, errors="surrogateescape"), safe=_SAFE, errors="surrogateescape")
    return text if text.startswith(("/", "*")) else f"/{text}"


def _bounded(rules: list[Rule]) -> list[Rule]:
    """The rules, up to a limit on their length; beyond it everything is forbidden: what was cut may forbid it."""
    length = 0
    for number, rule in enumerate(rules):
        length += len(rule.path)
        if length > _RULES_MAX_CHARACTERS:
            return [*rules[:number], Rule("/", False)]
    return rules
