"""Make a local conda channel of real `.conda` packages from this machine's Python and from wheels.

    python recipes/channel/make_channel.py OUTPUT [--with numpy --with scipy==1.17.1 …]

OUTPUT becomes a channel that every conda client can use as `file://OUTPUT`. It needs no conda and no conda channel; the
package index is asked only for distributions that are not installed. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from channel_distributions import gather_distributions, make_distribution_package
from channel_package import Package, write_package
from channel_python import make_python_package
from channel_samples import make_samples

_USUAL = ("numpy", "scipy", "pandas", "cloudpickle")
_SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le"}


def main() -> None:
    """Parse the command line, make the packages, index them."""
    arguments = _parse_arguments()
    started = time.perf_counter()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    subdir = _SUBDIRS[platform.machine()]
    (output / "noarch").mkdir(exist_ok=True)
    (output / subdir).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        packages = () if arguments.only_index else _iter_packages(arguments, Path(scratch))
        for package in packages:
            written = write_package(package, output, subdir)
            size = written.stat().st_size
            _say(f"{written.relative_to(output)}  {size / 1e6:.1f} MB")
    asyncio.run(_index(output))
    _say(f"made {output.as_uri()} in {time.perf_counter() - started:.1f} s")
    sys.stderr.flush()
    os._exit(0)  # py-rattler 0.28 may crash while the interpreter shuts down


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "output", type=Path, metavar="OUTPUT", help="folder of the channel; packages are added to it"
    )
    parser.add_argument(
        "--with",
        dest="names",
        action="append",
        metavar="REQUIREMENT",
        help="a distribution, with all that it requires; may be repeated (default: numpy, scipy, pandas, cloudpickle)",
    )
    parser.add_argument(
        "--interpreter", default=sys.executable, metavar="PYTHON", help="the Python to package"
    )
    parser.add_argument("--no-samples", action="store_true", help="leave out the three sample packages")
    parser.add_argument(
        "--only-index", action="store_true", help="make no package, index those that are there"
    )
    return parser.parse_args()


def _iter_packages(arguments: argparse.Namespace, scratch: Path) -> Iterator[Package]:
    python = make_python_package(arguments.interpreter, scratch / "python")
    yield python
    for found in gather_distributions(arguments.names or _USUAL, scratch / "wheels", python.version):
        yield make_distribution_package(found, python.version)
    if not arguments.no_samples:
        yield from make_samples()


async def _index(channel: Path) -> None:
    from rattler.index import index_fs

    shutil.rmtree(channel / "noarch" / "shards", ignore_errors=True)
    await index_fs(channel, write_shards=False, force=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
