"""A bash app that calls a command-line tool which no worker has: the tool travels in the app's environment.

    python examples/packaged_tool.py

The app turns Python sources into web pages with `pygmentize`, a program of the package Pygments. `extra_pkgs` says that it is needed: no
analysis finds what a shell command calls. The files go to the worker and come back by themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import parsl
from parsl import Config, File, bash_app

from wq_package.executor import WQPackageExecutor

SOURCES = ("quickstart.py", "two_versions.py", "packaged_tool.py")


@bash_app
def highlight(inputs: Sequence[File] = (), outputs: Sequence[File] = ()) -> str:
    """Make a page of a source, with the tool that is packaged beside this app."""
    return f"pygmentize -f html -O full,title={inputs[0]} -o {outputs[0]} {inputs[0]}"


@bash_app
def find_tool(stdout: str) -> str:
    """Tell where the tool is, seen from the app."""
    return "command -v pygmentize"


def main() -> None:
    executor = WQPackageExecutor(pack=True, extra_pkgs=["Pygments"])
    pages = Path("pages")
    with (
        tempfile.TemporaryDirectory(prefix="packaged-tool-") as run_dir,
        parsl.load(Config(executors=[executor], run_dir=run_dir, initialize_logging=False)),
    ):
        futures = []
        for name in SOURCES:
            source = Path(__file__).with_name(name)
            futures.append(highlight(inputs=[File(str(source))], outputs=[File(str(pages / f"{name}.html"))]))
        place = Path(run_dir) / "tool.txt"
        find_tool(stdout=str(place)).result()
        is_packaged = "/envs/" in place.read_text()
        for future in futures:
            future.result()
    print(f"pygmentize came with the environment: {is_packaged}")
    for page in sorted(pages.iterdir()):
        print(f"{page}: {page.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
