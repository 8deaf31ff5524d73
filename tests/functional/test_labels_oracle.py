"""The labels of Work Queue's modes agree with Work Queue's own library, step by step, on random histories."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import pytest

from wq_package.resources import CategoryOptions, LabelMode, Usage, make_labels
from wq_package.task import Resources

HISTORIES = 1000
MODES = {LabelMode.MAX: 1, LabelMode.MIN_WASTE: 2, LabelMode.MAX_THROUGHPUT: 3}
# Runs inside the system's own Python: for each step of each history, whether it is steady, and the first allocation.
ORACLE = """
import json, sys
import _work_queue as wq

KINDS = ("cores", "memory", "disk")

def make_summary(amounts):
    summary = wq.rmsummary_create(-1)
    for kind, amount in zip((*KINDS, "wall_time"), amounts):
        if amount is not None:
            wq.rmsummary_set(summary, kind, float(amount))
    return summary

def follow(history):
    category = wq.category_create("any")
    wq.category_specify_allocation_mode(category, history["mode"])
    wq.category_specify_max_allocation(category, make_summary(history["maximum"]))
    wq.category_specify_min_allocation(category, make_summary(history["minimum"]))
    largest = make_summary(history["largest"])
    for usage in history["usages"]:
        summary = make_summary(usage)
        wq.rmsummary_exit_type_set(summary, "normal")
        wq.category_accumulate_summary(category, summary, largest)
        first = wq.category_first_allocation_get(category)
        amounts = None if first is None else [getattr(wq, f"rmsummary_{kind}_get")(first) for kind in KINDS]
        yield [bool(wq.category_steady_state_get(category)), amounts]

json.dump([list(follow(history)) for history in json.load(sys.stdin)], sys.stdout)
"""


def _make_history(rng: random.Random, mode: int) -> dict[str, Any]:
    shape = rng.choice(("uniform", "exponential", "modes"))

    def use_memory() -> int:
        if shape == "uniform":
            return rng.randint(1, 6000)
        if shape == "exponential":
            return 1 + int(rng.expovariate(1 / 700))
        return rng.choice((100, 250, 900, 2100, 2101))

    def perhaps(least: int, most: int) -> int | None:
        return rng.choice((None, None, None, rng.randint(least, most)))

    return {
        "mode": mode,
        "maximum": [perhaps(2, 8), perhaps(1000, 9000), perhaps(500, 5000)],
        "minimum": [perhaps(1, 2), perhaps(1, 999), perhaps(1, 499)],
        "largest": [rng.choice((2, 4, 8, 64)), rng.choice((2000, 16000, 64000)), rng.choice((500, 64000))],
        "usages": [
            [rng.randint(1, 4), use_memory(), rng.randint(1, 3000), rng.randint(1, 500)]
            for _ in range(rng.randint(10, 70))
        ],
    }


def _follow(mode: LabelMode, history: dict[str, Any]) -> list[list[Any]]:
    labels = make_labels(
        CategoryOptions(mode, Resources(*history["minimum"]), Resources(*history["maximum"]))
    )
    assert labels is not None
    steps: list[list[Any]] = []
    for usage in history["usages"]:
        labels.observe(Usage(*usage), Resources(*history["largest"]))
        label = labels.ladder[0] if labels.ladder else None
        amounts = None if label is None else [label.cores, label.memory_mb, label.disk_mb]
        steps.append([labels.is_steady, amounts])
    return steps


@pytest.mark.workqueue
def test_labels__random_histories__agree_with_work_queue() -> None:
    rng = random.Random(20180301)
    cases = [(mode, _make_history(rng, number)) for mode, number in MODES.items() for _ in range(HISTORIES)]
    asked = json.dumps([history for _, history in cases])
    child = subprocess.run(
        ["/usr/bin/python3", "-c", ORACLE], input=asked, capture_output=True, text=True, check=True
    )
    expected = json.loads(child.stdout)

    assert len(expected) == len(cases) == 3 * HISTORIES
    assert any(steps[-1][1] for steps in expected)
    for (mode, history), steps in zip(cases, expected, strict=True):
        assert _follow(mode, history) == steps, history
