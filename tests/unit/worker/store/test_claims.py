"""Claims of layers: one holder, given back in whatever way it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from wq_package.worker.store.claims import STALL_SECONDS, Claims

LAYER, OTHER = "1" * 64, "2" * 64

_HOLD = """
import sys
from pathlib import Path
from wq_package.worker.store.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2]), flush=True)
sys.stdin.read()
"""


def test_take__by_two__only_the_first_has_it(tmp_path: Path) -> None:
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take(LAYER)
        assert not second.take(LAYER)
        assert not first.take(LAYER)
        assert second.take(OTHER)
        first.give_back(LAYER)
        assert second.take(LAYER)


def test_close__gives_all_back_and_takes_nothing_more(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(LAYER)
    assert first.take(OTHER)
    first.close()
    assert not first.take(LAYER)
    assert second.take(LAYER)
    assert second.take(OTHER)
    second.close()


def test_take__holder_without_progress__counts_for_nothing(tmp_path: Path) -> None:
    with Claims(tmp_path) as slow, Claims(tmp_path) as second, Claims(tmp_path) as third:
        assert slow.take(LAYER)
        (file,) = tmp_path.iterdir()
        long_ago = file.stat().st_mtime - 2 * STALL_SECONDS
        os.utime(file, (long_ago, long_ago))
        assert second.take(LAYER)
        assert not third.take(LAYER), "whoever took it over has only begun"


def test_take__holder_is_killed__falls_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path), LAYER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with Claims(tmp_path) as claims, holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert not claims.take(LAYER)
        holder.kill()
        holder.wait()
        assert claims.take(LAYER)


def test_give_back__what_was_never_taken__is_harmless(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        claims.give_back(LAYER)
        claims.note_progress(LAYER)
