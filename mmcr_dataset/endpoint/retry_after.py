"""How long a server asks us to wait: `Retry-After` (RFC 9110, 10.2.3) and the `retry-after-ms` of chat endpoints."""

from __future__ import annotations

import email.utils
import re
import time
from datetime import UTC

_NUMBER = re.compile(r"\s*\d{1,9}(\.\d*)?\s*")


def read_retry_after(value: str | None, value_ms: str | None = None) -> float | None:
    """Seconds to wait; None where nothing readable is said.

    Example: `"120"` -> `120.0`

    Args:
        value: of the header `Retry-After`: seconds or an HTTP date; a date that has passed is 0.
        value_ms: of the header `retry-after-ms`, which goes first because it is more exact.
    """
    if value_ms is not None and _NUMBER.fullmatch(value_ms):
        return float(value_ms) / 1000
    if value is None:
        return None
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
