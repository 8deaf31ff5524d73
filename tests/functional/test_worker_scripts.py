"""The script that runs one call on a worker that is not ours, as a process of its own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle

from wq_package.archive.scripts import run_call


def test_main__function_of_main__finds_a_clean_one(tmp_path: Path) -> None:
    source = (
        "def f(x):\n    import __main__\n    return x + 1, sorted(n for n in vars(__main__) if n[0] != '_')\n"
    )
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    (tmp_path / "function").write_bytes(cloudpickle.dumps(namespace["f"]))
    (tmp_path / "arguments").write_bytes(pickle.dumps(((1,), {})))

    script = [sys.executable, "-I", run_call.__file__]
    done = subprocess.run([*script, "function", "arguments", "answer"], cwd=tmp_path, check=False)

    assert done.returncode == 0
    assert pickle.loads((tmp_path / "answer").read_bytes()) == (True, (2, []))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer", "arguments", "function"]


def test_main__function_needs_a_missing_module__exit_code_1_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "function").write_bytes(b"cno_such_module\nf\n.")
    (tmp_path / "arguments").write_bytes(pickle.dumps(((), {})))

    script = [sys.executable, "-I", run_call.__file__]
    done = subprocess.run([*script, "function", "arguments", "answer"], cwd=tmp_path, check=False)

    assert done.returncode == 1
    assert "no_such_module" in pickle.loads((tmp_path / "answer").read_bytes())[1]["text"]
