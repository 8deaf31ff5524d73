from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fake_environments import make_environment
from wq_package.analyze import AnalyzeOptions, Severity, analyze_source

RUNNING = "{}.{}".format(*sys.version_info)
OTHER, REFUSED = [version for version in ("3.11", "3.12", "3.13") if version != RUNNING][:2]
RANGE = f">=3.8,!={REFUSED}.*,!={OTHER}.4"
PROGRAM = "import fast\nimport old\nimport plain\nimport stable\n"


@pytest.fixture
def site(tmp_path: Path) -> str:
    """Make an environment with compiled, abi3 and pure distributions, and one that not every Python may have."""
    ranges = {"fast": ">=3.8", "old": RANGE, "plain": "not a range", "stable": ">=3.9"}
    metadata = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\nRequires-Python: {}\n"
    entries = [
        {"name": name, "version": "1.0", "metadata": metadata.format(name, accepted)}
        for name, accepted in ranges.items()
    ]
    site = make_environment(tmp_path, entries)
    tags = {
        "fast": "cp{0}-cp{0}-linux_x86_64".format(RUNNING.replace(".", "")),
        "plain": "py3-none-any",
        "stable": "cp39-abi3-manylinux_2_28_x86_64",
    }
    for name, tag in tags.items():
        (site / f"{name}-1.0.dist-info" / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    return str(site)


def analyze(site: str, python: str | None) -> list[tuple[Severity, str]]:
    options = AnalyzeOptions(search_path=(site,), python=python, keep_going=True)
    problems = analyze_source(PROGRAM, "app.py", options).problems
    assert all(problem.hint for problem in problems)
    return [(problem.severity, problem.text) for problem in problems]


def test_find_python_problems__the_python_that_runs__has_none(site: str) -> None:
    assert analyze(site, None) == []


@pytest.mark.parametrize("python", [OTHER, f"{OTHER}.3"])
def test_find_python_problems__compiled_for_another__is_a_warning(site: str, python: str) -> None:
    ((severity, text),) = analyze(site, python)

    assert severity is Severity.WARNING
    assert text.endswith(f"in versions that may not exist for {OTHER}: `fast`")


@pytest.mark.parametrize(("python", "minor"), [(REFUSED, REFUSED), (f"{OTHER}.4", OTHER)])
def test_find_python_problems__not_for_that_python__is_an_error(site: str, python: str, minor: str) -> None:
    problems = analyze(site, python)

    refusal = f"`old==1.0` is for Python {RANGE}, not Python {minor}"
    assert (Severity.ERROR, refusal) in problems


def test_find_python_problems__conda_build_of_another_python__is_an_error(tmp_path: Path) -> None:
    build = f"py{RUNNING.replace('.', '')}h64a7726_0"
    entries = [
        {"name": "numpy", "version": "1.26.4", "conda": {"build": build}},
        {"name": "six", "version": "1.16.0", "conda": {"build": "pyh6c4a22f_0"}},
    ]
    site = make_environment(tmp_path, entries)
    options = AnalyzeOptions(search_path=(str(site),), python=OTHER, keep_going=True)

    problems = analyze_source("import numpy, six\n", "app.py", options).problems

    assert [problem.text for problem in problems] == [
        f"`numpy=1.26.4={build}` is built for Python {RUNNING}, not Python {OTHER}"
    ]
