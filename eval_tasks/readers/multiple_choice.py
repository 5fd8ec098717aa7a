"""Multiple-choice questions: the prompt and the matching parser of the letter, by the rules of each harness."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

from eval_tasks.readers.adapters import ADAPTER_RULES, ask_choice, to_dialogue
from eval_tasks.readers.judged_answer import fence_reply
from eval_tasks.readers.lmms_letters import read_by_priority
from eval_tasks.readers.ovis2_prompts import OVIS2_RULES, PAPER_RULES, STEP_BY_STEP, asks_for_reasons, final_answer
from eval_tasks.readers.table_rows import right_or_wrong
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import (
    cells_to_hand_in,
    check_gold,
    images_of,
    load_rows,
    place_images,
    require_cells,
    single_turn_dialogue,
)
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.rows.table_files import to_texts
from eval_tasks.task import Points, Predictions, Row, Sample, Scored, Task, Total, Unit
from eval_tasks.totals import grouped, macro_total, mean_total, totals_by, unit_of, whole_unit

LETTER_DIRECTLY = "\nAnswer with the option's letter from the given choices directly."
LMMS_FORM = "{question}\n{options}" + LETTER_DIRECTLY
NO_OPTION = "Z"  # parsed, but none of the options: wrong
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
VLMEVALKIT = (*OVIS2_RULES, "vlmevalkit@2024-07", "vlmevalkit@2026-06")


def options_of(row: Row, place: str) -> dict[str, str]:
    """Letter -> text, from columns A, B, ..., or from `options` or `choices`: a list, or an object of letters.

    Raises:
        ValueError: they are one text, hold no texts, or are more than 26.
    """
    listed = row.get("options", row.get("choices", row.get("multi-choice options")))
    if listed is None:
        return {letter: str(row[letter]) for letter in ascii_uppercase if row.get(letter) is not None}
    if isinstance(listed, str) and listed.lstrip().startswith("{"):
        try:
            listed = literal_eval(listed.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f"{place}: options {listed[:60]!r} can't be parsed") from error
    if isinstance(listed, Mapping):
        named = {str(name).strip("(). ").upper(): str(text) for name, text in listed.items() if text is not None}
        if not set(named) <= set(ascii_uppercase):
            raise ValueError(f"{place}: options of {', '.join(map(str, listed))}, expected letters")
        return named
    texts = to_texts(listed, place)
    is_one_text = isinstance(listed, str) and not listed.lstrip().startswith("[")
    if is_one_text or len(texts) > len(ascii_uppercase):
        raise ValueError(f"{place}: options {str(listed)[:60]!r}, expected a list of at most 26 texts")
    return dict(zip(ascii_uppercase, texts, strict=False))


def gold_letter(answer: object, options: Mapping[str, str]) -> str | None:
    """The letter of a gold answer: `B`, `b.`, `(B)`, `1` or `1.0` (the second option), or the text of one option."""
    said = str(answer).strip()
    plain = said.strip("().: ").upper()
    if re.fullmatch(r"[0-9]+(\.0)?", plain):
        place = int(plain.removesuffix(".0"))
        return list(options)[place] if place < len(options) else None
    is_letter = len(plain) == 1 and plain in ascii_uppercase
    same = [letter for letter, text in options.items() if text == said]
    if len(same) == 1 and not (is_letter and plain in options):
        return same[0]
    return plain if is_letter else None


def to_prompt(
    question: str,
    options: Mapping[str, str],
    hint: str | None,
    rules: str,
    lmms_form: str = LMMS_FORM,
    closing: str = LETTER_DIRECTLY,
    task: str = "",
) -> str:
    """The prompt of a question with its options, by the rules of a harness.

    Args:
        question: text of the question.
        options: letter -> text.
        hint: text before the question, if any.
        rules: scoring rules.
        lmms_form: lmms-eval's template of this benchmark.
        closing: last line of the Ovis2 adapter's and the `official` prompt.
        task: name of the benchmark, for the adapters of other models.

    Source: VLMEvalKit image_mcq.py (2024-07, 2026-06) and vlm/ovis/ovis.py (2025-03); lmms-eval's task files.
    """
    if rules in ADAPTER_RULES:
        return ask_choice(question, options, hint, task, rules)
    listed = [f"{letter}. {text}" for letter, text in options.items()]
    if rules in ("vlmevalkit@2024-07", "vlmevalkit@2026-06"):
        text = f"Hint: {hint}\n" if hint else ""
        text += f"Question: {question}\n"
        if not listed:
            return text
        return "\n".join([f"{text}Options:", *listed, "Please select the correct answer from the options above. \n"])
    if rules.startswith("lmms-eval"):
        return lmms_form.format(hint=hint or "", question=question, options="\n".join(listed))
    return "\n".join([*filter(None, [hint]), question, *listed]) + closing


def read_letter(reply: str, options: Mapping[str, str], rules: str) -> str | None:
    """The chosen letter of a reply, `Z` for none of the options, None if it can't be parsed.

    Example: `read_letter("B. a cat", {"A": "a dog", "B": "a cat"}, "vlmevalkit@2024-07")` -> `"B"`
    """
    if rules.startswith("vlmevalkit"):
        today = rules >= "vlmevalkit@2025-08"
        return _read_option(reply, options, today) or _read_text(reply, options, today)
    if rules.startswith("lmms-eval"):
        return read_by_priority(reply, options)
    if rules == "llava":
        return _read_llava(reply)
    return read_official(reply)


def _read_option(reply: str, options: Mapping[str, str], today: bool) -> str | None:
    """The only option letter among the words; `today` only among the last four. Source: matching_util.py."""
    if "Failed to obtain answer via API" in reply:
        return None
    if any(refusal in reply for refusal in REFUSALS):
        return NO_OPTION
    words = reply.translate(_MARKS).split()
    found = [letter for letter in options if letter in words]
    if len(found) == 1 and (not today or words.index(found[0]) > len(words) - 5):
        return found[0]
    if not found and NO_OPTION in words:
        return NO_OPTION
    if today:
        match = re.search(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", reply, re.IGNORECASE)
        return match.group(1).upper() if match and match.group(1).upper() in options else None
    return None


def _read_text(reply: str, options: Mapping[str, str], today: bool) -> str | None:
    """The only option whose text is in the reply; `today` only in a reply not much longer than the options."""
    said = reply.lower()
    if today and len(said) > 2 * sum(len(text) for text in options.values()):
        return None
    found = [letter for letter, text in options.items() if text.lower() in said]
    return found[0] if len(found) == 1 else None


_MARKS = str.maketrans(".()[],:;!*#{}", " " * 13)


def read_official(reply: str) -> str | None:
    """The letter in one of MMStar's four formats: `B...`, `(B`, `option B`, `the answer is B`. Source: MMStar eval."""
    said = reply.lower().strip().replace("\n", " ")
    for form in ("(", "option ", "the answer is "):
        if said.startswith(form) and len(said) > len(form):
            return said[len(form)].upper()
    return said[0].upper() if said else None


def _read_llava(reply: str) -> str | None:
    """A single letter, `B. ...`, or `The answer is B` and any character. Source: LLaVA eval_science_qa.py."""
    said = reply.replace("\n", ". ")
    if said and said[0] in ascii_uppercase and said[1:3] in ("", ". "):
        return said[0]
    found = re.findall(r"The answer is ([A-Z]).", said)
    return str(found[0]) if len(found) == 1 else None


def asked_with(sample: Sample, text: str) -> Sample:
    """The sample of a single turn, asked with another text; its images stay."""
    said = sample.dialogue
    return replace(sample, dialogue=single_turn_dialogue(said.id, said.images, text, said.references[0]))


class ChoiceRows:
    """Samples, points and totals of a multiple-choice benchmark.

    Args:
        hub: Hub data set of the benchmark.
        circular: circular evaluation: each rotation of the options is asked, and a group counts only if all are right.
        levels: columns with a total for each value, the coarse one first.
        stem: the benchmark's name in file names.
        macro: under lmms-eval's rules the score is the macro average over this column.
        lmms_form: lmms-eval's prompt template, if not the usual one.
        lmms_read: lmms-eval's parser, if not the usual one.
        task: name of the benchmark, for the adapters of models; `choice_task` sets it.
        load: reads the rows, if they aren't the benchmark's own table.
        interleaved: images stand where `<image>` does in question and options.
        own_rules: rules other than lmms-eval's by which `lmms_read` reads too.
        change: (row, its place) -> the row in our form; it leaves a row of that form as it is.
    """

    def __init__(
        self,
        hub: HubRows,
        circular: bool = False,
        levels: tuple[str, ...] = ("l2_category", "category"),
        stem: str = "",
        macro: str = "",
        lmms_form: str = LMMS_FORM,
        lmms_read: Callable[[str, Mapping[str, str]], str | None] = read_by_priority,
        task: str = "",
        load: Callable[[str | None], Iterable[Row]] | None = None,
        interleaved: bool = False,
        own_rules: str = "",
        change: Callable[[Row, str], Row] = lambda row, place: row,
    ) -> None:
        self.change = change
        self.own_rules = own_rules
        self.interleaved = interleaved
        self.load = load or (lambda data: load_rows(data, hub, stem))
        self.task = task
        self.hub = hub
        self.circular = circular
        self.levels = levels
        self.stem = stem
        self.macro = macro
        self.lmms_form = lmms_form
        self.lmms_read = lmms_read

    def in_our_form(self, row: Row, number: int) -> Row:
        """The row under our names and in our form."""
        return self.change(self.hub.renamed(row), f"row {number}")

    def samples(self, data: str | None, rules: str) -> Iterator[Sample]:
        """Every row as a sample; the rotations of a question are consecutive."""
        found = enumerate(self.load(data))
        rows: Iterable[tuple[int, Row]] = ((number, self.in_our_form(row, number)) for number, row in found)
        if self.circular:
            groups: dict[str, list[tuple[int, Row]]] = {}
            for number, row in rows:
                (index,) = require_cells(row, ("index",), f"row {number}")
                groups.setdefault(self._group_of(row, str(index), f"row {number}"), []).append((number, row))
            rows = (member for group in groups.values() for member in group)
        is_labelled: bool | None = None
        for number, row in rows:
            is_labelled = has_gold = check_gold(row, is_labelled, f"row {number}")
            require_cells(row, ("question",), f"row {number}")
            yield self.to_sample(row, rules, number, has_gold)

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row; the gold is a letter, or the index of an option.

        Files of predictions may lack the question, the options (default A to D), or the text of the gold option.

        Raises:
            ValueError: a column is missing, or the gold isn't an option.
        """
        place, row = f"row {number}", self.in_our_form(row, number)
        answer = require_cells(row, ("answer",), place)[0] if has_gold else "A"
        question = str(row.get("question", "(question not in the file)"))
        options = options_of(row, place)
        gold = gold_letter(answer, options)
        if gold is None or (options and gold > max(options) and gold not in row):
            raise ValueError(
                f"{place}: the answer is {answer!r}, expected one of {', '.join(options) or 'the letters'}"
            )
        sample_id = str(row.get("index", row.get("question_id", row.get("id", row.get("idx", number)))))
        group = self._group_of(row, sample_id, place)
        closing = STEP_BY_STEP if asks_for_reasons(self.task, rules) else LETTER_DIRECTLY
        text = to_prompt(question, options, row.get("hint"), rules, self.lmms_form, closing, self.task)
        target = {"answer": gold if has_gold else None, "options": options}
        target |= {} if has_gold else {"row": cells_to_hand_in(row)}
        target |= {level: row.get(level, row.get(level.replace("l2_", "l2-"))) for level in self.levels}
        images = images_of(row, place)
        if self.interleaved and images and rules not in ADAPTER_RULES:
            text = place_images(text, len(images))
        dialogue = to_dialogue(sample_id, images, text, gold if has_gold else "", self.task, rules)
        return Sample(dialogue, target, group, has_gold=has_gold)

    def _group_of(self, row: Row, sample_id: str, place: str) -> str:
        if not self.circular:
            return sample_id
        named = str(row.get("g_index", sample_id))
        try:
            return str(int(float(named)) if "g_index" in row else int(float(named)) % 1_000_000)
        except ValueError as error:
            raise ValueError(f"{place}: index {named!r} is not a number, so its circular group is unknown") from error

    def predictions(self, path: Path, data: str | None) -> Predictions:
        """Predictions of a table; groups without their first rotation are dropped, as both harnesses do."""
        found = read_predictions(path, data)
        if not self.circular:
            return found
        keys = []
        for number, one in enumerate(found.rows):
            index = str(require_cells(one.row, ("index",), f"row {number}")[0])
            keys.append((index.removesuffix(".0"), self._group_of(one.row, index, f"row {number}")))
        begun = {group for index, group in keys if index == group}
        rows = [one for one, (_, group) in zip(found.rows, keys, strict=True) if group in begun]
        missing = {"without the first rotation": len(keys) - len(rows)} if len(rows) < len(keys) else {}
        return Predictions(rows, left_out={**found.left_out, **missing})

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """1 for the right letter, None if neither rules nor judge find one. Args: see `Task.score`."""
        return right_or_wrong(sample, self.read(sample, replies, rules, verdict))

    def read(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
        """The letter in a reply, else in the judge's verdict. Args: see `Task.score`."""
        options = sample.target["options"] or dict.fromkeys("ABCD", "")
        reply, by_lmms = final_answer(replies[0], self.task, rules), rules.startswith("lmms-eval")
        by_lmms = by_lmms or rules == self.own_rules
        said = self.lmms_read(reply, options) if by_lmms else read_letter(reply, options, rules)
        if said is None and verdict is not None:
            said = read_letter(str(verdict), {**options, NO_OPTION: "none of them"}, "vlmevalkit@2024-07")
        return said

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy (of circular groups), and accuracy by category."""
        if self.circular:
            return self._circular_totals(scored)
        found = {"accuracy": mean_total(scored, "accuracy")}
        if self.macro and rules.startswith("lmms-eval"):
            units = [unit_of(one, "accuracy", str(one.sample.target[self.macro])) for one in scored]
            found = {"average": macro_total(units), **found}
        for level in self.levels:
            found |= totals_by([one for one in scored if one.sample.target[level]], level)
        return found

    def _circular_totals(self, scored: Sequence[Scored]) -> dict[str, Total]:
        groups = grouped(scored, lambda one: one.sample.group)
        units = {group: whole_unit(members, "accuracy") for group, members in groups.items()}
        found = {"accuracy": Total(list(units.values()))}
        for level in self.levels:
            of: dict[str, dict[str, Unit]] = {}
            for one in scored:
                if name := one.sample.target[level]:
                    of.setdefault(str(name), {})[one.sample.group] = units[one.sample.group]
            found |= {name: Total(list(of[name].values()), breakdown=level) for name in sorted(of)}
        return found | {"each_rotation": mean_total(scored, "accuracy")}


def to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str:
    """The judge's prompt: which option does the reply choose?"""
    listed = "\n".join(f"{letter}. {text}" for letter, text in sample.target["options"].items())
    return (
        "Which option does a reply mean? Say its letter and nothing else; say Z if it means none of them.\n\n"
        f"Options:\n{listed}\n\n{fence_reply(replies[0])}\n\nThe letter:"
    )


def choice_task(
    name: str,
    source: str | None,
    rows: ChoiceRows,
    rules: tuple[str, ...] = VLMEVALKIT,
    predictions: Callable[[Path, str | None], Predictions] | None = None,
) -> Task:
    """The task of a multiple-choice benchmark.

    Args:
        name: name of the task.
        source: docstring of its module.
        rows: samples and points.
        rules: names of its scoring rules.
        predictions: reader of prediction files, None for a plain table.
    """
    rows.task = name
    return Task(
        name,
        (source or "").strip(),
        rows.samples,
        rows.score,
        rows.totals,
        judge="chat",
        to_judge=to_judge,
        read=rows.read,
        rules=rules,
        adapter_rules=ADAPTER_RULES if PAPER_RULES in rules else (),
        to_sample=rows.to_sample,
        predictions=predictions or rows.predictions,
    )
