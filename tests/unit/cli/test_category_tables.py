from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from wq_package_cli.category_tables import make_category_report

STEP = {"cores": 1, "memory_mb": 64, "disk_mb": 10}
USE = {
    "cores": {"most": 1, "waste": 0.0, "histogram": [[1, 7]]},
    "memory_mb": {"most": 60.5, "waste": 0.25, "histogram": [[45.3, 30], [64.0, 3]]},
    "disk_mb": {"most": 0, "waste": None, "histogram": []},
}
ROW = {
    "category": "c",
    "mode": "adaptive",
    "steps": [STEP, {**STEP, "memory_mb": 333}],
    "tasks_measured": 33,
    "tries_exhausted": 2,
    "tries_at_full_size": 1,
    "use": USE,
}


def show(*rows: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(make_category_report(rows, lambda value: Text(str(value))))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_report__measured_category__tells_label_use_waste_and_retries() -> None:
    text = show({"category": "other"}, ROW)

    for words in (
        "category c: labels adaptive, 33 tasks measured",
        "label: 1 core, 64 MB of memory, 10 MB of disk",
        "then:  1 core, 333 MB of memory",
        "tries that needed more: 2, of these tried with all there is: 1",
        "25%",
        "unknown",
    ):
        assert words in text
    assert "other" not in text
    bars = [line.count("█") for line in text.splitlines() if "█" in line]
    assert bars == [40, 4]


def test_report__nothing_measured__says_so() -> None:
    assert "no category has been measured" in show({"category": "c", "tasks_done": 5})


@pytest.mark.parametrize(
    "wrong", [{"use": {}}, {"steps": [3]}, {"use": {"memory_mb": {"histogram": [1, [2]]}}}]
)
def test_report__answer_that_makes_no_sense__is_shown_as_far_as_it_goes(wrong: dict[str, Any]) -> None:
    assert "category c" in show({**ROW, **wrong})
