from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.build.conda.rattler_backend import RattlerBackend
from wq_package.build.conda.records import parse_record
from wq_package.build.options import SilentReporter
from wq_package.errors import BuildError

RECORD = parse_record(
    {
        "name": "a",
        "version": "1",
        "build": "0",
        "fn": "",
        "url": "https://example.org/a-1-0.conda",
        "sha256": "ab",
    }
)


def test_fetch__offline_and_not_cached__names_the_package(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not in the cache: `a-1-0`"):
        RattlerBackend(tmp_path, offline=True).fetch([RECORD], SilentReporter())


def test_fetch__cached__asks_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "packages" / "ab"
    folder.mkdir(parents=True)
    assert RattlerBackend(tmp_path, offline=True).fetch([RECORD], SilentReporter()) == (folder,)
