"""The keeper's page: flagged items, experts with their pace, locks, and the acts that change a review."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.forms import Form, first
from mmcr_bench.review.progress import (
    AGREEMENT_COLUMNS,
    DAY_S,
    count_recent,
    show_agreement,
    to_acts,
    to_decision,
    to_progress,
)
from mmcr_bench.review.rounds import Event

ACTS_SHOWN = 50
MEANINGS: Mapping[str, str] = {
    "open": "experts have still to mark it",
    "passed": "every expert has marked it, and no flag stands; it goes into the bench",
    "regenerate": "a flag stands: the command “review rewrite” asks the writer for a new version to mark",
    "replace": "flagged in more than three rounds: the command “review rewrite” draws another dialogue of its topic",
    "dropped": "taken out by a keeper, with a reason on the card",
    "lone flag": "one expert alone flagged it: decide whether the flag stands before it is written anew",
}


@dataclass(frozen=True, slots=True)
class FlaggedItem:
    """An item with flags of its current version.

    Attributes:
        name: id.
        version: current version.
        round: current round.
        status: what waits.
        flags: criteria with the number of experts.
        notes: what the experts wrote, with their names.
        is_lone: one expert alone flagged it, and nobody has decided.
    """

    name: str
    version: int
    round: int
    status: str
    flags: str
    notes: tuple[str, ...]
    is_lone: bool


@dataclass(frozen=True, slots=True)
class Expert:
    """An expert's progress.

    Attributes:
        name: name of the account.
        marked: items marked.
        left: open items not marked yet.
        last_day: marks in the last 24 hours.
        last_mark: when the last mark came.
        last_seen: when the account was used last.
        lags: more than twice as much is left as for the median expert, and at least five items.
    """

    name: str
    marked: int
    left: int
    last_day: int
    last_mark: str
    last_seen: str
    lags: bool


def to_overview(log: ReviewLog, accounts: Accounts) -> dict[str, object]:
    """Values of the page."""
    names = accounts.names("expert")
    acts = to_acts(log, accounts)[-ACTS_SHOWN:][::-1]
    return {
        "progress": to_progress(log, names),
        "meanings": MEANINGS,
        "agreement_columns": AGREEMENT_COLUMNS,
        "agreement": show_agreement(log),
        "flagged": list_flagged(log),
        "experts": list_experts(log, accounts),
        "former": accounts.names("former"),
        "locked": accounts.waiting_logins(),
        "acts": [(show_time(act.at), *act[1:]) for act in acts],
    }


def list_flagged(log: ReviewLog) -> list[FlaggedItem]:
    """Items of the bench with a flag that stands, lone flags first."""
    found = []
    for item in log.items().values():
        flags = Counter(flag for mark in item.marks.values() for flag in mark.flags)
        status = item.status(log.num_experts)
        if not flags or item.planted or status in ("dropped", "passed"):
            continue
        notes = tuple(f"{mark.actor}: {mark.note}" for mark in item.marks.values() if mark.note.strip())
        shown = ", ".join(f"{flag} {count}" for flag, count in sorted(flags.items()))
        lone = item.has_lone_flag(log.num_experts)
        found.append(FlaggedItem(item.name, item.version, item.round, status, shown, notes, lone))
    return sorted(found, key=lambda one: (not one.is_lone, one.status == "open", one.name))


def list_experts(log: ReviewLog, accounts: Accounts) -> list[Expert]:
    """Progress of each expert of the panel."""
    items, now = log.items(), time.time()
    recent, seen = count_recent(log.events(), now - DAY_S), accounts.last_seen()
    last = {event.actor: event.at for event in log.events() if event.kind == "marked"}
    left = {}
    for name in accounts.names("expert"):
        done = {name, *accounts.predecessors(name)}
        waiting = [item for item in items.values() if item.status(log.num_experts) == "open"]
        left[name] = sum(not done & item.marks.keys() for item in waiting)
    median = sorted(left.values())[len(left) // 2] if left else 0
    return [
        Expert(
            name,
            sum(name in item.marks for item in items.values()),
            count,
            recent[name],
            show_time(last.get(name)),
            show_time(seen.get(name)),
            count >= 5 and count > 2 * median,
        )
        for name, count in left.items()
    ]


def show_time(at: float | None) -> str:
    """A time in UTC to the minute; `never` for None."""
    return "never" if at is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def do_act(log: ReviewLog, accounts: Accounts, keeper: str, action: str, form: Form) -> None:
    """Do what a keeper's form asks for.

    Args:
        log: the review.
        accounts: its accounts.
        keeper: who asks.
        action: drop, dismiss, uphold, remove, add or reset.
        form: item or name, reason, successor, password.

    Raises:
        ValueError: it can't be done; the message says why.
    """
    item, name, reason = first(form, "item"), first(form, "name"), first(form, "reason")
    successor = first(form, "successor") or None
    if action == "drop":
        known = log.items().get(item)
        log.append(Event("dropped", item, known.version if known else 1, keeper, time.time(), note=reason))
    elif action in ("dismiss", "uphold"):
        log.append(to_decision(log, item, keeper, action == "dismiss", reason))
    elif action == "remove":
        accounts.remove(name, keeper, reason, successor)
    elif action == "add":
        if accounts.role_of(name) is not None:
            raise ValueError(f"there is an account {name!r} already; choose another name")
        accounts.add(name, first(form, "password"))
        accounts.note(keeper, "account", name, "expert")
    elif action == "reset":
        accounts.reset_lock(name, keeper)
    else:
        raise ValueError(f"{action!r} is no act of a keeper")
