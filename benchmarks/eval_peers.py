"""Ours against the real packages: python -m benchmarks.eval_peers [--lmms_eval PYTHON] [--vlmevalkit PYTHON].

One tiny random Qwen2.5-VL checkpoint (the family both packages support), the same samples and number of tokens, each
side in its own process, one thread, float32; time from the first request to the last reply. `--lmms_eval` and
`--vlmevalkit` are interpreters with the package; `--vlmevalkit_source` a checkout of VLMEvalKit, which isn't on PyPI.
Patches to run them on a CPU, and the format of dialogues for them: benchmarks/eval_peers_side.py.

Images need no resizing and are unchanged by JPEG, so that all sides see the same pixels and replies can be compared
token by token. All replies have the maximum length, which favours static batching; `--ending` above 1 makes the EOS
token likelier.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BATCH_SIZES = (1, 2, 4, 8, 16)
WORDS = ("what", "does", "the", "image", "show", "near", "bridge", "people", "walk", "stone", "red", "old")
TEMPLATE = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_samples(
    folder: Path, count: int, num_turns: int, num_images: int, num_words: int, image_tokens: int, alike: int = 1
) -> list[dict[str, Any]]:
    """Dialogues whose first turns introduce an image each.

    Args:
        folder: where images are written.
        count: number of dialogues.
        num_turns: turns per dialogue.
        num_images: images per dialogue.
        num_words: words per question.
        image_tokens: tokens per image.
        alike: number of consecutive dialogues with the same images.
    """
    from mmcr_dataset.record.dialogue import introduce

    rng = np.random.default_rng(num_turns)
    samples = []
    for number in range(count):
        places = []
        for n in range(num_images):
            place = folder / f"{num_turns}_{number // alike}_{n}.png"
            if not place.exists():
                place.write_bytes(grey_tiles(1000 * num_turns + number // alike * num_images + n, image_tokens))
            places.append(str(place))
        turns = []
        for turn in range(1, num_turns + 1):
            question = " ".join(rng.choice(WORDS, num_words)) + "?"
            turns.append(list(introduce([turn] if turn <= num_images else [], question)))
        samples.append({"id": f"d{num_turns}-{number}", "images": places, "turns": turns})
    return samples


def grey_tiles(seed: int, tokens: int) -> bytes:
    """A PNG of `tokens` times 28 x 28 pixels, constant in each JPEG block, so that JPEG is lossless."""
    side = 28 * round(tokens**0.5)
    tiles = np.random.default_rng(seed).integers(0, 256, (-(-side // 8),) * 2, dtype=np.uint8)
    pixels = np.kron(tiles, np.ones((8, 8), dtype=np.uint8))[:side, :side]
    buffer = io.BytesIO()
    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(buffer, "PNG")
    return buffer.getvalue()


def write_model(folder: Path, args: argparse.Namespace) -> Path:
    """The checkpoint folder, with the message layout of Qwen2.5-VL's own template."""
    from safetensors.torch import load_file, save_file

    from tests.eval_tasks.tiny_vlm import write_tiny_vlm

    scale = -(-round(args.image_tokens**0.5) // 4)
    write_tiny_vlm("qwen2_5_vl", folder, window=1 << 15, width=args.width, depth=args.depth, scale=scale)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    if args.ending != 1:
        end = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"][end] *= args.ending
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def run_side(
    side: str, python: str, model: Path, samples: list[dict[str, Any]], tokens: int, sizes: tuple[int, ...], path: str
) -> list[dict[str, Any]] | str:
    """A side's measurements, or an error message.

    Args:
        side: name of the side.
        python: its interpreter.
        model: checkpoint folder.
        samples: the samples.
        tokens: maximum new tokens of a reply.
        sizes: batch sizes.
        path: additional PYTHONPATH.
    """
    asked, out = model.parent / "samples.json", model.parent / f"{side}.json"
    asked.write_text(json.dumps(samples), encoding="utf-8")
    out.unlink(missing_ok=True)
    command = [python, "-m", "benchmarks.eval_peers_side", side, "--model", str(model), "--samples", str(asked)]
    command += ["--tokens", str(tokens), "--out", str(out), "--sizes", *map(str, sizes)]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    places = os.pathsep.join(filter(None, (path, str(ROOT))))
    try:
        done = subprocess.run(
            command, cwd=model.parent, env=os.environ | offline | {"PYTHONPATH": places}, capture_output=True, text=True
        )
    except OSError as error:
        return f"{python} can't be started: {error.strerror}"
    if done.returncode or not out.exists():
        return f"{python} failed: {(done.stderr.strip().splitlines() or ['no output'])[-1][:300]}"
    runs: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))
    return runs


def show_run(name: str, run: dict[str, Any], ours: dict[str, Any]) -> str:
    """One line: times, ratios, number of equal replies."""
    pairs = [
        (a, b)
        for one, other in zip(run["replies"], ours["replies"], strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    ratios = f"{run['cpu_s'] / ours['cpu_s']:.1f} x our CPU time, {run['wall_s'] / ours['wall_s']:.1f} x our wall time"
    return (
        f"  {name}: {run['cpu_s']:.2f} s CPU, {run['wall_s']:.2f} s wall, {run['prompt_tokens']} prompt tokens read; "
        f"{ratios}; same replies {sum(a == b for a, b in pairs)}/{len(pairs)}"
    )


def compare(args: argparse.Namespace, model: Path, samples: list[dict[str, Any]], tokens: int) -> None:
    """Run all sides alternately, `--repeats` times, and print each one's fastest run.

    Args:
        args: the command line.
        model: checkpoint folder.
        samples: the samples.
        tokens: maximum new tokens of a reply.

    Raises:
        SystemExit: our side failed.
    """
    peers = {"lmms_eval": args.lmms_eval, "vlmevalkit": args.vlmevalkit}
    best: dict[tuple[str, int], dict[str, Any]] = {}
    absent = {name: f"not measured; name an interpreter with --{name}" for name, python in peers.items() if not python}
    for _ in range(args.repeats):
        for side, python in ({"ours": sys.executable} | peers).items():
            if side in absent:
                continue
            sizes = (args.batch_size,) if side == "ours" else BATCH_SIZES
            path = args.vlmevalkit_source if side == "vlmevalkit" else ""
            runs = run_side(side, python, model, samples, tokens, sizes, path)
            if isinstance(runs, str):
                absent[side] = runs
                continue
            for run in runs:
                key = (side, run["size"])
                best[key] = min(best.get(key, run), run, key=lambda one: float(one["cpu_s"]))
    if "ours" in absent:
        raise SystemExit(absent["ours"])
    ours = best.pop(("ours", args.batch_size))
    print(f"  ours: {ours['cpu_s']:.2f} s CPU, {ours['wall_s']:.2f} s wall, batch size {args.batch_size}")
    for (side, size), run in best.items():
        print(show_run(f"{side}, batch size {size}", run, ours))
    for side, why in absent.items():
        print(f"  {side}: {why}")


def main() -> None:
    """Measure single-turn questions, then dialogues; prints a line for each side."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lmms_eval", metavar="PYTHON", help="interpreter with lmms-eval")
    parser.add_argument("--vlmevalkit", metavar="PYTHON", help="interpreter with VLMEvalKit's dependencies")
    parser.add_argument("--vlmevalkit_source", metavar="FOLDER", default="", help="checkout of VLMEvalKit")
    parser.add_argument("--questions", type=int, default=32, help="of one turn; 0 for none")
    parser.add_argument("--alike", type=int, default=2, help="questions per image")
    parser.add_argument("--dialogues", type=int, default=8, help="of 8 turns and 3 images; 0 for none")
    parser.add_argument("--image_tokens", type=int, default=64, help="a square number, at least 4")
    parser.add_argument("--words", type=int, default=10, help="of a question (one word is about 3.5 tokens here)")
    parser.add_argument("--tokens", type=int, default=24, help="of a reply")
    parser.add_argument("--ending", type=float, default=1.0, help="factor of the EOS token's output weights")
    parser.add_argument("--batch_size", type=int, default=16, help="batch size of ours")
    parser.add_argument("--repeats", type=int, default=1, help="each side's fastest run counts")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    args = parser.parse_args()
    if args.image_tokens < 4 or round(args.image_tokens**0.5) ** 2 != args.image_tokens:
        parser.error(f"--image_tokens {args.image_tokens}: expected a square number from 4 on, such as 64 or 256")
    with tempfile.TemporaryDirectory() as place:
        model = write_model(Path(place) / "model", args)
        shape = f"{args.image_tokens} tokens an image, {args.words} words a question, {args.tokens} tokens a reply"
        for count, turns, images, alike in ((args.questions, 1, 1, args.alike), (args.dialogues, 8, 3, 1)):
            if count:
                same = f", {alike} in a row show the same" if alike > 1 else ""
                print(f"{count} samples of {turns} turns and {images} images{same}, {shape}:", flush=True)
                samples = make_samples(Path(place), count, turns, images, args.words, args.image_tokens, alike)
                compare(args, model, samples, args.tokens)


if __name__ == "__main__":
    main()
