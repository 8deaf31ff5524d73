from __future__ import annotations

import json

import pytest

from wq_package.analyze.notebooks import read_notebook


def make_notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells], "metadata": {}})


@pytest.mark.parametrize(
    ("line", "installs"),
    [
        ("%pip install numpy", ["numpy"]),
        ("!pip install -U --no-deps numpy 'pandas>=2'", ["numpy", "pandas>=2"]),
        ("!pip3 install numpy && echo done", ["numpy"]),
        ("!{sys.executable} -m pip install numpy", ["numpy"]),
        ("!python3 -m pip install -r requirements.txt numpy", ["numpy"]),
        ("!uv pip install numpy", ["numpy"]),
        ("%conda install -y -c conda-forge numpy=2.1 conda-forge::scipy", ["numpy==2.1", "scipy"]),
        ("!mamba install numpy=2.1=py311_0", ["numpy==2.1"]),
        ("%pip install git+https://example.org/x.git ./local", []),
        ("%pip install 'unclosed", []),
        ("%pip list", []),
        ("!echo pip install numpy", []),
    ],
)
def test_read_notebook__install_lines__tell_what_they_install(line: str, installs: list[str]) -> None:
    assert read_notebook(make_notebook(line), "x.ipynb").installs == installs


def test_read_notebook__magics_in_a_text__are_left_alone() -> None:
    code = 'text = """\n%pip install numpy\n!ls\n"""'
    notebook = read_notebook(make_notebook(code), "x.ipynb")

    assert notebook.installs == []
    assert "%pip" in notebook.text


def test_read_notebook__lines__belong_to_their_cells() -> None:
    notebook = read_notebook(make_notebook("a = 1\nb = 2", "%%html\n<p>", "%time c = 3"), "x.ipynb")

    assert notebook.places == [(1, "x.ipynb:cell 1"), (3, "x.ipynb:cell 2"), (5, "x.ipynb:cell 3")]
    assert notebook.text.splitlines() == ["a = 1", "b = 2", "", "", "c = 3"]


def test_read_notebook__version_3__has_worksheets_and_input() -> None:
    content = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["import numpy"]}]}], "nbformat": 3}

    assert read_notebook(json.dumps(content), "x.ipynb").text == "import numpy\n"


def test_read_notebook__assigned_and_helped__are_no_code() -> None:
    notebook = read_notebook(make_notebook("files = !ls\nnumpy.zeros?\n??numpy\nx = %who_ls"), "x.ipynb")

    assert notebook.issues == []
    assert notebook.text.split() == ["pass", "pass"]
