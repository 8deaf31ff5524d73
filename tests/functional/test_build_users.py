"""Two users build the same spec, each with a home, a cache, a language and a mask of their own: the bytes are the same."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wq_package.build.installed import find_running_distributions

_COMMAND = str(Path(sys.executable).with_name("wq-package"))
_OTHER = "nobody"
# The Python of these tests may lie in a home that is closed to others: the other user may read it, and write nothing.
_READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.fixture
def homes() -> Iterator[tuple[Path, Path]]:
    """Make a home for this user and one for the other; the folder of pytest is closed to others."""
    root = Path(tempfile.mkdtemp(prefix="wq-package-users-"))
    root.chmod(0o755)
    mine, other = root / "mine", root / "öther"
    for home in (mine, other):
        home.mkdir()
        (home / "helpers.py").write_text("def f():\n    return 1\n")
        pins = "".join(
            f"    - {each}=={find_running_distributions()[each].version}\n" for each in ("idna", "tblib")
        )
        (home / "env.yml").write_text(
            f"dependencies:\n  - pip:\n{pins}"
            "wq-package:\n  local:\n    - {import: helpers, path: ./helpers.py}\n"
        )
    yield mine, other
    shutil.rmtree(root)


def _build(home: Path, umask: str, *prefix: str, **settings: str) -> subprocess.CompletedProcess[str]:
    # Only what a login would set: nothing of the first user's may reach the second.
    variables = {"HOME": str(home), "PATH": os.environ["PATH"], **settings}
    words = [_COMMAND, "build", "env.yml", "-o", "env.tar.zst", "--offline"]
    command = [*prefix, "sh", "-c", f'umask {umask}; exec "$@"', "sh", *words]
    return subprocess.run(
        command, cwd=home, env=variables, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.root
def test_build__by_two_users__same_bytes(homes: tuple[Path, Path]) -> None:
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become another user")
    mine, other = homes
    user = pwd.getpwnam(_OTHER)
    for path in (other, *other.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)
    become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *_READ_ALL)
    probe = subprocess.run(
        [*become, "sh", "-c", f"exec {_COMMAND} --version"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"this Python cannot be run by {_OTHER}")

    first = _build(mine, "022", TZ="UTC", LANG="C.UTF-8")
    second = _build(other, "077", *become, TZ="Asia/Tokyo", LANG="C")

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert (other / "env.tar.zst").stat().st_uid == user.pw_uid
    assert (mine / "env.tar.zst").read_bytes() == (other / "env.tar.zst").read_bytes()
