"""`wq-package build --prefix` with a project that meson-python has really built and installed as editable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wq_package.archive.reader import ArchiveReader
from wq_package.archive.unpack import unpack_archive

_BIN = Path(sys.executable).parent
_PYPROJECT = """\
[build-system]
build-backend = "mesonpy"
requires = ["meson-python"]

[project]
name = "my-lib"
version = "1.5"

[project.scripts]
my-lib-say = "mylib:say"
"""
_MESON = """\
project('my-lib', 'c', version: '1.5')
py = import('python').find_installation(pure: false)
py.install_sources('src/mylib/__init__.py', subdir: 'mylib')
py.install_sources('src/mylib/sub/__init__.py', 'src/mylib/sub/table.txt', subdir: 'mylib/sub')
py.install_sources('src/other/single.py')
py.extension_module('_core', 'src/mylib/core.c', install: true, subdir: 'mylib')
made = configure_file(input: 'version.in', output: '_version.py', configuration: {'version': meson.project_version()})
py.install_sources(made, subdir: 'mylib')
data = configure_file(input: 'version.in', output: 'table.v2.txt', configuration: {'version': meson.project_version()})
py.install_sources(data, subdir: 'mylib/sub')
"""
_C = """\
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", "", -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
_FILES = {
    "pyproject.toml": _PYPROJECT,
    "meson.build": _MESON,
    "version.in": "VERSION = '@version@'\n",
    "src/mylib/core.c": _C,
    "src/mylib/__init__.py": (
        "from mylib._core import answer\nfrom mylib._version import VERSION\n"
        "def say():\n    print('say', answer(), VERSION)\n"
    ),
    "src/mylib/sub/__init__.py": "",
    "src/mylib/sub/table.txt": "table\n",
    "src/other/single.py": "x = 3\n",
}


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout


def test_prefix__editable_of_meson_python__is_packed_with_what_was_compiled(tmp_path: Path) -> None:
    if shutil.which("cc") is None and not os.environ.get("CI"):
        pytest.skip("needs a C compiler")
    for name, text in _FILES.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    _run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    _run(_BIN / "uv", "pip", "install", "-q", "--python", "venv/bin/python", "-e", "project", cwd=tmp_path)
    env = {**os.environ, "WQ_PACKAGE_CACHE": str(tmp_path / "cache")}
    build = (_BIN / "wq-package", "build", "--prefix", "venv", "-o", "env.tar.zst", "--offline")
    _run(*build, "--no-bytecode", cwd=tmp_path, env=env)
    shutil.rmtree(tmp_path / "project")

    unpack_archive(tmp_path / "env.tar.zst", tmp_path / "moved")
    assert _run(tmp_path / "moved" / "bin" / "my-lib-say", cwd=tmp_path, env={}) == "say 42 1.5\n"
    code = (
        "import importlib.metadata, mylib.sub, pathlib, single\n"
        "table = pathlib.Path(mylib.sub.__file__).with_name('table.txt').read_text()\n"
        "made = pathlib.Path(mylib.sub.__file__).with_name('table.v2.txt').read_text()\n"
        "print(importlib.metadata.version('my-lib'), table.strip(), made.strip(), single.x)"
    )
    shown = _run(tmp_path / "moved" / "bin" / "python3", "-c", code, cwd=tmp_path, env={})
    assert shown == "1.5 table VERSION = '1.5' 3\n"
    with ArchiveReader(tmp_path / "env.tar.zst") as archive:
        machines = {layer.header.name: layer.header.machine for layer in archive.index.layers}
    assert machines["mylib._core"] == os.uname().machine
