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


@dataclass(frozen=True)
class Mini:
    """Write `mini` with random weights: a Qwen3-VL of 0.4 million weights for the plain images of the controlled world.

    Attributes:
        output_dir: folder of the checkpoint; must not exist.
        data: data sets whose words its tokenizer is trained on.
        seed: seed of the weights.
    """

    output_dir: Path
    data: tuple[str, ...]
    seed: int = 0

    def run(self) -> None:
        """Write the checkpoint, and print its number of weights.

        Raises:
            ValueError: the folder exists.
        """
        from mmcr_dataset.record.load import load_dialogues
        from training.model.mini import write_mini
        from training.model.tiny import dialogue_texts

        if self.output_dir.exists():
            raise ValueError(f"{self.output_dir}: exists; name another folder with --output_dir, or delete it")
        texts = (text for place in self.data for text in dialogue_texts(load_dialogues(place)))
        print(f"{self.output_dir}: {write_mini(self.output_dir, texts, self.seed):,} weights")
