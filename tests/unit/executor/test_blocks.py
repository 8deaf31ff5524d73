from __future__ import annotations

import pytest

from wq_package.executor.blocks import choose_blocks

COUNTS = {"busy": 2, "idle": 0, "idle too": 0}
ACTIVE = ["coming", *COUNTS]


@pytest.mark.parametrize(
    ("wanted", "has_tasks", "chosen"),
    [
        (9, True, ["idle", "idle too"]),
        (1, True, ["idle"]),
        (9, False, ["idle", "idle too", "coming"]),
        (0, False, []),
    ],
)
def test_choose_blocks__idle_ones_first_and_never_one_that_a_task_waits_for(
    wanted: int, has_tasks: bool, chosen: list[str]
) -> None:
    assert choose_blocks(ACTIVE, COUNTS, wanted, has_tasks=has_tasks) == chosen
