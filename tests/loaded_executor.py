"""An executor of ours loaded into Parsl, with one worker and with cache and store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import parsl
from parsl import Config
from parsl.providers import LocalProvider

from wq_package.executor import WQPackageExecutor


def make_executor(folder: Path, **options: Any) -> WQPackageExecutor:
    """Make an executor that keeps everything in `folder`."""
    options.setdefault("provider", LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1))
    options.setdefault("worker_options", f"--cores 1 --store {folder / 'store'}")
    options.setdefault("cache_dir", str(folder / "cache"))
    return WQPackageExecutor(**options)


@contextmanager
def loaded(folder: Path, executor: WQPackageExecutor, **options: Any) -> Iterator[WQPackageExecutor]:
    """Load Parsl with this executor alone, for as long as the context lasts."""
    settings: dict[str, Any] = {"strategy": "none", "initialize_logging": False} | options
    with parsl.load(Config(executors=[executor], run_dir=str(folder / "runinfo"), **settings)):
        yield executor
