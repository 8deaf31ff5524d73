"""How the executor's parameters ask for automatic labels (logic module). Knows the modes' names; finds no label itself."""

from __future__ import annotations

from wq_package.errors import QueueError, WQPackageError
from wq_package.resources import CategoryOptions, LabelMode
from wq_package.task import CallMode

__all__ = ["choose_call_mode", "find_labelling"]


def find_labelling(autolabel: bool | str, window: int) -> CategoryOptions:  # noqa: FBT001 - a mode or whether
    """Find how the tasks of each category get their labels.

    Args:
        autolabel: whether they do, as Parsl's `WorkQueueExecutor` would; or a mode by name.
        window: how many measured tasks it takes until labels are trusted.

    Raises:
        WQPackageError: there is no such mode, or the window is none.
    """
    name = LabelMode.MAX_THROUGHPUT.value if autolabel is True else autolabel or LabelMode.FIXED.value
    modes = ", ".join(f"`{mode.value}`" for mode in LabelMode)
    try:
        mode = LabelMode(name)
    except ValueError as error:
        raise WQPackageError(
            f"`{autolabel}` is no way to label tasks", hint=f"give True or one of {modes}"
        ) from error
    try:
        return CategoryOptions(mode=mode, window=window)
    except QueueError as error:
        raise WQPackageError(f"`autolabel_window` is wrong: {error.message}", hint=error.hint) from error


def choose_call_mode(call_mode: str | None, labelling: CategoryOptions) -> CallMode:
    """Choose how calls run: in place unless they have to be measured.

    Raises:
        WQPackageError: there is no such mode, or it measures nothing.
    """
    if call_mode is None:
        return CallMode.FORK if labelling.is_labelled else CallMode.IN_PLACE
    try:
        mode = CallMode(call_mode)
    except ValueError as error:
        known = ", ".join(f"`{each.value}`" for each in CallMode)
        raise WQPackageError(f"`{call_mode}` is no `call_mode`", hint=f"give one of {known}") from error
    if mode is CallMode.IN_PLACE and labelling.is_labelled:
        raise WQPackageError(
            "`autolabel` has to measure calls, and in place they cannot be told apart",
            hint="leave `call_mode` out, or give `fork`",
        )
    return mode
