from __future__ import annotations

import pytest

from wq_package.errors import WQPackageError
from wq_package.executor import WQPackageExecutor
from wq_package.executor.labelling import choose_call_mode, find_labelling
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import CallMode


@pytest.mark.parametrize(
    ("autolabel", "mode"),
    [
        (False, LabelMode.FIXED),
        (True, LabelMode.MAX_THROUGHPUT),
        ("adaptive", LabelMode.ADAPTIVE),
        ("min-waste", LabelMode.MIN_WASTE),
    ],
)
def test_autolabel__is_a_mode(autolabel: bool | str, mode: LabelMode) -> None:
    assert find_labelling(autolabel, 7) == CategoryOptions(mode=mode, window=7)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"autolabel": "sometimes"}, "`sometimes` is no way to label tasks"),
        ({"autolabel": True, "autolabel_window": 0}, "`autolabel_window` is wrong"),
        ({"autolabel": True, "call_mode": "in-place"}, "cannot be told apart"),
        ({"call_mode": "sometimes"}, "`sometimes` is no `call_mode`"),
        ({"port": 99999}, "`port=99999` is no port"),
        ({"max_retries": -1}, "`max_retries=-1` makes no sense"),
        ({"extra_pkgs": ["numpy", "num py"]}, "`num py` in `extra_pkgs` is not a requirement"),
    ],
)
def test_parameters__that_make_no_sense__are_refused_with_a_hint(
    options: dict[str, object], reason: str
) -> None:
    with pytest.raises(WQPackageError, match=reason) as caught:
        WQPackageExecutor(**options)  # type: ignore[arg-type]  # what is tested
    assert caught.value.hint


def test_call_mode__is_what_measuring_needs() -> None:
    assert choose_call_mode(None, find_labelling(False, 1)) is CallMode.IN_PLACE
    assert choose_call_mode(None, find_labelling(True, 1)) is CallMode.FORK
    assert choose_call_mode("fork", find_labelling(False, 1)) is CallMode.FORK
