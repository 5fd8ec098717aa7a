"""MMDU: long dialogues about 2 to 20 images, every turn judged beside its reference.

Source: Hub laolao77/MMDU, or --data: a folder with benchmark.json and its images (.zip too), or VLMEvalKit's MMDU.tsv
Licence: CC BY-NC 4.0 · Rows: 110 dialogues, more than 1600 questions
Metric: mean over all turns of six dimensions and an overall score, x 10 · Paper: arXiv 2406.11833

As published: the model's own replies are the history; one judgement per turn, of that turn's question, reference and
reply without the history; the seven keys and their order. A turn without a judgement counts as 0, as in VLMEvalKit's
`all`; the published code drops it from the mean. As in VLMEvalKit the judge
reads text only. Ours: the text of the rubric, and a verdict must be seven integers of 1..10.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from eval_tasks.readers.judged_answer import fence_reply, judged_task
from eval_tasks.readers.turn_points import points_by_turn
from eval_tasks.rows.hub_rows import require_cells, to_text
from eval_tasks.rows.mmdu_files import Read, find_mmdu, images_of_folder, read_image
from eval_tasks.rows.table_files import image_bytes, load_json, read_table, to_list
from eval_tasks.task import Points, Sample, Scored, Total, Unit
from eval_tasks.totals import grouped
from mmcr_bench.judge.mmdu_rubric import MMDU_BANDS, MMDU_KEYS
from mmcr_bench.judge.verdict import read_flat
from mmcr_dataset.record.dialogue import Block, Dialogue, DialogueImage, Turn

MARK = "<ImageHere>"
SCALE = 10.0  # scores of 1..10 are reported up to 100
_ORDER = (*list(MMDU_KEYS)[1:], "overall")
MAX_JUDGE_TOKENS = 4096  # as published
_DICTIONARY = re.compile(r"\{[^{}]*\}")
LENGTHS = (2000, 4000, 8000, 16000)  # tokens; the published set has 8.2k on average, 18k at most
IMAGE_TOKENS = 256  # of an image, as in Table 1 of a data set's card
_TOKEN = re.compile(r"\w+|[^\w\s]")


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One sample per dialogue.

    Raises:
        ValueError: `data` has no benchmark, or a dialogue is malformed.
    """
    place = find_mmdu(data)
    table = next(iter(sorted(place.glob("MMDU*.tsv"))), None) if place.is_dir() else place
    content = place / "benchmark.json" if place.is_dir() else place
    if content.is_file() and content.suffix == ".json":
        images = images_of_folder(content.parent)
        for item in load_json(content):
            yield _of_item(item, content.parent, images)
    elif table is not None and table.is_file():
        for number, row in enumerate(read_table(table), start=1):
            questions, answers, cells = require_cells(row, ("question", "answer", "image"), f"MMDU row {number}")
            name = f"{table} row {number}"
            found = [image_bytes(one, name) for one in to_list(cells, name)]
            asked, said = ([str(one) for one in to_list(cell, name)] for cell in (questions, answers))
            if len(asked) != len(said):
                raise ValueError(f"{name}: {len(asked)} questions and {len(said)} answers")
            yield to_sample(str(row.get("index", number)), list(zip(asked, said, strict=True)), found)
    else:
        raise ValueError(f"{place}: expected a folder with MMDU's benchmark.json and its images, or MMDU.tsv")


def _of_item(item: Mapping[str, Any], folder: Path, images: Mapping[str, Read]) -> Sample:
    """The sample of one object of benchmark.json; images are found by path, else by file name."""
    place = f"MMDU dialogue {item.get('id')}"
    said, names = require_cells(item, ("conversations", "image"), place)
    questions = [str(one["value"]) for one in said if one["from"] in ("user", "human")]
    answers = [str(one["value"]) for one in said if one["from"] in ("assistant", "gpt")]
    if len(questions) != len(answers) or 2 * len(questions) != len(said):
        raise ValueError(f"{place}: {len(questions)} questions and {len(answers)} answers in {len(said)} messages")
    data = []
    for file in names:
        found = read_image(folder, str(file), images)
        if found is None:
            raise ValueError(f"{place}: no image {file!r} in {folder}; unpack the images beside benchmark.json")
        data.append(found)
    return to_sample(str(item["id"]), list(zip(questions, answers, strict=True)), data)


def to_sample(name: str, asked: Sequence[tuple[str, str]], images: Sequence[bytes]) -> Sample:
    """The sample of a dialogue; each `<ImageHere>` is replaced by the next image.

    Raises:
        ValueError: the numbers of placeholders and images differ.
    """
    num_marks = sum(question.count(MARK) for question, _ in asked)
    if num_marks != len(images):
        raise ValueError(f"MMDU dialogue {name}: {num_marks} {MARK} for {len(images)} images; expected one for each")
    turns, shown = [], 0
    for question, answer in asked:
        human: list[Block] = []
        for number, piece in enumerate(question.split(MARK)):
            if number:
                shown += 1
                human.append(shown)
            if text := to_text(piece):
                human.append(text)
        turns.append(Turn(tuple(human), to_text(answer)))
    dialogue = Dialogue(f"mmdu-{name}", tuple(turns), tuple(map(DialogueImage, images)))
    return Sample(dialogue, {"num_turns": len(turns)}, group=dialogue.id)


def to_judge(sample: Sample, replies: Sequence[str], rules: str) -> list[str]:
    """The judge's prompts, one per turn: the rubric, the question, its reference and the reply."""
    scales = "\n".join(f"{MMDU_KEYS[name]}: {MMDU_BANDS[name]}" for name in _ORDER)
    form = "{" + ", ".join(f"'{MMDU_KEYS[name]}': SCORE" for name in _ORDER) + "}"
    instructions = (
        "You are an impartial and stringent judge of an assistant that answers questions about pictures. You don't "
        "see them; a reference answer tells what is in them. For each dimension below say what is strong and what is "
        "weak and then give an integer from 1 to 10; from these derive the overall score. The words after each "
        f"dimension say, in this order, what earns 1-2, 3-4, 5-6, 7-8 and 9-10.\n\n{scales}\n"
    )
    end = f"End with one dictionary on a line of its own and nothing after it:\n{form}"
    return [
        f"{instructions}\nQuestion:\n{turn.human_text}\n\nReference answer:\n{turn.assistant}\n\n"
        f"{fence_reply(reply)}\n\n{end}"
        for turn, reply in zip(sample.dialogue.turns, replies, strict=True)
    ]


def read_scores(verdict: str, reply: str) -> dict[str, int] | None:
    """The seven scores of the dictionary that ends a verdict; None if malformed, or copied from the judged reply.

    Example: `"... {'Creativity': 9, ..., 'Overall Score': 7}"` -> `{"creativity": 9, ..., "overall": 7}`
    """
    found = _DICTIONARY.findall(verdict)
    if not found or not verdict.strip().rstrip("`").rstrip().endswith(found[-1]):
        return None
    scores = _to_scores(found[-1])
    return None if scores in map(_to_scores, _DICTIONARY.findall(reply)) else scores


def _to_scores(dictionary: str) -> dict[str, int] | None:
    pairs = read_flat(dictionary) or []
    scores = dict(pairs)
    is_whole = len(pairs) == len(scores) and scores.keys() == set(MMDU_KEYS.values())
    if not is_whole or not all(isinstance(value, int) and 1 <= value <= 10 for value in scores.values()):
        return None
    return {name: scores[key] for name, key in MMDU_KEYS.items()}


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: Mapping[int, str] | None) -> Points:
    """Mean of each score over all turns, an unjudged one as 0; None if a verdict is unread. Args: see `Task.score`.

    `turn N` is the overall score of a judged turn.
    """
    read = {turn: read_scores(said, replies[turn]) for turn, said in (verdict or {}).items()}
    scores = {turn: one for turn, one in read.items() if one is not None}
    if not scores or len(scores) < len(read):
        return dict.fromkeys(MMDU_KEYS)
    means = {name: sum(one[name] for one in scores.values()) / len(replies) for name in MMDU_KEYS}
    turns = {f"turn {turn + 1}": float(one["overall"]) for turn, one in scores.items()}
    return {**means, "judged_turns": float(len(scores)), **turns}


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: Mapping[int, str] | None) -> str | None:
    """The overall score of each judged turn. Args: see `Task.score`."""
    said = {turn: read_scores(text, replies[turn]) for turn, text in (verdict or {}).items()}
    return ", ".join(f"turn {turn + 1}: {scores['overall']}" for turn, scores in said.items() if scores) or None


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean of each score over all turns, and by length; turns without a reply or a judgement count as 0."""
    whole = {
        name: Total([unit for one in scored for unit in _units(one, name)], {"": SCALE}, max_points=10)
        for name in MMDU_KEYS
    }
    return whole | _by_length(scored)


def _by_length(scored: Sequence[Scored]) -> dict[str, Total]:
    """The overall score by tokens of a dialogue: words and punctuation of its questions and references, and images."""
    of = grouped(scored, lambda one: bisect_right(LENGTHS, count_dialogue_tokens(one.sample.dialogue)))
    if len(of) < 2:
        return {}
    edges = [f"{edge // 1000}k" for edge in LENGTHS]
    names = [f"below {edges[0]}", *(f"{low} to {high}" for low, high in pairwise(edges)), f"{edges[-1]} and more"]
    return {
        f"overall, tokens {names[place]}": Total(
            [unit for one in of[place] for unit in _units(one, "overall")], {"": SCALE}, 10, breakdown="tokens"
        )
        for place in sorted(of)
    }


def count_dialogue_tokens(dialogue: Dialogue) -> int:
    """Tokens of a dialogue without a tokenizer: words and punctuation marks, and 256 for an image."""
    texts = (text for turn in dialogue.turns for text in (turn.human_text, turn.assistant))
    return IMAGE_TOKENS * len(dialogue.images) + sum(len(_TOKEN.findall(text)) for text in texts)


def _units(one: Scored, name: str) -> list[Unit]:
    """One unit per turn: the judged ones with their mean, the others lost."""
    num_turns = int(one.sample.target["num_turns"])
    num_judged = 0 if one.failure else int(one.points.get("judged_turns") or 0)
    mean = (one.points.get(name) or 0.0) * num_turns / num_judged if num_judged else 0.0
    units = [Unit(one.sample.group, mean)] * num_judged
    return units + [Unit(one.sample.group, 0.0, is_lost=True)] * (num_turns - num_judged)


def figure(runs: Mapping[str, Path], out: Path) -> None:
    """The overall score by turn, number of images and length of the dialogue. Args: see `Task.figure`."""
    from eval_tasks.report.shape_curves import draw_curves

    draw_curves(runs, "mmdu", "overall", out)


TASK = judged_task(
    "mmdu",
    __doc__,
    samples,
    score,
    totals,
    to_judge,
    read,
    verdict_keys=tuple(MMDU_KEYS.values()),
    by_turn=partial(points_by_turn, max_points=10.0),
    max_judge_tokens=MAX_JUDGE_TOKENS,
    rules=("official",),
    figure=figure,
)
