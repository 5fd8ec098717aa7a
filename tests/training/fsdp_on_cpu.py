"""torchrun tests/training/fsdp_on_cpu.py --field value ...: train.py under FSDP2 without a GPU.

accelerate has FSDP for accelerators only. This tells it that its processes are GPUs' while tensors and gloo stay on the
CPU; the FSDP settings are those of training/launch/fsdp2.yaml.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Set what `accelerate launch` would, and train."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    settings = yaml.safe_load((ROOT / "training" / "launch" / "fsdp2.yaml").read_text(encoding="utf-8"))
    os.environ |= {name.upper(): str(value).lower() for name, value in settings["fsdp_config"].items()}
    os.environ["FSDP_AUTO_WRAP_POLICY"] = settings["fsdp_config"]["fsdp_auto_wrap_policy"]
    os.environ["FSDP_STATE_DICT_TYPE"] = settings["fsdp_config"]["fsdp_state_dict_type"]
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    begin = PartialState.__init__

    def begin_as_gpu(self: PartialState, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = begin_as_gpu
    from training.train import main as train

    report_loading(Path(sys.argv[sys.argv.index("--output_dir") + 1]))
    return train(sys.argv[1:])


def report_loading(out: Path) -> None:
    """Write `held-RANK.json` with the bytes of weights that a rank holds in the first step, and its memory before.

    `load` and `prepare` are the largest growth of the process, files that it reads included, until the weights are
    loaded, and until the first step.
    """
    from training.model import load
    from training.trainer import DialogueTrainer

    plain, step = load.load_model, DialogueTrainer.training_step
    held: dict[str, int] = {}

    def load_model(*args: Any) -> Any:
        importlib.import_module("transformers.models.auto.modeling_auto")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before = memory_bytes("VmRSS")
        model, processor = plain(*args)
        held["whole"] = sum(parameter.nbytes for parameter in model.parameters())
        held["before"], held["load"] = before, memory_bytes("VmHWM") - before
        return model, processor

    def training_step(self: Any, model: Any, *args: Any) -> Any:
        shards = [parameter.to_local() for parameter in model.parameters()]
        held["sharded"] = sum(shard.nbytes for shard in shards)
        held["prepare"] = memory_bytes("VmHWM") - held["before"]
        (out / f"held-{self.args.process_index}.json").write_text(json.dumps(held))
        return step(self, model, *args)

    load.load_model = load_model
    DialogueTrainer.training_step = training_step  # type: ignore[method-assign]


def memory_bytes(name: str) -> int:
    """A line of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # FSDP's meshes hold gloo's threads, which must not drop tensors while the interpreter ends
