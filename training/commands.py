"""The commands of python -m training: each a dataclass of its flags."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from training.config import TrainConfig


@dataclass(frozen=True)
class Train(TrainConfig):
    """Fine-tune a vision-language model on dialogues; `--config RECIPE.yaml` sets flags from a file, flags win over it.

    The defaults are the paper's: batch 1024, one epoch, cosine from 2e-6, no weight decay.
    """

    def run(self) -> None:
        """Train."""
        from training.train import train

        train(self)


@dataclass(frozen=True)
class Settings(TrainConfig):
    """Validate the settings of train.py and show them as JSON, without importing torch."""

    def run(self) -> None:
        """Print the settings."""
        print(json.dumps(dataclasses.asdict(self), indent=1))


@dataclass(frozen=True)
class Publish:
    """Upload a trained model to the Hub, with a model card of its training and, with --scores, its scores.

    Attributes:
        folder: final/ of a training run.
        push_to: repository on the Hub.
        scores: folder of an evaluation run, for the model card.
        private: create the repository as private.
        force: overwrite what somebody else has changed in the repository since it was last published.
    """

    folder: Positional[Path]
    push_to: Annotated[str, arg(metavar="ORG/NAME")]
    scores: Annotated[Path | None, arg(metavar="RUN")] = None
    private: bool = False
    force: bool = False

    def run(self) -> None:
        """Upload, and print the URL of the commit."""
        from training.run.model_card import read_facts, read_scores, write_card
        from training.run.publish import check_repo_id, publish

        check_repo_id("--push_to", self.push_to)
        facts = read_facts(self.folder)
        if self.scores is not None:
            write_card(self.folder, facts, read_scores(self.scores))
        print(publish(self.folder, self.push_to, self.private, self.force))
