"""Your folder of images and texts becomes a data set: `python examples/folder_to_dataset.py FOLDER OUT [URL#MODEL]`.

FOLDER has images with a .txt file of the same name beside each; a sub-folder is one document of all its images. Without
an endpoint the offline writer is used, which asks no model. With one, such as http://127.0.0.1:8000/v1#MODEL of a vLLM
server, a vision LLM writes the dialogues. `matcher` chooses the similarity filter (`open_clip` downloads CLIP). Run it
again to resume.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.pipeline import BuildSettings, build
from mmcr_dataset.record.load import load_dialogues


def main(folder: str, out: str, address: str | None = None) -> None:
    """Build, then show the first dialogue."""
    writer = WriterSettings(writer="offline")
    if address is not None:
        url, _, model = address.partition("#")
        writer = WriterSettings(writer="openai", endpoint=Endpoint(url, model, max_in_flight=32))
    for count in build(BuildSettings(source=folder, out=Path(out), writer=writer, matcher="none")):
        print(f"{count.stage}: {count.num_in} in, {count.num_kept} kept, removed {dict(count.removed)}")
    dialogue = next(load_dialogues(out))
    for turn in dialogue.turns:
        print(f"\nhuman      {turn.human_text}\nassistant  {turn.assistant}")


if __name__ == "__main__":
    main(*sys.argv[1:])
