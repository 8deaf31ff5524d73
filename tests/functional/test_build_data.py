"""Data layers: repositories, downloads and variables in a real archive, with real git and a real server."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wq_package.build import BuildOptions, BuiltEnvironment, build_environment, lock_environment
from wq_package.errors import BuildError
from wq_package.executor.archives import ArchiveBuilder
from wq_package.spec.files import load_spec

_GIT = ("git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main")


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(name="address")
def _address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    handler = functools.partial(_Handler, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session", name="cache")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


def _build(
    folder: Path, cache: Path, document: dict[str, object], *, offline: bool = False
) -> BuiltEnvironment:
    (folder / "env.json").write_text(json.dumps({"conda": {"dependencies": []}, **document}))
    options = BuildOptions(cache=cache, bytecode=False, offline=offline)
    return build_environment(load_spec(folder / "env.json"), folder / "env.tar.zst", options)


def _run(folder: Path, script: str) -> str:
    """Run a script in the archive by the command, with a store of its own."""
    command = ["wq-package", "run", "--store", "store", "env.tar.zst", "--", "sh", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=_find_programs(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _find_programs() -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": "/nonexistent"}


def _commit(repository: Path, name: str, text: str) -> str:
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text(text)
    for words in (("add", "."), ("commit", "-q", "-m", name)):
        subprocess.run([*_GIT, *words], cwd=repository, check=True)
    return subprocess.check_output([*_GIT, "rev-parse", "HEAD"], cwd=repository, text=True).strip()


def _make_repository(folder: Path) -> str:
    folder.mkdir()
    subprocess.run([*_GIT, "init", "-q"], cwd=folder, check=True)
    commit = _commit(folder, "sub/table.txt", "first\n")
    _commit(folder, "sub/table.txt", "second\n")
    return commit


def test_git__at_a_commit_that_is_no_tip__has_the_files_of_that_commit(cache: Path, tmp_path: Path) -> None:
    commit = _make_repository(tmp_path / "repository")

    built = _build(tmp_path, cache, {"git": {"TABLES": {"remote": "./repository", "ref": commit}}})

    assert _run(tmp_path, "cat $TABLES/sub/table.txt; ls -A $TABLES") == "first\nsub\n"
    assert built.index.layers[-1].header.version == commit[:12]


def test_git__at_a_branch__follows_it(cache: Path, tmp_path: Path) -> None:
    _make_repository(tmp_path / "repository")
    document: dict[str, object] = {"git": {"TABLES": {"remote": "./repository", "ref": "main"}}}
    before = _build(tmp_path, cache, document).digest
    again = _build(tmp_path, cache, document)
    assert (again.digest, again.layers_built) == (before, 0)

    _commit(tmp_path / "repository", "sub/table.txt", "third\n")

    assert _build(tmp_path, cache, document).digest != before
    assert _run(tmp_path, "cat $TABLES/sub/table.txt") == "third\n"


def test_git__a_commit_that_is_cached__needs_no_repository(cache: Path, tmp_path: Path) -> None:
    commit = _make_repository(tmp_path / "repository")
    document: dict[str, object] = {"git": {"TABLES": {"remote": "./repository", "ref": commit}}}
    before = _build(tmp_path, cache, document).digest
    (tmp_path / "repository").rename(tmp_path / "gone")

    assert _build(tmp_path, cache, document, offline=True).digest == before


def test_http__a_compressed_file_and_a_tar_file__are_there(cache: Path, tmp_path: Path, address: str) -> None:
    (tmp_path / "served" / "numbers.txt.gz").write_bytes(gzip.compress(b"1 2 3\n"))
    with tarfile.open(tmp_path / "served" / "tree.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("deep/er/file.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"deep\n"))

    _build(
        tmp_path,
        cache,
        {
            "http": {
                "NUMBERS": {"url": f"{address}/numbers.txt.gz", "type": "file", "compression": "gzip"},
                "TREE": {"url": f"{address}/tree.tar.gz", "type": "tar", "compression": "gzip"},
            }
        },
    )

    assert (
        _run(tmp_path, "cat $NUMBERS $TREE/deep/er/file.txt; basename $NUMBERS")
        == "1 2 3\ndeep\nnumbers.txt\n"
    )


def test_http__a_digest_that_is_right__is_fetched_once(cache: Path, tmp_path: Path, address: str) -> None:
    (tmp_path / "served" / "data").write_bytes(b"data")
    digest = hashlib.sha256(b"data").hexdigest()
    document: dict[str, object] = {"http": {"DATA": {"url": f"{address}/data", "sha256": digest}}}
    before = _build(tmp_path, cache, document)
    (tmp_path / "served" / "data").unlink()

    assert _build(tmp_path, cache, document, offline=True).digest == before.digest
    locked = json.loads(before.index.lock)["artefacts"][-1]
    assert (locked["url"], locked["sha256"]) == (f"{address}/data", digest)


def test_http__a_digest_that_is_wrong__is_refused_with_both(
    cache: Path, tmp_path: Path, address: str
) -> None:
    (tmp_path / "served" / "other").write_bytes(b"other")

    with pytest.raises(BuildError) as caught:
        _build(tmp_path, cache, {"http": {"OTHER": {"url": f"{address}/other", "sha256": "00" * 32}}})

    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert "00" * 32 in str(caught.value)
    assert not (tmp_path / "env.tar.zst").exists()


@pytest.mark.parametrize(
    ("document", "issue"),
    [
        ({"git": {"A": {"remote": "./nothing", "ref": "main"}}}, "failed with exit code 128 for `A`"),
        ({"git": {"A": {"remote": "./repository", "ref": "0" * 40}}}, f"for `A` has no `{'0' * 40}`"),
        ({"git": {"A": {"remote": "./repository", "ref": "nothing"}}}, "for `A` has no `nothing`"),
        ({"http": {"A": {"url": "file:///nothing"}}}, "cannot be read (No such file or directory)"),
        ({"http": {"A": {"url": "http://127.0.0.1:9/x"}}}, "cannot be downloaded (ConnectionError)"),
        ({"http": {"A": {"url": "@/missing"}}}, "the server answered 404"),
        ({"http": {"A": {"url": "@/garbage", "type": "tar"}}}, "cannot be unpacked as a tar file"),
        ({"http": {"A": {"url": "@/garbage", "compression": "gzip"}}}, "is not compressed with gzip"),
        ({"http": {"A": {"url": "@/evil.tar", "type": "tar"}}}, "cannot be unpacked as a tar file"),
    ],
)
def test_data__that_cannot_be_had__is_refused_in_one_sentence(
    cache: Path, tmp_path: Path, address: str, document: dict[str, object], issue: str
) -> None:
    _make_repository(tmp_path / "repository")
    (tmp_path / "served" / "garbage").write_bytes(b"garbage")
    with tarfile.open(tmp_path / "served" / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))

    with pytest.raises(BuildError) as caught:
        _build(tmp_path, cache, json.loads(json.dumps(document).replace("@", address)))

    assert issue in str(caught.value)
    assert not (tmp_path / "env.tar.zst").exists()


def test_data__offline__says_what_would_be_needed(cache: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(BuildError, match="may not be fetched with --offline"):
        _build(tmp_path, cache, {"http": {"A": {"url": f"{address}/x"}}}, offline=True)


def test_variables__of_any_text__are_set_by_run_and_by_activate(cache: Path, tmp_path: Path) -> None:
    text = 'it\'s "$HOME" `id` \\ ünï\nline'
    _build(tmp_path, cache, {"variables": {"ODD": text, "N": 3}})
    script = 'printf "%s|%s" "$ODD" "$N"'
    assert _run(tmp_path, script) == f"{text}|3"

    prefix = tmp_path / "a b"
    prefix.mkdir()
    subprocess.run(["tar", "-xf", "env.tar.zst", "-C", prefix], cwd=tmp_path, check=True)
    after = f'. "{prefix}/bin/activate"; {script}; deactivate; printf "<%s>" "${{ODD-}}"'
    assert subprocess.check_output(["bash", "-c", after], text=True) == f"{text}|3<>"


def test_git__called_from_a_hook__leaves_the_callers_repository_alone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = _make_repository(tmp_path / "repository")
    _make_repository(tmp_path / "own")
    before = subprocess.check_output([*_GIT, "rev-parse", "HEAD"], cwd=tmp_path / "own")
    index = (tmp_path / "own" / ".git" / "index").read_bytes()
    for name, value in (("DIR", ".git"), ("INDEX_FILE", ".git/index"), ("WORK_TREE", ".")):
        monkeypatch.setenv(f"GIT_{name}", str(tmp_path / "own" / value))

    _build(tmp_path, cache, {"git": {"TABLES": {"remote": "./repository", "ref": commit}}})

    monkeypatch.undo()
    assert subprocess.check_output([*_GIT, "rev-parse", "HEAD"], cwd=tmp_path / "own") == before
    assert (tmp_path / "own" / ".git" / "index").read_bytes() == index
    assert _run(tmp_path, "cat $TABLES/sub/table.txt") == "first\n"


def test_executor__data_or_variables_change__their_environment_does(cache: Path, tmp_path: Path) -> None:
    builder = ArchiveBuilder(cache)
    spec = tmp_path / "env.json"

    def make(text: str, greeting: str) -> str:
        (tmp_path / "table.txt").write_text(text)
        url = (tmp_path / "table.txt").as_uri()
        document = {"http": {"TABLE": {"url": url}}, "variables": {"GREETING": greeting}}
        spec.write_text(json.dumps({"conda": {"dependencies": []}, **document}))
        return builder.find_given(str(spec)).digest

    first = make("one", "hello")
    assert make("one", "hello") == first
    assert len({first, make("two", "hello"), make("one", "goodbye")}) == 3


def test_executor__lock_of_a_spec_with_data__says_what_to_name_instead(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text('{"conda": {"dependencies": []}, "variables": {"GREETING": "hello"}}')
    options = BuildOptions(cache=cache, bytecode=False)
    (tmp_path / "env.lock").write_text(lock_environment(load_spec(tmp_path / "env.json"), options))

    with pytest.raises(BuildError, match="alone is not enough to build from: where `variables`") as caught:
        ArchiveBuilder(cache).find_given(str(tmp_path / "env.lock"))
    assert "wq-package build SPEC --locked" in str(caught.value.hint)
