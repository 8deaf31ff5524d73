from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from parsl import File, python_app
from parsl.app.python import timeout
from parsl.data_provider import ftp, http, rsync

from wq_package.executor.functions import AppKind, find_roots, resolve_app


@pytest.fixture(scope="module")
def apps() -> Iterator[ModuleType]:
    """The module `apps.py` beside this one, imported under that name."""
    spec = importlib.util.spec_from_file_location("apps", Path(__file__).with_name("apps.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["apps"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["apps"]


# -- what a callable is --------------------------------------------------------------------------------------------------


def test_resolve_app__python_app__gives_the_users_function(apps: ModuleType) -> None:
    app = resolve_app(apps.one_line.func)
    assert (app.kind, app.name, app.walltime) == (AppKind.PYTHON, "one_line", None)
    assert app.function is apps.one_line.func.__wrapped__


def test_resolve_app__walltime__is_taken_off_and_remembered(apps: ModuleType) -> None:
    app = resolve_app(timeout(apps.one_line.func, 2.5))
    assert (app.kind, app.walltime) == (AppKind.PYTHON, 2.5)
    assert app.function is apps.one_line.func.__wrapped__


def test_resolve_app__bash_app__gives_the_users_function(apps: ModuleType) -> None:
    app = resolve_app(apps.echo.wrapped_remote_function)
    assert (app.kind, app.name, app.function) == (AppKind.BASH, "echo", apps.echo.func)


def make_wrappers() -> list[Any]:
    """Make, for each of Parsl's staging providers that wraps tasks, what it puts round an app, and one of the user's own."""
    source, vault = File("http://host/file"), File("vault://host/file")

    def own(function: Any) -> Any:
        def wrapper(*args: Any) -> Any:
            return copy(args) if args else wrapper(vault)

        def copy(args: Any) -> Any:
            return function(*args)

        return wrapper

    return [
        lambda function: http.in_task_transfer_wrapper(function, source, None),
        lambda function: ftp.in_task_transfer_wrapper(function, source, None),
        lambda function: rsync.in_task_stage_in_wrapper(function, source, None, "host"),
        lambda function: rsync.in_task_stage_out_wrapper(function, source, None, "host"),
        own,
        lambda function: own(own(function)),
    ]


@pytest.mark.parametrize("wrap", make_wrappers())
def test_resolve_app__wrapper_of_a_staging_provider__travels_whole(apps: ModuleType, wrap: Any) -> None:
    for app, name in ((apps.one_line.func, "one_line"), (apps.echo.wrapped_remote_function, "echo")):
        wrapped = wrap(timeout(app, 2.5))
        resolved = resolve_app(wrapped)
        assert (resolved.kind, resolved.name, resolved.function) == (AppKind.WHOLE, name, wrapped)


def test_resolve_app__users_decorator__stays_on(apps: ModuleType) -> None:
    app = resolve_app(apps.stacked.func)
    assert app.kind is AppKind.PYTHON
    assert app.function is apps.stacked.func.__wrapped__
    assert app.function.__wrapped__ is not None


# -- the user's code in it -----------------------------------------------------------------------------------------------


def test_find_roots__stacked_decorators__finds_decorator_and_function(apps: ModuleType) -> None:
    names = {root.__code__.co_name for root in find_roots(resolve_app(apps.stacked.func).function)}
    assert names == {"stacked", "inner"}


def test_find_roots__decorator_without_wraps__is_seen_through(apps: ModuleType) -> None:
    app = resolve_app(python_app(apps.untold(apps.undecorated)).func)
    assert {root.__name__ for root in find_roots(app.function)} == {"inner", "undecorated"}


def test_find_roots__bound_method__finds_the_methods_of_its_class(apps: ModuleType) -> None:
    names = {root.__name__ for root in find_roots(apps.Scaler(2).scale)}
    assert names == {"__init__", "scale"}


def test_find_roots__behind_a_cache_or_a_dispatcher__are_found() -> None:
    def inner(x: int) -> int:
        return x

    assert find_roots(functools.lru_cache(inner)) == (inner,)
    dispatcher = functools.singledispatch(inner)
    for_text = dispatcher.register(str, lambda text: len(text))
    assert {inner, for_text} <= set(find_roots(dispatcher))


def test_find_roots__installed_function__is_left_to_its_distribution() -> None:
    assert find_roots(functools.partial(np.linalg.norm, axis=0)) == ()
