"""What every page of the review has: log in and out, stylesheet, forms with a CSRF token, headers, error pages."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable
from importlib import resources

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from mmcr_bench.review.accounts import REFILL_S, SESSION_S, Accounts, User
from mmcr_bench.review.forms import Form, Refused, first, read_form
from mmcr_dataset.record.images import ImageError, open_image

COOKIE = "mmcr_review"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = {"review.css": "text/css", "review.js": "text/javascript"}

Handler = Callable[..., Awaitable[Response]]


class Site:
    """Handlers that every site has, one method per page."""

    def __init__(self, accounts: Accounts, public_url: str | None = None) -> None:
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

    def to_image(self, data: bytes | None) -> Response:
        """The unchanged bytes of an image.

        Raises:
            Refused: the image is unknown or can't be decoded.
        """
        if data is None:
            raise Refused(404, "There is no such image.")
        try:
            kind = (open_image(data).format or "").lower()
        except ImageError as error:
            raise Refused(415, f"This image can't be shown: {error}.") from error
        headers = {"Cache-Control": "private, max-age=86400, immutable", "Content-Security-Policy": "sandbox"}
        return Response(data, media_type=f"image/{kind}", headers=headers)


def make_site(pages: Site, routes: Iterable[tuple[str, str, Handler]]) -> FastAPI:
    """The web application of a site.

    Args:
        pages: its handlers.
        routes: method, path and handler of the pages of its own.
    """
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    every: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/login", pages.login),
        ("POST", "/login", pages.log_in),
        ("POST", "/logout", pages.log_out),
        ("GET", "/static/{name}", pages.static),
        *routes,
    )
    for method, path, handler in every:
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
