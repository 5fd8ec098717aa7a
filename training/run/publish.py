"""Upload a trained model to the Hub."""

from __future__ import annotations

from pathlib import Path

from mmcr_dataset.publish.hub import connection_errors


def check_repo_id(flag: str, repo_id: str) -> None:
    """Check that a repository id has the form ORG/NAME.

    Raises:
        ValueError: it hasn't.
    """
    org, _, name = repo_id.partition("/")
    if not org or not name or "/" in name:
        raise ValueError(f"{flag} {repo_id!r}: expected ORG/NAME")


def open_repo(repo_id: str, private: bool = False) -> None:
    """Create the repository if needed and check write access; called before a run starts.

    Raises:
        ValueError: the Hub refuses or doesn't answer.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repo_id, private=private, exist_ok=True)
    except connection_errors() as error:
        raise ValueError(
            f"{repo_id}: the Hub does not take it ({error}); check the connection, and log in as a user with write "
            "access: `hf auth login`"
        ) from error


def publish(folder: Path, repo_id: str, private: bool = False) -> str:
    """Upload a model's folder; returns the URL of the commit. Uploaded files are not sent again.

    Raises:
        ValueError: the Hub refuses or doesn't answer.
    """
    from huggingface_hub import HfApi

    open_repo(repo_id, private)
    try:
        commit = HfApi().upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Trained model")
    except connection_errors() as error:
        raise ValueError(
            f"{folder} is complete, but the upload to {repo_id} failed ({error}); upload it with "
            f"`python -m training publish {folder} --push_to {repo_id}`"
        ) from error
    return str(commit.commit_url)
