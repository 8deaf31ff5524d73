from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import parsl
import pytest
from parsl import File, python_app
from parsl.app.errors import AppTimeout, BashExitFailure, MissingOutputs
from parsl.app.python import timeout

from wq_package.executor.failures import UnsendableError
from wq_package.executor.functions import AppKind, ResolvedApp, find_roots, resolve_app
from wq_package.executor.pickling import pack_value
from wq_package.executor.shipments import Shipment, pack_function


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
    for name in cloudpickle.list_registry_pickle_by_value() & {"apps", __name__}:
        cloudpickle.unregister_pickle_by_value(sys.modules[name])
    del sys.modules["apps"]


def ship(func: Callable[..., Any]) -> Shipment:
    app = resolve_app(func)
    return pack_function(app, find_roots(app.function))


def load(shipment: Shipment) -> Callable[..., Any]:
    loaded = pickle.loads(shipment.function.body)
    assert callable(loaded)
    return loaded  # type: ignore[no-any-return]


def call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return load(ship(func))(*args, **kwargs)


def test_key__same_function_in_other_objects__is_the_same(apps: ModuleType) -> None:
    one, other = ship(apps.make_nested(1)), ship(apps.make_nested(2))
    assert one.key == other.key
    assert one.function.digest != other.function.digest


# -- through bytes and back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one_line", "several_lines"])
def test_call__module_globals_and_helpers__travel(apps: ModuleType, name: str) -> None:
    shipment = ship(getattr(apps, name).func)
    assert load(shipment)(4) == 7
    assert shipment.modules == frozenset()
    assert b"python_app" not in shipment.function.body


def test_call__undecorated_function_of_a_module__travels_by_value(apps: ModuleType) -> None:
    shipment = ship(python_app(apps.undecorated).func)
    assert load(shipment)(4) == 14
    assert "apps" not in shipment.modules


def test_call__stacked_decorators__both_run(apps: ModuleType) -> None:
    assert call(apps.stacked.func, 4) == ["traced", 7]


def test_call__lambda_builtin_method_closure__work(apps: ModuleType) -> None:
    assert call(python_app(lambda x: x + 1).func, 1) == 2
    assert call(python_app(len).func, "abc") == 3
    assert call(python_app(apps.Scaler(3).scale).func, 4) == 21
    assert call(python_app(apps.make_nested(10)).func, 1) == 11


def test_call__function_without_source__works() -> None:
    namespace: dict[str, Any] = {}
    exec("import math\ndef area(r):\n    return math.pi * r\n", namespace)
    assert call(python_app(namespace["area"]).func, 1) == pytest.approx(3.14159, rel=1e-4)


def test_call__own_exception__is_the_same_class_after_the_way_back(apps: ModuleType) -> None:
    with pytest.raises(apps.OwnError) as raised:
        call(apps.fails.func, 3)
    assert raised.value.number == 3
    back = pickle.loads(cloudpickle.dumps(raised.value))
    assert type(back) is apps.OwnError


def test_call__walltime__interrupts() -> None:
    def busy() -> None:
        while True:
            pass

    with pytest.raises(AppTimeout):
        call(timeout(python_app(busy).func, 0.05))


def test_call__walltime_not_reached__gives_the_value(apps: ModuleType) -> None:
    assert call(timeout(apps.one_line.func, 60), 4) == 7


def test_call__another_python__says_which(apps: ModuleType) -> None:
    body = ship(apps.one_line.func).function.body
    marked = body.replace(b"K\x03K" + bytes([sys.version_info[1]]), b"K\x03K\x06")
    assert marked != body
    with pytest.raises(
        RuntimeError, match=r"sent by Python 3\.6, and the worker's interpreter is Python 3\.1"
    ):
        pickle.loads(marked)


def test_pack_function__unpicklable_closure__names_the_app() -> None:
    stream, number = sys.stderr, 1

    def writes() -> int:
        return stream.write(f"{unbound} {number}")

    with pytest.raises(UnsendableError, match="app `writes` cannot be pickled") as raised:
        ship(python_app(writes).func)
    assert raised.value.hint == "make `stream` inside the app instead of using it from outside"
    unbound = ""


def test_pack_function__unpicklable_global_of_a_helper__is_named() -> None:
    module: dict[str, Any] = {"__name__": "__main__", "stream": sys.stderr}
    exec("def helper():\n    return stream\ndef app():\n    return helper()\n", module)
    with pytest.raises(UnsendableError) as raised:
        ship(module["app"])
    assert raised.value.hint == "make `stream` inside the app instead of using it from outside"


# -- bash apps -----------------------------------------------------------------------------------------------------------


def test_bash__streams__are_written_as_parsl_does(apps: ModuleType, tmp_path: Path) -> None:
    run = load(ship(apps.echo.wrapped_remote_function))
    out, err = tmp_path / "new" / "out", tmp_path / "err"
    assert run("one", stdout=str(out), stderr=(str(err), "w")) == 0
    assert run("two", stdout=str(out)) == 0
    assert run("three", stdout=(str(tmp_path / "tuple"), "w")) == 0
    assert out.read_text() == "one\ntwo\n"
    assert err.read_text() == "--> executable follows <--\necho one\n--> end executable <--\n"
    assert (tmp_path / "tuple").read_text() == "three\n"


def test_bash__exit_code__is_parsls_own_error(apps: ModuleType) -> None:
    with pytest.raises(BashExitFailure) as raised:
        call(apps.ends_with.wrapped_remote_function, 3)
    assert (raised.value.app_name, raised.value.exitcode) == ("ends_with", 3)


def test_bash__missing_output__is_named(apps: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(MissingOutputs) as raised:
        call(apps.echo.wrapped_remote_function, "x", outputs=[File(str(tmp_path / "absent"))])
    assert "absent" in str(raised.value)


def test_bash__walltime__kills_the_command(apps: ModuleType) -> None:
    with pytest.raises(AppTimeout, match=r"exceeded walltime: 0\.1 seconds"):
        call(apps.echo.wrapped_remote_function, "x; sleep 60", walltime=0.1)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: None, ValueError),
        (lambda: 7, ValueError),
        (lambda: "{1}".format(*["one"]), parsl.app.errors.AppBadFormatting),
        (lambda: None.missing, parsl.app.errors.BashAppNoReturn),  # type: ignore[attr-defined]
    ],
)
def test_bash__bad_command_line__raises_what_parsl_raises(
    body: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(parsl.bash_app(body).wrapped_remote_function)


@pytest.mark.parametrize("stream", [("name", "w", "extra"), ("/dev/null/x", "w"), (7, "w")])
def test_bash__bad_stream__is_named(apps: ModuleType, stream: Any) -> None:
    with pytest.raises(parsl.app.errors.BadStdStreamFile):
        call(apps.echo.wrapped_remote_function, "x", stdout=stream)


def test_pack_value__class_of_an_app_module__travels_by_value(apps: ModuleType) -> None:
    ship(apps.one_line.func)
    data, modules = pack_value(apps.Scaler(2))
    assert modules == frozenset()
    assert type(pickle.loads(data)) is apps.Scaler


def test_pack_function__wrapper_of_each_call__the_function_stays_the_same(tmp_path: Path) -> None:
    def make_wrapper(number: int) -> Any:
        def in_task_transfer_wrapper(func: Any, size: int) -> Any:
            def wrapper(*args: Any) -> Any:
                return func(*args) + size

            return wrapper

        return in_task_transfer_wrapper(double_it, number)

    one, other = (
        pack_function(ResolvedApp(make_wrapper(number), AppKind.WHOLE, "app"), ()) for number in (1, 2)
    )
    assert one.function == other.function
    assert one.wrapper != other.wrapper
    call = pickle.loads(one.function.body)
    assert [call(each.wrapper, (3,), {}) for each in (one, other)] == [7, 8]


def double_it(x: int) -> int:
    return 2 * x
