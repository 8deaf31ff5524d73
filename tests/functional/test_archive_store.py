"""The store under many processes, and under processes that are killed at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from small_archives import PLACEHOLDER, Content, make_archive, make_layer, read_tree
from wq_package.archive.layer import Relocation, RelocationMode
from wq_package.archive.reader import ArchiveReader
from wq_package.worker.store import Store

_KILLS = 40

# Waits for a line before it begins, so that the start of Python does not count.
_UNPACK = """
import sys
from pathlib import Path
from wq_package.worker.store import Store
import wq_package.archive.frames, zstandard
print("ready", flush=True)
sys.stdin.readline()
print(Store(Path(sys.argv[1])).unpack(Path(sys.argv[2])), flush=True)
"""

_EVICT = """
import sys
from pathlib import Path
from wq_package.worker.store import Store
print("ready", flush=True)
sys.stdin.readline()
store = Store(Path(sys.argv[1]))
for _ in range(60):
    store.evict(0)
print("done", flush=True)
"""

# Forks for each line: the start of Python would cost more than all the rest. A fork is ended by the kernel when its time is
# over, as by a kill: nothing catches this signal.
_UNPACK_AND_DIE = """
import os, signal, sys
from pathlib import Path
from wq_package.worker.store import Store
import wq_package.archive.frames, zstandard
print("ready", flush=True)
for line in sys.stdin:
    seconds, root = line.split(maxsplit=1)
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
        try:
            Store(Path(root.strip())).unpack(Path(sys.argv[1]))
        except BaseException:
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

# Holds its environment by a lease and looks at it again and again.
_USE = """
import sys
from pathlib import Path
from wq_package.archive.reader import ArchiveReader
from wq_package.worker.store import Store
print("ready", flush=True)
sys.stdin.readline()
store, archive = Store(Path(sys.argv[1])), Path(sys.argv[2])
environment = ArchiveReader(archive).index.environment
for _ in range(15):
    with store.lease(environment):
        prefix = store.unpack(archive)
        for _ in range(20):
            assert (prefix / "etc/place").read_text() == str(prefix)
            assert len(list((prefix / "lib/layer-0").iterdir())) == 100
print("done", flush=True)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layers = []
    for number in range(4):
        members: dict[str, Content] = {f"lib/layer-{number}/file-{n}": b"%d" % n * 500 for n in range(100)}
        members[f"lib/big-{number}"] = random.Random(number).randbytes(5_000_000)
        layers.append(make_layer(members, f"layer-{number}"))
    relocations = [Relocation("etc/place", RelocationMode.TEXT, PLACEHOLDER)]
    layers.append(make_layer({"etc/place": PLACEHOLDER.encode()}, "place", relocations=relocations))
    path, _ = make_archive(tmp_path, layers)
    return path


def _start(program: str, *arguments: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", program, *map(str, arguments)]
    child = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def _finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return out.strip()


def _go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def _check_whole(root: Path, archive: Path) -> None:
    """What lies in the store is whole, whoever put it there and however it ended."""
    with ArchiveReader(archive) as reader:
        index = reader.index
    store = Store(root)
    present = [digest for digest in index.digests if (root / "layers" / digest).is_dir()]
    assert store.find_missing_layers(present) == ()
    prefix = store.find_environment(index.environment)
    if prefix is not None:
        assert (prefix / "etc/place").read_text() == str(prefix)
        assert sum(1 for path in prefix.rglob("*") if path.is_file()) == 4 * 101 + 1 + 5 + 2


def test_store__unpacked_by_many_processes_at_once__all_get_the_same_whole_environment(
    tmp_path: Path, archive: Path
) -> None:
    root = tmp_path / "store"
    children = [_start(_UNPACK, root, archive) for _ in range(5)]
    for child in children:
        _go(child)
    assert len({_finish(child) for child in children}) == 1
    _check_whole(root, archive)
    assert not list((root / "tmp").iterdir())


def test_store__evicted_all_the_time__leaves_what_is_leased(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "store"
    children = [_start(_USE, root, archive), _start(_USE, root, archive), _start(_EVICT, root)]
    for child in children:
        _go(child)
    assert [_finish(child) for child in children] == ["done"] * 3
    _check_whole(root, archive)


def test_store__processes_killed_at_any_moment__nothing_looks_complete_that_is_not(
    tmp_path: Path, archive: Path
) -> None:
    began = time.monotonic()
    Store(tmp_path / "first").unpack(archive)
    limit = time.monotonic() - began
    expected = read_tree(tmp_path / "first" / "envs" / _name(archive) / "lib")
    chance = random.Random(5)
    states: set[tuple[int, bool]] = set()
    forks = _start(_UNPACK_AND_DIE, archive)
    for number in range(_KILLS):
        root = tmp_path / f"store-{number % 4}"  # some begin with what an earlier one left
        if _unpack_for(forks, chance.uniform(0, 1.3 * limit), root):
            limit /= 1.2  # however busy this machine gets, some are killed and some get through
        else:
            limit *= 1.1
        _check_whole(root, archive)
        layers = [path for path in (root / "layers").glob("*") if path.is_dir()] if root.exists() else []
        states.add((len(layers), (root / "envs" / _name(archive)).is_dir()))
        if number % 4 == 3 and (root / "envs" / _name(archive)).is_dir():
            Store(root).evict(0)
    _finish(forks)
    assert len(states) > 1, "every kill met the same state: the test shows nothing"
    for number in range(4):
        prefix = Store(tmp_path / f"store-{number}").unpack(archive)
        assert read_tree(prefix / "lib") == expected


def _unpack_for(forks: subprocess.Popen[str], seconds: float, root: Path) -> bool:
    """Unpack, and be killed after some time; tell whether it was done before."""
    assert forks.stdin is not None
    assert forks.stdout is not None
    forks.stdin.write(f"{max(seconds, 0.001)} {root}\n")
    forks.stdin.flush()
    status = int(forks.stdout.readline())
    assert status in {0, -signal.SIGALRM}
    return status == 0


def _name(archive: Path) -> str:
    with ArchiveReader(archive) as reader:
        return reader.index.environment
