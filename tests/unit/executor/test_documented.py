"""The reference names every parameter, ours and those of the executor that users come from."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from parsl.executors.workqueue.executor import WorkQueueExecutor

from wq_package.executor import WQPackageExecutor

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference-executor.md"


def read_table(heading: str) -> dict[str, str]:
    """Read the first table below a heading: names in the first column, and what stands in the second."""
    text = REFERENCE.read_text()
    section = text[text.index(f"\n## {heading}\n") + 4 :].partition("\n## ")[0]
    found: dict[str, str] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            _, names, verdict, *_ = (cell.strip() for cell in line.split("|"))
            for name in re.findall(r"`([a-z_]+)[`=]", names):
                found.setdefault(name, verdict)
    return found


def list_parameters(kind: type) -> set[str]:
    return set(inspect.signature(kind).parameters)


def test_parameters__all_are_described() -> None:
    assert set(read_table("Parameters")) == list_parameters(WQPackageExecutor)


def test_parameters__documented_defaults_are_the_real_ones() -> None:
    parameters = inspect.signature(WQPackageExecutor).parameters
    for name, documented in read_table("Parameters").items():
        literal = re.fullmatch(r"`[^`]*`", documented)
        if literal is not None and name != "remote_monitoring_radio":
            assert documented == f"`{parameters[name].default!r}`".replace("'", '"'), name
        elif documented == "none":
            assert parameters[name].default is None, name


def test_migration__every_parameter_of_parsls_executor_is_in_the_table() -> None:
    told = read_table("Beside Parsl's `WorkQueueExecutor`")
    assert set(told) == list_parameters(WorkQueueExecutor)
    assert set(told.values()) <= {"same", "better", "changed", "gone"}
    kept = {name for name, verdict in told.items() if verdict != "gone"}
    assert kept == list_parameters(WorkQueueExecutor) & list_parameters(WQPackageExecutor)
