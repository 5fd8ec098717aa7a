"""A trained model to the Hub: `python -m training.run.publish FOLDER --to ORG/NAME [--scores RUN] [--private]`.

The card says how it was trained and, with --scores, what it scores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.run.model_card import read_facts, read_scores, write_card


def check_repo_id(flag: str, repo_id: str) -> None:
    """Raise ValueError unless it is ORG/NAME."""
    org, _, name = repo_id.partition("/")
    if not org or not name or "/" in name:
        raise ValueError(f"{flag} {repo_id!r}: expected ORG/NAME, a bare name is not found on the Hub")


def open_repo(repo_id: str, private: bool = False) -> None:
    """Make sure that there is a repository one may write to; told before a run starts rather than after it.

    Raises:
        ValueError: the Hub refuses or doesn't answer.
    """
    from httpx2 import HTTPError  # what huggingface_hub speaks HTTP with
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repo_id, private=private, exist_ok=True)
    except (HTTPError, OSError) as error:
        raise ValueError(
            f"{repo_id}: the Hub does not take it ({error}); log in as somebody who may write there: `hf auth login`"
        ) from error


def publish(folder: Path, repo_id: str, private: bool = False) -> str:
    """Upload a model's folder; the address of the commit. Nothing is sent twice.

    Raises:
        ValueError: the Hub refuses or doesn't answer.
    """
    from httpx2 import HTTPError  # what huggingface_hub speaks HTTP with
    from huggingface_hub import HfApi

    open_repo(repo_id, private)
    try:
        commit = HfApi().upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Trained model")
    except (HTTPError, OSError) as error:
        raise ValueError(
            f"{folder} is whole, but did not reach {repo_id} ({error}); send it with "
            f"`python -m training.run.publish {folder} --to {repo_id}`"
        ) from error
    return str(commit.commit_url)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.run.publish", description="A trained model to the Hub.")
    parser.add_argument("folder", type=Path, help="final/ of a training run")
    parser.add_argument("--to", required=True, metavar="ORG/NAME")
    parser.add_argument("--scores", type=Path, metavar="RUN", help="folder of an evaluation run, put on the card")
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Publish, and print the address; a wrong input ends with one line and exit code 2."""
    arguments = make_parser().parse_args(argv)
    try:
        check_repo_id("--to", arguments.to)
        facts = read_facts(arguments.folder)
        if arguments.scores is not None:
            write_card(arguments.folder, facts, read_scores(arguments.scores))
        print(publish(arguments.folder, arguments.to, arguments.private))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
