"""`wq-package analyze` as a user runs it: the installed wheel, a real environment, real programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from installed import Installed

PROGRAM = """\
from pathlib import Path

Path(__file__).with_name("was_run").touch()   # an analysis must never come here
raise SystemExit("this program was run")

import numpy as np
import pandas as pd
from helpers import half
from parsl import python_app, bash_app

@python_app
def total(x):
    return half(np.sum(x))

@python_app
def table(x):
    return pd.DataFrame(x)

@bash_app
def shell():
    return "true"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    (tmp_path / "helpers.py").write_text("import scipy.stats\n\ndef half(x):\n    return x / 2\n")
    return path


def read_pins(text: str) -> dict[str, str]:
    dependencies = yaml.safe_load(text)["dependencies"]
    pins = [pin for entry in dependencies if isinstance(entry, dict) for pin in entry["pip"]]
    return dict(pin.split("==") for pin in pins)


def test_analyze__one_app__writes_exactly_what_it_needs(installed: Installed, program: Path) -> None:
    output = program.with_name("env.yml")
    done = installed.run("analyze", program, "--app", "total", "-o", output)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pins = read_pins(output.read_text())
    code = "import json, numpy, scipy; print(json.dumps([numpy.__version__, scipy.__version__]))"
    versions = json.loads(
        subprocess.run([installed.python, "-c", code], capture_output=True, check=True).stdout
    )
    assert pins == {"numpy": versions[0], "scipy": versions[1]}
    local = yaml.safe_load(output.read_text())["wq-package"]["local"]
    assert [(entry["import"], entry["path"]) for entry in local] == [("helpers", "./helpers.py")]
    assert not program.with_name("was_run").exists()
    assert sorted(path.name for path in program.parent.iterdir()) == ["app.py", "env.yml", "helpers.py"]


def test_analyze__app_that_imports_nothing__needs_only_python(installed: Installed, program: Path) -> None:
    done = installed.run("analyze", program, "--app", "shell")

    version = subprocess.run([installed.python, "-V"], capture_output=True, text=True, check=True).stdout
    assert yaml.safe_load(done.stdout)["dependencies"] == [f"python={version.split()[1]}"]


def test_analyze__whole_program__has_parsl_and_both_apps(installed: Installed, program: Path) -> None:
    pins = read_pins(installed.run("analyze", program).stdout)

    assert {"numpy", "pandas", "scipy", "parsl"} <= set(pins)


def test_analyze__standard_input__is_read(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("analyze", "-", input="import numpy\n", cwd=tmp_path)

    assert done.returncode == 0
    assert list(read_pins(done.stdout)) == ["numpy"]


def test_analyze__empty_environment_variables__changes_nothing(installed: Installed, program: Path) -> None:
    done = installed.run("analyze", program, "--app", "total", env={})

    assert done.stdout == installed.run("analyze", program, "--app", "total").stdout


def test_analyze__json__says_everything(installed: Installed, program: Path) -> None:
    document = json.loads(installed.run("analyze", program, "--json").stdout)

    assert [app["name"] for app in document["apps"]] == ["total", "table", "shell"]
    assert {"numpy", "helpers", "pathlib"} <= {entry["module"] for entry in document["imports"]}


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ("poncho", '"conda"'),
        ("poncho-old", '"packages"'),
        ("requirements", "numpy=="),
    ],
)
def test_analyze__every_format__is_written(installed: Installed, program: Path, form: str, word: str) -> None:
    done = installed.run("analyze", program, "--format", form)

    assert done.returncode == 0
    assert word in done.stdout


def test_analyze__explain__tells_who_needs_what(installed: Installed, program: Path) -> None:
    done = installed.run(
        "analyze", "app.py", "--explain", cwd=program.parent, env={"COLUMNS": "200", "NO_COLOR": "1"}
    )

    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if line.strip().startswith("numpy"))
    assert "app.py:6" in line
    assert "pandas" in line
    assert "installed file" in line
    assert "\x1b" not in done.stdout


def test_analyze__no_such_app__names_those_there_are(installed: Installed, program: Path) -> None:
    done = installed.run("analyze", program, "--app", "nosuch")

    assert done.returncode == 3
    assert "`total`, `table`, `shell`" in done.stderr


def test_analyze__several_problems__are_told_at_once(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import unknownone\nimport unknowntwo\nimport broken\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    done = installed.run("analyze", "app.py", cwd=tmp_path)

    assert done.returncode == 3
    for words in ("app.py:1", "unknownone", "app.py:2", "unknowntwo", "`broken.py` line 1"):
        assert words in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


def test_analyze__keep_going__writes_what_is_known_and_still_says_3(
    installed: Installed, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import numpy\nimport unknownone\n")
    done = installed.run("analyze", "app.py", "--keep-going", "-o", "env.yml", cwd=tmp_path)

    assert done.returncode == 3
    assert "unknownone" in done.stderr
    assert list(read_pins((tmp_path / "env.yml").read_text())) == ["numpy"]


@pytest.mark.parametrize("arguments", [["--map", "x"], ["--map", "=x"], ["--format", "nosuch"], []])
def test_analyze__wrong_usage__is_2(installed: Installed, program: Path, arguments: list[str]) -> None:
    given = [str(program), *arguments] if arguments else []
    done = installed.run("analyze", *given)

    assert done.returncode == 2


HEAVY = {"rich", "yaml", "packaging", "requests", "uv", "numpy", "parsl", "asyncio", "tomllib"}


def test_analyze__quiet_run__imports_nothing_heavy(installed: Installed, program: Path) -> None:
    words = ["-X", "importtime", "-m", "wq_package_cli", "analyze", str(program), "--app", "table"]
    done = subprocess.run([str(installed.python), *words], capture_output=True, text=True, check=True)

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "wq_package" in imported
    assert not imported & HEAVY
