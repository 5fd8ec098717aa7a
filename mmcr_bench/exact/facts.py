"""What a question needs, and how far away it is: read off its program."""

from __future__ import annotations

from dataclasses import dataclass

from mmcr_bench.exact.program import images_of, leaves
from mmcr_bench.exact.state import Script


@dataclass(frozen=True)
class Facts:
    """What a question needs.

    Attributes:
        distance_turns: turns back to the oldest turn that its words refer to; 0 if they refer to none.
        distance_images: images shown since that turn.
        image_age: of the images it looks at, the one shown longest ago: how many images were shown after it.
        needs: which of `user` (earlier words of the person), `own` (earlier answers) and `image`.
        hops: longest chain of answers that it builds on, each one hop; 1 if it needs earlier words only, 0 if nothing.
    """

    distance_turns: int
    distance_images: int
    image_age: int
    needs: tuple[str, ...]
    hops: int


def facts_of(script: Script, turn: int) -> Facts:
    """The facts of a turn's question.

    Args:
        script: the dialogue, the turn included.
        turn: number of the turn, from 0.
    """
    asked = script.turns[turn]
    direct = [leaf for leaf in leaves(asked.program) if leaf[1] < turn]
    looked = set() if asked.op == "gone" else images_of(asked.program, script.scenes, script.told, script.answers)
    oldest = min((leaf[1] for leaf in direct), default=turn)
    kinds = {"user": _has(direct, "told"), "own": _has(direct, "said"), "image": bool(looked)}
    newest = script.num_shown(turn) - 1
    return Facts(
        distance_turns=turn - oldest,
        distance_images=sum(oldest < at <= turn for at in script.shown_at),
        image_age=max((newest - image for image in looked), default=0),
        needs=tuple(kind for kind, is_needed in kinds.items() if is_needed),
        hops=_count_hops(script, turn),
    )


def _has(direct: list[tuple[object, ...]], kind: str) -> bool:
    return any(leaf[0] == kind for leaf in direct)


def _count_hops(script: Script, turn: int) -> int:
    direct = [leaf for leaf in leaves(script.turns[turn].program) if leaf[1] < turn]
    chains = [1 + _count_hops(script, leaf[1]) for leaf in direct if leaf[0] == "said"]
    return max(chains, default=int(bool(direct)))
