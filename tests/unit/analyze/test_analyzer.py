from __future__ import annotations

import json
import time
import zipapp
from pathlib import Path

import pytest

from fake_environments import load_catalogue, make_environment
from wq_package.analyze import (
    Analysis,
    AnalyzeOptions,
    Origin,
    Resolver,
    analyze_app,
    analyze_file,
    analyze_imports,
    analyze_source,
)
from wq_package.errors import AnalysisError, AppNotFoundError, SourceSyntaxError, UnresolvedImportsError

PROGRAM = """\
import numpy as np
import pandas as pd
from parsl import python_app

def plain(x):
    return pd.DataFrame(x)

@python_app
def first(x):
    return np.sum(x)

@python_app(
    cache=True,
)
def second(x):
    def inner(y):
        return pd.isna(y)
    return inner(x)

third = lambda x: np.pi * x
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environment"), load_catalogue().values())


@pytest.fixture
def options(site: Path) -> AnalyzeOptions:
    return AnalyzeOptions(search_path=(str(site),))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    return path


def names(analysis: Analysis) -> set[str]:
    return {use.module for use in analysis.imports if use.is_used}


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        (5, "plain", {"pandas"}),
        (8, "first", {"numpy"}),
        (9, "first", {"numpy"}),
        (12, "second", {"pandas"}),
        (15, "second", {"pandas"}),
        (16, "inner", {"pandas"}),
        (20, "<lambda>", {"numpy"}),
    ],
)
def test_analyze_app__by_line_of_def_or_decorator__takes_what_it_needs(
    program: Path, options: AnalyzeOptions, line: int, name: str, expected: set[str]
) -> None:
    assert names(analyze_app(program, line, name, options)) == expected


def test_analyze_app__no_such_function__names_the_apps(program: Path, options: AnalyzeOptions) -> None:
    with pytest.raises(AppNotFoundError) as raised:
        analyze_app(program, 5, "nosuch", options)
    assert raised.value.apps == ("first", "second")


def test_analyze_app__two_functions_of_one_name__the_line_decides(
    tmp_path: Path, options: AnalyzeOptions
) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "import numpy, pandas\ndef f(): return numpy\ndef g():\n    def f(): return pandas\n    return f\n"
    )

    assert names(analyze_app(path, 2, "f", options)) == {"numpy"}
    assert names(analyze_app(path, 4, "f", options)) == {"pandas"}


def test_analyze_app__second_time__is_fast(program: Path, options: AnalyzeOptions) -> None:
    analyze_app(program, 8, "first", options)
    start = time.process_time()
    analyze_app(program, 8, "first", options)

    assert time.process_time() - start < 0.05


def test_analyze_app__include_self__takes_the_module_and_all_it_imports(program: Path, site: Path) -> None:
    analysis = analyze_app(program, 8, "first", AnalyzeOptions(search_path=(str(site),), include_self=True))

    assert [source.import_name for source in analysis.local] == ["app"]
    assert names(analysis) >= {"numpy", "pandas", "parsl"}


def test_analyze_imports__bare_names__are_resolved(options: AnalyzeOptions) -> None:
    analysis = analyze_imports(["numpy", "json", "google.cloud.storage", "numpy"], options)

    assert [use.origin for use in analysis.imports] == [
        Origin.THIRD_PARTY,
        Origin.STANDARD_LIBRARY,
        Origin.THIRD_PARTY,
    ]


def test_analyze_imports__unknown_names__are_all_told(options: AnalyzeOptions) -> None:
    with pytest.raises(UnresolvedImportsError) as raised:
        analyze_imports(["unknownone", "unknowntwo"], options)
    assert len(raised.value.issues) == 2


def test_analyze_source__every_distribution__says_why_it_is_there(options: AnalyzeOptions) -> None:
    analysis = analyze_source("import pandas\n", "app.py", options)
    reasons = {entry.name: entry for entry in analysis.distributions}

    assert reasons["pandas"].resolver is Resolver.INSTALLED
    assert reasons["pandas"].detail == "pandas/__init__.py"
    assert [str(place) for place in reasons["pandas"].imported_at] == ["app.py:1"]
    assert reasons["six"].resolver is Resolver.REQUIRED
    assert reasons["six"].required_by == ("python-dateutil",)


def test_analyze_source__syntax_error__has_path_and_line(options: AnalyzeOptions) -> None:
    with pytest.raises(SourceSyntaxError) as raised:
        analyze_source("x = 1\ndef f(:\n", "<stdin>", options)
    assert (raised.value.path, raised.value.line) == ("<stdin>", 2)


@pytest.mark.parametrize("python", ["3", "x.y", "3.99", "2.8.1", "3.11.7.1", "³.¹"])
def test_analyze__unknown_version_of_python__is_an_error(python: str) -> None:
    with pytest.raises(AnalysisError):
        analyze_source("", "app.py", AnalyzeOptions(python=python))


def test_analyze__malformed_mapping_and_extra__are_errors() -> None:
    for options in (AnalyzeOptions(mapping=(("x", "@@@"),)), AnalyzeOptions(extra=("@@@",))):
        with pytest.raises(AnalysisError):
            analyze_source("", "app.py", options)


def test_analyze_file__generated_file_of_many_lines__is_read(tmp_path: Path, options: AnalyzeOptions) -> None:
    path = tmp_path / "app.py"
    path.write_text("import numpy\n" + "x = [1, 2, 3]\n" * 100_000)

    assert names(analyze_file(path, options)) == {"numpy"}


def test_analyze_file__deeply_nested_functions__are_followed(tmp_path: Path, options: AnalyzeOptions) -> None:
    depth = 90
    lines = [f"{' ' * n}def f{n}():" for n in range(depth)]
    path = tmp_path / "app.py"
    path.write_text("\n".join([*lines, f"{' ' * depth}import numpy"]))

    assert names(analyze_file(path, options)) == {"numpy"}


def test_analyze_file__chain_of_many_local_modules__is_followed(
    tmp_path: Path, options: AnalyzeOptions
) -> None:
    for number in range(300):
        (tmp_path / f"m{number}.py").write_text(f"import m{(number + 1) % 300}\n")
    analysis = analyze_file(tmp_path / "m0.py", options)

    assert len(analysis.local) == 300


def test_analyze_file__unreadable__is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch.py", tmp_path):
        with pytest.raises(AnalysisError) as raised:
            analyze_file(path)
        assert raised.value.hint


_MESON_LOADER = """\
class MesonpyMetaFinder:
    def __init__(self, package: str, names: Set[str], path: str, cmd: List[str], verbose: bool = False):
        self._name = package

def init():
    finder = MesonpyMetaFinder(
        'my-lib',
        {{'mylib', 'alone'}},
        {build!r},
        ['ninja'],
        False,
    )
"""


@pytest.fixture
def meson_project(tmp_path: Path) -> tuple[Path, AnalyzeOptions]:
    """Make a project that meson-python has installed as editable."""
    project, build = tmp_path / "project", tmp_path / "project" / "build" / "cp311"
    (project / "src" / "mylib").mkdir(parents=True)
    (project / "src" / "mylib" / "__init__.py").write_text("import requests\n")
    (project / "single.py").write_text("")
    plan = {
        str(project / "src" / "mylib" / "__init__.py"): {"destination": "{py_purelib}/mylib/__init__.py"},
        str(project / "single.py"): {"destination": "{py_purelib}/alone.py"},
        str(project / "tool.py"): {"destination": "{bindir}/tool.py"},
    }
    (build / "meson-info").mkdir(parents=True)
    (build / "meson-info" / "intro-install_plan.json").write_text(json.dumps({"targets": {}, "python": plan}))
    loader = "_my_lib_editable_loader.py"
    entry = {"name": "my-lib", "version": "1.0", "editable": str(project), "files": [loader]}
    contents = {loader: _MESON_LOADER.format(build=str(build))}
    requests = {"name": "requests", "version": "2.32"}
    site = make_environment(tmp_path / "environment", [{**entry, "contents": contents}, requests])
    return project, AnalyzeOptions(search_path=(str(site),), keep_going=True)


def test_analyze__editable_of_meson_python__is_its_packages(
    meson_project: tuple[Path, AnalyzeOptions],
) -> None:
    project, options = meson_project
    analysis = analyze_source("import mylib, alone\n", "app.py", options)

    found = {source.import_name: source.path for source in analysis.local}
    assert found == {"mylib": str(project / "src" / "mylib"), "alone": str(project / "single.py")}
    assert [wheel.text for wheel in analysis.spec.wheels] == ["requests==2.32"]


@pytest.mark.parametrize("plan", ["", "[]", '{"python": 3}', '{"python": {"a.py": {}}}'])
def test_analyze__editable_of_meson_python_without_plan__is_unresolved(
    meson_project: tuple[Path, AnalyzeOptions], plan: str
) -> None:
    project, options = meson_project
    (project / "build" / "cp311" / "meson-info" / "intro-install_plan.json").write_text(plan)
    analysis = analyze_source("import mylib\n", "app.py", options)

    assert [problem.text for problem in analysis.problems] == ["nothing here provides `mylib`"]


@pytest.mark.parametrize("interpreter", [None, "/usr/bin/env python3"])
def test_analyze__zip_app__is_said_to_be_one(tmp_path: Path, interpreter: str | None) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__main__.py").write_text("import numpy\n")
    zipapp.create_archive(tmp_path / "program", tmp_path / "app.pyz", interpreter)

    with pytest.raises(SourceSyntaxError, match="zip file") as raised:
        analyze_file(tmp_path / "app.pyz", AnalyzeOptions(keep_going=True))
    assert "zipfile -e" in str(raised.value.hint)
