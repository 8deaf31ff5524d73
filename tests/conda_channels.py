"""Conda channels for tests: the one that the recipe makes, and tiny ones of a few empty packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from channel_package import Package, PackageFile, with_build, write_package

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "channel" / "make_channel.py"
SUBDIR = "linux-64"


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command and capture what it says."""
    settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 600} | options
    return subprocess.run([str(word) for word in command], **settings)  # type: ignore[call-overload,no-any-return]  # options are forwarded


def wq_package(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `wq-package` of this checkout, with the packages of this environment."""
    return run(sys.executable, "-m", "wq_package_cli", *arguments, **options)


def make_channel(folder: Path, *arguments: str) -> str:
    """Make a channel by the recipe; return its URL."""
    done = run(sys.executable, RECIPE, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return folder.as_uri()


def make_package(
    name: str,
    version: str = "1.0",
    *files: PackageFile,
    depends: tuple[str, ...] = (),
    noarch: str = "generic",
) -> Package:
    """Make a small package."""
    return with_build(Package(name, version, "", files, depends, noarch), "")


def make_tiny_channel(folder: Path, packages: Iterable[Package]) -> str:
    """Make a channel of some packages; return its URL."""
    for package in packages:
        write_package(package, folder, SUBDIR)
    return make_channel(folder, "--only-index")


def install(url: str, specs: Iterable[str], prefix: Path, cache: Path) -> None:
    """Install packages into a prefix as any conda client would: by py-rattler itself."""
    done = run(sys.executable, "-c", _INSTALL, url, prefix, cache, *specs)
    assert done.returncode == 0, done.stderr


_INSTALL = """
import asyncio, os, sys
from rattler import Channel, Gateway, VirtualPackage, install, solve

async def main(url, prefix, cache, *specs):
    records = await solve(
        sources=[Channel(url)], specs=list(specs), platforms=["linux-64", "noarch"],
        gateway=Gateway(cache_dir=cache + "/channels"), virtual_packages=VirtualPackage.detect())
    await install(records=records, target_prefix=prefix, cache_dir=cache + "/packages", show_progress=False)

asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)
"""


def copy_channel(source: Path, target: Path) -> str:
    """Copy a channel; return its URL."""
    shutil.copytree(source, target)
    return target.as_uri()


def make_environment(home: Path) -> dict[str, str]:
    """Make variables for a build that shares nothing with another one."""
    return os.environ | {"WQ_PACKAGE_CACHE": str(home / "cache"), "HOME": str(home)}
