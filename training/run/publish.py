"""Upload a trained model to the Hub."""

from __future__ import annotations

from pathlib import Path

from mmcr_dataset.publish.upload import Target, look, retrying, upload

_STALE = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json", "adapter_config.json")


def check_repo_id(flag: str, repo_id: str) -> None:
    """Check that a repository id has the form ORG/NAME.

    Raises:
        ValueError: it hasn't.
    """
    org, _, name = repo_id.partition("/")
    if not org or not name or "/" in name:
        raise ValueError(f"{flag} {repo_id!r}: expected ORG/NAME")


def open_repo(repo_id: str, private: bool = False, force: bool = False) -> None:
    """Create the repository if needed and check write access; called before a run starts.

    Raises:
        ValueError: the Hub refuses or doesn't answer, or somebody else has changed the repository.
    """
    from huggingface_hub import HfApi

    def attempt() -> None:
        HfApi().create_repo(repo_id, private=private, exist_ok=True)
        look(Target(repo_id, "model", force=force))

    retrying(
        attempt,
        lambda status, said: (
            f"{repo_id}: the Hub does not take it ({said}); check the connection, and log in as a user with "
            "write access: `hf auth login`"
        ),
    )


def publish(folder: Path, repo_id: str, private: bool = False, force: bool = False) -> str:
    """Upload a model's folder in one commit, which deletes weights that are not in it; returns the URL of the commit.

    Raises:
        ValueError: the Hub refuses or doesn't answer, or somebody else has changed the repository.
    """
    open_repo(repo_id, private, force)
    target = Target(repo_id, "model", force=force, stale=_STALE)
    commit = retrying(
        lambda: upload(folder, target, "Trained model"),
        lambda status, said: (
            f"{folder} is complete, but the upload to {repo_id} failed ({said}); upload it with "
            f"`python -m training publish {folder} --push_to {repo_id}`"
        ),
    )
    return str(commit.commit_url)
