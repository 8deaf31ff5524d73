from __future__ import annotations

import math
from typing import Any

import pytest
from parsl.executors.errors import InvalidResourceSpecification

from wq_package.executor.demands import Demand, parse_demand
from wq_package.task import Resources


@pytest.mark.parametrize("specification", [None, {}])
def test_parse_demand__nothing__asks_for_nothing(specification: dict[str, Any] | None) -> None:
    assert parse_demand(specification) == Demand(Resources())
    assert parse_demand(specification).cores == 1


def test_parse_demand__everything__is_translated() -> None:
    demand = parse_demand(
        {"cores": 2, "memory": 100.5, "disk": 10, "gpus": 1, "priority": -3, "running_time_min": 60}
    )
    assert demand == Demand(
        Resources(cores=2.0, memory_mb=101, disk_mb=10, gpus=1), priority=-3.0, running_time_min=60.0
    )


def test_parse_demand__unknown_keys__are_all_named() -> None:
    with pytest.raises(InvalidResourceSpecification) as raised:
        parse_demand({"cpus": 2, "ram": 1, "cores": 1})
    assert raised.value.invalid_keys == {"cpus", "ram"}
    assert "cores, memory, disk" in str(raised.value)


@pytest.mark.parametrize("value", [-1, math.inf, math.nan, "2", True, [1]])
def test_parse_demand__not_a_number__is_named(value: object) -> None:
    with pytest.raises(InvalidResourceSpecification, match="cores="):
        parse_demand({"cores": value})


def test_parse_demand__none__means_not_declared() -> None:
    assert parse_demand({"cores": None, "memory": 5}).resources == Resources(memory_mb=5)
