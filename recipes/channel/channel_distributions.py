"""Make conda packages from Python distributions, installed ones or wheels of the package index.

Knows `RECORD` and the metadata of a distribution, and how conda lays the same files out: a pure one becomes
`noarch: python` and lists its entry points, another belongs to one Python version and has its scripts in it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath

from channel_package import PLACEHOLDER, Package, PackageFile, with_build
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

_DROPPED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_SHEBANG = re.compile(rb"^#!.*python[0-9.]*[^\n]*\n")
_SCRIPT = """\
#!{prefix}/bin/python
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""


def gather_distributions(names: Iterable[str], scratch: Path, python: str) -> list[Distribution]:
    """Find distributions and all that they require: installed ones first, others from the package index.

    Args:
        names: requirements such as `numpy` or `numpy==2.4.6`.
        scratch: a folder for what has to be downloaded.
        python: version of the Python that they are for.
    """
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = make_conda_name(requirement.name)
        if name not in found:
            found[name] = _find_installed(requirement, python) or _download(requirement, scratch, python)
            waiting += _iter_requirements(found[name], python)
    return [found[name] for name in sorted(found)]


def make_conda_name(name: str) -> str:
    """Name a distribution as conda does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def make_distribution_package(found: Distribution, python: str) -> Package:
    """Make the conda package of one distribution.

    Args:
        found: an installed distribution.
        python: version of the Python that it is for, `3.11.7`.
    """
    pure = "Root-Is-Purelib: true" in (found.read_text("WHEEL") or "")
    minor = ".".join(python.split(".")[:2])
    site = "site-packages" if pure else f"lib/python{minor}/site-packages"
    files = list(_iter_files(found, site, pure=pure))
    if not pure:
        files += [_make_script(name, target) for name, target in _iter_commands(found)]
    major, least = minor.split(".")
    tied = f"python >={minor},<{major}.{int(least) + 1}.0a0"
    package = Package(
        name=make_conda_name(found.metadata["Name"]),
        version=found.version,
        build="",
        depends=(_require_python(found) if pure else tied, *_make_depends(found, python)),
        noarch="python" if pure else "",
        entry_points=tuple(f"{name} = {target}" for name, target in _iter_commands(found)) if pure else (),
        summary=_read_field(found, "Summary"),
        license=_read_field(found, "License-Expression"),
        files=tuple(files),
    )
    return with_build(package, "py" if pure else f"py{minor.replace('.', '')}")


def _find_installed(requirement: Requirement, python: str) -> Distribution | None:
    if python.split(".")[:2] != [str(part) for part in sys.version_info[:2]]:
        return None
    try:
        found = distribution(requirement.name)
    except PackageNotFoundError:
        return None
    fits = requirement.specifier.contains(found.version, prereleases=True)
    return found if fits and found.read_text("RECORD") and found.read_text("WHEEL") else None


def _download(requirement: Requirement, scratch: Path, python: str) -> Distribution:
    folder = scratch / make_conda_name(requirement.name)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    text = f"{requirement.name}{requirement.specifier}"
    options = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    if uv:
        command = [uv, "pip", *options, "--python-version", python, text]
    else:
        command = [sys.executable, "-m", "pip", *options, "--python-version", python, text]
    subprocess.run(command, check=True)
    return next(iter(distributions(path=[str(folder)])))


def _iter_requirements(found: Distribution, python: str) -> Iterator[Requirement]:
    environment = {
        "extra": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
    }
    for text in found.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


def _make_depends(found: Distribution, python: str) -> Iterator[str]:
    for requirement in sorted(_iter_requirements(found, python), key=lambda each: each.name):
        yield f"{make_conda_name(requirement.name)} {_make_conda_version(requirement.specifier)}".strip()


def _make_conda_version(specifiers: SpecifierSet) -> str:
    return ",".join(sorted(str(each).replace("===", "==") for each in specifiers))


def _require_python(found: Distribution) -> str:
    return f"python {_make_conda_version(SpecifierSet(_read_field(found, 'Requires-Python')))}".strip()


def _read_field(found: Distribution, name: str) -> str:
    return found.metadata[name] if name in found.metadata else ""  # noqa: SIM401 - it has no `get` in its type


def _iter_commands(found: Distribution) -> Iterator[tuple[str, str]]:
    for point in sorted(found.entry_points, key=lambda each: each.name):
        if point.group in ("console_scripts", "gui_scripts"):
            yield point.name, re.sub(r"\s*\[.*", "", point.value)


def _make_script(name: str, target: str) -> PackageFile:
    module, _, function = target.replace(" ", "").partition(":")
    text = _SCRIPT.format(prefix=PLACEHOLDER, module=module, function=function, first=function.split(".")[0])
    return PackageFile(f"bin/{name}", text.encode(), executable=True, prefix_mode="text")


def _iter_files(found: Distribution, site: str, *, pure: bool) -> Iterator[PackageFile]:
    """Yield what belongs to the distribution itself: neither its installer's traces, nor bytecode."""
    commands = {name for name, _ in _iter_commands(found)}
    rows: list[tuple[str, str, str]] = []
    for path, digest, size in _read_record(found):
        parts = PurePosixPath(path).parts
        if "__pycache__" in parts or (parts[0].endswith(".dist-info") and parts[-1] in _DROPPED):
            continue
        if parts[0] != "..":
            rows.append((path, digest, size))
            yield _make_file(f"{site}/{path}", Path(str(found.locate_file(path))))
        elif "bin" in parts and parts[-1] not in commands:
            data = Path(str(found.locate_file(path))).read_bytes()
            yield _make_wheel_script(parts[-1], data, pure=pure)
        elif "bin" not in parts:
            outside = "/".join(part for part in parts if part != "..")
            yield _make_file(outside, Path(str(found.locate_file(path))))
    info = next(row[0].split("/")[0] for row in rows if row[0].endswith(".dist-info/METADATA"))
    yield from _make_own_records(info, site, rows)


def _make_file(path: str, source: Path) -> PackageFile:
    return PackageFile(path, source, executable=bool(source.stat().st_mode & 0o100))


def _make_wheel_script(name: str, data: bytes, *, pure: bool) -> PackageFile:
    changed = _SHEBANG.sub(f"#!{PLACEHOLDER}/bin/python\n".encode(), data)
    folder = "python-scripts" if pure else "bin"
    return PackageFile(
        f"{folder}/{name}", changed, executable=True, prefix_mode="text" if changed != data else ""
    )


def _read_record(found: Distribution) -> list[tuple[str, str, str]]:
    text = found.read_text("RECORD")
    if not text:
        message = f"`{found.metadata['Name']}` has no RECORD: install it from a wheel"
        raise SystemExit(message)
    return [(row[0], row[1], row[2]) for row in csv.reader(io.StringIO(text)) if len(row) == 3]


def _make_own_records(info: str, site: str, rows: list[tuple[str, str, str]]) -> Iterator[PackageFile]:
    installer = b"conda\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(installer).digest()).rstrip(b"=").decode()
    own = [(f"{info}/INSTALLER", f"sha256={digest}", str(len(installer))), (f"{info}/RECORD", "", "")]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted([*rows, *own]))
    yield PackageFile(f"{site}/{info}/INSTALLER", installer)
    yield PackageFile(f"{site}/{info}/RECORD", text.getvalue().encode())
