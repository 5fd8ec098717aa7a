"""Quiz: twenty-four questions on eight topics.

Source: the tests · Licence: Apache-2.0 · Rows: 24 · Metric: accuracy
"""

from eval_tasks.task import Sample, Task
from eval_tasks.totals import mean_total
from mmcr_dataset.record.dialogue import Dialogue, Turn


def samples(data, rules):
    for number in range(24):
        dialogue = Dialogue(f"q{number}", (Turn((f"Question {number}?",), "right"),))
        yield Sample(dialogue, target="right", group=str(number % 8))


def score(sample, replies, rules, verdict):
    return {"accuracy": float(replies[0] == sample.target)}


def totals(scored, rules):
    return {"accuracy": mean_total(scored, "accuracy")}


TASK = Task("quiz", __doc__, samples, score, totals)
