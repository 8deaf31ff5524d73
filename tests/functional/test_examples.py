"""The programs that users are shown, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.parsl

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where all of them keep layers and environments, as on a user's machine."""
    folder = tmp_path_factory.mktemp("places")
    return {"WQ_PACKAGE_CACHE": str(folder / "cache"), "WQ_PACKAGE_STORE": str(folder / "store")}


def make_variables(folder: Path, places: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **places, "COLUMNS": "200", "TMPDIR": str(folder)}


def run_example(name: str, folder: Path, places: dict[str, str], *arguments: str) -> str:
    environment = make_variables(folder, places)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_quickstart__prints_result_environments_and_times(tmp_path: Path, places: dict[str, str]) -> None:
    output = run_example("quickstart.py", tmp_path, places, "--tasks", "40")
    for expected in (
        "Result",
        "lifetime",
        "Environments",
        "scipy",
        "decay",
        "pandas",
        "analyse",
        "first fit",
    ):
        assert expected in output
    rows = {line.split()[1]: line for line in output.splitlines() if "python 3." in line}
    assert "scipy" in rows["fit"]
    assert "pandas" not in rows["fit"]
    assert "pandas" in rows["summarize"]
    assert "decay" not in rows["summarize"]


def test_two_versions__each_app_has_its_own(tmp_path: Path, places: dict[str, str]) -> None:
    output = run_example("two_versions.py", tmp_path, places)
    assert output == "packaging 21.3: LegacyVersion\npackaging 24.2: Invalid version: '1.0-custom-build'\n"


def test_packaged_tool__comes_with_the_environment(tmp_path: Path, places: dict[str, str]) -> None:
    output = run_example("packaged_tool.py", tmp_path, places).splitlines()
    assert not list(tmp_path.glob("*.txt"))
    assert output[0] == "pygmentize came with the environment: True"
    assert len(output) == 4
    assert "<html>" in (tmp_path / "pages" / "quickstart.py.html").read_text()


def test_numpy_app__all_forms_of_the_documentation_run(tmp_path: Path, places: dict[str, str]) -> None:
    lines = run_example("numpy_app.py", tmp_path, places).splitlines()
    assert lines == [
        "imported at the top: [3. 5. 7.]",
        "imported inside:     [3. 5. 7.]",
        "largest of columns:  [[4 5]]",
    ]


def test_dimuon__finds_the_resonance(tmp_path: Path, places: dict[str, str]) -> None:
    output = run_example("dimuon.py", tmp_path, places, "--chunks", "6", "--events", "20000")
    lines = output.splitlines()
    assert re.fullmatch(r"\d+ muon pairs from 6 chunks", lines[0])
    found = re.fullmatch(r"mass ([\d.]+) GeV, width ([\d.]+) GeV", lines[1])
    assert found is not None
    assert abs(float(found[1]) - 91.19) < 0.5
    assert lines[2:] == ["fill brought scipy along: False", "fit brought scipy along: True"]


def test_sweep__the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat  # the other programs can be tested without
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "sweep.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # not typed
    variables = make_variables(tmp_path, places)
    client = NotebookClient(
        notebook,
        timeout=800,
        startup_timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute(env=variables)
    printed = "".join(
        output["text"] for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert "damping 0.2: resonance at 1.0" in printed
    assert "1 environment" in printed
