"""python -m mmcr_bench COMMAND: the list of commands, in the order of the work; their flags are in commands.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmcr_dataset.command_line import Program, run_program

PROGRAM = Program(
    name="python -m mmcr_bench",
    about="Build, review and trust MMCR-Bench.",
    commands={
        "tag": "mmcr_bench.select.commands:Tag",
        "topics": "mmcr_bench.select.commands:Topics",
        "build": "mmcr_bench.commands:Build",
        "review": {
            "start": "mmcr_bench.review.commands:ReviewStart",
            "account": "mmcr_bench.review.commands:ReviewAccount",
            "serve": "mmcr_bench.review.commands:ReviewServe",
            "rewrite": "mmcr_bench.review.commands:ReviewRewrite",
            "adjudicate": "mmcr_bench.review.keeper_commands:ReviewAdjudicate",
            "drop": "mmcr_bench.review.keeper_commands:ReviewDrop",
            "remove": "mmcr_bench.review.keeper_commands:ReviewRemove",
            "calibrate": "mmcr_bench.review.keeper_commands:ReviewCalibrate",
            "log": "mmcr_bench.review.keeper_commands:ReviewLogOf",
            "status": "mmcr_bench.review.commands:ReviewStatus",
            "export": "mmcr_bench.review.commands:ReviewExport",
            "import": "mmcr_bench.review.commands:ReviewImport",
        },
        "scoring": {
            "start": "mmcr_bench.review.score_commands:ScoringStart",
            "account": "mmcr_bench.review.score_commands:ScoringAccount",
            "serve": "mmcr_bench.review.score_commands:ScoringServe",
            "export": "mmcr_bench.review.score_commands:ScoringExport",
        },
        "exact": {
            "build": "mmcr_bench.exact.commands:ExactBuild",
            "check": "mmcr_bench.exact.commands:ExactCheck",
            "show": "mmcr_bench.exact.commands:ExactShow",
            "judge": "mmcr_bench.exact.commands:ExactJudge",
        },
        "mmdu": {
            "make": "mmcr_bench.mmdu.commands:MmduMake",
            "wiki": "mmcr_bench.mmdu.commands:MmduWiki",
            "review": "mmcr_bench.mmdu.commands:MmduReview",
            "accuracy": "mmcr_bench.mmdu.commands:MmduAccuracy",
            "quality": "mmcr_bench.mmdu.commands:MmduQuality",
        },
        "freeze": "mmcr_bench.commands:Freeze",
        "agreement": "mmcr_bench.commands:Agreement",
        "canaries": "mmcr_bench.trust.commands:Canaries",
        "biases": "mmcr_bench.trust.commands:Biases",
        "penalties": "mmcr_bench.trust.commands:Penalties",
        "bridge": "mmcr_bench.trust.commands:Bridge",
        "anchors": "mmcr_bench.trust.commands:Anchors",
        "drift": "mmcr_bench.trust.commands:Drift",
        "self-preference": "mmcr_bench.trust.commands:SelfPreference",
    },
    extra="bench",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_program(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
