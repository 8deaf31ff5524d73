"""Small packages, one for each thing that a conda package can ask of whoever installs it.

`wqp-greeting` is `noarch: python` with an entry point; `wqp-paths` carries the prefix in text, in scripts and in
compiled code; `wqp-activate` sets a variable when the environment is activated.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from channel_package import PLACEHOLDER, Package, PackageFile, with_build

_GREETING = '''\
"""Says hello, and where from."""

from __future__ import annotations

import sys

__version__ = "1.2.0"


def make_greeting(name: str) -> str:
    """Return the words."""
    return f"hello {name} from {sys.prefix}"


def main() -> int:
    """Greet those who are named on the command line."""
    print(make_greeting(" ".join(sys.argv[1:]) or "world"))
    return 0
'''

_PROGRAM = """\
#include <stdio.h>
static const char home[] = "PREFIX/share/wqp-paths/settings.ini";
static const char *volatile shown = home;
int main(void) { puts(shown); return 0; }
"""

_SCRIPT = """\
#!PREFIX/bin/python
import sys
print(sys.prefix)
print("PREFIX")
"""

_SHELL_SCRIPT = """\
#!/bin/sh
. "PREFIX/share/wqp-paths/settings.ini"
echo "$home"
"""

_ACTIVATE = """\
export WQP_ACTIVATE_HOME="$CONDA_PREFIX/share/wqp-activate"
"""

_DEACTIVATE = """\
unset WQP_ACTIVATE_HOME
"""


def make_samples() -> list[Package]:
    """Make the three packages."""
    return [_make_greeting(), _make_paths(), _make_activate()]


def _make_greeting() -> Package:
    info = "site-packages/wqp_greeting-1.2.0.dist-info"
    metadata = b"Metadata-Version: 2.1\nName: wqp-greeting\nVersion: 1.2.0\nSummary: Says hello\n"
    package = Package(
        name="wqp-greeting",
        version="1.2.0",
        build="",
        depends=("python >=3.8",),
        noarch="python",
        entry_points=("wqp-greet = wqp_greeting:main",),
        summary="Says hello",
        files=(
            PackageFile("site-packages/wqp_greeting/__init__.py", _GREETING.encode()),
            PackageFile(f"{info}/METADATA", metadata),
            PackageFile(f"{info}/INSTALLER", b"conda\n"),
            PackageFile(f"{info}/entry_points.txt", b"[console_scripts]\nwqp-greet = wqp_greeting:main\n"),
            PackageFile(f"{info}/top_level.txt", b"wqp_greeting\n"),
        ),
    )
    return with_build(package, "py")


def _make_paths() -> Package:
    files = [
        PackageFile(
            "share/wqp-paths/settings.ini", _fill("home='PREFIX/share/wqp-paths'\n"), prefix_mode="text"
        ),
        PackageFile("share/wqp-paths/table.bin", _make_table(), prefix_mode="binary"),
        PackageFile("bin/wqp-paths-python", _fill(_SCRIPT), executable=True, prefix_mode="text"),
        PackageFile("bin/wqp-paths-shell", _fill(_SHELL_SCRIPT), executable=True, prefix_mode="text"),
        PackageFile("bin/wqp-paths-link", None, link_target="wqp-paths-shell"),
    ]
    program = _compile_program()
    if program:
        files.append(PackageFile("bin/wqp-paths", program, executable=True, prefix_mode="binary"))
    package = Package(
        name="wqp-paths",
        version="0.5",
        build="",
        depends=("python",),
        summary="Carries its prefix in every way there is",
        files=tuple(files),
    )
    return with_build(package, "")


def _make_activate() -> Package:
    files = (
        PackageFile("etc/conda/activate.d/wqp-activate.sh", _ACTIVATE.encode()),
        PackageFile("etc/conda/deactivate.d/wqp-activate.sh", _DEACTIVATE.encode()),
        PackageFile("share/wqp-activate/readme.txt", b"found through WQP_ACTIVATE_HOME\n"),
    )
    package = Package(
        "wqp-activate", "3.0", "", files, noarch="generic", summary="Sets a variable when activated"
    )
    return with_build(package, "")


def _fill(text: str) -> bytes:
    return text.replace("PREFIX", PLACEHOLDER).encode()


def _make_table() -> bytes:
    """Make what a compiler would: NUL-terminated strings between bytes that are no text."""
    strings = (f"{PLACEHOLDER}/lib", f"{PLACEHOLDER}/bin:{PLACEHOLDER}/share", "unrelated")
    return b"\x7fTABLE\x00\xff\xfe" + b"".join(text.encode() + b"\0" for text in strings) + b"\xff\x00end"


def _compile_program() -> bytes:
    """Compile a program that has its prefix built in; nothing where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "program.c"
        source.write_bytes(_fill(_PROGRAM))
        command = [compiler, "-O1", "-s", "-Wl,--build-id=none", "-o", "program", "program.c"]
        subprocess.run(command, cwd=folder, check=True)
        return (Path(folder) / "program").read_bytes()
