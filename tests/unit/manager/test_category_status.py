from __future__ import annotations

import json

from manager_peers import FUNCTION, greet
from wq_package.manager.state import ManagerState, StateOptions
from wq_package.manager.state import events as e
from wq_package.manager.status import QueueFacts, render_status
from wq_package.protocol import messages as m
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import Call, Resources, ResultCode, Task


def make_state() -> ManagerState:
    state = ManagerState(
        StateOptions(categories={"c": CategoryOptions(LabelMode.MAX, guess=Resources(1, 50, 10))})
    )
    state.handle(*greet(1))
    for task_id, category in ((1, "c"), (2, "plain")):
        state.handle(e.Submitted(task_id, Task(call=Call(FUNCTION, b""), category=category)))
    for task_id, memory, code in (
        (1, 51.0, ResultCode.RESOURCE_EXHAUSTION),
        (1, 60.0, ResultCode.SUCCESS),
        (2, -1.0, ResultCode.SUCCESS),
    ):
        state.handle(
            e.Received(1, m.CallResult(task_id, code.value, 0, 0, 0, 2_000_000, 0, 1000, memory, 4.0))
        )
    return state


def test_wable_status__category_was_measured__tells_what_it_used() -> None:
    state = make_state()
    facts = QueueFacts("", "", 0, 0.0, 0.0, False, state.summarise())

    row, plain, total = json.loads(json.dumps(render_status("wable_status", state, facts)))

    assert (row["category"], row["mode"], row["tasks_measured"], row["tries_exhausted"]) == ("c", "max", 1, 1)
    assert row["tries_at_full_size"] == 1
    assert row["steps"][0] == {"cores": 1, "memory_mb": 50, "disk_mb": 10}
    memory = row["use"]["memory_mb"]
    assert memory["most"] == 60
    # 60 MB of a whole worker's 1000 MB for 2 s, and 50 MB for 2 s in vain
    assert memory["waste"] == 1 - (60 * 2) / (1000 * 2 + 50 * 2)
    assert sum(count for _, count in memory["histogram"]) == 1
    assert memory["histogram"][0][0] >= 60
    assert "use" not in plain
    assert "use" not in total
