"""The conda path from end to end, with a channel made from this machine: analyze, solve, build, move, run."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cloudpickle
import pytest
from channel_package import PLACEHOLDER, PackageFile

from conda_channels import ROOT, install, make_package, make_tiny_channel, run, wq_package
from wq_package.archive.layer import Compression, Relocation, RelocationMode
from wq_package.archive.writer import write_layer
from wq_package.build import SilentReporter
from wq_package.build.conda.extracted import ExtractedPackage, open_package
from wq_package.build.conda.installed_prefix import find_installed_packages
from wq_package.build.conda.layer import plan_conda_layer
from wq_package.build.conda.rattler_backend import RattlerBackend, SolveRequest
from wq_package.errors import BuildError
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec

pytestmark = pytest.mark.conda

_APP = """\
import numpy
import wqp_greeting

def app():
    return wqp_greeting.make_greeting(str(numpy.arange(4).sum()))
"""

_SAMPLES = ("wqp-paths", "wqp-activate")


@pytest.fixture(scope="session", autouse=True)
def _require(rattler: None) -> None:
    """None of this goes without."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def installed_prefix(channel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install an environment from the channel, as a user of conda would."""
    folder = tmp_path_factory.mktemp("installed")
    install(channel.as_uri(), ["python", "numpy", "wqp-greeting", *_SAMPLES], folder / "prefix", folder)
    shutil.rmtree(folder / "packages")
    return folder / "prefix"


@pytest.fixture(scope="module")
def pinned_spec(installed_prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Analyse a program where an environment from the channel is installed."""
    app = tmp_path_factory.mktemp("analysed") / "app.py"
    app.write_text(_APP)
    site = next(installed_prefix.glob("lib/python3*/site-packages"))
    done = wq_package("analyze", app, "--path", site)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def spec(pinned_spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the analyser wrote, with what no program imports."""
    path = tmp_path_factory.mktemp("spec") / "environment.yml"
    path.write_text(pinned_spec + "".join(f"  - {name}\n" for name in _SAMPLES))
    return path


def _write_spec(folder: Path, channels: str, *lines: str) -> Path:
    path = folder / "environment.yml"
    listed = "".join(f"  - {url}\n" for url in channels.split())
    path.write_text(f"name: demo\nchannels:\n{listed}dependencies:\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def archive(spec: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "env.tar.zst"
    done = wq_package("build", spec, "-o", path, "--cache", cache)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module", params=["with a blank", "long"])
def prefix(request: pytest.FixtureRequest, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moved")
    name = "a place with blänks" if request.param == "with a blank" else "x" * (200 - len(str(folder)))
    done = wq_package("unpack", archive, folder / name)
    assert done.returncode == 0, done.stderr
    return folder / name


def _run_bare(*command: str | Path) -> str:
    """Run a command that gets nothing from this environment."""
    done = run(*command, env={"PATH": "/usr/bin:/bin"}, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def test_analyze__in_a_conda_environment__pins_version_and_build(pinned_spec: str, channel: Path) -> None:
    numpy = next(channel.glob("linux-64/numpy-*.conda")).name.removesuffix(".conda").split("-")
    greeting = next(channel.glob("noarch/wqp-greeting-*.conda")).name.removesuffix(".conda").split("-")
    assert f'channels:\n  - "{channel.as_uri()}"\n' in pinned_spec
    assert f"- {'='.join(numpy)}" in pinned_spec
    assert f"- wqp-greeting={'='.join(greeting[2:])}" in pinned_spec


def test_build__moved_environment__runs_python_with_its_packages(prefix: Path) -> None:
    code = "import sys, numpy; print(sys.prefix, numpy.arange(4).sum(), *sys.version_info[:3])"
    version = (prefix / "bin" / "python").readlink().name.removeprefix("python")
    words = _run_bare(prefix / "bin" / "python3", "-c", code).removeprefix(f"{prefix} ").split()
    assert words[0] == "6"
    assert ".".join(words[1:3]) == version


def test_build__moved_environment__runs_entry_points(prefix: Path) -> None:
    assert _run_bare(prefix / "bin" / "wqp-greet", "you") == f"hello you from {prefix}"


def test_build__moved_environment__has_its_own_path_in_texts_scripts_and_programs(prefix: Path) -> None:
    assert (prefix / "share/wqp-paths/settings.ini").read_text() == f"home='{prefix}/share/wqp-paths'\n"
    assert _run_bare(prefix / "bin" / "wqp-paths-python").splitlines() == [str(prefix), str(prefix)]
    assert _run_bare(prefix / "bin" / "wqp-paths-link") == f"{prefix}/share/wqp-paths"
    table = (prefix / "share/wqp-paths/table.bin").read_bytes()
    places = [f"{prefix}/lib", f"{prefix}/bin:{prefix}/share", "unrelated"]
    assert [text for text in table[9:].split(b"\0") if text][:3] == [place.encode() for place in places]
    # A compiled file keeps its length: what the shorter path leaves free is filled up.
    assert len(table) == len(b"\x7fTABLE\0\xff\xfe/lib\0/bin:/share\0unrelated\0\xff\0end") + 3 * len(
        PLACEHOLDER
    )
    if shutil.which("cc"):
        assert _run_bare(prefix / "bin" / "wqp-paths") == f"{prefix}/share/wqp-paths/settings.ini"


def test_build__moved_environment__sets_variables_when_activated(prefix: Path) -> None:
    script = '. "$0/bin/activate" && echo "$WQP_ACTIVATE_HOME"; command -v python'
    shown = _run_bare("/bin/bash", "-c", script, prefix).splitlines()
    assert shown == [f"{prefix}/share/wqp-activate", f"{prefix}/bin/python"]


def test_build__moved_environment__names_no_other_place(
    prefix: Path, channel: Path, cache: Path, archive: Path
) -> None:
    patterns = [PLACEHOLDER[:60], "placehold_placehold", str(channel), str(cache), str(archive.parent)]
    command = ["grep", "-rlaF", *(f"-e{each}" for each in patterns), str(prefix)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


def test_build__moved_environment__is_one_that_conda_tools_can_read(prefix: Path) -> None:
    names = {json.loads(path.read_text())["name"] for path in (prefix / "conda-meta").glob("*.json")}
    assert names == {"python", "numpy", "wqp-greeting", *_SAMPLES}
    code = "import os, sys; from rattler import PrefixRecord; from pathlib import Path\n"
    code += "print(sum(len(PrefixRecord.from_path(p).files) for p in Path(sys.argv[1]).glob('*.json')))\n"
    code += "sys.stdout.flush(); os._exit(0)"
    counted = run(sys.executable, "-c", code, prefix / "conda-meta")
    assert counted.returncode == 0, counted.stderr
    assert int(counted.stdout) > 1000


def test_build__in_another_folder_with_another_cache__gives_the_same_bytes(
    spec: Path, archive: Path, tmp_path: Path
) -> None:
    copied = shutil.copy(spec, tmp_path / "other.yml")
    again = tmp_path / "again.tar.zst"
    done = wq_package("build", copied, "-o", again, "--cache", tmp_path / "cache", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == archive.read_bytes()


def test_build__from_a_lock__is_the_same_or_nothing(
    spec: Path, archive: Path, channel: Path, cache: Path, tmp_path: Path
) -> None:
    lock, again = tmp_path / "env.lock", tmp_path / "again.tar.zst"
    done = wq_package("lock", spec, "-o", lock, "--cache", cache)
    assert done.returncode == 0, done.stderr
    numpy = next(channel.glob("linux-64/numpy-*.conda"))
    locked = next(each for each in json.loads(lock.read_text())["artefacts"] if each["name"] == "numpy")
    sha256 = hashlib.sha256(numpy.read_bytes()).hexdigest()
    assert locked["build"] == numpy.stem.rpartition("-")[2]
    assert (locked["file"], locked["sha256"]) == (numpy.name, sha256)
    assert (locked["size"], locked["tags"]) == (numpy.stat().st_size, ["linux-64"])
    assert locked["url"] == f"file:///channel/linux-64/{numpy.name}"
    loose = _write_spec(
        tmp_path, channel.as_uri(), "  - numpy", "  - wqp-greeting", *(f"  - {name}" for name in _SAMPLES)
    )
    done = wq_package("build", loose, "--locked", lock, "-o", again, "--cache", cache)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == archive.read_bytes()
    written = lock.read_text()
    lock.write_text(written.replace(numpy.stem.rpartition("-")[2], "py311h0000000_0"))
    done = wq_package("build", loose, "--locked", lock, "-o", tmp_path / "other.tar.zst", "--cache", cache)
    _assert_refused(done, "no package `numpy")
    lock.write_text(written.replace(sha256, "0" * 64))
    done = wq_package("build", loose, "--locked", lock, "-o", tmp_path / "other.tar.zst", "--cache", cache)
    _assert_refused(done, f"has sha256:{sha256}, and sha256:{'0' * 64} in the lock")
    assert not (tmp_path / "other.tar.zst").exists()


def test_build__second_time__makes_nothing(spec: Path, archive: Path, cache: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.zst"
    done = wq_package("build", spec, "-o", again, "--cache", cache, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers_built"] == 0
    assert again.read_bytes() == archive.read_bytes()


def test_build__wheels_on_top__join_what_conda_brings(channel: Path, cache: Path, tmp_path: Path) -> None:
    pin = f"cloudpickle=={cloudpickle.__version__}"
    spec = _write_spec(
        tmp_path, channel.as_uri(), "  - numpy", "  - pip", "  - pip:", f"    - {pin}", "    - numpy>=1"
    )
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache, "--json")
    assert done.returncode == 0, done.stderr
    layers = [layer["name"] for layer in json.loads(done.stdout)["layers"]]
    assert layers == ["python", "launcher", "numpy", "cloudpickle"]
    assert wq_package("unpack", tmp_path / "env.tar.gz", tmp_path / "env").returncode == 0
    code = "import cloudpickle, numpy; print(cloudpickle.__file__, numpy.__file__)"
    shown = _run_bare(tmp_path / "env/bin/python3", "-c", code).split()
    assert all(path.startswith(f"{tmp_path}/env/lib/") for path in shown)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes" / "environments").glob("*.yml")), ids=lambda path: path.stem
)
def test_build__ready_spec__holds_what_it_names(
    path: Path, channel: Path, cache: Path, tmp_path: Path
) -> None:
    text = path.read_text()
    (tmp_path / path.name).write_text(text.replace("conda-forge", channel.as_uri()))
    output = tmp_path / "env.tar.zst"
    done = wq_package("build", tmp_path / path.name, "-o", output, "--cache", cache, "--no-bytecode")
    assert done.returncode == 0, done.stderr
    assert wq_package("unpack", output, tmp_path / "env").returncode == 0
    names = [name for name in ("numpy", "scipy", "pandas", "cloudpickle") if name in text]
    code = f"import numpy; from importlib.util import find_spec; print(*(find_spec(name).origin for name in {names}))"
    found = _run_bare(tmp_path / "env/bin/python3", "-c", code).split()
    assert len(found) == len(names)
    assert all(origin.startswith(f"{tmp_path}/env/lib/") for origin in found)


def _pin_installed(prefix: Path) -> EnvironmentSpec:
    documents = [json.loads(path.read_text()) for path in sorted((prefix / "conda-meta").glob("*.json"))]
    pins = [CondaRequirement(each["name"], each["version"], each["build"]) for each in documents]
    return EnvironmentSpec(conda=tuple(pin for pin in pins if pin.name != "python"))


def _digest_layer(package: ExtractedPackage) -> str:
    plan = plan_conda_layer(package)
    return write_layer(plan.header, plan.entries, plan.relocations, io.BytesIO(), Compression.ZSTD).digest


def test_build__from_what_is_installed__gives_the_same_layers_as_from_the_channel(
    installed_prefix: Path, channel: Path, tmp_path: Path
) -> None:
    spec = _pin_installed(installed_prefix)
    installed = find_installed_packages(spec, installed_prefix)
    backend = RattlerBackend(tmp_path / "conda")
    specs = tuple(f"{each.record.name}={each.record.version}={each.record.build}" for each in installed)
    records = backend.solve(SolveRequest((channel.as_uri(),), specs, "linux-64"))
    assert [record.name for record in records] == [package.record.name for package in installed]
    site_packages = installed[0].site_packages
    for record, folder, package in zip(
        records, backend.fetch(records, SilentReporter()), installed, strict=True
    ):
        assert _digest_layer(package) == _digest_layer(open_package(record, folder, site_packages)), (
            record.name
        )


def test_build__from_what_is_installed__names_what_was_edited(installed_prefix: Path, tmp_path: Path) -> None:
    copy = tmp_path / "prefix"
    shutil.copytree(installed_prefix, copy, symlinks=True)
    package = next(
        each
        for each in find_installed_packages(_pin_installed(copy), copy)
        if each.record.name == "wqp-greeting"
    )
    module = copy / next(file.path for file in package.files if file.path.endswith("__init__.py"))
    module.write_text(module.read_text() + "# mine\n")
    with pytest.raises(BuildError, match=r"was altered: .*__init__\.py` was edited") as caught:
        plan_conda_layer(package)
    assert "--fresh" in str(caught.value.hint)


def test_build__pin_that_is_not_installed__is_left_to_the_channel(installed_prefix: Path) -> None:
    spec = _pin_installed(installed_prefix)
    other = EnvironmentSpec(conda=(*spec.conda, CondaRequirement("scipy", "1", "0")))
    loose = EnvironmentSpec(conda=(CondaRequirement("numpy"),))
    assert find_installed_packages(other, installed_prefix) == ()
    assert find_installed_packages(loose, installed_prefix) == ()
    assert find_installed_packages(spec, installed_prefix / "none") == ()


def _assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert "hint: " in done.stderr
    for word in words:
        assert word in done.stderr


def test_build__wheel_in_another_version_than_conda_brings__is_refused(
    channel: Path, cache: Path, tmp_path: Path
) -> None:
    spec = _write_spec(tmp_path, channel.as_uri(), "  - numpy", "  - pip:", "    - numpy==1.26.4")
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache)
    _assert_refused(done, "conda brings numpy", "numpy==1.26.4")
    assert not (tmp_path / "env.tar.gz").exists()


def test_build__wheel_over_a_conda_package_s_files__is_refused_with_names(
    channel: Path, cache: Path, tmp_path: Path
) -> None:
    site = next(iter(_list_site_packages(channel)))
    clash = make_package("clash", "1.0", PackageFile(f"{site}/cloudpickle/__init__.py", b"x = 1\n"))
    rival = make_tiny_channel(tmp_path / "rival", [clash])
    pin = f"cloudpickle=={cloudpickle.__version__}"
    spec = _write_spec(tmp_path, f"{channel.as_uri()} {rival}", "  - clash", "  - pip:", f"    - {pin}")
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache)
    _assert_refused(done, "`cloudpickle` would overwrite 1 files of clash", f"{site}/cloudpickle/__init__.py")
    assert not (tmp_path / "env.tar.gz").exists()


def _list_site_packages(channel: Path) -> Iterator[str]:
    for package in channel.glob("linux-64/python-*.conda"):
        yield f"lib/python{'.'.join(package.name.split('-')[1].split('.')[:2])}/site-packages"


def test_build__no_such_version__says_so(channel: Path, cache: Path, tmp_path: Path) -> None:
    spec = _write_spec(tmp_path, channel.as_uri(), "  - numpy=0.1")
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache)
    _assert_refused(done, "no package `numpy 0.1", "`channel`")


def test_build__channel_without_anybody_there__names_it_and_the_way_out(cache: Path, tmp_path: Path) -> None:
    spec = _write_spec(tmp_path, "http://127.0.0.1:9/mine", "  - numpy=2.4.6")
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache)
    _assert_refused(done, "the channel `mine`", "127.0.0.1:9", "cannot be reached", "--allow-pypi")
    assert "`numpy==2.4.6`" in done.stderr


def test_build__channel_without_anybody_there__pypi_only_if_allowed(cache: Path, tmp_path: Path) -> None:
    pin = cloudpickle.__version__
    spec = _write_spec(tmp_path, "http://127.0.0.1:9/mine", f"  - cloudpickle={pin}")
    command = ("build", spec, "--cache", cache, "--json", "-o")
    done = wq_package(*command, tmp_path / "env.tar.gz", "--allow-pypi")
    assert done.returncode == 0, done.stderr
    assert f"has to do for cloudpickle=={pin}" in done.stderr
    assert {"cloudpickle", "python"} <= {layer["name"] for layer in json.loads(done.stdout)["layers"]}
    lock = tmp_path / "env.lock"
    assert wq_package("lock", spec, "-o", lock, "--cache", cache, "--allow-pypi").returncode == 0
    again = tmp_path / "again.tar.gz"
    done = wq_package(
        *command, again, "--locked", lock
    )  # the lock names no conda package: no channel is asked
    assert done.returncode == 0, done.stderr


def test_build__channel_by_relative_path__is_beside_the_spec_and_python_s_build_counts(
    channel: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "mine").symlink_to(channel)
    spec = _write_spec(tmp_path / "specs", "./mine", "  - python=3.11.7=h0000000_0")
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache, cwd=tmp_path)
    _assert_refused(done, "no package `python", "h0000000_0")


def test_build__folder_that_is_no_channel__says_so(cache: Path, tmp_path: Path) -> None:
    spec = _write_spec(tmp_path, tmp_path.as_uri(), "  - numpy")
    done = wq_package("build", spec, "-o", tmp_path / "env.tar.gz", "--cache", cache)
    _assert_refused(done, f"`{tmp_path}` is not a conda channel")


@pytest.fixture
def backend(tmp_path: Path) -> RattlerBackend:
    return RattlerBackend(tmp_path / "conda")


def _solve(backend: RattlerBackend, channels: list[str], *specs: str, priority: str = "strict") -> list[str]:
    request = SolveRequest(tuple(channels), specs, "linux-64", priority=priority)
    return [f"{record.name} {record.version}" for record in backend.solve(request)]


def test_solve__contradiction__shows_the_solver_s_reasons(backend: RattlerBackend, tmp_path: Path) -> None:
    packages = [
        make_package("core", "1.0"),
        make_package("core", "2.0"),
        make_package("old", depends=("core <2",)),
        make_package("new", depends=("core >=2",)),
    ]
    url = make_tiny_channel(tmp_path / "channel", packages)
    with pytest.raises(BuildError, match="contradict each other") as caught:
        _solve(backend, [url], "old", "new")
    assert "core" in str(caught.value)
    assert "old" in str(caught.value)


def test_solve__two_channels__the_first_that_has_a_package_wins(
    backend: RattlerBackend, tmp_path: Path
) -> None:
    first = make_tiny_channel(tmp_path / "first", [make_package("core", "1.0")])
    second = make_tiny_channel(
        tmp_path / "second", [make_package("core", "2.0"), make_package("more", "2.0")]
    )
    assert _solve(backend, [first, second], "core", "more") == ["core 1.0", "more 2.0"]
    assert _solve(backend, [first, second], "core", "more", priority="disabled") == ["core 2.0", "more 2.0"]


def test_solve__package_of_a_named_channel__comes_from_there(backend: RattlerBackend, tmp_path: Path) -> None:
    first = make_tiny_channel(tmp_path / "first", [make_package("core", "1.0")])
    second = make_tiny_channel(tmp_path / "second", [make_package("core", "2.0")])
    assert _solve(backend, [first, second], f"{second}::core") == ["core 2.0"]


def test_solve__possible_only_by_mixing_channels__explains_it(
    backend: RattlerBackend, tmp_path: Path
) -> None:
    first = make_tiny_channel(tmp_path / "first", [make_package("core", "1.0")])
    second = make_tiny_channel(
        tmp_path / "second", [make_package("core", "2.0"), make_package("more", depends=("core >=2",))]
    )
    with pytest.raises(BuildError, match="first channel that has it") as caught:
        _solve(backend, [first, second], "core", "more")
    assert "`core 2.0` from `second`" in str(caught.value.hint)


def test_fetch__package_altered_after_indexing__is_refused_with_both_digests(
    backend: RattlerBackend, tmp_path: Path
) -> None:
    url = make_tiny_channel(tmp_path / "channel", [make_package("core")])
    records = backend.solve(SolveRequest((url,), ("core",), "linux-64"))
    package = next((tmp_path / "channel").glob("noarch/core-*.conda"))
    other = tmp_path / "other"
    make_tiny_channel(other, [make_package("core", "1.0", PackageFile("share/evil", b"x"))])
    shutil.copy(next(other.glob("noarch/core-*.conda")), package)
    with pytest.raises(BuildError, match="not what its channel promised") as caught:
        backend.fetch(records, SilentReporter())
    assert records[0].sha256 in str(caught.value)
    assert not list((tmp_path / "conda" / "packages").iterdir())


def test_fetch__damaged_package__leaves_nothing_behind(backend: RattlerBackend, tmp_path: Path) -> None:
    url = make_tiny_channel(tmp_path / "channel", [make_package("core"), make_package("more")])
    records = backend.solve(SolveRequest((url,), ("core", "more"), "linux-64"))
    package = next((tmp_path / "channel").glob("noarch/core-*.conda"))
    package.write_bytes(package.read_bytes()[:200])
    with pytest.raises(BuildError, match=r"`core-1\.0-"):
        backend.fetch(records, SilentReporter())
    left = [path.name for path in (tmp_path / "conda" / "packages").iterdir()]
    assert all(name == records[1].sha256 for name in left)


def test_fetch__twice__asks_only_once(backend: RattlerBackend, tmp_path: Path) -> None:
    folder = tmp_path / "channel"
    url = make_tiny_channel(folder, [make_package("core", "1.0", PackageFile("share/core", b"x"))])
    records = backend.solve(SolveRequest((url,), ("core",), "linux-64"))
    first = backend.fetch(records, SilentReporter())
    shutil.rmtree(folder)
    assert backend.fetch(records, SilentReporter()) == first
    opened = open_package(records[0], first[0], "lib/python3.11/site-packages")
    assert list(opened.iter_targets()) == ["share/core"]


@pytest.fixture
def web_channel(tmp_path: Path) -> Iterator[str]:
    """Serve a tiny channel over HTTP."""
    make_tiny_channel(
        tmp_path / "web" / "mine", [make_package("core", "1.0", PackageFile("share/core", b"x"))]
    )
    handler = functools.partial(_QuietHandler, directory=str(tmp_path / "web"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mine"
    server.shutdown()
    thread.join()
    server.server_close()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_fetch__over_http__then_offline_from_the_cache(web_channel: str, tmp_path: Path) -> None:
    request = SolveRequest((web_channel,), ("core",), "linux-64")
    online = RattlerBackend(tmp_path / "conda")
    records = online.solve(request)
    folders = online.fetch(records, SilentReporter())
    assert (folders[0] / "share/core").read_bytes() == b"x"
    offline = RattlerBackend(tmp_path / "conda", offline=True)
    assert offline.solve(request) == records
    assert offline.fetch(records, SilentReporter()) == folders


def test_solve__offline_and_never_asked_before__says_so(web_channel: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"the channel `mine` .* is not in the cache"):
        RattlerBackend(tmp_path / "conda", offline=True).solve(
            SolveRequest((web_channel,), ("core",), "linux-64")
        )


def test_fetch__package_in_the_old_format__is_read_as_well(backend: RattlerBackend, tmp_path: Path) -> None:
    """Packages from before 2017 are `.tar.bz2` and list their placeholders in `info/has_prefix`."""
    index = {
        "name": "old",
        "version": "1.0",
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": "noarch",
    }
    files = {
        "info/index.json": json.dumps(index),
        "info/files": "share/old.ini\n",
        "info/has_prefix": "/old/place text share/old.ini\n",
        "share/old.ini": "home=/old/place/share\n",
    }
    folder = tmp_path / "channel" / "noarch"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "old-1.0-0.tar.bz2", "w:bz2") as tar:
        for path, text in files.items():
            header = tarfile.TarInfo(path)
            header.size = len(text)
            tar.addfile(header, io.BytesIO(text.encode()))
    url = make_tiny_channel(tmp_path / "channel", [])
    records = backend.solve(SolveRequest((url,), ("old",), "linux-64"))
    folders = backend.fetch(records, SilentReporter())
    plan = plan_conda_layer(open_package(records[0], folders[0], "lib/python3.11/site-packages"))
    assert plan.relocations == (Relocation("share/old.ini", RelocationMode.TEXT, "/old/place"),)
