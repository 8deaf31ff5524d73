from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from wq_package.archive.activation import apply_scripts
from wq_package.errors import ArchiveError


def _make_prefix(folder: Path, **scripts: str) -> Path:
    prefix = folder / "an environment"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3").symlink_to(sys.executable)
    (prefix / "etc" / "conda" / "activate.d").mkdir(parents=True)
    for name, text in scripts.items():
        (prefix / "etc" / "conda" / "activate.d" / f"{name}.sh").write_text(text)
    return prefix


def _apply(prefix: Path) -> dict[str, str]:
    return apply_scripts(prefix, {"CONDA_PREFIX": str(prefix), "PATH": "/usr/bin:/bin", "KEPT": "as it\nwas"})


def test_apply_scripts__none__leaves_the_variables(tmp_path: Path) -> None:
    prefix = _make_prefix(tmp_path)
    assert _apply(prefix) == {"CONDA_PREFIX": str(prefix), "PATH": "/usr/bin:/bin", "KEPT": "as it\nwas"}


def test_apply_scripts__what_they_set_change_and_unset__is_given(tmp_path: Path) -> None:
    prefix = _make_prefix(
        tmp_path,
        a='echo loud; export DATA="$CONDA_PREFIX/data"\nPATH=/opt:$PATH\n',
        b="not_exported=1\nexport LINES='one\ntwo'\nunset KEPT\n",
    )
    assert _apply(prefix) == {
        "CONDA_PREFIX": str(prefix),
        "PATH": "/opt:/usr/bin:/bin",
        "DATA": f"{prefix}/data",
        "LINES": "one\ntwo",
    }


def test_apply_scripts__one_for_another_shell__is_left_out(tmp_path: Path) -> None:
    prefix = _make_prefix(tmp_path, a="if [[ x ]; then (\n", b="export DATA=1\n")
    assert _apply(prefix)["DATA"] == "1"


@pytest.mark.parametrize("script", ["echo no way >&2; exit 3", "echo no way >&2; exit 0"])
def test_apply_scripts__one_that_ends_the_shell__is_refused(tmp_path: Path, script: str) -> None:
    with pytest.raises(ArchiveError, match=r"activation scripts in `etc/conda/activate.d` failed: no way"):
        _apply(_make_prefix(tmp_path, a=script))


def test_apply_scripts__program_left_in_the_background__is_ended(tmp_path: Path) -> None:
    prefix = _make_prefix(tmp_path, a='sleep 600 & echo $! >"$CONDA_PREFIX/pid"\nexport DATA=1\n')
    assert _apply(prefix)["DATA"] == "1"
    place = Path("/proc", (prefix / "pid").read_text().strip(), "stat")
    until = time.monotonic() + 60
    while _is_running(place):
        assert time.monotonic() < until
        time.sleep(0.01)


def _is_running(stat: Path) -> bool:
    try:
        return (
            stat.read_text().rpartition(")")[2].split()[0] != "Z"
        )  # whoever adopted it need not ask at once
    except OSError:
        return False
