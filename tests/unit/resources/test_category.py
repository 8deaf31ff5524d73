from __future__ import annotations

import pytest

from wq_package.resources import CategoryOptions, LabelMode, Usage, find_usage
from wq_package.task import Measurement


@pytest.mark.parametrize(
    ("measured", "usage"),
    [
        (Measurement(10, 10.2, 99.2, 3.1), Usage(1, 100, 4, 10)),
        (Measurement(10, 25, 99, 3), Usage(3, 99, 3, 10)),
        (Measurement(10, None, 99, None), Usage(1, 99, 0, 10)),
        (Measurement(0, 0, 99, 1), Usage(1, 99, 1, 0)),
        (Measurement(10, 10), None),
        (Measurement(memory_mb=5), None),
    ],
)
def test_find_usage__what_was_measured__is_in_whole_numbers(
    measured: Measurement, usage: Usage | None
) -> None:
    assert find_usage(measured) == usage


def test_options__window_left_out__is_that_of_the_mode() -> None:
    assert CategoryOptions(LabelMode.MAX).tasks_measured == 25
    assert CategoryOptions(LabelMode.ADAPTIVE).tasks_measured == 5
    assert CategoryOptions(LabelMode.ADAPTIVE, window=3).tasks_measured == 3


def test_options__mode__tells_whether_there_are_labels() -> None:
    assert [mode for mode in LabelMode if not CategoryOptions(mode).is_labelled] == [LabelMode.FIXED]
