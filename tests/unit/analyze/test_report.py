from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_environments import load_catalogue, make_environment
from wq_package.analyze import Analysis, AnalyzeOptions, analyze_file
from wq_package.analyze.report import FORMATS, JSON_VERSION, render_analysis
from wq_package.spec.files import load_spec


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    site = make_environment(tmp_path / "environment", load_catalogue().values())
    (tmp_path / "helpers.py").write_text("import unknownone\n")
    (tmp_path / "app.py").write_text(
        "import pandas as pd, helpers\nfrom parsl import python_app\n@python_app\ndef f(x): return pd.read_excel(x)\n"
    )
    return analyze_file(tmp_path / "app.py", AnalyzeOptions(search_path=(str(site),), keep_going=True))


def test_render__json__says_everything_and_its_version(analysis: Analysis, tmp_path: Path) -> None:
    document = json.loads(render_analysis(analysis, "json", tmp_path))

    assert document["version"] == JSON_VERSION
    assert document["local"][0]["path"] == "./helpers.py"
    assert document["apps"] == [
        {"name": "f", "kind": "python_app", "file": str(tmp_path / "app.py"), "line": 4, "column": 0}
    ]
    assert {"module": "pandas", "used": True, "kind": "required"}.items() <= document["imports"][0].items()
    assert document["problems"][0]["severity"] == "error"
    assert document["suggestions"][0]["installed"] == ["openpyxl"]
    assert [entry["requirement"] for entry in document["distributions"]] == document["wheels"]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("conda", "env.yml"),
        ("poncho", "env.json"),
        ("poncho-old", "old.json"),
        ("requirements", "requirements.txt"),
    ],
)
def test_render__formats_that_are_read__give_the_spec_back(
    analysis: Analysis, tmp_path: Path, form: str, name: str
) -> None:
    (tmp_path / name).write_text(render_analysis(analysis, form, tmp_path))

    assert load_spec(tmp_path / name).wheels == analysis.spec.wheels


def test_render__every_format__ends_with_a_newline(analysis: Analysis) -> None:
    for form in FORMATS:
        assert render_analysis(analysis, form).endswith("\n")
