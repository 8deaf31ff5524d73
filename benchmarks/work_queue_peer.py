"""Parsl's own `WorkQueueExecutor` on the Work Queue that Debian ships, for programs that compare with it.

Parsl imports `ndcctools.work_queue`; Debian has `work_queue` alone, for the system's Python, whose minor version must be the
running one's. A folder with links makes one of the other. For `pack=True`, Debian's analyser wants an active conda
environment and its builder a conda channel: in their place our builder makes the environment beforehand, with Python and
Parsl in it. What is compared is what is done with it for each task.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import parsl
from parsl.executors import WorkQueueExecutor
from parsl.providers import LocalProvider

_DEBIAN = Path("/usr/lib/python3/dist-packages")
_ANALYZE = """#!/bin/sh
cat > /dev/null
echo "parsl {version}" > "$3"
"""
_CREATE = """#!/bin/sh
cp "{archive}" "$2"
"""


def make_executor(workers: int, *, pack: bool) -> WorkQueueExecutor:
    """Make the executor, with workers of one core each."""
    return WorkQueueExecutor(
        label="work_queue",
        port=0,
        address="127.0.0.1",
        pack=pack,
        full_debug=False,
        worker_options="--cores 1",
        provider=LocalProvider(init_blocks=workers, min_blocks=workers, max_blocks=workers),
    )


def prepare(folder: Path) -> dict[str, str]:
    """Prepare what it needs in a folder; return the environment variables for a process that uses it.

    Raises:
        SystemExit: Work Queue is not installed for this Python.
    """
    binding = sorted(_DEBIAN.glob(f"_work_queue.cpython-3{sys.version_info.minor}-*.so"))
    if not binding or shutil.which("work_queue_worker") is None:
        raise SystemExit(
            f"tasks.py: no Work Queue for Python 3.{sys.version_info.minor}\n"
            "hint: install `coop-computing-tools` and `python3-workqueue`"
        )
    shim, tools, temporary = folder / "shim", folder / "bin", folder / "tmp"
    for made in (shim / "ndcctools", tools, temporary):
        made.mkdir(parents=True)
    (shim / "ndcctools" / "__init__.py").touch()
    (shim / "ndcctools" / "work_queue.py").write_text("from work_queue import *\n")
    for module in (binding[0], _DEBIAN / "work_queue.py"):
        (shim / module.name).symlink_to(module)
    archive = _build_environment(folder)
    _write_tool(tools / "python_package_analyze", _ANALYZE.format(version=parsl.__version__))
    _write_tool(tools / "python_package_create", _CREATE.format(archive=archive))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(shim),
        "TMPDIR": str(temporary),
        "CATALOG_HOST": "127.0.0.1",
        "CATALOG_PORT": str(port),
    }


def _build_environment(folder: Path) -> Path:
    requirements, archive = folder / "requirements.txt", folder / "parsl.tar.gz"
    requirements.write_text(f"parsl=={parsl.__version__}\n")
    version = ".".join(map(str, sys.version_info[:3]))
    command = [sys.executable, "-m", "wq_package_cli", "build", str(requirements), "-o", str(archive)]
    subprocess.run([*command, "--python", version, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return archive


def _write_tool(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
