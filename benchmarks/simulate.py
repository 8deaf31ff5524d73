"""What labels are worth: the manager's own decisions on simulated workers, beside an oracle, a guess and no labels at all.

    python benchmarks/simulate.py [--tasks 10000] [--shapes normal,HEP] [--strategies adaptive,min-waste] [--seeds 3]
    python benchmarks/simulate.py --hep                  # the runs of LFM's figure 6
    python benchmarks/simulate.py --tasks 1000000 --workers 1875 --shapes trimodal --strategies adaptive
    python benchmarks/simulate.py --log RUN.log          # a real run again, from its transaction log
    python benchmarks/simulate.py --trace TASKS.csv      # tasks that others measured
    python benchmarks/simulate.py --plots docs/figures   # all figures of docs/reference-resources.md; pip install -e '.[benchmarks]'

A trace is a table of `category,cores,memory,disk,wall_time` (MB and seconds; more columns do no harm), one task a line below the
heading, in the order in which they are submitted. Those of Tovar et al. (TPDS 2018) are in the public repository
`cooperative-computing-lab/efficient-resource-allocations`, folder `data`. A wall time of 0 means that a task was not timed: it
takes what the others of its category take in the median.

Nothing sleeps: see `simulation.py`, and `loads.py` for the shapes. Printed are times relative to the oracle's, the part of the
memory that was given that was needed, and tries per task that needed more; medians over seeds.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loads import HEP, SHAPES, Load, find_most, make_load, read_log, read_trace
from simulation import STRATEGIES, Outcome, Pool, simulate

HEP_POOL = Pool(20, 4, 4000, 8000)
FIGURE_STRATEGIES = ("oracle", "adaptive", "guess", "unmanaged")
COLOURS = {
    "oracle": "#8a94a0",
    "adaptive": "#3b6fb6",
    "max-throughput": "#d9822b",
    "min-waste": "#3f9c6b",
    "max": "#7a68c4",
    "maximum": "#a65a47",
    "guess": "#b8a02c",
    "unmanaged": "#c0392b",
}


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=_parse_count, default=10_000)
    parser.add_argument("--workers", type=_parse_count, default=20)
    parser.add_argument("--cores", type=_parse_count, default=16)
    parser.add_argument("--memory", type=_parse_count, default=64_000, help="MB of each worker")
    parser.add_argument("--disk", type=_parse_count, help="MB of each worker; as much as memory unless told")
    parser.add_argument("--seeds", type=_parse_count, default=1)
    parser.add_argument("--shapes", type=_parse_names((*SHAPES, HEP)), default=(*SHAPES, HEP))
    parser.add_argument("--strategies", type=_parse_names(STRATEGIES), default=tuple(STRATEGIES))
    parser.add_argument(
        "--peak", type=_parse_share, default=1.0, help="when in its time a task needs most (0 to 1)"
    )
    parser.add_argument("--hep", action="store_true", help="run what LFM's figure 6 shows")
    measured = parser.add_mutually_exclusive_group()
    measured.add_argument("--log", type=Path, help="take the tasks from a transaction log")
    measured.add_argument("--trace", type=Path, help="take the tasks from a table of what they used")
    parser.add_argument("--plots", type=Path, help="draw the figures into this folder")
    return parser.parse_args()


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _parse_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def _parse_names(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Make what parses names with commas between them, and refuses those that are not known."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; there are {', '.join(known)}")
        return names

    return parse


def main() -> None:
    """Simulate, print, and draw if asked to."""
    args = parse_arguments()
    if args.plots:
        if find_spec("matplotlib") is None:
            raise SystemExit(
                "there is no matplotlib to draw with; install it with: pip install -e '.[benchmarks]'"
            )
        args.plots.mkdir(parents=True, exist_ok=True)
    if args.hep or args.plots:
        runs = run_hep()
        if args.plots:
            draw_hep(runs, args.plots / "hep.svg")
    if not args.hep:
        results = run_shapes(args)
        if args.plots:
            draw_shapes(results, args.plots / "shapes.svg")


# -- shapes ---------------------------------------------------------------------------------------------------------------


def run_shapes(args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Run each shape with each strategy; give times relative to the oracle's."""
    strategies = [name for name in args.strategies if name != "oracle"]
    workers = Pool(args.workers, args.cores, args.memory, args.disk or args.memory)
    measured = args.log or args.trace
    print(f"{args.tasks} tasks (HEP: {HEP_POOL})" if not measured else f"the tasks of {measured}", end=", ")
    print(
        f"{workers.workers} workers of {workers.cores} cores, {workers.memory_mb} MB and {workers.disk_mb} MB of disk"
    )
    print(
        f"{'load':12} {'strategy':15} {'time':>10} {'x oracle':>9} {'efficiency':>10} {'retries':>8} {'CPU':>7}"
    )
    results: dict[str, dict[str, list[float]]] = {}
    for name, loads in _iter_loads(args):
        pool = HEP_POOL if name == HEP else workers
        _check_fit(loads[0], pool)
        oracle = [_run(load, pool, "oracle", args.peak) for load in loads]
        _print_row(name, "oracle", oracle, oracle, len(loads[0].needs))
        results[name] = {"oracle": [1.0]}
        for strategy in strategies:
            outcomes = [_run(load, pool, strategy, args.peak) for load in loads]
            _print_row(name, strategy, outcomes, oracle, len(loads[0].needs))
            results[name][strategy] = [
                a[0].seconds / b[0].seconds for a, b in zip(outcomes, oracle, strict=True)
            ]
    return results


def _iter_loads(args: argparse.Namespace) -> Iterable[tuple[str, list[Load]]]:
    if args.log or args.trace:
        load = _read_measured(read_log, args.log) if args.log else _read_measured(read_trace, args.trace)
        yield load.name, [load]
        return
    for shape in args.shapes:
        yield shape, [make_load(shape, args.tasks, seed) for seed in range(1, args.seeds + 1)]


def _read_measured(read: Callable[[Path], Load], path: Path) -> Load:
    try:
        return read(path)
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SystemExit(f"{path}: this is no table of text ({error})") from None


def _check_fit(load: Load, pool: Pool) -> None:
    for category, most in find_most(load.needs).items():
        if most.memory_mb > pool.memory_mb or most.disk_mb > pool.disk_mb or most.cores > pool.cores:
            raise SystemExit(
                f"{load.name}: tasks of category {category!r} need up to {most.cores} cores, {most.memory_mb} MB and "
                f"{most.disk_mb} MB of disk, more than a worker has; give more with --cores, --memory and --disk"
            )


def _run(load: Load, pool: Pool, strategy: str, peak: float) -> tuple[Outcome, float]:
    started = time.process_time()
    outcome = simulate(load, pool, strategy, peak=peak)
    return outcome, time.process_time() - started


def _print_row(
    name: str,
    strategy: str,
    outcomes: list[tuple[Outcome, float]],
    oracle: list[tuple[Outcome, float]],
    tasks: int,
) -> None:
    ratio = statistics.median(a[0].seconds / b[0].seconds for a, b in zip(outcomes, oracle, strict=True))
    seconds = statistics.median(outcome.seconds for outcome, _ in outcomes)
    efficiency = statistics.median(outcome.efficiency for outcome, _ in outcomes)
    retries = statistics.median(outcome.retries for outcome, _ in outcomes) / tasks
    cpu = statistics.median(cpu for _, cpu in outcomes)
    print(
        f"{name:12} {strategy:15} {seconds:8.0f} s {ratio:9.2f} {efficiency:10.2f} {retries:8.3f} {cpu:5.1f} s",
        flush=True,
    )


# -- LFM's figure 6 -------------------------------------------------------------------------------------------------------


def run_hep() -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Run the HEP load as in LFM's figure 6: by tasks, by workers, by cores of a worker. Minutes."""
    cases = {
        "tasks": [(count, count, HEP_POOL) for count in (500, 1000, 2000, 4000)],
        "workers": [(count, 2000, Pool(count, 4, 4000, 8000)) for count in (10, 20, 40)],
        "cores per worker": [
            (cores, 2000, Pool(20, cores, 1000 * cores, 2000 * cores)) for cores in (2, 4, 8)
        ],
    }
    runs: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for title, settings in cases.items():
        print(f"\nHEP, minutes by {title}: " + ", ".join(str(setting[0]) for setting in settings))
        for strategy in FIGURE_STRATEGIES:
            points = [
                (float(value), simulate(make_load(HEP, count, 1), pool, strategy).seconds / 60)
                for value, count, pool in settings
            ]
            runs.setdefault(title, {})[strategy] = points
            print(f"  {strategy:12}" + "".join(f"{minutes:8.1f}" for _, minutes in points), flush=True)
    print()
    return runs


# -- figures --------------------------------------------------------------------------------------------------------------


def _make_figure(columns: int, width: float) -> tuple[Any, Any, Any]:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update(
        {"font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "wq-package", "axes.spines.top": False}
    )
    mpl.rcParams["axes.spines.right"] = False
    figure, axes = plt.subplots(1, columns, figsize=(width, 3.6), constrained_layout=True)
    return plt, figure, axes


def draw_hep(runs: dict[str, dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """Draw LFM's figure 6."""
    plt, figure, axes = _make_figure(len(runs), 11)
    for axis, (title, lines) in zip(axes, runs.items(), strict=True):
        for strategy, points in lines.items():
            values, minutes = zip(*points, strict=True)
            axis.plot(values, minutes, marker="o", color=COLOURS[strategy], label=strategy)
        axis.set_xlabel(title)
        axis.set_ylim(bottom=0)
        axis.set_xticks(values)
    axes[0].set_ylabel("minutes")
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw_shapes(results: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw the times of each shape beside the oracle's."""
    plt, figure, axis = _make_figure(1, 11)
    strategies = [
        name for name in COLOURS if name != "oracle" and all(name in each for each in results.values())
    ]
    width = 0.8 / len(strategies)
    for place, strategy in enumerate(strategies):
        heights = [statistics.median(each[strategy]) for each in results.values()]
        places = [column + (place - (len(strategies) - 1) / 2) * width for column in range(len(results))]
        axis.bar(places, heights, width * 0.92, color=COLOURS[strategy], label=strategy)
    axis.set_xticks(range(len(results)), list(results))
    axis.set_ylabel("time, oracle = 1")
    axis.set_yscale("log")
    axis.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axis.set_ylim(bottom=1)
    axis.minorticks_off()
    axis.legend(frameon=False, ncols=4, loc="upper left")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
