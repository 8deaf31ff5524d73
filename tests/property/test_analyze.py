"""What holds for every program that is analysed, whatever it looks like."""

from __future__ import annotations

import ast
import atexit
import contextlib
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fake_environments import load_catalogue, make_environment
from wq_package.analyze import Analysis, AnalyzeOptions, analyze_source
from wq_package.analyze.extract import extract_imports
from wq_package.analyze.implied import find_implied
from wq_package.analyze.notebooks import read_notebook
from wq_package.analyze.parsing import parse_loosely, parse_source
from wq_package.analyze.sources import SourceFile
from wq_package.analyze.target import make_target
from wq_package.analyze.units import open_unit
from wq_package.errors import AnalysisError, InvalidSpecError, SourceSyntaxError, UnresolvedImportsError
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.environment_yml import parse_environment_yml, render_environment_yml
from wq_package.spec.poncho import parse_poncho, render_poncho

MODULES = ("numpy", "pandas", "scipy.stats", "google.cloud.storage", "yaml", "json", "os.path", "cupy")


@cache
def find_options() -> AnalyzeOptions:
    folder = Path(tempfile.mkdtemp(prefix="wq-package-property-"))
    atexit.register(shutil.rmtree, folder)
    site = make_environment(folder, load_catalogue().values())
    return AnalyzeOptions(search_path=(str(site),), keep_going=True)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Programs of nested blocks with imports in them, as Python writes them itself."""
    lines = ["from parsl import python_app", "import numpy as np"]
    for number in range(draw(st.integers(1, 6))):
        module = draw(st.sampled_from(MODULES))
        statement = draw(
            st.sampled_from([f"import {module}", f"import {module} as m{number}", f"from {module} import x"])
        )
        block = draw(
            st.sampled_from(
                [
                    "{0}",
                    "def f{1}(a=1):\n    {0}\n    return np.sum(a)",
                    "@python_app\ndef g{1}(a):\n    {0}\n    return a",
                    "try:\n    {0}\nexcept ImportError:\n    pass",
                    "class C{1}:\n    {0}",
                    "if x{1}:\n    {0}\nelse:\n    pass",
                    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {0}",
                ]
            )
        )
        lines.append(block.format(statement, number))
    return "\n".join(lines) + "\n"


def summarise(analysis: Analysis) -> list[object]:
    return [
        [
            (use.module, use.name, use.kind, use.origin, use.distributions, use.is_used)
            for use in analysis.imports
        ],
        analysis.spec,
        [(app.name, app.kind) for app in analysis.apps],
        [problem.text for problem in analysis.problems],
    ]


@settings(max_examples=30, deadline=None)
@given(programs(), st.randoms(use_true_random=False))
def test_analyze__blank_lines_and_comments__change_nothing(program: str, choice: random.Random) -> None:
    noisy = []
    for line in program.splitlines():
        noisy += ["", "# import torch", "   # from sympy import *"][: choice.randrange(4)]
        noisy.append(line + choice.choice(["", "   ", "  # import h5py"]))

    assert summarise(analyze_source(program, "app.py", find_options())) == summarise(
        analyze_source("\n".join(noisy) + "\n", "app.py", find_options())
    )


@settings(max_examples=30, deadline=None)
@given(programs(), st.sampled_from(["\t", "  ", "        "]), st.booleans())
def test_analyze__indentation_and_line_ends__change_nothing(program: str, indent: str, windows: bool) -> None:
    other = program.replace("    ", indent).replace("\n", "\r\n" if windows else "\n")

    assert summarise(analyze_source(program, "app.py", find_options())) == summarise(
        analyze_source(other.encode(), "app.py", find_options())
    )


@settings(max_examples=40, deadline=None)
@given(programs())
def test_analyze__printed_anew_or_moved__says_the_same(program: str) -> None:
    before = summarise(analyze_source(program, "app.py", find_options()))

    assert summarise(analyze_source(ast.unparse(ast.parse(program)), "app.py", find_options())) == before
    with tempfile.TemporaryDirectory() as folder:
        assert summarise(analyze_source(program, f"{folder}/other_name.py", find_options())) == before


@settings(max_examples=40, deadline=None)
@given(programs())
def test_analyze__one_app__needs_nothing_that_the_whole_program_does_not(program: str) -> None:
    whole = analyze_source(program, "app.py", find_options())
    for app in whole.apps:
        options = AnalyzeOptions(app=app.name, search_path=find_options().search_path, keep_going=True)
        part = analyze_source(program, "app.py", options)

        assert set(part.spec.wheels) <= set(whole.spec.wheels)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_analyze__any_bytes__give_a_result_or_a_syntax_error(source: bytes | str) -> None:
    options = AnalyzeOptions(search_path=find_options().search_path)
    try:
        imports = analyze_source(source, "app.py", options).imports
    except (SourceSyntaxError, UnresolvedImportsError) as error:
        imports = ()
        assert_tells_the_place(error)
    assert all(use.location.path == "app.py" for use in imports)


def assert_tells_the_place(error: AnalysisError) -> None:
    assert "app.py" in str(error)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "import a",
                "from . import b",
                "try:",
                "    ",
                "except ImportError:",
                "\n",
                "def f():",
                "(",
                ")",
                "\\",
                ";",
                "@python_app",
                "lambda x:",
                "if TYPE_CHECKING:",
                "import_module('x')",
                "exec(",
                "'",
                '"""',
                "else:",
                "pass",
            ]
        ),
        max_size=25,
    )
)
def test_extract__pieces_of_python_in_any_order__never_fail_otherwise(pieces: list[str]) -> None:
    source = "".join(pieces)
    loose = parse_loosely(source)
    assert extract_imports(loose, make_target(None)).imports is not None
    try:
        tree = parse_source(source, "app.py")
    except SourceSyntaxError:
        return
    lines = [found.line for found in extract_imports(tree, make_target(None)).imports]
    assert all(1 <= line <= source.count("\n") + 1 for line in lines)


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.text(max_size=20), st.integers()),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(["cells", "source", "cell_type", "metadata", "worksheets"]), inner
                ),
            ),
            max_leaves=12,
        ).map(repr),
    )
)
def test_read_notebook__anything__gives_a_notebook_or_a_syntax_error(content: bytes | str) -> None:
    with contextlib.suppress(SourceSyntaxError):
        notebook = read_notebook(
            content.replace("'", '"') if isinstance(content, str) else content, "x.ipynb"
        )
        assert ast.parse(notebook.text).type_ignores == []


STATEMENTS = (
    "import numpy as np\n",
    "from importlib import import_module as load\n",
    "import importlib.resources as r\n",
    "x = load('scipy')\n",
    "r.files('yaml')\n",
    "def f(a=[\n1,\n2]):\n    import pandas\n    return a\n",
    "@np.vectorize\n",
    "class A:\n  '''import this\nimport that'''\n  def g(self): exec('import yaml')\n",
    "try:\n    import cupy\nexcept ImportError:\n    cupy = None\nelse:\n    cupy.x()\n",
    "if np:\n",
    "else:\n    import json\n",
    "t = 'it\\'s' # import torch (\n",
    'u = """\nimport h5py\n""" + f"{np}"\n',
    "y = 1 + \\\n2\n",
    ")\n",
    "z = {\n'import': 1,\n}\n",
    "pandas.read_parquet('s3://x')\n",
    "\n\n# comment\n",
    "print 1\n",
    "'\n",
    "\x0cimport sympy\n",
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(STATEMENTS), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_open_unit__only_the_statements_that_import__tell_what_the_whole_program_does(
    statements: list[str], end: str
) -> None:
    text = "".join(statements).replace("\n", end).encode()

    assert describe_unit(text, is_whole=True) == describe_unit(text, is_whole=False)


def describe_unit(text: bytes, *, is_whole: bool) -> list[object]:
    try:
        unit = open_unit(SourceFile("app.py", text), make_target(None), is_lenient=False, is_whole=is_whole)
    except SourceSyntaxError as error:
        return [str(error), error.hint]
    extraction = unit.extraction
    implied = find_implied([extraction.tree], extraction.aliases, unit.implied)
    imports = [
        (found.module, found.name, found.line, found.column, found.kind) for found in extraction.imports
    ]
    return [imports, extraction.aliases, [*extraction.notes.values()], implied]


names = st.from_regex(r"\A[a-z][a-z0-9_-]{0,10}[a-z0-9]\Z").filter(lambda name: name not in ("python", "pip"))
versions = st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){0,3}\Z")
specs = st.builds(
    EnvironmentSpec,
    name=st.none()
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20),
    python=versions,
    channels=st.lists(names, min_size=1, max_size=3).map(tuple),
    conda=st.lists(st.builds(CondaRequirement, names, versions, names), max_size=4).map(tuple),
    wheels=st.lists(
        st.tuples(names, versions).map(lambda pair: WheelRequirement("==".join(pair))), max_size=4
    ).map(tuple),
    local=st.lists(
        st.builds(
            LocalSource,
            st.from_regex(r"\A[a-z_]{1,8}(\.[a-z_]{1,8})?\Z"),
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20),
            st.from_regex(r"\A[0-9a-f]{64}\Z"),
        ),
        max_size=3,
    ).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(specs)
def test_environment_yml__render_and_parse__is_identity(spec: EnvironmentSpec) -> None:
    assert parse_environment_yml(render_environment_yml(spec), "env.yml") == spec


@settings(max_examples=30, deadline=None)
@given(specs, st.booleans())
def test_poncho__render_and_parse__is_identity(spec: EnvironmentSpec, old: bool) -> None:
    assert parse_poncho(render_poncho(spec, old=old), "env.json") == spec


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_environment_yml__any_text__gives_a_spec_or_an_invalid_spec(text: str) -> None:
    with contextlib.suppress(InvalidSpecError):
        assert render_environment_yml(parse_environment_yml(text, "env.yml"))
