"""A trained model's folder to the Hub."""

from __future__ import annotations

from pathlib import Path

from mmcr_dataset.publish.hub import connection_errors


def check_repo_id(flag: str, repo_id: str) -> None:
    """Raise ValueError unless it is ORG/NAME."""
    org, _, name = repo_id.partition("/")
    if not org or not name or "/" in name:
        raise ValueError(f"{flag} {repo_id!r}: expected ORG/NAME, a bare name is not found on the Hub")


def open_repo(repo_id: str, private: bool = False) -> None:
    """Create the repository if needed and check write access: called before a run starts rather than after it.

    Raises:
        ValueError: the Hub refuses or doesn't answer.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repo_id, private=private, exist_ok=True)
    except connection_errors() as error:
        raise ValueError(
            f"{repo_id}: the Hub does not take it ({error}); log in as somebody who may write there: `hf auth login`"
        ) from error


def publish(folder: Path, repo_id: str, private: bool = False) -> str:
    """Upload a model's folder; the address of the commit. Nothing is sent twice.

    Raises:
        ValueError: the Hub refuses or doesn't answer.
    """
    from huggingface_hub import HfApi

    open_repo(repo_id, private)
    try:
        commit = HfApi().upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Trained model")
    except connection_errors() as error:
        raise ValueError(
            f"{folder} is whole, but did not reach {repo_id} ({error}); send it with "
            f"`python -m training publish {folder} --push_to {repo_id}`"
        ) from error
    return str(commit.commit_url)
