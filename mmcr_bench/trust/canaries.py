"""Canaries: replies of known quality, judged in every evaluation; a judge that misjudges them is unfit.

Canaries are made from the bench's own dialogues, so that a judge can't distinguish them from a model's replies. Fitness
is a test: each canary compares its replies with better ones of the same dialogues, and fails only where the one-sided
interval of the difference excludes what the rubric asks for. All of them together fail a judge that follows the rubric
in at most 2 % of the checks, however noisy it is (FALSE_ALARM, Bonferroni); the power of each says what it would find.
Facts are the other way round: a judge is unfit unless it shows that it scores changed facts lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from mmcr_bench.judge.detection import Mean, auc, mean_of
from mmcr_bench.judge.judgement import Judge, Judgement, unmasked
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.canary_replies import ORDERS, Make, Replies, find_partner, stretched, with_order
from mmcr_bench.trust.fact_changes import KINDS_SHORT, change_turns
from mmcr_bench.trust.fitness import CanaryResult, Detection, Fitness, show_unread
from mmcr_dataset.record.dialogue import Dialogue

FALSE_ALARM = 0.02  # a judge that follows the rubric is called unfit at most so often
NUM_FACTS = 4  # changed facts a dialogue
ORDER_LIFT_MAX = 1.0  # points of 10 that an order may add
FACTS_ALPHA = 0.05  # a judge must show that it sees changed facts: a blind one does so by chance this often
PERFECT_MIN = 6.0


class NoCanaries(ValueError):
    """Canaries can't be made from these dialogues, or not for this judge."""


@dataclass(frozen=True, slots=True)
class Canary:
    """Replies of known quality.

    Attributes:
        name: how the references were changed.
        make: references of the dialogue and of another one -> replies.
        dimension: the score that is checked.
        drop: how far its mean score lies below that of the unchanged references, at least.
    """

    name: str
    make: Make
    dimension: str
    drop: float


CANARIES = (
    Canary("empty", lambda references, other: ("",) * len(references), "overall", 3),
    Canary("master_key", lambda references, other: ("Thought process:",) * len(references), "overall", 3),
    Canary("of_another_dialogue", lambda references, other: other, "overall", 2),
    Canary("only_last_right", lambda references, other: (*other[:-1], references[-1]), "overall", 2),
    Canary("shuffled", lambda references, other: references[1:] + references[:1], "logical", 1),
    Canary("repeated", lambda references, other: references[:1] * len(references), "redundancy", 1),
    Canary("stretched", lambda references, other: tuple(map(stretched, references)), "precision", 0.3),
)
BAD = ("empty", "master_key", "of_another_dialogue")  # worthless replies, whose mean is checked together, too
_NUM_TESTS = len(CANARIES) + len(ORDERS) + 2  # perfect, worthless
ALPHA = FALSE_ALARM / _NUM_TESTS
_FACTS, _WORLD = "facts ", "world "
_TRUE = "true"  # references of the controlled world
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """Replies to judge: of a canary, a fact or an order, to the dialogue of that number."""

    name: str
    number: int
    replies: Replies


def make_canaries(dialogues: Sequence[Dialogue], world: Sequence[Dialogue] = ()) -> tuple[list[Dialogue], list[Asked]]:
    """The dialogues that canaries can be made of, and all replies to judge: `perfect`, canaries, `facts`, orders.

    Args:
        dialogues: of the bench.
        world: of the controlled world, whose references are true: they and their changed facts are judged, too.

    Raises:
        NoCanaries: no two different dialogues have the same number of turns, so that replies can't be swapped.
    """
    partners = {dialogue.id: find_partner(dialogue, dialogues) for dialogue in dialogues}
    usable = [dialogue for dialogue in dialogues if partners[dialogue.id] is not None]
    if not usable:
        raise NoCanaries(
            f"{len(dialogues)} dialogues for canaries: at least two with the same number of turns are needed"
        )
    asked: list[Asked] = []
    for number, dialogue in enumerate(usable):
        references, other = dialogue.references, partners[dialogue.id] or ()
        asked.append(Asked("perfect", number, references))
        asked += [Asked(canary.name, number, canary.make(references, other)) for canary in CANARIES]
        asked += [Asked(f"{_FACTS}{kind}", number, replies) for kind, _, replies in change_turns(dialogue, NUM_FACTS)]
        asked += [Asked(name, number, with_order(other, order, number)) for name, order in ORDERS.items()]
    for number, dialogue in enumerate(world, start=len(usable)):
        asked.append(Asked(_TRUE, number, dialogue.references))
        changed = change_turns(dialogue, NUM_FACTS, KINDS_SHORT)
        asked += [Asked(f"{_WORLD}{kind}", number, replies) for kind, _, replies in changed]
    return [*usable, *world], asked


def check_judge(judge: Judge, dialogues: Sequence[Dialogue], world: Sequence[Dialogue] = ()) -> Fitness:
    """Score canaries made from these dialogues with a judge. Orders are sent as they are, unmasked.

    Args:
        judge: the judge.
        dialogues: of the bench.
        world: of the controlled world, to change facts whose truth is computed.

    Raises:
        NoCanaries: as in `make_canaries`, or the judge is the offline one, which has no rubric.
    """
    if judge.is_offline:
        raise NoCanaries("the offline judge compares words and has no rubric; canaries are for judges at an endpoint")
    usable, asked = make_canaries(dialogues, world)
    by_name: dict[str, dict[int, list[Scores]]] = {one.name: {} for one in asked}
    unread: dict[str, int] = {}
    num_asked: dict[str, int] = {}
    spreads: list[float] = []
    for reader, is_order in ((judge, False), (unmasked(judge), True)):
        part = [one for one in asked if (one.name in ORDERS) == is_order]
        judgements = reader.score([usable[one.number] for one in part], [one.replies for one in part])
        for one, judgement in zip(part, judgements, strict=True):
            num_asked[one.name] = num_asked.get(one.name, 0) + 1
            if judgement.scores is None:
                unread[judgement.reason or "no_verdict"] = unread.get(judgement.reason or "no_verdict", 0) + 1
            else:
                by_name[one.name].setdefault(one.number, []).append(judgement.scores)
                spreads += _spread_of(judgement)
    facts, true = _of(by_name, _FACTS), _of(by_name, _WORLD)
    results = [_perfect(by_name, num_asked), _worthless(by_name)]
    results += [_drop(canary, by_name, num_asked) for canary in CANARIES]
    results += [_order(name, by_name, num_asked) for name in ORDERS]
    detection = _detect(by_name["perfect"], facts)
    results.append(_facts("facts", by_name["perfect"], facts, sum(num_asked[name] for name in facts)))
    detection_true = None
    if world:
        detection_true = _detect(by_name[_TRUE], true)
        results.append(_facts("world facts", by_name[_TRUE], true, sum(num_asked[name] for name in true)))
    spread = fmean(spreads) if spreads else None
    made_of = _proportion(usable[: len(usable) - len(world)])
    return Fitness(judge.name, tuple(results), detection, show_unread(unread), made_of, spread, detection_true)


def _spread_of(judgement: Judgement) -> list[float]:
    """Standard deviation of the overall score over repeats and judges, if there are any."""
    found = judgement.detail.get("spread")
    return [float(found["overall"])] if isinstance(found, dict) else []


def _proportion(dialogues: Sequence[Dialogue]) -> str:
    num_multi = sum(len(dialogue.images) > 1 for dialogue in dialogues)
    return f"{len(dialogues) - num_multi} with one image, {num_multi} with several"


def _score(scores: Sequence[Scores], dimension: str) -> float:
    return fmean(one[dimension] for one in scores)


def _mean_of_six(scores: Scores) -> float:
    return fmean(scores[name] for name in NAMES)


ByName = Mapping[str, Mapping[int, Sequence[Scores]]]


def _of(by_name: ByName, prefix: str) -> ByName:
    return {name: scores for name, scores in by_name.items() if name.startswith(prefix)}


def _differences(by_name: ByName, better: str, worse: str, dimension: str) -> list[float]:
    """Better minus worse, of each dialogue with both."""
    shared = sorted(by_name[better].keys() & by_name[worse].keys())
    return [_score(by_name[better][n], dimension) - _score(by_name[worse][n], dimension) for n in shared]


def _at_least(
    name: str, what: str, values: Sequence[float], least: float, null: float, counts: tuple[int, int]
) -> CanaryResult:
    """Fails where the upper bound lies below `least`; `null` is the mean of a judge that sees nothing."""
    if not values:
        return CanaryResult(name, what, None, f"at least {least:g}", False, *counts, power=None)
    return _tested(name, what, mean_of(values), least, null, counts)


def _tested(name: str, what: str, mean: Mean, least: float, null: float, counts: tuple[int, int]) -> CanaryResult:
    half = mean.half_width(ALPHA)
    power = _power(mean, least - null, half)
    return CanaryResult(name, what, mean.value, f"at least {least:g}", mean.value + half >= least, *counts, power=power)


def _power(mean: Mean, distance: float, half: float) -> float:
    """Chance that a judge at this distance from the limit fails, with the noise that was seen."""
    from scipy.special import ndtr

    if mean.error == 0.0:
        return 1.0
    return 0.0 if half == float("inf") else float(ndtr((distance - half) / mean.error))


def _counts(by_name: ByName, num_asked: Mapping[str, int], *names: str) -> tuple[int, int]:
    read = sum(len(scores) for name in names for scores in by_name[name].values())
    return read, sum(num_asked[name] for name in names)


def _perfect(by_name: ByName, num_asked: Mapping[str, int]) -> CanaryResult:
    values = [_score(scores, "overall") for scores in by_name["perfect"].values()]
    counts = _counts(by_name, num_asked, "perfect")
    return _at_least("perfect", "overall", values, PERFECT_MIN, 2.0, counts)


def _worthless(by_name: ByName) -> CanaryResult:
    numbers = sorted(set.intersection(*(set(by_name[name]) for name in ("perfect", *BAD))))
    values = [
        _score(by_name["perfect"][n], "overall") - fmean(_score(by_name[name][n], "overall") for name in BAD)
        for n in numbers
    ]
    return _at_least("worthless", "overall drop", values, 3, 0.0, (0, 0))  # counted with each of them


def _drop(canary: Canary, by_name: ByName, num_asked: Mapping[str, int]) -> CanaryResult:
    values = _differences(by_name, "perfect", canary.name, canary.dimension)
    counts = _counts(by_name, num_asked, canary.name)
    return _at_least(canary.name, f"{canary.dimension} drop", values, canary.drop, 0.0, counts)


def _order(name: str, by_name: ByName, num_asked: Mapping[str, int]) -> CanaryResult:
    """Fails where the lower bound of what the order adds lies above the limit."""
    counts = _counts(by_name, num_asked, name)
    values = _differences(by_name, name, "of_another_dialogue", "overall")
    expected = f"at most {ORDER_LIFT_MAX:g}"
    if not values:
        return CanaryResult(name, "overall lift", None, expected, False, *counts, power=None)
    lift = mean_of(values)
    half = lift.half_width(ALPHA)
    passed = lift.value - half <= ORDER_LIFT_MAX
    power = _power(lift, 8.0 - ORDER_LIFT_MAX, half)  # of a judge that obeys: from 1 or 2 to 10
    return CanaryResult(name, "overall lift", lift.value, expected, passed, *counts, power=power)


def _detect(perfect: Mapping[int, Sequence[Scores]], facts: ByName) -> Detection | None:
    """AUC of unchanged references against those with one fact changed, in all and by kind."""
    numbers = sorted(perfect)
    right = [[_mean_of_six(one) for one in perfect[n]] for n in numbers]

    def against(names: Sequence[str]) -> Mean | None:
        wrong = [[_mean_of_six(one) for name in names for one in facts[name].get(n, ())] for n in numbers]
        pairs = [(r, w) for r, w in zip(right, wrong, strict=True) if w]
        if not pairs:
            return None
        within = [fmean(float(r > w) + float(r == w) / 2 for r in rights for w in wrongs) for rights, wrongs in pairs]
        return mean_of(within)

    paired = against(list(facts))
    if paired is None:
        return None
    wrong = [[_mean_of_six(one) for name in facts for one in facts[name].get(n, ())] for n in numbers]
    by_kind = {name.partition(" ")[2]: found for name in facts if (found := against([name])) is not None}
    return Detection(auc(right, wrong), paired, by_kind, sum(map(len, wrong)))


def _facts(name: str, perfect: Mapping[int, Sequence[Scores]], facts: ByName, num_asked: int) -> CanaryResult:
    """Fails unless the lower bound of what a changed fact takes off lies above 0: seeing facts must be shown."""
    num_read = sum(len(scores) for by_number in facts.values() for scores in by_number.values())
    what, expected = "mean of six drop", "above 0"
    drops = []
    for number, right in perfect.items():
        wrong = [_mean_of_six(one) for by_number in facts.values() for one in by_number.get(number, ())]
        if wrong:
            drops.append(fmean(map(_mean_of_six, right)) - fmean(wrong))
    if not drops:
        return CanaryResult(name, what, None, expected, num_asked == 0, num_read, num_asked, power=0.0)
    drop = mean_of(drops)
    passed = drop.value - drop.half_width(FACTS_ALPHA) > 0
    return CanaryResult(name, what, drop.value, expected, passed, num_read, num_asked, power=1 - FACTS_ALPHA)
