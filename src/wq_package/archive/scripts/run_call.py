"""Runs one pickled call and pickles its answer (script and logic module; standard library only, Python 3.8 or newer).

Knows how a function and its arguments are pickled and what an answer looks like; knows nothing of queues, sockets or
how it got here. It runs in the environment's own Python, which has no `wq_package`. On a worker that is not ours it is
a command, `python3 run_call.py FUNCTION ARGUMENTS ANSWER`; `host.py` beside it uses the same functions.

An answer is a pickle of `(True, value)`, or of `(False, bundle)` where the bundle is a dictionary:

    pickle      the pickled exception, or None if it cannot be pickled
    type        the name of its class
    text        what `str` makes of it
    traceback   the formatted traceback, from the user's own frames on

As a command it leaves behind the pickle what it has used, in 40 bytes: `wqp-used`, and four numbers of 64 bits, the least
significant byte first: processor time in µs, KiB of memory that the largest of its processes held, KiB read, KiB written.
"""

from __future__ import annotations

import os
import pickle
import resource
import struct
import sys
import traceback
import types
from typing import Any

_USED = struct.Struct("<8s4q")
PICKLE_PROTOCOL = 5
"""The newest that Python 3.8 knows."""

_HERE = os.path.dirname(__file__)
_OWN = (_HERE, os.path.join(_HERE, "warm"))


def make_clean_main() -> None:
    """Put an empty `__main__` in place of this script, for functions that were pickled from `__main__`."""
    sys.modules["__main__"] = types.ModuleType("__main__")


def load_callable(body: bytes) -> Any:
    """Unpickle a function.

    Raises:
        Exception: whatever the function's own modules raise while they are imported.
    """
    return pickle.loads(body)


def encode_value(value: Any) -> bytes:
    """Encode the answer of a call that returned.

    Raises:
        Exception: if neither pickle nor cloudpickle can.
    """
    try:
        return pickle.dumps((True, value), PICKLE_PROTOCOL)
    except Exception:  # noqa: BLE001 - pickle raises nearly anything; cloudpickle has the last word
        import cloudpickle

        body: bytes = cloudpickle.dumps((True, value), PICKLE_PROTOCOL)
        return body


def encode_error(error: BaseException) -> bytes:
    """Encode the answer of a call that raised; never fails."""
    bundle = {
        "pickle": _pickle_error(error),
        "type": type(error).__name__,
        "text": _describe(error),
        "traceback": _format(error),
    }
    return pickle.dumps((False, bundle), PICKLE_PROTOCOL)


def encode_unpicklable(value: Any, error: BaseException) -> bytes:
    """Encode the answer of a call whose value cannot travel."""
    text = f"the result, a `{type(value).__qualname__}`, cannot be pickled: {_describe(error)}"
    bundle = {"pickle": None, "type": "PicklingError", "text": text, "traceback": text + "\n"}
    return pickle.dumps((False, bundle), PICKLE_PROTOCOL)


def run_callable(function: Any, arguments: Any) -> tuple[bool, bytes]:
    """Call a function with its pickled `(args, kwargs)`.

    Returns:
        Whether it returned, and the encoded answer.
    """
    try:
        args, kwargs = pickle.loads(arguments)
        value = function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - SystemExit too is the call's own answer
        return False, encode_error(error)
    try:
        return True, encode_value(value)
    except BaseException as error:  # noqa: BLE001 - a value's own __reduce__ may raise anything
        return False, encode_unpicklable(value, error)


def _pickle_error(error: BaseException) -> bytes | None:
    for dump in (pickle.dumps, _cloudpickle, _pickle_without_init):
        try:
            body: bytes = dump(error, PICKLE_PROTOCOL)
            back = pickle.loads(body)  # many exceptions pickle well and cannot be loaded again
        except Exception:  # noqa: BLE001 - the next way, or the bundle's text
            continue
        if type(back).__name__ == type(error).__name__:
            return body
    return None


def _cloudpickle(value: Any, protocol: int) -> bytes:
    import cloudpickle

    body: bytes = cloudpickle.dumps(value, protocol)
    return body


class _Bare:
    """Pickles as an exception that is made without its `__init__`: that may want arguments other than `args`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self.error)
        return kind.__new__, (kind, *self.error.args), self.error.__dict__ or None


def _pickle_without_init(error: BaseException, protocol: int) -> bytes:
    try:
        return pickle.dumps(_Bare(error), protocol)
    except Exception:  # noqa: BLE001 - its class travels by value
        return _cloudpickle(_Bare(error), protocol)


def _describe(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not lose the answer
        return "<no text>"


def _format(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) in _OWN:
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception:  # noqa: BLE001 - a broken __str__ must not lose the answer
        return type(error).__name__ + "\n"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _answer(function_path: str, arguments_path: str) -> tuple[bool, bytes]:
    try:
        function = load_callable(_read(function_path))
    except BaseException as error:  # noqa: BLE001 - a missing module is the call's answer
        return False, encode_error(error)
    return run_callable(function, _read(arguments_path))


def render_used() -> bytes:
    """Tell what this process and its children that have ended have used so far."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(used.ru_utime + used.ru_stime for used in both)
    memory = max(used.ru_maxrss for used in both)
    read, written = sum(used.ru_inblock for used in both) // 2, sum(used.ru_oublock for used in both) // 2
    return _USED.pack(b"wqp-used", int(cpu * 1e6), memory, read, written)


def main(arguments: list[str]) -> int:
    """Run the command `FUNCTION ARGUMENTS ANSWER`; 0 if the call returned, 1 if it raised."""
    function_path, arguments_path, answer_path = map(
        os.path.abspath, arguments
    )  # the call may change directory
    make_clean_main()
    sys.path.insert(0, os.getcwd())
    is_returned, answer = _answer(function_path, arguments_path)
    partial = answer_path + ".partial"
    with open(partial, "wb") as file:
        file.write(answer)
        file.write(render_used())
    os.replace(partial, answer_path)
    return 0 if is_returned else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
