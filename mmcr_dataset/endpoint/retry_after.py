"""Parse `Retry-After` (RFC 9110, 10.2.3) and the `retry-after-ms` of chat endpoints."""

from __future__ import annotations

import email.utils
import re
import time
from datetime import UTC

_NUMBER = re.compile(r"\s*\d{1,9}(\.\d*)?\s*")


def read_retry_after(value: str | None, value_ms: str | None = None) -> float | None:
    """Seconds to wait, None if no header is present and readable.

    Example: `"120"` -> `120.0`

    Args:
        value: `Retry-After`: seconds, or an HTTP date (0 if it has passed).
        value_ms: `retry-after-ms`; takes precedence, because it is more precise.
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
