"""Forms of the review page: read, limited in size, and refused from other sites."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from fastapi import Request

BODY_BYTES_MAX = 64_000

Form = Mapping[str, list[str]]


class Refused(Exception):
    """A request that is answered with an error page: HTTP status and message for the user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _is_own(origin: str, request: Request, public_url: str | None) -> bool:
    """Whether an origin is this server, as the browser calls it; a proxy may call it otherwise.

    Another site's form can't set X-Forwarded-Host, only a proxy can.
    """
    try:
        place = urlsplit(origin).netloc
        known = [request.headers.get("host"), request.headers.get("x-forwarded-host")]
        known += [urlsplit(public_url).netloc] if public_url else []
    except ValueError:
        return False
    return bool(place) and place in known


async def read_form(request: Request, public_url: str | None = None) -> Form:
    """Fields of a same-origin form.

    Raises:
        Refused: another site sent it, it is too large, or it has too many fields.
    """
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, request, public_url):
        raise Refused(403, "This form was sent from another site.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refused(413, f"The form is larger than {BODY_BYTES_MAX} bytes; shorten the note.")
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise Refused(400, "This form has more fields than any of this page.") from error


def first(form: Form, name: str) -> str:
    """A field's first value, empty if there is none."""
    return form.get(name, [""])[0]
