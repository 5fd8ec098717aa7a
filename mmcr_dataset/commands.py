"""The commands of python -m mmcr_dataset except `build`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from mmcr_dataset.publish.publish_settings import PublishSettings


@dataclass(frozen=True)
class Describe:
    """Table 1 of the paper and a histogram of lengths, computed from the rows.

    Attributes:
        folder: a data set folder.
        tokenizer: count tokens with this tokenizer.json instead of words and punctuation.
        count_as: count the images as this model family does, from their sizes; needs the family's --tokenizer.
    """

    folder: Positional[Path]
    tokenizer: Path | None = None
    count_as: Literal["ovis2", "qwen2_5_vl"] | None = None

    def run(self) -> None:
        """Print the table, then a histogram for each configuration.

        Raises:
            ValueError: `--count_as` without `--tokenizer`.
        """
        from mmcr_dataset.publish.describe import count_tokens, describe, load_token_counter, show_histogram, show_table
        from mmcr_dataset.publish.image_tokens import COUNTS

        if self.count_as is not None and self.tokenizer is None:
            raise ValueError(f"--count_as {self.count_as}: give also --tokenizer, the tokenizer.json of that family")
        count = load_token_counter(self.tokenizer) if self.tokenizer else count_tokens
        statistics = describe(self.folder, count, COUNTS[self.count_as] if self.count_as else None)
        print(show_table(statistics))
        for name, numbers in statistics.items():
            print(f"\ntokens a dialogue, {name}\n{show_histogram(numbers)}")


@dataclass(frozen=True)
class Check:
    """Check that load_dataset, TRL and the Hub's viewer accept a data set.

    Attributes:
        folder: a data set folder.
        collate: rows that go through TRL's collator: a sample of each configuration (16 first rows, 16 spread over all
            row groups), or all. Every row is read and every image decoded in both cases.
    """

    folder: Positional[Path]
    collate: Literal["sample", "all"] = "sample"

    def run(self) -> int:
        """Print the findings; returns 1 if one of them is an error."""
        from tqdm import tqdm

        from mmcr_dataset.publish.check import NUM_SAMPLED, check_dataset
        from mmcr_dataset.publish.check_trl import is_installed

        start = time.monotonic()
        with tqdm(desc="check", unit=" row", disable=None) as bar:
            findings = check_dataset(self.folder, bar.update, self.collate)
        for finding in findings:
            print(finding.show())
        rows = "all rows"
        if self.collate == "sample":
            rows = f"the first {NUM_SAMPLED} rows and {NUM_SAMPLED} others of each configuration"
            rows += " (--collate all: every row)"
        print(f"TRL's collator: {rows if is_installed() else 'not run, TRL is not installed'}")
        num_errors = sum(finding.is_error for finding in findings)
        seconds = time.monotonic() - start
        print(f"{self.folder}: {num_errors} errors, {len(findings) - num_errors} warnings in {seconds:.1f} s")
        return 1 if num_errors else 0


@dataclass(frozen=True)
class Publish:
    """Check a data set, then upload it to the Hub; files that are already there are skipped.

    Attributes:
        folder: a data set folder.
        to: repository and options of the upload.
    """

    folder: Positional[Path]
    to: PublishSettings

    def run(self) -> None:
        """Upload, and print the URL."""
        from mmcr_dataset.publish.hub import publish

        print(f"published: {publish(self.folder, self.to)}")


@dataclass(frozen=True)
class Import:
    """Convert an existing conversation set (LLaVA, ShareGPT, MMDU) to a data set.

    Attributes:
        file: conversations as JSON, or JSON lines ending in .jsonl.
        images: folder that image names are relative to.
        output_dir: folder of the data set; rejected records go to a second folder, this name + .work.
        licence: license of images and texts.
    """

    file: Positional[Path]
    images: Path
    output_dir: Path
    licence: str | None = None

    def run(self) -> None:
        """Import, and print Table 1."""
        from mmcr_dataset.publish.describe import load_statistics, show_table
        from mmcr_dataset.publish.importing import import_conversations
        from mmcr_dataset.stage.stages import show_count

        print(show_count(import_conversations(self.file, self.images, self.output_dir, self.licence)))
        print(f"\n{show_table(load_statistics(self.output_dir))}\n\nwritten: {self.output_dir}")


@dataclass(frozen=True)
class Join:
    """Join data sets to one, without what is in several of them, and without what was taken out of any.

    Attributes:
        folders: data set folders; of rows that repeat each other, that of the earliest folder stays.
        output_dir: folder of the data set; removed rows go to a second folder, this name + .work.
        evaluation_sets: remove dialogues that show an image of this evaluation set; a folder, Parquet or VLMEvalKit
            TSV. May be repeated.
    """

    folders: Positional[tuple[Path, ...]]
    output_dir: Path
    evaluation_sets: Annotated[tuple[Path, ...], arg(name="evaluation_set"), UseAppendAction] = ()

    def run(self) -> None:
        """Join, and print Table 1."""
        from mmcr_dataset.join import join
        from mmcr_dataset.publish.describe import load_statistics, show_table
        from mmcr_dataset.stage.stages import show_count

        print(show_count(join(self.folders, self.output_dir, self.evaluation_sets)))
        print(f"\n{show_table(load_statistics(self.output_dir))}\n\nwritten: {self.output_dir}")


@dataclass(frozen=True)
class Contamination:
    """Find images shared with evaluation sets (contamination), or near-duplicates within the data set.

    Attributes:
        folder: a data set folder.
        sets: evaluation sets: folders of images, Parquet, VLMEvalKit TSV; none compares the data set with itself.
        bits: maximum Hamming distance of the 64-bit perceptual hashes of near-duplicates.
        html: write a page with both images of each pair.
        remove: remove these dialogues, as the command `remove` does.
    """

    folder: Positional[Path]
    sets: Annotated[tuple[Path, ...], arg(name="with", metavar="PATH ...")] = ()
    bits: int = 6
    html: Annotated[Path | None, arg(metavar="FILE")] = None
    remove: bool = False

    def run(self) -> int:
        """Print the shared images; returns 1 if there are any and they are not removed."""
        from mmcr_dataset.filters.contamination import (
            find_contaminated,
            find_duplicates,
            index_sets,
            show_shared_images,
        )
        from mmcr_dataset.publish.card import refresh_card
        from mmcr_dataset.publish.remove import remove_rows
        from mmcr_dataset.stage.stages import write_text

        found = [] if self.sets else find_duplicates(self.folder, self.bits)
        for index in index_sets(self.sets, self.bits):
            overlaps = find_contaminated(self.folder, index)
            unreadable = f", {index.num_unreadable} of them unreadable" if index.num_unreadable else ""
            print(f"{index.name}: {index.num_images} images{unreadable}; {len(overlaps)} dialogues show one of them")
            found += overlaps
        for overlap in found[:20]:
            pairs = "; ".join(f"image {n} is {seen.name} ({seen.num_bits} bits differ)" for n, seen in overlap.pairs)
            print(f"  {overlap.id}, {overlap.set_name}: {pairs}")
        if len(found) > 20:
            print(f"  ... and {len(found) - 20} more")
        if self.html is not None:
            write_text(self.html, show_shared_images(self.folder, found, self.sets))
            print(f"written: {self.html}")
        why = {o.id: f"overlap with {o.set_name}" if self.sets else "repeated images" for o in found}
        if not self.remove or not why:
            print(f"{self.folder}: {len(why)} dialogues share images" + ("; --remove removes them" if why else ""))
            return 1 if why else 0
        remove_rows(self.folder, why)
        refresh_card(self.folder)
        print(f"{len(why)} rows removed from {self.folder}; log: {self.folder}/removed.jsonl")
        return 0


@dataclass(frozen=True)
class LedgerFiles:
    """Show the totals of a ledger, merge several, or salvage a damaged one.

    Attributes:
        what: show, merge or salvage.
        files: ledger.sqlite of a build's work folder.
        output_file: the file that merge and salvage create.
    """

    what: Positional[Literal["show", "merge", "salvage"]]
    files: Positional[tuple[Path, ...]]
    output_file: Annotated[Path | None, arg(metavar="FILE")] = None

    def run(self) -> None:
        """Print the totals of a ledger, or the number of rows written to the new one.

        Raises:
            ValueError: the number of files is wrong, or `--output_file` is missing or superfluous.
        """
        from mmcr_dataset.endpoint.ledger_files import merge_ledgers, salvage_ledger, show_ledger

        if not self.files:
            raise ValueError(f"ledger {self.what}: name a ledger.sqlite of a build's work folder")
        if self.what != "merge" and len(self.files) != 1:
            raise ValueError(f"ledger {self.what}: takes one file, got {len(self.files)}")
        if self.what == "show":
            if self.output_file is not None:
                raise ValueError("ledger show: --output_file FILE goes with merge and salvage only")
            print(show_ledger(self.files[0]))
            return
        if self.output_file is None:
            raise ValueError(f"ledger {self.what}: name the new file with --output_file FILE")
        if self.what == "merge":
            print(merge_ledgers(self.files, self.output_file).show())
        else:
            print(salvage_ledger(self.files[0], self.output_file).show())
