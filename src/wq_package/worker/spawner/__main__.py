"""The helper of a worker: `python -I -S __main__.py DESCRIPTOR [user] [no-cgroups]` (script)."""

from __future__ import annotations

import importlib
import os
import sys
import types

_ROOM = "_wq_package_worker"


def _load_server() -> types.ModuleType:
    """Load the folder above as a package of another name: `wq_package` itself is not on the path, and slow to import."""
    room = types.ModuleType(_ROOM)
    room.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    sys.modules[_ROOM] = room
    return importlib.import_module(f"{_ROOM}.spawner.server")


if __name__ == "__main__":
    _load_server().main(
        int(sys.argv[1]), by_user="user" in sys.argv[2:], uses_cgroups="no-cgroups" not in sys.argv[2:]
    )
