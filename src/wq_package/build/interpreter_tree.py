"""Which files of a base interpreter make a relocatable one (logic and shell module).

Knows how CPython lays itself out and which parts no program on a worker needs. Copies nothing: it names files; patching
is in `wq_package.build.interpreter_layer`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wq_package.build.interpreter import Interpreter, is_wanted_folder

__all__ = ["TreeFile", "iter_interpreter_files"]

_FILES_LEFT_OUT = frozenset({"EXTERNALLY-MANAGED", "sitecustomize.py", "turtle.py", "usercustomize.py"})
# Extension modules of the test suite; `_tkinter` and `nis` need what no worker has; `ossaudiodev` has no use there.
_EXTENSIONS_LEFT_OUT = re.compile(r"(_tkinter|nis|ossaudiodev|_ctypes_test|_test\w*|_xxtestfuzz|xx\w+)\.")


@dataclass(frozen=True, slots=True, order=True)
class TreeFile:
    """A file of the interpreter.

    Attributes:
        path: where it goes, relative to the prefix.
        source: where it is now.
    """

    path: str
    source: Path


def iter_interpreter_files(interpreter: Interpreter) -> Iterator[TreeFile]:
    """Name the files of an interpreter that an environment needs, but for shared libraries."""
    yield TreeFile(f"bin/{interpreter.name}", Path(interpreter.executable))
    library = f"lib/{interpreter.name}"
    yield from _iter_folder(Path(interpreter.stdlib), library)
    yield from _iter_extensions(Path(interpreter.dynload), f"{library}/lib-dynload")
    yield from _iter_folder(Path(interpreter.include), f"include/{Path(interpreter.include).name}")
    for folder in (Path(interpreter.prefix, "lib"), Path(interpreter.lib_folder or interpreter.prefix)):
        settings = folder / "pkgconfig" / f"python-{interpreter.short_version}.pc"
        if settings.is_file():
            yield TreeFile(f"lib/pkgconfig/{settings.name}", settings)
            break


def _iter_folder(folder: Path, target: str) -> Iterator[TreeFile]:
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if is_wanted_folder(name))
        relative = Path(root).relative_to(folder)
        for name in sorted(files):
            if _is_wanted_file(relative, name):
                source = Path(root, name)
                if source.is_file():  # Debian links some to packages that may be missing
                    yield TreeFile(str(Path(target) / relative / name), source)


def _is_wanted_file(folder: Path, name: str) -> bool:
    if folder.name.startswith("config-"):
        return name == "Makefile"  # the rest is for linking Python into C programs
    return name not in _FILES_LEFT_OUT and not name.endswith((".a", ".o", ".pyc", ".exe"))


def _iter_extensions(folder: Path, target: str) -> Iterator[TreeFile]:
    if not folder.is_dir():
        return  # everything is built in
    for source in sorted(folder.iterdir()):
        if source.suffix == ".so" and not _EXTENSIONS_LEFT_OUT.match(source.name):
            yield TreeFile(f"{target}/{source.name}", source)
