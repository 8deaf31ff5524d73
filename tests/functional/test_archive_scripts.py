"""The scripts that travel with an environment, run by every shell of this machine, with no help from the package."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from small_archives import PLACEHOLDER, make_archive, make_layer
from wq_package.archive.launcher import make_launcher_entries, render_launcher, render_script_header
from wq_package.archive.layer import Compression, LayerHeader, LayerKind, Relocation, RelocationMode
from wq_package.archive.unpack import unpack_archive
from wq_package.archive.writer import compute_environment_digest

_SHELLS = [
    pytest.param(words, id=words[0])
    for words in (["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["zsh", "--emulate", "sh"])
    if shutil.which(words[0])
]
_SHELLS_THAT_NEED_TO_BE_TOLD = [shell for shell in _SHELLS if shell.id not in {"bash", "zsh"}]
# Stands for the environment's interpreter: a copy of this one would take seconds to make.
_PYTHON = f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n'.encode()
_HELLO = (
    render_script_header().encode() + b"import os, sys\nprint(sys.argv[1:], os.environ['CONDA_PREFIX'])\n"
)
_TOOLS = (
    "sh",
    "tar",
    "gzip",
    "zstd",
    "rm",
    "mkdir",
    "mv",
    "od",
    "tail",
    "tr",
    "uname",
    "sleep",
    "mktemp",
    "readlink",
    "cat",
)


def _make_environment(folder: Path, compression: Compression = Compression.GZIP) -> Path:
    relocations = [Relocation("etc/place", RelocationMode.TEXT, PLACEHOLDER)]
    members = {
        "bin/python3": _PYTHON,
        "bin/hello": _HELLO,
        "etc/place": PLACEHOLDER.encode(),
        "etc/conda/activate.d/data.sh": b"export MY_DATA=$CONDA_PREFIX/data\n",
        "lib/python3.11/site-packages/certifi/cacert.pem": b"",
    }
    for entry in make_launcher_entries("3.11.7"):
        assert isinstance(entry.source, bytes)
        members[entry.path] = entry.source
    header = LayerHeader(LayerKind.LAUNCHER, "launcher", "1")
    layer = make_layer(members, header=header, relocations=relocations, compression=compression)
    name = "env.tar.gz" if compression is Compression.GZIP else "env.tar.zst"
    path, index = make_archive(folder, [layer], name=name)
    assert index.environment == compute_environment_digest([layer[0].digest])
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return _make_environment(tmp_path)


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    path = tmp_path / "launch.sh"
    path.write_text(render_launcher())
    return path


def _run(
    *command: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], **(env or {})}
    words = [str(word) for word in command]
    return subprocess.run(
        words, env=variables, cwd=cwd, capture_output=True, text=True, check=False, timeout=240
    )


def _fine(*command: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    done = _run(*command, env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("compression", list(Compression))
def test_tar_alone__then_conda_unpack__gives_a_working_tree(tmp_path: Path, compression: Compression) -> None:
    archive = _make_environment(tmp_path, compression)
    prefix = tmp_path / "ein Ort" / "ümläut $x"
    prefix.mkdir(parents=True)
    _fine("tar", "-xf", archive, "-C", prefix)
    for _ in range(2):  # the second time it does nothing
        _fine(prefix / "bin/conda-unpack", cwd=tmp_path)
        assert (prefix / "etc/place").read_text() == str(prefix)
    assert (prefix / ".wq-package/prefix").read_text() == f"{prefix}\n"
    assert _fine(prefix / "bin/run_in_env", "hello", "a b") == f"['a b'] {prefix}\n"


def test_conda_unpack__prefix_too_long_for_a_binary__says_which_and_fails(tmp_path: Path) -> None:
    relocations = [Relocation("lib/x", RelocationMode.BINARY, "/p")]
    members = {"bin/python3": _PYTHON, "lib/x": b"/p\0"}
    for entry in make_launcher_entries("3.11.7"):
        assert isinstance(entry.source, bytes)
        members[entry.path] = entry.source
    path, _ = make_archive(
        tmp_path,
        [make_layer(members, relocations=relocations, compression=Compression.GZIP)],
        name="e.tar.gz",
    )
    (tmp_path / "env").mkdir()
    _fine("tar", "-xf", path, "-C", tmp_path / "env")
    done = _run(tmp_path / "env/bin/conda-unpack")
    assert done.returncode == 1
    assert "lib/x` cannot be relocated" in done.stderr
    assert not (tmp_path / "env/.wq-package/prefix").exists()


@pytest.mark.parametrize("shell", _SHELLS)
def test_script_header__called_in_every_way__finds_its_own_folder(
    tmp_path: Path, archive: Path, shell: list[str]
) -> None:
    prefix = tmp_path / "the env"
    unpack_archive(archive, prefix)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/far").symlink_to(prefix / "bin/hello")
    (tmp_path / "links/near").symlink_to("far")
    env = {"CONDA_PREFIX": "here"}
    expected = "['1', '2 3'] here\n"
    assert _fine(*shell, prefix / "bin/hello", "1", "2 3", env=env) == expected
    assert _fine(*shell, tmp_path / "links/near", "1", "2 3", env=env) == expected
    assert _fine(*shell, "hello", "1", "2 3", env=env, cwd=prefix / "bin") == expected
    assert _fine(*shell, "./hello", "1", "2 3", env={**env, "CDPATH": "/"}, cwd=prefix / "bin") == expected
    assert _fine(tmp_path / "links/near", "1", "2 3", env=env) == expected


_SHOW = (
    'printf "%s|" "$#" "$1" "$PATH" "${CONDA_PREFIX-}" "${MY_DATA-}" "${PYTHONPATH-}" "${SSL_CERT_FILE-}"; '
)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_activate__sourced__sets_the_variables_and_nothing_else(
    tmp_path: Path, archive: Path, shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    prefix = tmp_path / "the ënv"
    unpack_archive(archive, prefix)
    script = f'set -eu; set -- one two; . "{prefix}/bin/activate"; {_SHOW} hello x; deactivate; {_SHOW}'
    env = {"PYTHONPATH": "/bad", "CONDA_PREFIX": "/old"}
    out = _fine(shell, "-c", script, env=env)
    path = os.environ["PATH"]
    certificates = f"{prefix}/lib/python3.11/site-packages/certifi/cacert.pem"
    inside = f"2|one|{prefix}/bin:{path}|{prefix}|{prefix}/data||{certificates}|['x'] {prefix}\n"
    assert out == inside + f"2|one|{path}|/old|{prefix}/data|||"


def test_activate__sourced_twice_and_by_a_relative_path__is_on_the_path_once(
    tmp_path: Path, archive: Path
) -> None:
    unpack_archive(archive, tmp_path / "env")
    out = _fine("bash", "-c", 'cd env/bin; . activate; . ./activate; echo "$PATH"', cwd=tmp_path)
    assert out.count(f"{tmp_path}/env/bin") == 1


@pytest.mark.parametrize("shell", _SHELLS_THAT_NEED_TO_BE_TOLD)
def test_activate__in_a_plain_sh__needs_to_be_told_where(
    tmp_path: Path, archive: Path, shell: list[str]
) -> None:
    unpack_archive(archive, tmp_path / "env")
    activate = f'. "{tmp_path}/env/bin/activate"'
    out = _fine(
        *shell, "-c", f'{activate}; echo "$CONDA_PREFIX"', env={"WQ_PACKAGE_PREFIX": str(tmp_path / "env")}
    )
    assert out == f"{tmp_path}/env\n"
    done = _run(*shell, "-c", activate)
    assert done.returncode == 1
    assert "WQ_PACKAGE_PREFIX" in done.stderr


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("shell", _SHELLS)
def test_launcher__archive__runs_the_command_in_it(
    tmp_path: Path, launcher: Path, shell: list[str], compression: Compression
) -> None:
    archive = _make_environment(tmp_path, compression)
    folder = tmp_path / "ein Ort" / "für sie"
    env = {"PYTHONPATH": "/bad"}
    show = 'hello "$@"; echo "$MY_DATA|${PYTHONPATH-}|$SSL_CERT_FILE"; cat "$CONDA_PREFIX/etc/place"; exit 7'
    done = _run(*shell, launcher, "-u", folder, archive, "--", "sh", "-c", show, "sh", "a b", "--", env=env)
    certificates = f"{folder}/lib/python3.11/site-packages/certifi/cacert.pem"
    assert done.stdout == f"['a b', '--'] {folder}\n{folder}/data||{certificates}\n{folder}"
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize("shell", _SHELLS)
def test_launcher__second_time__does_not_unpack_again(
    tmp_path: Path, launcher: Path, archive: Path, shell: list[str]
) -> None:
    _fine(*shell, launcher, "-u", tmp_path / "env", "-e", archive, "hello")
    (tmp_path / "env/mark").touch()
    _fine(*shell, launcher, "-u", tmp_path / "env", "-e", archive, "hello")
    assert (tmp_path / "env/mark").exists()


def test_launcher__folder_by_a_relative_path__is_beside_the_caller(
    tmp_path: Path, launcher: Path, archive: Path
) -> None:
    (tmp_path / "here").mkdir()
    out = _fine("sh", launcher, "-u", "env", archive, "hello", cwd=tmp_path / "here")
    assert out == f"[] {tmp_path}/here/env\n"


@pytest.mark.parametrize(("sign", "code"), [("HUP", 129), ("INT", 130), ("TERM", 143)])
@pytest.mark.parametrize("shell", _SHELLS)
def test_launcher__told_to_end_while_it_unpacks__leaves_nothing(
    tmp_path: Path, launcher: Path, archive: Path, shell: list[str], sign: str, code: int
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "temporary").mkdir()
    tar = tmp_path / "bin" / "tar"
    tar.write_text(f'#!/bin/sh\nkill -{sign} $PPID\nexec {shutil.which("tar")} "$@"\n')
    tar.chmod(0o755)
    env = {"PATH": f"{tar.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "temporary")}
    done = _run(*shell, launcher, archive, "--", "hello", env=env)
    assert (done.returncode, done.stdout) == (code, "")
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("shell", _SHELLS)
def test_launcher__no_folder_named__uses_a_temporary_one_and_removes_it(
    tmp_path: Path, launcher: Path, archive: Path, shell: list[str]
) -> None:
    (tmp_path / "tmp").mkdir()
    done = _run(*shell, launcher, archive, "sh", "-c", "hello; exit 3", env={"TMPDIR": str(tmp_path / "tmp")})
    assert done.returncode == 3
    assert str(tmp_path / "tmp") in done.stdout
    assert not list((tmp_path / "tmp").iterdir())


def test_launcher__in_a_work_queue_worker__unpacks_each_archive_once_beside_it(
    tmp_path: Path, launcher: Path
) -> None:
    sandbox = tmp_path / "worker 1"
    sandbox.mkdir()
    one = _make_environment(tmp_path)
    (tmp_path / "t.1").mkdir()
    two = shutil.copy(one, tmp_path / "t.1" / "other-name.tar.gz")
    env = {"WORK_QUEUE_SANDBOX": str(sandbox)}
    places = {_fine("sh", launcher, archive, "hello", env=env) for archive in (one, two)}
    assert len(places) == 1
    assert f"{sandbox}/.wq-package/" in places.pop()
    (tmp_path / "t.2").mkdir()
    other = _make_environment(tmp_path / "t.2", Compression.ZSTD)
    _fine("sh", launcher, other, "hello", env=env)
    assert len([path for path in (sandbox / ".wq-package").iterdir() if path.is_dir()]) == 2


# As util-linux has it; as busybox has it, which cannot wait for a time; one that fails as on a file system without
# locks; none at all.
_LOCKS = {
    "full": 'exec {flock} "$@"',
    "short": 'case $1 in --help) echo "flock [-sxun] FD"; exit 1 ;; esac\nexec {flock} "$@"',
    "broken": "exit 66",
    "none": "",
}


def _make_path_with_lock(folder: Path, kind: str) -> Path:
    """Make a `PATH` of what the launcher needs, with some kind of `flock`."""
    path = _make_path(folder, *_TOOLS)
    if _LOCKS[kind]:
        (path / "flock").write_text("#!/bin/sh\n" + _LOCKS[kind].format(flock=shutil.which("flock")) + "\n")
        (path / "flock").chmod(0o755)
    return path


@pytest.mark.parametrize("kind", _LOCKS)
def test_launcher__many_at_once__unpack_once(
    tmp_path: Path, launcher: Path, archive: Path, kind: str
) -> None:
    env = {"PATH": str(_make_path_with_lock(tmp_path, kind))}
    count = tmp_path / "count"
    tar = tmp_path / "path/tar"
    tar.unlink()
    tar.write_text(f'#!/bin/sh\necho x >>"{count}"\nexec {shutil.which("tar")} "$@"\n')
    tar.chmod(0o755)
    results: list[int] = []

    def launch() -> None:
        results.append(_run("sh", launcher, "-u", tmp_path / "env", archive, "hello", env=env).returncode)

    threads = [threading.Thread(target=launch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 6
    assert count.read_text() == "x\n"


def _make_path(folder: Path, *tools: str) -> Path:
    path = folder / "path"
    path.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found, tool
        (path / tool).symlink_to(found)
    return path


@pytest.mark.parametrize("shell", _SHELLS)
def test_launcher__killed_while_unpacking__the_next_starts_again(
    tmp_path: Path, launcher: Path, archive: Path, shell: list[str]
) -> None:
    # What a killed launcher leaves: half a folder, and without flock a lock whose holder has gone.
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/hello").write_text("half")
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "env.lock.d").mkdir()
    (tmp_path / "env.lock.d/holder").write_text(f"{os.uname().nodename} {gone.pid}\n")
    env = {"PATH": str(_make_path(tmp_path, *_TOOLS))}
    shell = [str(shutil.which(shell[0])), *shell[1:]]
    _fine(*shell, launcher, "-u", tmp_path / "env", archive, "hello", env=env)
    assert not (tmp_path / "env.lock.d").exists()


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize("kind", _LOCKS)
def test_launcher__lock_is_not_free_in_time__fails_with_222(
    tmp_path: Path, launcher: Path, archive: Path, shell: list[str], kind: str
) -> None:
    env = {"PATH": str(_make_path_with_lock(tmp_path, kind))}
    shell = [str(shutil.which(shell[0])), *shell[1:]]
    (tmp_path / "env.lock.d").mkdir()
    (tmp_path / "env.lock.d/holder").write_text(f"{os.uname().nodename} {os.getpid()}\n")
    with (tmp_path / "env.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run(*shell, launcher, "-w", "0", "-u", tmp_path / "env", archive, "hello", env=env)
    assert done.returncode == 222
    assert "was not free within 0 s" in done.stderr
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize("compression", list(Compression))
def test_launcher__archive_cut_short__fails_with_221_and_leaves_nothing(
    tmp_path: Path, launcher: Path, shell: list[str], compression: Compression
) -> None:
    archive = _make_environment(tmp_path, compression)
    archive.write_bytes(archive.read_bytes()[:-200])
    done = _run(*shell, launcher, "-u", tmp_path / "env", archive, "hello")
    assert done.returncode == 221
    assert "cannot be unpacked" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 220, "usage"),
        (["{archive}"], 220, "usage"),
        (["-u"], 220, "-u needs a value"),
        (["-x", "{archive}", "true"], 220, "unknown option -x"),
        (["-w", "soon", "{archive}", "true"], 220, "not 'soon'"),
        (["no.tar.gz", "true"], 221, "'no.tar.gz' does not exist"),
        (["-u", "/proc/none/env", "{archive}", "true"], 221, "cannot be made"),
        (["-u", "/proc/env", "{archive}", "true"], 221, "'/proc/env.lock' cannot be written"),
        (["-u", "{folder}/env", "{archive}", "no-such-command"], 127, "no command 'no-such-command'"),
    ],
)
def test_launcher__wrong_use__one_sentence_and_its_code(
    tmp_path: Path,
    launcher: Path,
    archive: Path,
    shell: list[str],
    words: list[str],
    code: int,
    sentence: str,
) -> None:
    done = _run(*shell, launcher, *(word.format(archive=archive, folder=tmp_path) for word in words))
    assert done.returncode == code
    assert sentence in done.stderr.splitlines()[-1]
    assert done.stderr.startswith(("wq-package: ", "mkdir"))


def test_launcher__decompressor_is_missing__says_which(tmp_path: Path, launcher: Path) -> None:
    archive = _make_environment(tmp_path, Compression.ZSTD)
    env = {"PATH": str(_make_path(tmp_path, *(tool for tool in _TOOLS if tool != "zstd")))}
    done = _run("sh", launcher, "-u", tmp_path / "env", archive, "hello", env=env)
    assert done.returncode == 221
    assert "needs 'zstd', which this machine lacks; build it as .tar.gz" in done.stderr
    assert not (tmp_path / "env").exists()


def test_launcher__unpacked_folder__is_relocated_and_used_where_it_is(
    tmp_path: Path, launcher: Path, archive: Path
) -> None:
    prefix = tmp_path / "by hand"
    prefix.mkdir()
    _fine("tar", "-xf", archive, "-C", prefix)
    assert _fine("sh", launcher, "-e", prefix, "--", "cat", prefix / "etc/place") == str(prefix)
