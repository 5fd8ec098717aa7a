"""The experts' web page: log in, read a dialogue, pass or flag it by keyboard, next item. Plain HTML forms.

Every text of a dialogue is escaped; the Content-Security-Policy blocks foreign scripts and resources.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from mmcr_bench.review.accounts import REFILL_S, SESSION_S, Accounts, User
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.forms import Form, Refused, first, read_form
from mmcr_bench.review.keeper_page import do_act, to_overview
from mmcr_bench.review.progress import next_item, to_next_steps
from mmcr_bench.review.rounds import Event, Item, Kind, ReviewConflict
from mmcr_bench.review.shown import SHOWN_CRITERIA, find_before, to_shown_turns
from mmcr_dataset.record.images import ImageError, open_image

COOKIE = "mmcr_review"
NOTE_MAX = 4000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = {"review.css": "text/css", "review.js": "text/javascript"}


class Pages:
    """The request handlers, one method per page."""

    def __init__(
        self, log: ReviewLog, accounts: Accounts, public_url: str | None = None, min_view_s: float = 0.0
    ) -> None:
        self.log = log
        self.min_view_s = min_view_s
        self._first_shown: dict[tuple[str, str, int], float] = {}  # by expert, item, version
        self.public_url = public_url
        self.accounts = accounts
        self._templates = Environment(
            loader=PackageLoader("mmcr_bench.review", "pages"), autoescape=True, undefined=StrictUndefined
        )
        folder = resources.files("mmcr_bench.review").joinpath("pages")
        self._static = {name: folder.joinpath(name).read_bytes() for name in _STATIC}

    def show(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """Render a template; every value is escaped."""
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    def user(self, request: Request) -> User | None:
        """The logged-in user, None if there is none."""
        user = self.accounts.user_of(request.cookies.get(COOKIE))
        if user is not None:
            self.accounts.saw(user.name)
        return user

    async def static(self, name: str) -> Response:
        """Stylesheet and script.

        Raises:
            Refused: there is no such file.
        """
        if name not in self._static:
            raise Refused(404, "There is no such page.")
        return Response(self._static[name], media_type=_STATIC[name])

    async def login(self, request: Request) -> Response:
        """The login form."""
        return self.show("login.html", user=None, failed=False)

    async def log_in(self, request: Request) -> Response:
        """Check name and password, start a session."""
        form = await read_form(request, self.public_url)
        name, address = first(form, "name"), request.client.host if request.client else ""
        await asyncio.sleep(min(REFILL_S, self.accounts.wait_s(name, address)))
        token = await run_in_threadpool(self.accounts.log_in, name, first(form, "password"), None, address)
        if token is None:
            return self.show("login.html", 401, user=None, failed=True)
        response = RedirectResponse("/", 303)
        public = self.public_url or request.headers.get("x-forwarded-proto", request.url.scheme)
        secure = public.startswith("https")
        response.set_cookie(COOKIE, token, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        await self._posted(request)
        self.accounts.log_out(request.cookies[COOKIE])
        return RedirectResponse("/login", 303)

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
            seen=_stamp(item, user.name),
            done=done if done is not None and user.name in done.marks else None,
            criteria=SHOWN_CRITERIA,
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
        note = first(form, "note")[:NOTE_MAX]
        flags = tuple(form.get("flag", []))
        said = f"flags: {', '.join(flags) or 'none'}; note: {note or 'none'}"
        try:
            user = self._checked(request, form, "expert")
        except Refused as refused:
            raise Refused(refused.status, f"{refused.message} Not stored: {said}") from refused
        items = self.log.items()
        item = items.get(name)
        if item is not None and user.name not in item.marks and (wait := self._wait_s(user, item)) > 0:
            notice = f"Nothing is stored yet: this item can be marked in {math.ceil(wait)} s. Read all turns first."
            unsent = Event("marked", name, item.version, user.name, time.time(), flags, note)
            return self._show_item(user, items, item, None, notice, unsent)

        def is_current(items: Mapping[str, Item]) -> None:
            if name in items and _stamp(items[name], user.name) != first(form, "seen"):
                raise ReviewConflict(
                    "other_tab",
                    f"You marked {name!r} elsewhere after this page was loaded; that mark stays, this one ({said}) is "
                    "not stored. Load the item again to change your mark.",
                )

        await self._append("marked", name, user, form, flags, note, is_current)
        return RedirectResponse(f"/?done={quote(name, safe='')}", 303)

    async def undo(self, request: Request, name: str) -> Response:
        """Withdraw an expert's mark."""
        user, form = await self._posted(request, "expert")
        await self._append("withdrawn", name, user, form)
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
        data = await run_in_threadpool(self.log.image, sha256)
        if data is None:
            raise Refused(404, "There is no such image.")
        try:
            kind = (open_image(data).format or "").lower()
        except ImageError as error:
            raise Refused(415, f"This image can't be shown: {error}.") from error
        headers = {"Cache-Control": "private, max-age=86400, immutable", "Content-Security-Policy": "sandbox"}
        return Response(data, media_type=f"image/{kind}", headers=headers)

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

    async def _posted(self, request: Request, role: str | None = None) -> tuple[User, Form]:
        """The user who sent a form, and its fields; refuses a form without our CSRF token."""
        form = await read_form(request, self.public_url)
        return self._checked(request, form, role), form

    def _checked(self, request: Request, form: Form, role: str | None = None) -> User:
        user = self.user(request)
        if user is None or (role is not None and user.role != role):
            raise Refused(403, "Log in first.")
        if not hmac.compare_digest(first(form, "csrf").encode(), user.csrf.encode()):
            raise Refused(403, "This form was not sent from the review page; load the page again.")
        return user


def _stamp(item: Item, expert: str) -> str:
    """Which mark of an expert a page shows: its time, empty for none."""
    return repr(item.marks[expert].at) if expert in item.marks else ""


def make_app(log: ReviewLog, accounts: Accounts, public_url: str | None = None, min_view_s: float = 0.0) -> FastAPI:
    """The web application of a review.

    Args:
        log: the review.
        accounts: its accounts.
        public_url: the page's address as browsers see it, behind a proxy that asks by another.
        min_view_s: seconds that an expert must have an item before a mark is stored.
    """
    pages = Pages(log, accounts, public_url, min_view_s)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for method, path, handler in (
        ("GET", "/login", pages.login),
        ("POST", "/login", pages.log_in),
        ("POST", "/logout", pages.log_out),
        ("GET", "/", pages.start),
        ("GET", "/item/{name:path}", pages.item),
        ("POST", "/item/{name:path}/mark", pages.mark),
        ("POST", "/item/{name:path}/undo", pages.undo),
        ("GET", "/image/{sha256}", pages.image),
        ("GET", "/progress", pages.progress),
        ("POST", "/keeper/{action}", pages.keep),
        ("GET", "/static/{name}", pages.static),
    ):
        app.add_api_route(path, handler, methods=[method], response_model=None)

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(Refused)
    async def show_refusal(request: Request, refused: Refused) -> Response:
        return pages.show("refused.html", refused.status, user=None, message=refused.message)

    @app.exception_handler(HTTPException)
    async def show_missing(request: Request, missing: HTTPException) -> Response:
        what = "There is no such page." if missing.status_code == 404 else str(missing.detail)
        return pages.show("refused.html", missing.status_code, user=None, message=what)

    return app
