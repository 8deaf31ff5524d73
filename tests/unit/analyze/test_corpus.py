"""The labelled corpus: every folder below `tests/data/apps` is a program with the answer that is expected of it.

`expected.toml` has, each optional: `source` (default `app.py`), `[options]`, `without` and `[[install]]` (what differs
from the catalogue of installed distributions), `distributions`, `local`, `apps`, `kinds`, `warnings`, `errors`, `fails`,
`suggestions`, `conda`, `requirements`, and `[app.NAME]` with the first two again for one app. Lists are complete:
anything more is wrong, anything less is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fake_environments import DATA, load_catalogue, make_environment
from wq_package.analyze import Analysis, AnalyzeOptions, Severity, analyze_files
from wq_package.errors import AnalysisError

CASES = sorted(path.parent for path in (DATA / "apps").glob("*/expected.toml"))


def test_corpus__is_large_enough() -> None:
    assert len(CASES) >= 150


_SHALLOW = pytest.mark.skipif(
    sys.version_info[:2] == (3, 12),
    reason="3.12 has a fixed limit: it cannot compile what is nested so deeply",
)


def _mark(case: Path) -> object:
    return pytest.param(
        case, id=case.name, marks=[_SHALLOW] if case.name == "shape_long_chain_of_operators" else []
    )


@pytest.mark.parametrize("case", [_mark(case) for case in CASES])
def test_corpus__program__gives_exactly_what_is_expected(
    case: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = tomllib.loads((case / "expected.toml").read_text())
    program = tmp_path / "program"
    shutil.copytree(case, program)
    site = find_environment(tmp_path_factory, select_installed(expected, program))
    if "fails" in expected:
        with pytest.raises(AnalysisError) as raised:
            analyze(program, expected, site)
        assert_matches(expected["fails"], [f"{raised.value}\n{raised.value.hint}"])
        return
    check(expected, analyze(program, expected, site))
    for name, part in expected.get("app", {}).items():
        check(part, analyze(program, expected, site, app=name))


def find_environment(factory: pytest.TempPathFactory, entries: list[dict[str, Any]]) -> Path:
    """Make an environment, or take the one that an earlier case made of the same distributions."""
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:16]
    prefix = factory.getbasetemp() / f"environment-{digest}"
    if prefix.exists():
        return next(prefix.glob("lib/*/site-packages"))
    return make_environment(prefix, entries)


def select_installed(expected: dict[str, Any], program: Path) -> list[dict[str, Any]]:
    catalogue = load_catalogue()
    for name in expected.get("without", []):
        del catalogue[name]
    if expected.get("only_listed"):
        catalogue = {}
    own = [dict(entry) for entry in expected.get("install", [])]
    for entry in own:
        if "editable" in entry:
            entry["editable"] = str(program / entry["editable"])
            contents = entry.get("contents", {})
            entry["contents"] = {k: v.replace("@PROGRAM@", str(program)) for k, v in contents.items()}
    names = {entry["name"] for entry in own}
    return [dict(entry) for name, entry in catalogue.items() if name not in names] + own


def analyze(program: Path, expected: dict[str, Any], site: Path, app: str | None = None) -> Analysis:
    given = dict(expected.get("options", {}))
    options = AnalyzeOptions(
        app=app or given.get("app"),
        include_optional=given.get("include_optional", True),
        mapping=tuple(given.get("mapping", {}).items()),
        python=given.get("python"),
        keep_going=given.get("keep_going", False),
        extra=tuple(given.get("extra", [])),
        search_path=(str(site),),
        include_self=given.get("include_self", False),
    )
    sources = expected.get("source", "app.py")
    names = [sources] if isinstance(sources, str) else sources
    return analyze_files([program / name for name in names], options)


def check(expected: dict[str, Any], analysis: Analysis) -> None:
    assert [wheel.name for wheel in analysis.spec.wheels] == sorted(
        expected.get("distributions", []), key=lambda name: re.sub(r"[-_.]+", "-", name).lower()
    )
    assert [source.import_name for source in analysis.local] == sorted(expected.get("local", []))
    assert_messages(expected, analysis)
    if "apps" in expected:
        assert [app.name for app in analysis.apps] == expected["apps"]
    if "kinds" in expected:
        found = {use.module: use.kind.value for use in analysis.imports if use.module in expected["kinds"]}
        assert found == expected["kinds"]
    if "conda" in expected:
        assert [requirement.text for requirement in analysis.spec.conda] == expected["conda"]
    if "requirements" in expected:
        assert [wheel.text for wheel in analysis.spec.wheels] == expected["requirements"]
    if "python" in expected:
        assert analysis.spec.python == expected["python"]


def assert_messages(expected: dict[str, Any], analysis: Analysis) -> None:
    for severity, key in ((Severity.WARNING, "warnings"), (Severity.ERROR, "errors")):
        found = [str(problem) for problem in analysis.problems if problem.severity is severity]
        assert_matches(expected.get(key, []), found)
    suggested = [f"{entry.location.line}: {', '.join(entry.candidates)}" for entry in analysis.suggestions]
    assert suggested == expected.get("suggestions", [])


def assert_matches(patterns: list[str], texts: list[str]) -> None:
    assert len(patterns) == len(texts) or len(texts) == 1, texts
    joined = "\n".join(texts)
    for pattern in patterns:
        assert re.search(pattern, joined), f"{pattern!r} is not in {joined!r}"
