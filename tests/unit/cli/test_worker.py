from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from wq_package.catalog import CatalogAddress
from wq_package.errors import QueueError
from wq_package.worker import WorkerOptions
from wq_package_cli.commands import worker


def read(*words: str) -> WorkerOptions:
    parser = argparse.ArgumentParser()
    worker.add_parser(parser.add_subparsers())
    return worker._read_options(parser.parse_args(["worker", *words]))


def test_options__none__are_the_defaults() -> None:
    assert read("host", "9123") == WorkerOptions("host", 9123)


def test_options__all__are_understood_as_users_of_the_original_expect(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"sesame\n")

    options = read(
        *f"host 9123 -P {tmp_path}/secret --cores 4 --memory 2000 --disk 3000 --gpus 1 -t 2m --single-shot".split(),
        *f"--store {tmp_path}/s --workdir {tmp_path}/w --wall-time 1h --feature a --feature b".split(),
    )

    assert options.password == b"sesame\n"
    assert (options.cores, options.memory_mb, options.disk_mb, options.gpus) == (4, 2000, 3000, 1)
    assert (options.timeout, options.connect_timeout, options.patience) == (120, 120, 120)
    assert (options.wall_time, options.features, options.single_shot) == (3600, ("a", "b"), True)


def test_options__zero_or_all__mean_what_is_found() -> None:
    assert (read("h", "1", "--cores", "0", "--memory", "all").cores, read("h", "1").memory_mb) == (None, None)


def test_options__two_timeouts__are_told_apart() -> None:
    options = read("h", "1", "-t", "9", "--idle-timeout", "5", "--connect-timeout", "0")

    assert (options.timeout, options.patience) == (5, 0)


def test_options__single_shot__does_not_wait_long_for_a_manager() -> None:
    assert (read("h", "1").patience, read("h", "1", "--single-shot").patience) == (900, 10)


def test_options__project__is_looked_up_in_the_catalogs_of_the_option_or_the_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CATALOG_HOST", "there,elsewhere:1")
    monkeypatch.setenv("CATALOG_PORT", "9000")

    assert read("-M", "p.*").catalogs == (CatalogAddress("there", 9000), CatalogAddress("elsewhere", 1))
    assert read("-M", "p.*", "-C", "here").catalogs == (CatalogAddress("here"),)
    assert (read("-M", "p.*").project, read("-M", "p.*").host) == ("p.*", "")


def test_options__project_without_a_catalog__says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATALOG_HOST", raising=False)

    with pytest.raises(QueueError, match="no catalog is named") as caught:
        read("-M", "p")
    assert "CATALOG_HOST" in str(caught.value.hint)


def test_options__fingerprint__is_understood_as_openssl_prints_it() -> None:
    assert read("h", "1", "--tls-fingerprint", ":".join(["AB"] * 32)).tls_fingerprint == "ab" * 32


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, "needs a manager"),
        ({"host": "h", "project": "p"}, "needs a manager"),
        ({"project": "p"}, "needs a catalog"),
    ],
)
def test_worker_options__no_way_to_a_manager__are_refused(more: dict[str, str], word: str) -> None:
    with pytest.raises(QueueError, match=word) as caught:
        WorkerOptions(host=more.get("host", ""), project=more.get("project", ""))
    assert caught.value.hint


@pytest.mark.parametrize(
    "words",
    [
        "",
        "h",
        "h 1 -M p",
        "h 1 -C c",
        "h 1 --tls-fingerprint ab",
        "h x",
        "h 0",
        "h 65536",
        "h 1 --cores -1",
        "h 1 --cores 1.5",
        "h 1 -t x",
        "h 1 -t -5",
        "h 1 -t 5w",
    ],
)
def test_options__nonsense__is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(*words.split())
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "word"), [("missing", "cannot be read"), ("empty", "is empty")])
def test_options__password_file_of_no_use__says_so(tmp_path: Path, name: str, word: str) -> None:
    (tmp_path / "empty").touch()

    with pytest.raises(QueueError, match=word) as caught:
        read("h", "1", "-P", str(tmp_path / name))
    assert caught.value.hint


def test_options__password__is_not_shown() -> None:
    assert "secret" not in repr(WorkerOptions("here", 1, password=b"secret"))
