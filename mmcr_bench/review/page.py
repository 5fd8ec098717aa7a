"""The experts' web page: log in, read a dialogue, pass or flag it by keyboard, next item. Plain HTML forms.

Every text of a dialogue is escaped; the Content-Security-Policy blocks foreign scripts and resources.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from mmcr_bench.review.accounts import Accounts, User
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.forms import Form, Refused, first, read_form
from mmcr_bench.review.keeper_page import do_act, to_overview
from mmcr_bench.review.progress import next_item, to_next_steps
from mmcr_bench.review.rounds import Event, Item, Kind, ReviewConflict
from mmcr_bench.review.shown import SHOWN_CRITERIA, find_before, to_shown_turns
from mmcr_bench.review.site_pages import Site, make_site

NOTE_MAX = 4000


class Pages(Site):
    """The request handlers, one method per page."""

    def __init__(
        self, log: ReviewLog, accounts: Accounts, public_url: str | None = None, min_view_s: float = 0.0
    ) -> None:
        super().__init__(accounts, public_url)
        self.log = log
        self.min_view_s = min_view_s
        self._first_shown: dict[tuple[str, str, int], float] = {}  # by expert, item, version

    async def start(self, request: Request) -> Response:
        """An expert's next item, or the keeper's overview."""
        user = self.user(request)
        if user is None:
            return RedirectResponse("/login", 303)
        if user.role == "keeper":
            return RedirectResponse("/progress", 303)
        items = self.log.items()
        name = next_item(items, user.name, self.log.num_experts, self.accounts.predecessors(user.name))
        done = request.query_params.get("done")
        if name is None:
            steps = to_next_steps(self.log, self.accounts.names("expert"), user.name)
            done_item = items.get(done or "")
            return self.show("done.html", user=user, done=done_item, steps=steps, **self._counts(items, user))
        return self._show_item(user, items, items[name], items.get(done or ""))

    async def item(self, request: Request, name: str) -> Response:
        """One item by its name.

        Raises:
            Refused: the user is no expert, or there is no such item.
        """
        user = self._expert(request)
        items = self.log.items()
        if name not in items:
            raise Refused(404, "This item is not in the review.")
        return self._show_item(user, items, items[name], None)

    def _show_item(
        self,
        user: User,
        items: Mapping[str, Item],
        item: Item,
        done: Item | None,
        notice: str = "",
        unsent: Event | None = None,
    ) -> HTMLResponse:
        mine = unsent or item.marks.get(user.name) or self.log.last_mark(item, user.name)  # after undo: the withdrawn
        return self.show(
            "item.html",
            status=409 if notice else 200,
            user=user,
            item=item,
            turns=to_shown_turns(item.dialogue),
            mine=mine,
            seen=self._stamp(item, user.name),
            done=done if done is not None and user.name in done.marks else None,
            criteria=SHOWN_CRITERIA[self.log.recipe],
            before=find_before(self.log.events(), item),
            num_experts=self.log.num_experts,
            note_max=NOTE_MAX,
            notice=notice,
            wait_s=0 if user.name in item.marks else math.ceil(self._wait_s(user, item)),
            **self._counts(items, user),
        )

    def _wait_s(self, user: User, item: Item) -> float:
        """Seconds until a mark may be stored; the first call for a version starts the clock."""
        now = time.monotonic()
        since = self._first_shown.setdefault((user.name, item.name, item.version), now)
        return max(0.0, self.min_view_s - (now - since))

    def _counts(self, items: Mapping[str, Item], user: User) -> dict[str, int]:
        done = {user.name, *self.accounts.predecessors(user.name)}
        to_mark = [item for item in items.values() if not item.dropped]
        return {"num_items": len(to_mark), "num_mine": sum(bool(done & item.marks.keys()) for item in to_mark)}

    async def mark(self, request: Request, name: str) -> Response:
        """Store an expert's mark."""
        form = await read_form(request, self.public_url)
        note = first(form, "note").replace("\r\n", "\n")  # browsers send a line break as two characters
        flags = tuple(dict.fromkeys(form.get("flag", [])))
        said = f"flags: {', '.join(flags) or 'none'}; note: {note or 'none'}"
        try:
            user = self._checked(request, form, "expert")
        except Refused as refused:
            raise Refused(refused.status, f"{refused.message} Not stored: {said}") from refused
        items = self.log.items()
        item = items.get(name)
        if item is not None and (why := self._why_not_yet(user, item, note)):
            unsent = Event("marked", name, item.version, user.name, time.time(), flags, note)
            return self._show_item(user, items, item, None, f"Nothing is stored yet: {why}", unsent)
        await self._append("marked", name, user, form, flags, note, self._check_seen(name, user, form, said))
        return RedirectResponse(f"/?done={quote(name, safe='')}", 303)

    def _why_not_yet(self, user: User, item: Item, note: str) -> str:
        """Why a mark can't be stored as it is; empty if it can."""
        if len(note) > NOTE_MAX:
            return f"the note has {len(note)} characters, at most {NOTE_MAX} are stored. Shorten it."
        wait = self._wait_s(user, item) if user.name not in item.marks else 0.0
        return f"this item can be marked in {math.ceil(wait)} s. Read all turns first." if wait > 0 else ""

    def _check_seen(self, name: str, user: User, form: Form, said: str) -> Callable[[Mapping[str, Item]], None]:
        """A check that the form's page showed the expert's last mark."""

        def is_current(items: Mapping[str, Item]) -> None:
            if name not in items:
                return
            now = self._stamp(items[name], user.name)
            if "seen" not in form and user.name not in items[name].marks:
                return  # a form without a stamp may follow an undo
            if now != first(form, "seen"):
                raise ReviewConflict(
                    "other_tab",
                    f"You marked {name!r} elsewhere, or took a mark back, after this page was loaded; that stays, this "
                    f"({said}) is not stored. Load the item again to change your mark.",
                )

        return is_current

    def _stamp(self, item: Item, expert: str) -> str:
        """Which mark of an expert a page shows: its time, with a sign if it was taken back; empty for none."""
        if expert in item.marks:
            return repr(item.marks[expert].at)
        last = self.log.last_mark(item, expert)
        return "" if last is None else f"-{last.at!r}"

    async def undo(self, request: Request, name: str) -> Response:
        """Withdraw an expert's mark."""
        user, form = await self._posted(request, "expert")
        check = self._check_seen(name, user, form, "undo") if "seen" in form else None
        await self._append("withdrawn", name, user, form, check=check)
        return RedirectResponse(f"/item/{quote(name, safe='')}", 303)

    async def _append(
        self,
        kind: Kind,
        name: str,
        user: User,
        form: Form,
        flags: tuple[str, ...] = (),
        note: str = "",
        check: Callable[[Mapping[str, Item]], None] | None = None,
    ) -> None:
        version = first(form, "version")
        if not version.isascii() or not version.isdigit() or len(version) > 6:
            raise Refused(400, "The form names no version.")
        event = Event(kind, name, int(version), user.name, time.time(), flags, note)
        try:
            await run_in_threadpool(self.log.append, event, check)
        except ReviewConflict as conflict:
            unsent = f" Not stored: flags: {', '.join(flags) or 'none'}; note: {note}" if flags or note else ""
            kept = conflict.reason != "other_tab"  # that one says it itself
            raise Refused(409, conflict.detail + (unsent if kept else "")) from conflict

    async def image(self, request: Request, sha256: str) -> Response:
        """The unchanged bytes of an image.

        Raises:
            Refused: nobody is logged in, or the image is unknown or can't be decoded.
        """
        if self.user(request) is None:
            raise Refused(403, "Log in first.")
        return self.to_image(await run_in_threadpool(self.log.image, sha256))

    async def progress(self, request: Request) -> Response:
        """The keeper's overview: status, experts, agreement.

        Raises:
            Refused: the user isn't the keeper.
        """
        user = self.user(request)
        if user is None or user.role != "keeper":
            raise Refused(403, "Only the keeper of the review sees this page.")
        return await self._show_progress(user)

    async def _show_progress(self, user: User, notice: str = "") -> Response:
        overview = await run_in_threadpool(to_overview, self.log, self.accounts)
        return self.show("progress.html", status=409 if notice else 200, user=user, notice=notice, **overview)

    async def keep(self, request: Request, action: str) -> Response:
        """An act of the keeper: drop, decide, remove, add, reset."""
        user, form = await self._posted(request, "keeper")
        try:
            await run_in_threadpool(do_act, self.log, self.accounts, user.name, action, form)
        except ValueError as error:
            return await self._show_progress(user, str(error))
        return RedirectResponse("/progress", 303)

    def _expert(self, request: Request) -> User:
        user = self.user(request)
        if user is None or user.role != "expert":
            raise Refused(403, "Log in as an expert to review.")
        return user


def make_app(log: ReviewLog, accounts: Accounts, public_url: str | None = None, min_view_s: float = 0.0) -> FastAPI:
    """The web application of a review.

    Args:
        log: the review.
        accounts: its accounts.
        public_url: the page's address as browsers see it, behind a proxy that asks by another.
        min_view_s: seconds that an expert must have an item before a mark is stored.
    """
    pages = Pages(log, accounts, public_url, min_view_s)
    return make_site(
        pages,
        (
            ("GET", "/", pages.start),
            ("GET", "/item/{name:path}", pages.item),
            ("POST", "/item/{name:path}/mark", pages.mark),
            ("POST", "/item/{name:path}/undo", pages.undo),
            ("GET", "/image/{sha256}", pages.image),
            ("GET", "/progress", pages.progress),
            ("POST", "/keeper/{action}", pages.keep),
        ),
    )
