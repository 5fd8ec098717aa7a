"""Where and how a finished folder is uploaded: the flags of `python -m mmcr_dataset publish`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """Where a folder goes.

    Attributes:
        repo_id: repository on the Hub.
        private: a new repository is private.
        revision: branch; None for main.
        create_pr: open a pull request instead of committing.
        allow_offline: publish rows of the offline writer under the name mmcr-310k.
        gated: readers ask for access, which everybody gets (auto) or somebody decides on (manual); None leaves it.
    """

    repo_id: Annotated[str, arg(name="push_to", metavar="ORG/NAME")]
    private: bool = False
    revision: str | None = None
    create_pr: Annotated[bool, arg(name="pr")] = False
    allow_offline: bool = False
    gated: Literal["auto", "manual"] | None = None

    def __post_init__(self) -> None:
        org, _, name = self.repo_id.partition("/")
        if not org or not name or "/" in name:
            raise ValueError(f"--push_to {self.repo_id!r}: expected ORG/NAME, a bare name is not found on the Hub")
