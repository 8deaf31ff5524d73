"""The warm interpreter: runs calls that a worker sends (script; standard library only, Python 3.8 or newer).

Knows two sockets, one folder for large bodies and one with pickled functions; knows nothing of queues or managers. Runs
as `python3 -I host.py MODE SPOOL FUNCTIONS IMPORTS MEASURE` in the environment's own Python, with the socket of calls at
file descriptor 3 and the socket of answers at 4; `MEASURE` is a folder of scripts that measure. Both are SOCK_SEQPACKET: one packet is one message, so a worker can take
a packet back that no host has read yet, and forked children can answer on the same socket without a lock. What the packets hold is told in
`warm/packets.py`.

In place, the call runs in this process; in fork mode, in a child with a process group of its own that is killed when
the child ends. A daemon that left the group is handed to us by the system, and killed when no call runs that was there
before it. What a call holds is what it has beyond what the interpreter held before. In fork mode its processes are also
looked at while they run, unless they are gone at once, and a call over its limit is killed. The worker is gone when the socket of calls is closed: so are we.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import socket
import sys
import types
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_WARM = "_wq_package_warm"


def _add_folder(name: str, folder: str) -> None:
    """Make the scripts of a folder modules that can be imported, under a name that nobody else has."""
    place = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(name, place, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(place)
    sys.modules[name] = importlib.util.module_from_spec(spec)


def _load_part(name: str) -> Any:
    return importlib.import_module(_WARM + "." + name)


def _load_file(name: str, place: str) -> types.ModuleType:
    """Load a module from a file; `-I` keeps our folder off the path."""
    spec = importlib.util.spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _open_socket(number: int) -> socket.socket:
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100)  # away from the numbers that programs use
    os.close(number)
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, moved)


def main(arguments: list[str]) -> None:
    """Serve until the worker goes."""
    mode, spool, functions, imports, measure = arguments
    _add_folder("_wq_package_measure", measure)
    _add_folder(_WARM, os.path.join(_HERE, "warm"))
    output, system, forking = _load_part("output"), _load_part("system"), _load_part("forking")
    calls, answers = _open_socket(3), _open_socket(4)
    system.load_libc()
    system.die_with_parent()
    output.redirect_output(spool)
    output.restore_streams()
    hooks = forking.ForkHooks()
    if mode == "fork":
        hooks.collect()
    runner = _load_file("_wq_package_run_call", os.path.join(_HERE, "run_call.py"))
    host = _load_part("calls").Host(calls, answers, spool, functions, runner)
    runner.make_clean_main()
    sys.argv = [""]
    with contextlib.suppress(ImportError):
        import cloudpickle  # noqa: F401 - nearly every function needs it; the first call should not pay
    error = host.import_ahead(json.loads(imports))
    if output.flush_output():
        os.ftruncate(1, 0)
    zygote = _load_part("zygote").Zygote(host, hooks) if mode == "fork" else None
    answers.send(_load_part("packets").encode_ready(error))
    if zygote is None:
        host.serve_in_place()
    else:
        gc.freeze()
        zygote.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
