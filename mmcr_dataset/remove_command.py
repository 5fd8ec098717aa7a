"""The command `python -m mmcr_dataset remove`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Remove:
    """Takedown: remove rows from a data set, and keep them out of later builds; only their shards are rewritten.

    Attributes:
        folder: a data set folder.
        ids: file with one id a line.
        url_pattern: regular expression searched in document and image URLs (file names, for a local source).
        owner: HOST or HOST/PATH of documents and images, subdomains included.
        images: image files, or .txt files with the SHA-256 of one a line; rows that show one are removed.
        reason: kept in the private log OUT.removed.jsonl; the published one names a class.
        purge: delete the rows from OUT.work too: images, dialogues, paid requests; a new build can't write them again.
    """

    folder: Positional[Path]
    ids: Path | None = None
    url_pattern: str | None = None
    owner: Annotated[str | None, arg(metavar="HOST[/PATH]")] = None
    images: Annotated[tuple[Path, ...], arg(metavar="FILE ...")] = ()
    reason: str = "requested"
    purge: bool = False

    def run(self) -> int:
        """Remove the rows, and print their number and unknown ids; returns 1 if there was nothing to remove.

        Raises:
            ValueError: not exactly one of `--ids`, `--url_pattern`, `--owner` and `--images` is given.
        """
        from mmcr_dataset.publish.card import refresh_card
        from mmcr_dataset.publish.remove import find_rows, remove_rows, to_rules
        from mmcr_dataset.stage.takedowns import private_log

        if sum(map(bool, (self.ids, self.url_pattern, self.owner, self.images))) != 1:
            raise ValueError(
                "remove: give either --ids FILE or --url_pattern P or --owner HOST or --images FILE ..., one of them"
            )
        if self.ids is not None:
            why = dict.fromkeys(_read_lines(self.ids), self.reason)
            rules: Sequence[Mapping[str, str]] = ()
        else:
            owner = None if self.owner is None else _read_owner(self.owner)
            images = _read_digests(self.images)
            found = find_rows(self.folder, self.url_pattern, owner, images)
            why = {row_id: f"{self.reason}: {match}" for row_id, match in found.items()}
            rules = to_rules(self.reason, self.url_pattern, owner, images)
        removed = remove_rows(self.folder, why, rules)
        refresh_card(self.folder)
        unknown = sorted(set(why) - set(removed))
        print(f"{len(removed)} rows removed from {self.folder}; reasons and addresses: {private_log(self.folder)}")
        if unknown:
            more = " ..." if len(unknown) > 5 else ""
            print(f"{len(unknown)} ids are not in the data set: {', '.join(unknown[:5])}{more}")
        print("later builds leave out what was named")
        num_purged = self._purge(set(why), rules) if self.purge else 0
        return 0 if removed or num_purged else 1

    def _purge(self, ids: set[str], rules: Sequence[Mapping[str, str]]) -> int:
        """Delete the rows from the work folder; returns the number of what was deleted."""
        from mmcr_dataset.publish.purge import purge
        from mmcr_dataset.stage.takedowns import Takedowns, load_takedowns

        entries = [one for one in load_takedowns(self.folder).entries if one.get("id") in ids]
        place = self.folder.resolve()
        purged = purge(place.with_name(f"{place.name}.work"), Takedowns([*entries, *rules]))
        print(purged.show())
        print(
            "elsewhere: the Hub's history (`publish --squash_history`), evaluation runs and benches made from the set, "
            "copies in the caches of `datasets` (~/.cache/huggingface/datasets), readers' copies, trained weights"
        )
        return sum(purged.deleted.values())


def _read_lines(path: Path) -> list[str]:
    lines = (line.strip().strip("\ufeff") for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _read_owner(text: str) -> str:
    """HOST or HOST/PATH of an address.

    Raises:
        ValueError: it is neither.
    """
    owner = re.sub(r"\Ahttps?://", "", text.strip().lower())
    if not re.fullmatch(r"[^\s/?#@:]+\.[^\s/?#@:]+(/[^\s?#]*)?", owner):
        raise ValueError(f"--owner {text!r}: expected HOST or HOST/PATH, such as example.org or example.org/jane")
    return owner


def _read_digests(paths: Sequence[Path]) -> set[str]:
    """SHA-256 of image files, and those that text files list.

    Raises:
        ValueError: a line is no SHA-256.
    """
    digests: set[str] = set()
    for path in paths:
        if path.suffix != ".txt":
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
            continue
        for number, line in enumerate(_read_lines(path), start=1):
            if not re.fullmatch(r"[0-9a-f]{64}", line.lower()):
                raise ValueError(f"{path} line {number}: {line[:80]!r} is no SHA-256, expected 64 digits 0-9 and a-f")
            digests.add(line.lower())
    return digests
