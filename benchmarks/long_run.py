"""A long run: tens of thousands of tasks of mixed apps, sizes and failures, with retries; is memory flat, does every future end?

    python benchmarks/long_run.py [--tasks 50000] [--workers 2] [--pack] [--call-mode in-place|fork] [--json]

Prints the memory of this process, of the workers and of their interpreters as the run goes on, and what became of the tasks.
Exits with 1 if a future did not end, or ended otherwise than it should have. Nothing is compared here: the run is the result.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parsl
import psutil  # type: ignore[import-untyped]  # it has no stubs
from parsl import Config, File, bash_app, python_app
from parsl.providers import LocalProvider

from wq_package.executor import WQPackageExecutor

IN_FLIGHT = 2000
SAMPLES = 20


class TooLargeError(Exception):
    """What an app raises."""


@python_app
def echo(x: int) -> int:
    """Return the argument."""
    return x


@python_app
def measure(data: bytes) -> int:
    """Take a large argument."""
    return len(data)


@python_app
def make(size: int) -> bytes:
    """Return a large result."""
    return b"x" * size


@python_app
def refuse(x: int) -> None:
    """Raise an exception of the program's own."""
    raise TooLargeError(x)


@python_app
def succeed_later(path: str) -> str:
    """Fail at the first try, and succeed at the next."""
    import pathlib

    marker = pathlib.Path(path)
    if not marker.exists():
        marker.touch()
        raise ConnectionError("not yet")
    marker.unlink()
    return "done"


@python_app
def crash() -> None:
    """End the interpreter."""
    import os

    os._exit(7)


@bash_app
def shout(word: str, outputs: Any = ()) -> str:
    """Write a file."""
    return f"echo {word} > {outputs[0]}"


@dataclass(frozen=True)
class Kind:
    """One kind of task: how often in a thousand, how it is submitted, and what must come of it."""

    share: int
    submit: Callable[[int, Path], Future[Any]]
    expect: Callable[[int, Any, BaseException | None], bool]


def returns(make_value: Callable[[int], Any]) -> Callable[[int, Any, BaseException | None], bool]:
    """Expect a value."""
    return lambda x, value, error: error is None and value == make_value(x)


def raises(name: str) -> Callable[[int, Any, BaseException | None], bool]:
    """Expect an exception, by the name of its class."""
    return lambda x, value, error: type(error).__name__ == name


KINDS = {
    "echo": Kind(900, lambda x, folder: echo(x), returns(lambda x: x)),
    "large argument": Kind(
        30, lambda x, folder: measure(bytes(1000 * (x % 300))), returns(lambda x: 1000 * (x % 300))
    ),
    "large result": Kind(
        30, lambda x, folder: make(1000 * (x % 300)), lambda x, v, e: len(v) == 1000 * (x % 300)
    ),
    "own exception": Kind(20, lambda x, folder: refuse(x), raises("TooLargeError")),
    "retried": Kind(10, lambda x, folder: succeed_later(f"{folder}/{x}"), returns(lambda x: "done")),
    "bash": Kind(
        9,
        lambda x, folder: shout("word", outputs=[File(f"{folder}/out.{x % 50}")]),
        returns(lambda x: 0),
    ),
    "crash": Kind(1, lambda x, folder: crash(), raises("InterpreterLostError")),
}


def choose(x: int) -> str:
    """Choose a kind for a task, evenly mixed and the same in every run."""
    place = x * 617 % 1000
    for name, kind in KINDS.items():
        place -= kind.share
        if place < 0:
            return name
    raise AssertionError(x)


def run(tasks: int, folder: Path, report: Callable[[int], None]) -> Counter[str]:
    """Submit everything, a bounded number at a time, and check what comes of it."""
    outcomes: Counter[str] = Counter()
    waiting: deque[tuple[int, str, Future[Any]]] = deque()

    def take() -> None:
        x, name, future = waiting.popleft()
        error = future.exception(timeout=600)
        value = None if error else future.result()
        outcomes[name if KINDS[name].expect(x, value, error) else f"WRONG: {name}: {error!r}"[:200]] += 1

    for x in range(tasks):
        name = choose(x)
        waiting.append((x, name, KINDS[name].submit(x, folder)))
        if len(waiting) >= IN_FLIGHT:
            take()
        if (x + 1) % max(1, tasks // SAMPLES) == 0:
            report(x + 1)
    while waiting:
        take()
    report(tasks)
    return outcomes


def measure_memory(mark: str) -> dict[str, float]:
    """Measure resident MB: of this process, of its workers, of their interpreters."""
    found = {"program": psutil.Process().memory_info().rss / 2**20, "workers": 0.0, "interpreters": 0.0}
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = " ".join(process.info["cmdline"] or ())
        try:
            memory = process.memory_info().rss / 2**20
        except psutil.Error:
            continue
        if "host.py" in words and mark in words:
            found["interpreters"] += memory
        elif "wq_package_cli worker" in words and mark in words:
            found["workers"] += memory
    return found


def main() -> int:
    """Run, and print what happened."""
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="long-run-") as scratch:
        folder = Path(scratch)
        provider = LocalProvider(
            init_blocks=options.workers, min_blocks=options.workers, max_blocks=options.workers
        )
        executor = WQPackageExecutor(
            provider=provider,
            pack=options.pack,
            call_mode=options.call_mode,
            worker_options=f"--cores 1 --workdir {folder} --store {folder / 'store'}",
        )
        (folder / "files").mkdir()
        os.chdir(folder)
        samples: list[dict[str, float]] = []
        began = time.monotonic()

        def report(done: int) -> None:
            sample = {"tasks": done, "seconds": time.monotonic() - began, **measure_memory(str(folder))}
            samples.append(sample)
            if not options.json:
                print("  ".join(f"{key} {value:9.1f}" for key, value in sample.items()), flush=True)

        config = Config(
            executors=[executor],
            run_dir=str(folder / "runs"),
            retries=1,
            strategy="none",
            initialize_logging=False,
        )
        with parsl.load(config):
            outcomes = run(options.tasks, folder / "files", report)
            left = len(executor.tasks)
        os.chdir("/")
    wrong = {name: count for name, count in outcomes.items() if name.startswith("WRONG")}
    if options.json:
        print(json.dumps({"samples": samples, "outcomes": outcomes, "left": left}))
    else:
        print_outcomes(outcomes, left)
    return 1 if wrong or left or sum(outcomes.values()) != options.tasks else 0


def print_outcomes(outcomes: Counter[str], left: int) -> None:
    """Print what became of the tasks."""
    for name, count in sorted(outcomes.items()):
        print(f"{count:8}  {name}")
    print(f"{left:8}  without an end")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Run very many tasks of all kinds, and watch the memory.")
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pack", action="store_true", help="in packaged environments")
    parser.add_argument("--call-mode", choices=("in-place", "fork"), default="in-place")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
