"""Refuses parameters of the executor that make no sense, before anything is started (logic module)."""

from __future__ import annotations

from collections.abc import Iterable

from wq_package.analyze.metadata import is_requirement
from wq_package.errors import WQPackageError

__all__ = ["check_parameters"]


def check_parameters(port: int, max_retries: int | None, extra_pkgs: Iterable[str]) -> None:
    """Check the parameters that any value of their type could be given to.

    Raises:
        WQPackageError: one makes no sense.
    """
    if not 0 <= port < 65536:
        raise WQPackageError(
            f"`port={port}` is no port", hint="give a number below 65536, or 0 for any that is free"
        )
    if max_retries is not None and max_retries < 0:
        raise WQPackageError(
            f"`max_retries={max_retries}` makes no sense", hint="give 0 or more, or None for ever"
        )
    for text in extra_pkgs:
        if not is_requirement(text):
            raise WQPackageError(
                f"`{text}` in `extra_pkgs` is not a requirement",
                hint="write it as `numpy`, `numpy==2.1` or `numpy>=2,<3`",
            )
