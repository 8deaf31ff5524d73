"""Archives where things are less comfortable: under Debian's tools, on a full disk, and for a user who is not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from small_archives import PLACEHOLDER, Content, make_archive, make_layer
from wq_package.archive.launcher import make_launcher_entries
from wq_package.archive.layer import Compression, Relocation, RelocationMode
from wq_package.archive.verify import verify_start
from wq_package.errors import ArchiveError

_PYTHON = f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n'.encode()

# What a user can and cannot do to the store: run as somebody who is not root.
_TAMPER = """
import concurrent.futures.thread, os, sys
from pathlib import Path
import isal.isal_zlib
from wq_package.archive.reader import ArchiveReader
from wq_package.worker.store import Store

if os.getuid() == 0:  # after the imports: this Python may lie where only root can read
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
store, archive = Store(Path(sys.argv[1])), Path(sys.argv[2])
prefix = store.unpack(archive)
for path in (prefix / "new", prefix / "bin/new", prefix / "bin/python3", prefix / "etc/place"):
    try:
        path.write_text("evil")
    except PermissionError:
        continue
    raise SystemExit(f"{path} could be written")
tool = prefix / "bin/python3"
before = tool.read_text()
tool.chmod(0o755)
tool.write_text("evil")
with ArchiveReader(archive) as reader:
    digests = reader.index.digests
print(len(store.find_missing_layers(digests)))
print(store.unpack(archive) == prefix, tool.read_text() == before)
store.evict(0)
print([path.name for kind in ("layers", "envs", "tmp") for path in (store.root / kind).iterdir()])
"""


def _make_environment(folder: Path) -> Path:
    members: dict[str, Content] = {
        "bin/python3": _PYTHON,
        "etc/place": PLACEHOLDER.encode(),
        "big": os.urandom(3_000_000),
    }
    for entry in make_launcher_entries("3.11.7"):
        assert isinstance(entry.source, bytes)
        members[entry.path] = entry.source
    relocations = [Relocation("etc/place", RelocationMode.TEXT, PLACEHOLDER)]
    layer = make_layer(members, relocations=relocations, compression=Compression.GZIP)
    return make_archive(folder, [layer], name="env.tar.gz")[0]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may use."""
    folder = Path(tempfile.mkdtemp(prefix="wq-package-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.workqueue
@pytest.mark.parametrize("options", [[], ["-u", "unpacked here"]])
def test_debian_python_package_run__our_archive__is_unpacked_relocated_and_entered(
    tmp_path: Path, options: list[str]
) -> None:
    archive = _make_environment(tmp_path)
    if options:
        # With a blank in the path Debian's tool unpacks somewhere else: not ours to mend.
        options = ["-u", str(tmp_path / "unpacked")]
        (tmp_path / "unpacked").mkdir()
    show = 'echo "$CONDA_PREFIX"; cat "$CONDA_PREFIX/etc/place"; exit 9'
    command = ["python_package_run", *options, "-e", str(archive), "--", "sh", "-c", show]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    prefix, place = done.stdout.splitlines()[-2:]
    assert (done.returncode, place) == (9, prefix), done.stderr
    if options:
        assert prefix == str(tmp_path / "unpacked")


@pytest.mark.root
@pytest.mark.parametrize(
    "command", ["unpack {archive} {disk}/env", "run --store {disk}/store {archive} -- true"]
)
def test_disk_full__one_sentence_and_nothing_is_left(tmp_path: Path, command: str) -> None:
    archive = _make_environment(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    words = command.format(archive=archive, disk=disk)
    # A file system of its own, which goes with the process that mounted it.
    script = f'mount -t tmpfs -o size=1m none {disk} && "$0" -m wq_package_cli {words}; echo "code $?"; find {disk} -name "*[be]i[ng]*"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    assert done.stdout == "code 4\n", done.stderr
    assert done.stderr.splitlines()[0].startswith("error: there is no room to unpack")
    assert "Traceback" not in done.stderr


def test_store__user_who_is_not_root__cannot_write_and_is_found_out(open_folder: Path) -> None:
    archive = _make_environment(open_folder)
    command = [sys.executable, "-c", _TAMPER, str(open_folder / "store"), str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1", "True True", "[]"]


def _make_python(folder: Path, script: str) -> Path:
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    python.write_text(script)
    python.chmod(0o755)
    return folder


def test_verify_start__python_that_works__imports(tmp_path: Path) -> None:
    real = os.path.realpath(sys.executable)
    verify_start(_make_python(tmp_path, f'#!/bin/sh\nexec "{real}" "$@"\n'), ["json"])


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "#!/bin/sh\necho one >&2; echo GLIBC_2.99 not found >&2; exit 1\n",
            "does not work: GLIBC_2.99 not found",
        ),
        ("#!/bin/sh\nexit 3\n", "does not work: exit code 3"),
        ("#!/no/such/sh\n", "does not start"),
    ],
)
def test_verify_start__python_that_does_not__says_why(tmp_path: Path, script: str, sentence: str) -> None:
    with pytest.raises(ArchiveError, match=sentence):
        verify_start(_make_python(tmp_path, script))
