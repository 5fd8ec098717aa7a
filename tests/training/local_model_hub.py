"""A local Hub that holds models: the data sets' Hub under the addresses that models have."""

from __future__ import annotations

import re

from tests.local_hub import LocalHub, _Routes

_API, _FILES = (
    re.compile(r"^/api/models/"),
    re.compile(r"^/(?!api/|lfs/|datasets/)(?=[^/]+/[^/]+(\.git/info|/resolve)/)"),
)


class _ModelRoutes(_Routes):
    def _answer(self) -> None:
        self.path = _FILES.sub("/datasets/", _API.sub("/api/datasets/", self.path))
        super()._answer()

    do_GET = do_POST = do_PUT = do_HEAD = _answer


class LocalModelHub(LocalHub):
    """The server; `.url` is what HF_ENDPOINT is set to."""

    def __init__(self) -> None:
        super().__init__()
        self._http.RequestHandlerClass = type("Routes", (_ModelRoutes,), {"hub": self})
