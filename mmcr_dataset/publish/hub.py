"""Upload a data set folder to the Hub: check, one commit, retry with backoff on conflicts and server errors.

Files that the Hub has are not sent again, so that an interrupted upload resumes and publishing is idempotent. Shards
that were removed from the folder are deleted in the same commit.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.describe import load_statistics
from mmcr_dataset.publish.publish_settings import PublishSettings
from mmcr_dataset.publish.remove import find_taken_out
from mmcr_dataset.publish.upload import Target, retrying, upload
from mmcr_dataset.stage.takedowns import load_takedowns, private_log, redact_log

log = logging.getLogger(__name__)

OWN_NAME = "mmcr-310k"  # users expect rows written by a model under the paper's name
_STALE = ("single/*.parquet", "multi/*.parquet")


def publish(folder: Path, settings: PublishSettings) -> str:
    """Check and upload a folder; returns the URL of the commit or pull request.

    Raises:
        ValueError: the check finds errors, the name mmcr-310k is used for offline rows, a row was taken out
            before, or the Hub rejects the upload.
    """
    findings = check_dataset(folder, collate="sample" if settings.collate else "none")
    errors = [finding.show() for finding in findings if finding.is_error]
    if errors:
        more = f"\n... and {len(errors) - 10} more" if len(errors) > 10 else ""
        raise ValueError("not published, the check finds errors:\n" + "\n".join(errors[:10]) + more)
    writers = {writer.split()[0] for numbers in load_statistics(folder).values() for writer in numbers.writers}
    if "offline" in writers and settings.repo_id.endswith(f"/{OWN_NAME}") and not settings.allow_offline:
        raise ValueError(
            f"not published: {OWN_NAME} is the name of a set written by a model, these rows are of the offline writer; "
            "choose another name, or pass --allow_offline"
        )
    left = find_taken_out(folder, load_takedowns(folder))
    if left:
        shown = ", ".join(list(left)[:5]) + (" ..." if len(left) > 5 else "")
        raise ValueError(
            f"not published: {len(left)} rows of {folder} were taken out, or fall under a rule of "
            f"{private_log(folder)} ({shown}); remove them with `python -m mmcr_dataset remove {folder} --ids FILE` "
            "or build again"
        )
    redact_log(folder)  # a log of an older version told reasons and addresses
    return _upload(folder, settings)


def _upload(folder: Path, settings: PublishSettings) -> str:
    from huggingface_hub import HfApi

    api = HfApi()
    target = Target(settings.repo_id, "dataset", settings.revision, settings.create_pr, settings.force, stale=_STALE)

    def attempt() -> str:
        api.create_repo(settings.repo_id, repo_type="dataset", private=settings.private, exist_ok=True)
        if settings.gated is not None:  # before any file can be downloaded
            api.update_repo_settings(settings.repo_id, repo_type="dataset", gated=settings.gated)
        if settings.revision is not None and not settings.create_pr:
            api.create_branch(settings.repo_id, branch=settings.revision, repo_type="dataset", exist_ok=True)
        commit = upload(folder, target, f"Publish {folder.resolve().name}")
        if settings.squash_history:
            squash(api, settings.repo_id, settings.revision)
        return str(commit.pr_url or commit.commit_url)

    return str(retrying(attempt, lambda status, said: _explain(status, settings, said)))


def squash(api: Any, repo_id: str, revision: str | None) -> None:  # noqa: ANN401  (an HfApi)
    """Make one commit of a branch's history, so that no earlier commit of it holds rows that were taken out."""
    api.super_squash_history(repo_id, repo_type="dataset", branch=revision)
    refs = api.list_repo_refs(repo_id, repo_type="dataset", include_pull_requests=True)
    found = (*refs.branches, *refs.tags, *(refs.pull_requests or ()))
    others = [ref.name for ref in found if ref.name != (revision or "main")]
    log.info("history of %s is one commit now", repo_id)
    if others:
        log.warning("%s: the branches, tags and pull requests %s still hold what they held", repo_id, ", ".join(others))


def _explain(status: int, settings: PublishSettings, said: str) -> str:
    if not status:
        remedy = "check the connection and run the same command again, nothing is sent twice"
        return f"the Hub does not answer ({said}); {remedy}"
    if status in (401, 403):
        return f"the Hub refuses ({status}): log in with `hf auth login` as a user who can write to {settings.repo_id}"
    return f"the Hub answers {status} for {settings.repo_id}: {said}; run the same command again to resume"
