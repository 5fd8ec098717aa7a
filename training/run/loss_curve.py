"""Plot of the loss curve of a run, from its log.jsonl."""

from __future__ import annotations

from pathlib import Path

from mmcr_dataset.record.plain_text import figure_text
from mmcr_dataset.stage.stages import read_jsonl


def write_loss_curve(log_path: Path, image_path: Path, title: str, held_out_log: Path | None = None) -> None:
    """Plot loss and learning rate over trained tokens.

    Args:
        log_path: log.jsonl of the run.
        image_path: output file.
        title: of the plot.
        held_out_log: losses.jsonl of the evaluations, if there are any.

    Raises:
        ValueError: the log is empty.
    """
    from matplotlib.figure import Figure

    lines = list(read_jsonl(log_path))
    if not lines:
        raise ValueError(f"{log_path}: no logged step, nothing to plot; lower --log_every_steps")
    tokens = [line["trained_tokens"] for line in lines]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(tokens, [line["loss"] for line in lines], color="tab:blue", marker="." if len(lines) < 3 else None)
    if held_out_log is not None:
        held_out = list(read_jsonl(held_out_log))
        points = [line["trained_tokens"] for line in held_out], [line["eval_loss"] for line in held_out]
        axes.plot(*points, color="tab:orange", marker="o", label="held out")
        axes.legend()
    axes.set(xlabel="trained tokens", ylabel="loss per trained token (nats)", title=figure_text(title))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot(tokens, [line["learning_rate"] for line in lines], color="tab:gray", linewidth=1, linestyle="--")
    rate.set_ylabel("learning rate (dashed)", color="tab:gray")
    rate.set_ylim(bottom=0)
    figure.savefig(image_path, dpi=120)
