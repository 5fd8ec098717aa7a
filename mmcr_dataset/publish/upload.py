"""One commit that makes a repository hold a folder: nothing of somebody else is overwritten, no reader sees a mixture.

Files are uploaded first; one commit then adds them, deletes what is gone and names its parent. Very many files are
committed in parts to a pull request, which is merged at the end. The commit has a list of what it published (MANIFEST),
so that the next one can tell what somebody else has changed since.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

MANIFEST = ".published.json"
_NOT_OURS = (".gitattributes", MANIFEST)
FILES_A_COMMIT = 500  # more are committed in parts to a pull request, which is merged
_MAX_ATTEMPTS = 5
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Target:
    """Where a folder is published.

    Attributes:
        repo_id: repository.
        repo_type: `dataset` or `model`.
        revision: branch, None for main.
        create_pr: open a pull request instead of committing.
        force: overwrite what somebody else has changed.
        stale: patterns of files that are deleted if the folder doesn't hold them.
    """

    repo_id: str
    repo_type: str
    revision: str | None = None
    create_pr: bool = False
    force: bool = False
    stale: tuple[str, ...] = ()


def upload(folder: Path, target: Target, message: str) -> Any:  # noqa: ANN401  (huggingface_hub's CommitInfo)
    """Make the repository hold the folder's files; one attempt.

    Raises:
        ValueError: somebody else has changed the repository, or it was never published from here.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    where: dict[str, Any] = {"repo_id": target.repo_id, "repo_type": target.repo_type}
    head, there, published = look(target)
    paths = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _is_published(path, folder)
    }
    gone = [
        path
        for path in there
        if path not in paths
        and path not in _NOT_OURS
        and (path in (published or {}) or any(fnmatch(path, pattern) for pattern in target.stale))
    ]
    listed = {path: _hashes(place) for path, place in paths.items()}
    additions = [CommitOperationAdd(path, place) for path, place in paths.items()]
    additions.append(CommitOperationAdd(MANIFEST, (json.dumps(listed, indent=1) + "\n").encode()))
    additions = [
        one for one in additions if one.path_in_repo == MANIFEST or not _is_same(there, one.path_in_repo, listed)
    ]
    operations: list[Any] = [*additions, *(CommitOperationDelete(path, is_folder=False) for path in gone)]
    parts = [operations[start : start + FILES_A_COMMIT] for start in range(0, len(operations), FILES_A_COMMIT)]
    for start in range(0, len(additions), FILES_A_COMMIT):  # what the Hub has is not sent again
        some = additions[start : start + FILES_A_COMMIT]
        api.preupload_lfs_files(**where, additions=some, revision=target.revision, create_pr=target.create_pr)
    where |= {"commit_message": message}
    if len(parts) > 1:
        return _commit_in_parts(api, target, head, parts, where)
    return api.create_commit(
        **where, operations=parts[0], revision=target.revision, create_pr=target.create_pr, parent_commit=head
    )


def _commit_in_parts(api: Any, target: Target, head: str, parts: Sequence[Any], where: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Commit to a pull request and merge it, so that readers see all of it or nothing; to a named branch directly.

    Raises:
        ValueError: the branch has changed meanwhile; the pull request stays open.
    """
    as_pr = target.create_pr or target.revision is None
    first = api.create_commit(
        **where, operations=parts[0], revision=target.revision, create_pr=as_pr, parent_commit=head
    )
    for part in parts[1:]:
        api.create_commit(**where, operations=part, revision=first.pr_revision if as_pr else target.revision)
    if as_pr and not target.create_pr:
        if str(api.repo_info(target.repo_id, repo_type=target.repo_type).sha) != head:
            raise ValueError(
                f"{target.repo_id}: somebody has committed while the files were sent; look at {first.pr_url} and merge "
                "or close it, or run the same command again"
            )
        api.merge_pull_request(target.repo_id, discussion_num=first.pr_num, repo_type=target.repo_type)
    return first


def look(target: Target) -> tuple[str, dict[str, str], dict[str, list[str]] | None]:
    """The newest commit, the hashes of its files, and those that were last published from here (None if never).

    Raises:
        ValueError: somebody else has changed the repository, or it was never published from here.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    where: dict[str, Any] = {"repo_id": target.repo_id, "repo_type": target.repo_type}
    head = str(api.repo_info(**where, revision=target.revision).sha)
    there = _files_at(api, where, head)
    published = _read_manifest(api, where, head) if MANIFEST in there else None
    if not (target.force or target.create_pr):
        _refuse_changes(target, there, published)
    return head, there, published


def retrying(call: Callable[[], Any], explain: Callable[[int, str], str]) -> Any:  # noqa: ANN401
    """Call the Hub, again after conflicts and errors of the server.

    Args:
        call: what to do.
        explain: the message for a status (0 for no answer) and the Hub's words.

    Raises:
        ValueError: it refuses, or doesn't answer.
    """
    from huggingface_hub.errors import HfHubHTTPError

    failures: tuple[type[Exception], ...] = (RuntimeError, *connection_errors())
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        try:
            return call()
        except failures as error:
            cause = error.__cause__ if type(error) is RuntimeError else error  # the upload of a large file wraps both
            if not isinstance(cause, connection_errors()):
                raise
            response = cause.response if isinstance(cause, HfHubHTTPError) else None
            status = response.status_code if response is not None else 0
            if status not in (409, 412, 429, 500, 502, 503, 504) or attempt == _MAX_ATTEMPTS:
                raise ValueError(explain(status, _without_token(str(cause)))) from error
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable: the loop returns or raises")


def _without_token(text: str) -> str:
    """What the Hub said, without the token that was sent to it."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "[token]") if token else text


def connection_errors() -> tuple[type[Exception], ...]:
    """What a Hub that can't be reached raises, whichever HTTP client huggingface_hub is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))


def _is_published(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_file() and not hidden


def _files_at(api: Any, where: Mapping[str, Any], revision: str) -> dict[str, str]:  # noqa: ANN401
    """Hash of each file of a commit: SHA-256 of a large file, git's of a small one."""
    tree = api.list_repo_tree(**where, revision=revision, recursive=True)
    files = [entry for entry in tree if hasattr(entry, "blob_id")]
    return {file.path: file.lfs.sha256 if file.lfs is not None else file.blob_id for file in files}


def _read_manifest(api: Any, where: Mapping[str, Any], revision: str) -> dict[str, list[str]] | None:  # noqa: ANN401
    text = Path(api.hf_hub_download(**where, filename=MANIFEST, revision=revision)).read_text(encoding="utf-8")
    try:
        listed = json.loads(text)
    except ValueError:
        return None
    return listed if isinstance(listed, dict) else None


def _hashes(path: Path) -> list[str]:
    """SHA-256 and git's hash of a file."""
    sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            git.update(block)
    return [sha256.hexdigest(), git.hexdigest()]


def _is_same(there: Mapping[str, str], path: str, listed: Mapping[str, Collection[str]]) -> bool:
    return there.get(path) in listed.get(path, ())


def _refuse_changes(target: Target, there: Mapping[str, str], published: Mapping[str, list[str]] | None) -> None:
    """Raise ValueError if the repository holds anything but what was last published from here."""
    found = [path for path in there if path not in _NOT_OURS]
    if published is None and not found:
        return
    if published is None:
        changed = sorted(found)
        what = f"it was not published by this program (no {MANIFEST} in it) and holds"
    else:
        changed = sorted(path for path in {*found, *published} if not _is_same(there, path, published))
        what = "somebody has changed since it was last published:"
    if changed:
        more = f" and {len(changed) - _MAX_SHOWN} more" if len(changed) > _MAX_SHOWN else ""
        raise ValueError(
            f"{target.repo_id}: not published, {what} {', '.join(changed[:_MAX_SHOWN])}{more}; take the changes over "
            "first, open a pull request with --pr, or overwrite them with --force"
        )
