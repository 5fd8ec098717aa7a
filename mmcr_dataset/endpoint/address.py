"""An endpoint, and how one is written on a command line: `URL#MODEL?option=value`, with or without `api:` before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mmcr_dataset.endpoint.transport import Wire

EXAMPLE = "https://api.openai.com/v1#gpt-4o-2024-08-06"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, whom, and how patiently.

    Attributes:
        base_url: ends in /v1 for most servers, e.g. http://127.0.0.1:8000/v1.
        model: the model's name on that server.
        api_key: None reads OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY); servers without keys take anything.
        max_in_flight: requests at once; fewer while the server says that it is too many.
        max_attempts: tries for one request, the first included.
        timeout_s: time for one try.
        max_cost_usd: stop before this sum is crossed, counting what the ledger already holds; None is no limit.
        api_version: for Azure, e.g. 2024-10-21; then base_url is the resource's and the model a deployment.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    max_in_flight: int = 16
    max_attempts: int = 6
    timeout_s: float = 180.0
    max_cost_usd: float | None = None
    api_version: str | None = None

    def __post_init__(self) -> None:
        if not _is_http(self.base_url):
            raise ValueError(f"endpoint {self.base_url!r}: expected an address such as http://127.0.0.1:8000/v1")
        if not self.model:
            raise ValueError(f"endpoint {self.base_url!r}: no model named; write it as {self.base_url}#MODEL")
        if self.max_in_flight < 1 or self.max_attempts < 1 or self.timeout_s <= 0:
            raise ValueError(f"{self}: max_in_flight and max_attempts must be at least 1, timeout_s above 0")

    def connect(self) -> Wire:
        """Connections to it; to be called inside a running event loop, and to be closed there."""
        return Wire(self.base_url, self.api_key, self.timeout_s, self.api_version, self.model)


def read_endpoint(text: str, place: str, form: str = "URL#MODEL", **settings: Any) -> Endpoint:  # noqa: ANN401
    """The endpoint that a flag names.

    Example: `"https://NAME.openai.azure.com#DEPLOYMENT?api_version=2024-10-21"` -> Azure

    Args:
        text: what was written.
        place: the flag, for the message.
        form: what the flag takes, for the message.
        **settings: further fields of the endpoint.

    Raises:
        ValueError: it names none; says the place, the value and the form.
    """
    return read_endpoint_and_options(text, place, form, (), **settings)[0]


def read_endpoint_and_options(
    text: str,
    place: str,
    form: str,
    names: Collection[str],
    **settings: Any,  # noqa: ANN401
) -> tuple[Endpoint, dict[str, str]]:
    """The endpoint and the options of some names; as `read_endpoint`."""
    url, _, rest = text.removeprefix("api:").partition("#")
    model, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"api_version", *names})
    if not _is_http(url):
        wrong = f"{url!r} is no http address"
    elif not model:
        wrong = "no model is named"
    elif unknown:
        wrong = f"unknown option {', '.join(unknown)} (known: {', '.join(['api_version', *names])})"
    else:
        return Endpoint(url, model, api_version=options.pop("api_version", None) or None, **settings), options
    raise ValueError(f"{place} {text!r}: {wrong}; expected {form}, for example {EXAMPLE}")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
