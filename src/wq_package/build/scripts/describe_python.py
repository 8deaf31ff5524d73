"""Tell where a Python keeps its parts, as one JSON object on standard output.

Runs in any Python from 3.8 on, with the standard library only: the builder runs it in the interpreter that it is about
to copy, and calls `describe` in its own process when that interpreter is the running one.
"""

from __future__ import annotations

import importlib.util
import json
import site
import sys
import sysconfig
from pathlib import Path


def describe() -> dict[str, object]:
    """Collect the folders, names and versions of the base interpreter of this process."""
    get = sysconfig.get_config_var
    name = Path(sysconfig.get_path("stdlib")).name  # python3.11, or python3.13t
    executable = getattr(sys, "_base_executable", "") or sys.executable
    return {
        "abi": sys.abiflags,
        "cache_tag": sys.implementation.cache_tag,
        "dynload": _find_dynload(name),
        "executable": str(Path(executable).resolve()),
        "implementation": sys.implementation.name,
        "include": str(Path(sys.base_prefix, "include", name + ("" if name.endswith("t") else sys.abiflags))),
        "lib_folder": str(get("LIBDIR") or ""),
        "magic": importlib.util.MAGIC_NUMBER.hex(),
        "name": name,
        "platlibdir": getattr(sys, "platlibdir", "lib"),
        "prefix": sys.base_prefix,
        "sees_site_packages": _sees_site_packages(),
        "stdlib": sysconfig.get_path("stdlib"),
        "version": "{}.{}.{}".format(*sys.version_info[:3]),
    }


def _find_dynload(name: str) -> str:
    usual = str(Path(sys.base_exec_prefix, getattr(sys, "platlibdir", "lib"), name, "lib-dynload"))
    known = [folder for folder in sys.path if Path(folder).name == "lib-dynload"]
    return next((folder for folder in [*known, usual] if Path(folder).is_dir()), usual)


def _sees_site_packages() -> bool:
    """Debian's Python looks into `dist-packages` only, but says so only outside of virtual environments."""
    return "dist-packages" not in Path(site.__file__).read_text(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    json.dump(describe(), sys.stdout)
