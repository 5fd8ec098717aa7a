"""An endpoint and its command-line form: `URL#MODEL?option=value`, with an optional prefix `api:`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mmcr_dataset.endpoint.transport import Transport

EXAMPLE = "https://api.openai.com/v1#gpt-4o-2024-08-06"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at an OpenAI-compatible server, with its concurrency, retries, timeout and cost limit.

    Attributes:
        base_url: ends in /v1 for most servers, e.g. http://127.0.0.1:8000/v1.
        model: name of the model on that server.
        api_key: None reads OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY); a server without keys accepts any.
        max_in_flight: max concurrency; reduced while the server answers with rate limit errors.
        max_attempts: attempts for one request, the first included.
        timeout_s: timeout of one attempt.
        max_cost_usd: cost limit, spending already in the ledger included; never exceeded. None for no limit.
        api_version: for Azure, e.g. 2024-10-21; base_url is then the resource's address and model the deployment.
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
        _refuse_secrets(self.base_url)
        if not self.model:
            raise ValueError(f"endpoint {self.base_url!r}: no model named; write it as {self.base_url}#MODEL")
        if self.max_in_flight < 1 or self.max_attempts < 1 or self.timeout_s <= 0:
            raise ValueError(f"{self}: max_in_flight and max_attempts must be at least 1, timeout_s above 0")

    def connect(self) -> Transport:
        """Open the HTTP client; must be called and closed inside a running event loop."""
        return Transport(self.base_url, self.api_key, self.timeout_s, self.api_version, self.model)


def read_endpoint(text: str, place: str, form: str = "URL#MODEL", **settings: Any) -> Endpoint:  # noqa: ANN401
    """Parse the endpoint in a flag's value.

    Example: `"https://NAME.openai.azure.com#DEPLOYMENT?api_version=2024-10-21"` -> Azure

    Args:
        text: value of the flag.
        place: name of the flag, for the error message.
        form: expected form, for the error message.
        **settings: further fields of the endpoint.

    Raises:
        ValueError: the value is not of that form; the message names the flag, the value and the form.
    """
    return read_endpoint_and_options(text, place, form, (), **settings)[0]


def read_endpoint_and_options(
    text: str,
    place: str,
    form: str,
    names: Collection[str],
    **settings: Any,  # noqa: ANN401
) -> tuple[Endpoint, dict[str, str]]:
    """Parse the endpoint and the options behind `?` in a flag's value.

    Args:
        text: value of the flag.
        place: name of the flag, for the error message.
        form: expected form, for the error message.
        names: options that are allowed besides `api_version`.
        **settings: further fields of the endpoint.

    Raises:
        ValueError: the value is not of that form, or has an unknown option.
    """
    url, _, rest = text.removeprefix("api:").partition("#")
    model, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"api_version", *names})
    if _is_http(url):
        _refuse_secrets(url, place)
    if not _is_http(url):
        wrong = f"{url!r} is no http address"
    elif not model:
        wrong = "no model is named"
    elif unknown:
        wrong = f"unknown option {', '.join(unknown)} (known: {', '.join(['api_version', *names])})"
    else:
        return Endpoint(url, model, api_version=options.pop("api_version", None) or None, **settings), options
    raise ValueError(f"{place} {text!r}: {wrong}; expected {form}, for example {EXAMPLE}")


def _refuse_secrets(url: str, place: str = "endpoint") -> None:
    """Addresses are written to logs, reports and scripts, so that they may hold no key.

    Raises:
        ValueError: the address has user info or a query; the message does not repeat them.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        what = "a user or password" if "@" in parts.netloc else "a query"
        raise ValueError(
            f"{place}: the address {shown} was given with {what}, which logs and reports would show; give the address "
            "alone, the key in the variable OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY), and Azure's version as "
            "#DEPLOYMENT?api_version=..."
        )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
