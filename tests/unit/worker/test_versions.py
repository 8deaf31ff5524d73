from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from wq_package.worker.versions import find_versions, make_version_features


def test_find_versions__names_of_folders__the_first_counts(tmp_path: Path) -> None:
    for folder in (
        "one/numpy-2.4.6.dist-info",
        "one/other-1.dist-info",
        "two/numpy-1.0.dist-info",
        "two/Dill-0.4.dist-info",
    ):
        (tmp_path / folder).mkdir(parents=True)
    path = [str(tmp_path / name) for name in ("one", "absent", "two")]
    assert find_versions(path) == {"numpy": "2.4.6", "dill": "0.4"}


def test_features__of_this_python() -> None:
    features = make_version_features()
    assert f"wq-package-has-python-{platform.python_version()}" in features
    assert f"wq-package-has-cloudpickle-{importlib.metadata.version('cloudpickle')}" in features
