"""One side of benchmarks.eval_peers, started by it with the interpreter of the package.

Runs the package's loop with its model class for Qwen2.5-VL. Only device, dtype and attention are patched (both packages
require CUDA and bfloat16 or flash-attention):

    lmms_eval    single-turn: models/chat/qwen2_5_vl.py, `generate_until`; multi-turn: models/simple/qwen2_5_vl.py,
                 `generate_until_multi_round`, where a task builds each round's prompt: ours concatenates the history
    vlmevalkit   single-turn: inference.py, `infer_data`; multi-turn: inference_mt.py, `infer_data` and `chat_mt`. Its
                 class for Qwen2.5-VL has no `chat_inner`; ours concatenates the history and calls `generate_inner`
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

Samples = list[dict[str, Any]]
NEXT = "<|im_end|>\n<|im_start|>{}\n"  # ends a message and begins the next


class Counted:
    """Counts the prompt tokens of a model's `generate`."""

    def __init__(self, model: Any) -> None:
        self.num_tokens = 0
        self._generate = model.generate
        model.generate = self

    def __call__(self, **inputs: Any) -> Any:
        """Count and generate."""
        self.num_tokens += int(inputs["attention_mask"].sum())
        return self._generate(**inputs)


def timed(answer: Callable[[], list[list[str]]]) -> dict[str, Any]:
    """Replies of each sample, with CPU and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    said = answer()
    times = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    return {**times, "replies": [[reply.strip() for reply in replies] for replies in said]}


def joined(sample: dict[str, Any], replies: Sequence[str]) -> list[str | int]:
    """All blocks up to the next question; numbers are images."""
    blocks: list[str | int] = []
    for turn, question in enumerate(sample["turns"][: len(replies) + 1]):
        blocks += question
        if turn < len(replies):
            blocks.append(NEXT.format("assistant") + replies[turn].strip() + NEXT.format("user"))
    return blocks


def run_ours(model_folder: str, samples: Samples, tokens: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Our loop with batch size `sizes[0]`.

    Args:
        model_folder: checkpoint folder.
        samples: the samples.
        tokens: maximum new tokens of a reply.
        sizes: batch sizes; the first is used.
    """
    from benchmarks.eval_multi_turn import answer_batch
    from eval_tasks.models.transformers_vlm import TransformersVLM
    from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn

    model = TransformersVLM(model_folder, batch_size=sizes[0])
    dialogues = [
        Dialogue(
            one["id"],
            tuple(Turn(tuple(blocks), "reference") for blocks in one["turns"]),
            tuple(DialogueImage(Path(place).read_bytes()) for place in one["images"]),
        )
        for one in samples
    ]
    answer_batch(model, dialogues[:1], 2)
    return [timed(lambda: answer_batch(model, dialogues, tokens)) | {"size": sizes[0]}]


def run_lmms_eval(model_folder: str, samples: Samples, tokens: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """lmms-eval's loop at each batch size (multi-turn supports only 1).

    Args:
        model_folder: checkpoint folder.
        samples: the samples.
        tokens: maximum new tokens of a reply.
        sizes: batch sizes.
    """
    from lmms_eval.models.chat.qwen2_5_vl import Qwen2_5_VL
    from transformers import Qwen2_5_VLForConditionalGeneration

    processor = json.loads((Path(model_folder) / "processor_config.json").read_text(encoding="utf-8"))[
        "image_processor"
    ]
    sides = {"min_pixels": processor["size"]["shortest_edge"], "max_pixels": processor["size"]["longest_edge"]}
    peer = Qwen2_5_VL(model_folder, device="cpu", device_map="cpu", interleave_visuals=True, **sides)
    peer._model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, dtype="float32").eval()
    counted = Counted(peer.model)
    peer.task_dict = {"peer": {"test": to_hub_rows(samples)}}
    many = len(samples[0]["turns"]) > 1
    lmms_requests(peer, samples[:1], 2, many)
    runs = []
    for size in [1] if many else sizes:
        peer.batch_size_per_gpu, counted.num_tokens = size, 0
        measured = timed(lambda: lmms_requests(peer, samples, tokens, many))
        runs.append(measured | {"size": size, "prompt_tokens": counted.num_tokens})
    return runs


def to_hub_rows(samples: Samples) -> Any:
    """The samples as rows of the `datasets` library, from which lmms-eval decodes images."""
    from datasets import Dataset, Features, Image, Value
    from datasets import Sequence as Column

    rows = {
        "sample": [json.dumps(one) for one in samples],
        "images": [[{"bytes": Path(place).read_bytes(), "path": None} for place in one["images"]] for one in samples],
    }
    return Dataset.from_dict(rows, Features({"sample": Value("string"), "images": Column(Image())}))


class LmmsTask:
    """The task interface that lmms-eval's model calls for each row."""

    def __init__(self, system: str) -> None:
        self._system = {"role": "system", "content": [{"type": "text", "text": system}]}

    def to_messages(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The single turn as chat messages."""
        content: list[dict[str, Any]] = []
        for block in json.loads(row["sample"])["turns"][0]:
            if isinstance(block, str):
                content.append({"type": "text", "text": block})
            else:
                content.append({"type": "image", "url": row["images"][block - 1].convert("RGB")})
        return [self._system, {"role": "user", "content": content}]

    def to_context(self, sample: dict[str, Any], replies: Sequence[str]) -> str:
        """The prompt of a round with its history."""
        return "".join(b if isinstance(b, str) else f"<image {b}>" for b in joined(sample, replies))

    def to_visuals(self, row: dict[str, Any], num_replies: int = 0) -> list[Any]:
        """The images shown so far."""
        blocks = joined(json.loads(row["sample"]), [""] * num_replies)
        return [row["images"][block - 1].convert("RGB") for block in blocks if isinstance(block, int)]

    def to_round(self, row: dict[str, Any], previous_output: list[str], round_idx: int, **_: Any) -> tuple[Any, ...]:
        """(images, prompt, finished, replies so far, no state) of a round."""
        sample = json.loads(row["sample"])
        if round_idx == len(sample["turns"]):
            return [], "", True, previous_output, None
        visuals, context = self.to_visuals(row, round_idx), self.to_context(sample, previous_output)
        return visuals, context, False, previous_output, None


def lmms_requests(peer: Any, samples: Samples, tokens: int, many: bool) -> list[list[str]]:
    """Run lmms-eval's model on all samples.

    Args:
        peer: lmms-eval's model.
        samples: the samples.
        tokens: maximum new tokens of a reply.
        many: whether samples have several turns.
    """
    from lmms_eval.api.instance import Instance

    task, requests = LmmsTask(peer.system_prompt), []
    kind = "generate_until_multi_round" if many else "generate_until"
    for number, one in enumerate(samples):
        settings = {"max_new_tokens": tokens, "temperature": 0.0}
        context, where = task.to_context(one, []), (number, "peer", "test")
        arguments = (
            (context, settings, task.to_visuals, task.to_round, *where)
            if many
            else (context, task.to_messages, settings, *where)
        )
        requests.append(Instance(kind, arguments, number, {"task": "peer", "doc_id": number, "repeats": 1}))
    said = getattr(peer, kind)(requests)
    return [list(one) for one in said] if many else [[one.text] for one in said]


class VLMEvalKitRows:
    """The data set interface of VLMEvalKit."""

    dataset_name = "peer"
    dump_image = None

    def __init__(self, samples: Samples) -> None:
        import pandas as pd

        self.data = pd.DataFrame({"index": range(len(samples)), "sample": samples})

    def __len__(self) -> int:
        return len(self.data)

    def build_prompt(self, line: Any) -> list[dict[str, Any]]:
        """One message, or the dialogue with empty answers."""
        sample, turns = line["sample"], []
        for blocks in sample["turns"]:
            shown = [None if isinstance(block, str) else sample["images"][block - 1] for block in blocks]
            turns.append(
                [
                    {"type": "image", "value": place} if place else {"type": "text", "value": block}
                    for place, block in zip(shown, blocks, strict=True)
                ]
            )
        if len(turns) == 1:
            return turns[0]
        both = [({"role": "user", "content": turn}, {"role": "assistant", "content": ""}) for turn in turns]
        return [message for pair in both for message in pair]


def run_vlmevalkit(model_folder: str, samples: Samples, tokens: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """VLMEvalKit's loop, one sample at a time.

    Args:
        model_folder: checkpoint folder.
        samples: the samples.
        tokens: maximum new tokens of a reply.
        sizes: ignored.
    """
    from vlmeval import inference, inference_mt
    from vlmeval.smp import load
    from vlmeval.vlm.qwen2_vl.model import Qwen2VLChat

    class WithHistory(Qwen2VLChat):  # type: ignore[misc]  # a peer, not installed here
        """Concatenates the history into one message."""

        def chat_inner(self, message: list[dict[str, Any]], dataset: str | None = None) -> str:
            """Answer the last question."""
            parts: list[dict[str, str]] = []
            for one in message:
                parts += [{"type": "text", "value": NEXT.format(one["role"])}] if parts else []
                own = one["role"] == "assistant"
                parts += [part | {"value": part["value"].strip()} if own else part for part in one["content"]]
            return str(self.generate_inner(parts, dataset))

    on_cpu()
    peer = WithHistory(model_folder, max_new_tokens=2, do_sample=False, use_custom_prompt=False)
    counted = Counted(peer.model)
    loop = inference_mt if len(samples[0]["turns"]) > 1 else inference

    def answer(chosen: Samples, name: str) -> list[list[str]]:
        out = Path(model_folder).parent / f"{name}.pkl"
        loop.infer_data(peer, "peer", str(out.parent), VLMEvalKitRows(chosen), str(out))
        said = load(str(out))
        out.unlink()
        return [said[number] if isinstance(said[number], list) else [said[number]] for number in range(len(chosen))]

    answer(samples[:1], "warm")
    peer.generate_kwargs["max_new_tokens"], counted.num_tokens = tokens, 0
    return [timed(lambda: answer(samples, "said")) | {"size": 1, "prompt_tokens": counted.num_tokens}]


def on_cpu() -> None:
    """Patch VLMEvalKit's model class to run on a CPU in float32 with SDPA."""
    import transformers
    from vlmeval.vlm.qwen2_vl import model as module

    module.get_gpu_memory = lambda: [1]
    family: Any = transformers.Qwen2_5_VLForConditionalGeneration
    load, move = family.from_pretrained, transformers.BatchFeature.to
    family.from_pretrained = lambda place, **_: load(place, dtype="float32", attn_implementation="sdpa")
    transformers.BatchFeature.to = lambda self, *_, **__: move(self, "cpu")  # type: ignore[method-assign]  # meant


SIDES = {"ours": run_ours, "lmms_eval": run_lmms_eval, "vlmevalkit": run_vlmevalkit}


def main() -> None:
    """Run one side; writes a list of measurements as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--model", required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    samples = json.loads(args.samples.read_text(encoding="utf-8"))
    runs = SIDES[args.side](args.model, samples, args.tokens, args.sizes)
    args.out.write_text(json.dumps(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
