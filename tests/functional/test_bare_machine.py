"""An archive runs where no Python exists: a root file system with the C library and `/bin/sh`, nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from installed import Installed

_APP = """\
import ctypes, lzma, sqlite3, ssl
import numpy, pandas, scipy.stats
"""

_PROBE = """\
import ctypes, lzma, sqlite3, ssl, sys
import numpy, pandas, scipy, scipy.stats
frame = pandas.DataFrame({"x": numpy.arange(5.0)})
assert scipy.stats.linregress(frame.x, frame.x).slope == 1.0
assert sqlite3.connect(":memory:").execute("select 6*7").fetchone() == (42,)
assert lzma.decompress(lzma.compress(b"x")) == b"x"
for line in open("/proc/self/maps"):
    print(line.split(maxsplit=5)[-1].strip())
print(sys.prefix)
"""

# What glibc itself owns; everything else must come from the environment.
_GLIBC = re.compile(
    r"/(ld-linux-[\w-]+|libc|libm|libpthread|libdl|librt|libutil|libresolv|libnss_\w+|libanl|libmvec|libBrokenLocale)"
    r"\.so(\.\d+)*$"
)


@pytest.fixture(scope="module")
def archive(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "app.py").write_text(_APP)
    analysed = installed.run("analyze", folder / "app.py", "-o", folder / "env.yml")
    assert analysed.returncode == 0, analysed.stderr
    built = installed.run("build", folder / "env.yml", "-o", folder / "env.tar.gz")
    assert built.returncode == 0, built.stderr
    return folder / "env.tar.gz"


@pytest.fixture
def bare_root(tmp_path: Path) -> Path:
    root = tmp_path / "bare"
    for name in ("bin", "proc", "tmp", "lib", "lib64"):
        (root / name).mkdir(parents=True)
    shutil.copy(Path("/bin/sh").resolve(), root / "bin" / "sh")
    for library in _find_libc():
        target = root / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    return root


def _find_libc() -> list[Path]:
    listed = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    named = [Path(path) for path in re.findall(r"(/\S+)", listed)]
    libc = next(path for path in named if path.name.startswith("libc.so"))
    siblings = [path for path in libc.parent.glob("lib*.so*") if path.is_file() and _GLIBC.search(str(path))]
    return [*named, *siblings]


def _run_inside(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in `root` as in a machine of its own; needs root or user namespaces, and only `/proc`."""
    inside = f'mount -t proc proc "$1/proc" && exec env -i "$(command -v chroot)" "$1" /bin/sh -c {_quote(command)}'
    namespace = ["unshare", "--mount", "--pid", "--fork"]
    if os.geteuid() != 0:
        namespace += ["--user", "--map-root-user"]
    return subprocess.run(
        [*namespace, "sh", "-c", inside, "sh", str(root)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


@pytest.mark.root
def test_archive__machine_without_python__imports_and_uses_only_its_own_libraries(
    archive: Path, bare_root: Path, installed: Installed
) -> None:
    prefix = bare_root / "somewhere else" / "env"
    prefix.parent.mkdir()
    unpacked = installed.run("unpack", archive, prefix)
    assert unpacked.returncode == 0, unpacked.stderr
    (bare_root / "probe.py").write_text(_PROBE)

    done = _run_inside(bare_root, '"/somewhere else/env/bin/python3" /probe.py')

    assert done.returncode == 0, done.stderr
    *maps, said_prefix = done.stdout.splitlines()
    assert said_prefix == "/somewhere else/env"
    libraries = {path for path in maps if ".so" in path}
    foreign = {
        path for path in libraries if not path.startswith("/somewhere else/env/") and not _GLIBC.search(path)
    }
    assert foreign == set()
    assert any("numpy" in path for path in libraries)


@pytest.mark.root
def test_archive__plain_tar__works_without_any_other_step(archive: Path, bare_root: Path) -> None:
    prefix = bare_root / "env"
    prefix.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(prefix)], check=True)
    (bare_root / "probe.py").write_text(_PROBE)

    done = _run_inside(bare_root, "/env/bin/python3 /probe.py")

    assert done.returncode == 0, done.stderr


def test_archive__empty_variables__runs_a_command(
    archive: Path, installed: Installed, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    done = subprocess.run(
        ["env", "-i", f"WQ_PACKAGE_STORE={store}", str(installed.command), "run", str(archive), "--",
         "python", "-c", "import numpy, sys; print(numpy.__file__)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert str(store) in done.stdout


def test_archive__unpacked_tree__names_neither_build_folder_nor_interpreter(
    archive: Path, installed: Installed, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"
    assert installed.run("unpack", archive, prefix).returncode == 0
    base = subprocess.run(
        [installed.python, "-c", "import sys; print(sys.base_prefix)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    # The system's own Python lies where everything does: its place tells nothing.
    patterns = [str(installed.prefix), *([] if base in {"/usr", "/usr/local"} else [base])]
    found = subprocess.run(
        ["grep", "-rlF", *(f"-e{pattern}" for pattern in patterns), str(prefix)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert found.stdout == ""
