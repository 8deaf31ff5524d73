from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.analyze.sources import iter_source_paths


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta", ".wq-package"])
def test_iter_source_paths__environment_inside__is_passed_over(mark: str, tmp_path: Path) -> None:
    (tmp_path / "env" / mark).mkdir(parents=True)
    (tmp_path / "env" / "lib.py").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "app.py").touch()
    assert list(iter_source_paths(tmp_path)) == [tmp_path / "own" / "app.py"]
