"""How long a server asks us to wait, in every form that it may say it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from mmcr_dataset.endpoint.reply import _retry_after_s
from mmcr_dataset.endpoint.retry_after import read_retry_after


def test_read_retry_after_knows_seconds_and_milliseconds() -> None:
    assert read_retry_after("120") == 120
    assert read_retry_after(" 0.5 ") == 0.5
    assert read_retry_after("2", "1500") == 1.5
    assert read_retry_after("2", "soon") == 2
    assert [read_retry_after(text) for text in (None, "", "soon", "-1", "1e9", "nan", "inf")] == [None] * 7


@pytest.mark.parametrize(
    "form", ["{:%a, %d %b %Y %H:%M:%S GMT}", "{:%A, %d-%b-%y %H:%M:%S GMT}", "{:%a %b %d %H:%M:%S %Y}"]
)
def test_read_retry_after_knows_the_three_forms_of_an_http_date(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        at = datetime.fromtimestamp(time.time() + 90, UTC)
        assert 85 < (read_retry_after(form.format(at)) or 0) <= 90
    finally:
        monkeypatch.undo()
        time.tzset()
    assert read_retry_after(formatdate(0, usegmt=True)) == 0


def test_endpoint_heeds_a_date_and_waits_ten_minutes_at_most() -> None:
    assert 85 < (_retry_after_s({"retry-after": formatdate(time.time() + 90, usegmt=True)}) or 0) <= 90
    assert _retry_after_s({"retry-after": "86400"}) == 600
    assert _retry_after_s({}) is None
