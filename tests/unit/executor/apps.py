"""A module of the user's that defines apps, as programs have them beside the script."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from parsl import bash_app, python_app

CONSTANT = 5


class OwnError(Exception):
    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.number = number


def helper(x: float) -> float:
    return math.sqrt(x) + CONSTANT


def undecorated(x: float) -> float:
    return helper(x) * 2


@python_app
def one_line(x: float) -> float:
    return helper(x)


@python_app(
    cache=False,
    executors="all",
)
def several_lines(x: Any) -> Any:
    return helper(x)


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return ["traced", function(*args)]

    return inner


def untold(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any) -> Any:
        return ["untold", function(*args)]

    return inner


@python_app
@traced
def stacked(x: float) -> float:
    return helper(x)


@python_app
def fails(x: int) -> None:
    raise OwnError("no", x)


@bash_app
def echo(word: str, stdout: Any = None, stderr: Any = None, outputs: Any = (), walltime: Any = None) -> str:
    return f"echo {word}"


@bash_app
def ends_with(code: int) -> str:
    return f"exit {code}"


class Scaler:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def scale(self, x: float) -> float:
        return helper(x) * self.factor


def make_nested(offset: int) -> Callable[[int], int]:
    def nested(x: int) -> int:
        return x + offset

    return nested
