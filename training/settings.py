"""`python -m training.settings [--config RECIPE] [--field value ...]`: what train.py would train with, as JSON.

Light: a wrong field or value is told in a fraction of a second.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

from training.config import parse_config


def main(argv: Sequence[str] | None = None) -> None:
    """Print the settings; a wrong one ends with one line and exit code 2."""
    try:
        print(json.dumps(dataclasses.asdict(parse_config(argv)), indent=1))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
