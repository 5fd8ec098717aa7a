"""Settings of an upload to the Hub: the flags of `python -m mmcr_dataset publish`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """Settings of an upload.

    Attributes:
        repo_id: repository on the Hub.
        private: make a new repository private.
        revision: branch; None for main.
        create_pr: open a pull request instead of committing.
        allow_offline: allow rows of the offline writer under the name mmcr-310k.
        force: overwrite what somebody else has changed in the repository since it was last published.
        squash_history: make one commit of the branch's history after the upload, so that removed rows are gone from it.
        gated: gated access, with automatic (auto) or manual approval; None for no change.
        collate: put sampled rows through TRL's collator before the upload, as `check` does; takes some seconds.
    """

    repo_id: Annotated[str, arg(name="push_to", metavar="ORG/NAME")]
    private: bool = False
    revision: str | None = None
    create_pr: Annotated[bool, arg(name="pr")] = False
    allow_offline: bool = False
    force: bool = False
    squash_history: bool = False
    gated: Literal["auto", "manual"] | None = None
    collate: bool = True

    def __post_init__(self) -> None:
        if self.squash_history and self.create_pr:
            raise ValueError(
                "--squash_history: goes with a commit, not with --pr; squash when the pull request is merged"
            )
        org, _, name = self.repo_id.partition("/")
        if not org or not name or "/" in name:
            raise ValueError(f"--push_to {self.repo_id!r}: expected ORG/NAME, a bare name is not found on the Hub")
