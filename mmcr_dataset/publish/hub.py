"""Upload a data set folder to the Hub: check, one commit, retry with backoff on conflicts and server errors.

`upload_folder` skips files that the Hub has, so that an interrupted upload resumes and publishing is idempotent. Shards
that were removed from the folder are deleted in the same commit.
"""

from __future__ import annotations

import time
from pathlib import Path

from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.describe import load_statistics
from mmcr_dataset.publish.publish_settings import PublishSettings
from mmcr_dataset.publish.remove import redact_log

OWN_NAME = "mmcr-310k"  # users expect rows written by a model under the paper's name
_MAX_ATTEMPTS = 5


def publish(folder: Path, settings: PublishSettings) -> str:
    """Check and upload a folder; returns the URL of the commit or pull request.

    Raises:
        ValueError: the check finds errors, the name mmcr-310k is used for offline rows, or the Hub rejects the upload.
    """
    errors = [finding.show() for finding in check_dataset(folder) if finding.is_error]
    if errors:
        more = f"\n... and {len(errors) - 10} more" if len(errors) > 10 else ""
        raise ValueError("not published, the check finds errors:\n" + "\n".join(errors[:10]) + more)
    writers = {writer.split()[0] for numbers in load_statistics(folder).values() for writer in numbers.writers}
    if "offline" in writers and settings.repo_id.endswith(f"/{OWN_NAME}") and not settings.allow_offline:
        raise ValueError(
            f"not published: {OWN_NAME} is the name of a set written by a model, these rows are of the offline writer; "
            "choose another name, or pass --allow_offline"
        )
    redact_log(folder)  # a log of an older version told reasons and addresses
    return _upload(folder, settings)


def _upload(folder: Path, settings: PublishSettings) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        try:
            api.create_repo(settings.repo_id, repo_type="dataset", private=settings.private, exist_ok=True)
            if settings.gated is not None:  # before any file can be downloaded
                api.update_repo_settings(settings.repo_id, repo_type="dataset", gated=settings.gated)
            if settings.revision is not None and not settings.create_pr:
                api.create_branch(settings.repo_id, branch=settings.revision, repo_type="dataset", exist_ok=True)
            commit = api.upload_folder(
                repo_id=settings.repo_id,
                repo_type="dataset",
                folder_path=folder,
                revision=settings.revision,
                create_pr=settings.create_pr,
                delete_patterns=["single/*.parquet", "multi/*.parquet"],
                commit_message=f"Publish {folder.resolve().name}",
            )
            return str(commit.pr_url or commit.commit_url)
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status not in (409, 412, 429, 500, 502, 503, 504) or attempt == _MAX_ATTEMPTS:
                raise ValueError(_explain(status, settings, str(error))) from error
            time.sleep(0.5 * 2**attempt)
        except connection_errors() as error:
            raise ValueError(
                f"the Hub does not answer ({error}); check the connection and run the same command again, nothing is "
                "sent twice"
            ) from error
    raise AssertionError("unreachable: the loop returns or raises")


def connection_errors() -> tuple[type[Exception], ...]:
    """What a Hub that can't be reached raises, whichever HTTP client huggingface_hub is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))


def _explain(status: int, settings: PublishSettings, said: str) -> str:
    if status in (401, 403):
        return f"the Hub refuses ({status}): log in with `hf auth login` as a user who can write to {settings.repo_id}"
    return f"the Hub answers {status} for {settings.repo_id}: {said}; run the same command again to resume"
