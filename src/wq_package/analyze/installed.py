"""The installed environment: who owns a file, what is installed, what it requires (shell module: reads metadata).

Knows dist-info, egg-info, RECORD, editable installs and conda-meta. Never imports what is installed. RECORD files are
searched as bytes, not parsed: a hundred distributions have ten megabytes of them, and an analysis asks a few questions.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from wq_package.analyze.finder import FolderCache
from wq_package.analyze.metadata import (
    Metadata,
    parse_editable_folder,
    parse_finder_mapping,
    parse_install_plan,
    parse_meson_loader,
    parse_metadata,
)
from wq_package.spec.environment import CondaRequirement, canonicalize_name

__all__ = ["CondaPackage", "Installed", "InstalledDistribution", "load_installed", "make_default_search_path"]

_SCRIPTS = ("console_scripts", "gui_scripts")


@dataclass(slots=True)
class InstalledDistribution:
    """One installed distribution, by its metadata folder.

    Attributes:
        site: the folder it is installed in.
        folder: its metadata folder or file.
        name, version: as the folder's name says them; METADATA has the last word.
    """

    site: str
    folder: str
    name: str
    version: str
    record: bytes | None = None
    metadata: Metadata | None = None
    is_broken: bool = False
    editable: str | None = None

    @property
    def key(self) -> str:
        """The canonical name."""
        return canonicalize_name(self.name)


@dataclass(frozen=True, slots=True)
class CondaPackage:
    """One package of conda-meta.

    Attributes:
        channel: where it came from, as an environment.yml names it; empty if that cannot be told.
    """

    requirement: CondaRequirement
    depends: tuple[str, ...] = ()
    channel: str = ""


@dataclass(slots=True)
class Installed:
    """An installed environment.

    Attributes:
        path: its folders, in order of search.
        finders: packages that editable finders put somewhere else.
        prefix: the conda prefix, or `None`.
    """

    path: tuple[str, ...]
    sites: tuple[str, ...]
    distributions: dict[str, InstalledDistribution]
    all_distributions: tuple[InstalledDistribution, ...]
    finders: dict[str, str] = field(default_factory=dict)
    prefix: str | None = None
    cache: FolderCache = field(default_factory=FolderCache)
    conda_texts: dict[str, bytes] | None = None
    conda_packages: dict[str, CondaPackage | None] = field(default_factory=dict)
    owners: dict[tuple[str, str], tuple[InstalledDistribution, ...]] = field(default_factory=dict)

    def find_distribution(self, name: str) -> InstalledDistribution | None:
        """Find an installed distribution by name."""
        return self.distributions.get(canonicalize_name(name))

    def find_owners(self, file: str) -> tuple[InstalledDistribution, ...]:
        """Tell which distributions say that a file is theirs; several only if its content does not decide."""
        site = next((site for site in self.sites if file.startswith(site + "/")), None)
        if site is None:
            return ()
        relative = file[len(site) + 1 :]
        key = (site, relative)
        if key not in self.owners:
            self.owners[key] = _find_owners(self.all_distributions, site, relative)
        return self.owners[key]

    def find_folder_owners(self, folder: str) -> tuple[InstalledDistribution, ...]:
        """Tell which distributions have files in a folder or below it."""
        site = next((site for site in self.sites if folder.startswith(site + "/")), None)
        if site is None:
            return ()
        needle = f"\n{folder[len(site) + 1 :]}/".encode()
        return tuple(d for d in self.all_distributions if d.site == site and needle in _load_record(d))

    def read_metadata(self, distribution: InstalledDistribution) -> Metadata:
        """Read what a distribution says about itself; what cannot be read is marked broken."""
        if distribution.metadata is None:
            text = _read_text(_find_metadata_file(distribution.folder))
            parsed = parse_metadata(text) if text else None
            distribution.is_broken = parsed is None
            distribution.metadata = parsed or Metadata(distribution.name, distribution.version)
        return distribution.metadata

    def read_wheel(self, distribution: InstalledDistribution) -> str:
        """Read the WHEEL file of a distribution; empty if it was not installed from a wheel."""
        return _read_text(f"{distribution.folder}/WHEEL")

    def find_editable_folder(self, distribution: InstalledDistribution) -> str | None:
        """Tell the project folder of an editable install, or `None` if it is an ordinary one."""
        if distribution.editable is None:
            text = _read_text(f"{distribution.folder}/direct_url.json")
            distribution.editable = (parse_editable_folder(text) if text else None) or ""
        return distribution.editable or None

    def find_conda_owner(self, file: str) -> CondaPackage | None:
        """Tell which conda package owns a file of the prefix."""
        if self.prefix is None or not file.startswith(self.prefix + "/"):
            return None
        needle = b'"' + file[len(self.prefix) + 1 :].encode() + b'"'
        for name, text in self._load_conda_texts().items():
            if needle in text:
                return self._load_conda_package(name, text)
        return None

    def find_conda_package(self, name: str) -> CondaPackage | None:
        """Find an installed conda package by name."""
        for entry, text in self._load_conda_texts().items():
            if entry.rsplit("-", 2)[0] == name:
                return self._load_conda_package(entry, text)
        return None

    def find_program_owner(self, program: str) -> tuple[str, str] | None:
        """Tell name and version of who has installed a program of the environment's `bin`; `None` if nobody has."""
        package = self.find_conda_owner(f"{self.prefix}/bin/{program}") if self.prefix else None
        if package is not None:
            return package.requirement.name, package.requirement.version
        needle = f"../bin/{program},".encode()
        for distribution in self.all_distributions:
            if needle in _load_record(distribution) or _has_script(distribution, program):
                metadata = self.read_metadata(distribution)
                return metadata.name, metadata.version
        return None

    def list_conda_channels(self, names: Iterable[str]) -> tuple[str, ...]:
        """List the channels that some conda packages came from, the one with most of them first."""
        packages = [self.find_conda_package(name) for name in sorted(names)]
        channels = [package.channel for package in packages if package and package.channel]
        return tuple(sorted(dict.fromkeys(channels), key=lambda channel: -channels.count(channel)))

    def _load_conda_texts(self) -> dict[str, bytes]:
        if self.conda_texts is None:
            self.conda_texts = dict(_iter_conda_texts(self.prefix)) if self.prefix else {}
        return self.conda_texts

    def _load_conda_package(self, entry: str, text: bytes) -> CondaPackage | None:
        if entry not in self.conda_packages:
            self.conda_packages[entry] = _parse_conda_package(text)
        return self.conda_packages[entry]


def _iter_conda_texts(prefix: str) -> Iterator[tuple[str, bytes]]:
    folder = f"{prefix}/conda-meta"
    for entry in sorted(os.listdir(folder)):  # noqa: PTH208 - plain strings all the way
        if entry.endswith(".json"):
            text = _read_bytes(f"{folder}/{entry}")
            if text is not None:
                yield entry.removesuffix(".json"), text


def _parse_conda_package(text: bytes) -> CondaPackage | None:
    import json

    from wq_package.analyze.conda_channels import name_channel

    try:
        document = json.loads(text)
        channel = name_channel(str(document.get("channel") or ""))
        depends = tuple(entry.split()[0] for entry in document.get("depends", ()) if entry.strip())
        requirement = CondaRequirement(document["name"], document["version"], document["build"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return CondaPackage(requirement, depends, channel)


def _find_owners(
    distributions: Sequence[InstalledDistribution], site: str, relative: str
) -> tuple[InstalledDistribution, ...]:
    needle = f"\n{relative},".encode()
    claims = []
    for distribution in distributions:
        if distribution.site != site:
            continue
        record = _load_record(distribution)
        start = record.find(needle)
        if start >= 0:
            claims.append((distribution, record[start + len(needle) : record.find(b"\n", start + 1)]))
    if len(claims) > 1:
        claims = _decide_by_content(claims, f"{site}/{relative}")
    if claims:
        return tuple(distribution for distribution, _ in claims)
    return _find_by_top_level(distributions, site, relative)


def _decide_by_content(
    claims: list[tuple[InstalledDistribution, bytes]], file: str
) -> list[tuple[InstalledDistribution, bytes]]:
    """Of several distributions with a file of the same name, keep those whose file is the one on disk."""
    import base64
    import hashlib

    content = _read_bytes(file)
    if content is None:
        return claims
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    matching = [claim for claim in claims if claim[1].startswith(b"sha256=" + digest)]
    return matching or claims


def _find_by_top_level(
    distributions: Sequence[InstalledDistribution], site: str, relative: str
) -> tuple[InstalledDistribution, ...]:
    """Fall back on top_level.txt, then on the name, for distributions that have no RECORD."""
    top = relative.partition("/")[0].partition(".")[0]
    unrecorded = [d for d in distributions if d.site == site and not _load_record(d)]
    named = [d for d in unrecorded if top in _read_text(f"{d.folder}/top_level.txt").split()]
    return tuple(named or [d for d in unrecorded if d.key == canonicalize_name(top)])


def _load_record(distribution: InstalledDistribution) -> bytes:
    if distribution.record is None:
        text = _read_bytes(f"{distribution.folder}/RECORD") or b""
        if not text:
            files = _read_bytes(f"{distribution.folder}/installed-files.txt") or b""
            text = b"".join(line.removeprefix(b"../") + b",\n" for line in files.splitlines())
        distribution.record = (b"\n" + text).replace(b"\r\n", b"\n") if text else b""
    return distribution.record


def _has_script(distribution: InstalledDistribution, program: str) -> bool:
    """Look into the entry points of a distribution whose RECORD does not list its programs."""
    if b"../bin/" in _load_record(distribution):
        return False
    text = _read_text(f"{distribution.folder}/entry_points.txt")
    sections = re.split(r"^\[([^\]]*)\]\s*$", text, flags=re.MULTILINE)
    scripts = [body for name, body in zip(sections[1::2], sections[2::2], strict=True) if name in _SCRIPTS]
    return any(re.search(rf"^{re.escape(program)}\s*=", body, re.MULTILINE) for body in scripts)


def _find_metadata_file(folder: str) -> str:
    if not os.path.isdir(folder):  # noqa: PTH112 - plain strings all the way
        return folder
    return f"{folder}/METADATA" if folder.endswith(".dist-info") else f"{folder}/PKG-INFO"


def _read_text(file: str) -> str:
    return (_read_bytes(file) or b"").decode("utf-8", "replace")


def _read_bytes(file: str) -> bytes | None:
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - plain strings all the way
            return stream.read()
    except OSError:
        return None


def make_default_search_path() -> tuple[str, ...]:
    """Tell the folders of the running interpreter's installed environment, without the standard library and scripts."""
    skipped = {os.path.realpath(path) for path in _iter_library_folders()}
    entries = []
    for entry in sys.path:
        if entry and os.path.isdir(entry) and os.path.realpath(entry) not in skipped:  # noqa: PTH112 - plain strings all the way
            entries.append(os.path.abspath(entry))  # noqa: PTH100 - plain strings all the way
    return tuple(dict.fromkeys(entries))


def _iter_library_folders() -> Iterator[str]:
    yield sysconfig.get_path("stdlib")
    yield sysconfig.get_path("platstdlib")
    yield os.path.join(sysconfig.get_path("stdlib"), "lib-dynload")  # noqa: PTH118 - plain strings all the way
    yield sysconfig.get_path("scripts")


_CACHE: dict[tuple[tuple[str, int], ...], Installed] = {}
_CACHE_LIMIT = 4


def load_installed(search_path: tuple[str, ...] | None = None) -> Installed:
    """Load the index of an installed environment; kept in this process until a folder of it changes.

    Args:
        search_path: its folders; those of the running interpreter if `None`.
    """
    path = make_default_search_path() if search_path is None else tuple(map(os.path.abspath, search_path))
    stamp = tuple((folder, _find_change_time(folder)) for folder in path)
    installed = _CACHE.get(stamp)
    if installed is None:
        if len(_CACHE) >= _CACHE_LIMIT:
            _CACHE.clear()
        installed = _CACHE[stamp] = _index(path)
    return installed


def _find_change_time(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - plain strings all the way
    except OSError:
        return 0


def _index(path: tuple[str, ...]) -> Installed:
    found: list[InstalledDistribution] = []
    sites: list[str] = []
    folders: list[str] = []
    finders: dict[str, str] = {}
    for folder in path:
        folders.append(folder)
        before = len(found)
        more, mapping = _index_folder(folder, found)
        folders += [entry for entry in more if entry not in path]
        finders.update(mapping)
        if len(found) > before or os.path.basename(folder) in ("site-packages", "dist-packages"):  # noqa: PTH119 - plain strings
            sites.append(folder)
    distributions: dict[str, InstalledDistribution] = {}
    for distribution in found:
        distributions.setdefault(distribution.key, distribution)
    prefix = next(filter(None, map(_find_conda_prefix, sites)), None)
    return Installed(
        tuple(dict.fromkeys(folders)),
        tuple(sites),
        distributions,
        tuple(found),
        finders=finders,
        prefix=prefix,
    )


def _index_folder(folder: str, found: list[InstalledDistribution]) -> tuple[list[str], dict[str, str]]:
    """Add the distributions of one folder; return what its .pth files and editable finders add to the search."""
    folders: list[str] = []
    mapping: dict[str, str] = {}
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208 - plain strings all the way
    except OSError:
        return [], {}
    for entry in entries:
        if entry.endswith((".dist-info", ".egg-info")):
            found.append(_make_distribution(folder, entry))
        elif entry.endswith((".pth", ".egg-link")):
            folders += _read_path_lines(folder, entry)
        elif entry.startswith("__editable__") and entry.endswith("_finder.py"):
            mapping.update(parse_finder_mapping(_read_text(f"{folder}/{entry}")))
        elif entry.startswith("_") and entry.endswith("_editable_loader.py"):
            build = parse_meson_loader(_read_text(f"{folder}/{entry}"))
            mapping.update(parse_install_plan(_read_text(f"{build}/meson-info/intro-install_plan.json")))
    return folders, mapping


def _make_distribution(site: str, entry: str) -> InstalledDistribution:
    stem = entry.rpartition(".")[0]
    name, _, rest = stem.partition("-")
    version = rest.partition("-py")[0] if entry.endswith(".egg-info") else rest
    return InstalledDistribution(site, f"{site}/{entry}", name.replace("_", "-"), version)


def _read_path_lines(folder: str, entry: str) -> list[str]:
    lines = [line.strip() for line in _read_text(f"{folder}/{entry}").splitlines()]
    named = [line for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
    paths = [line if line.startswith("/") else f"{folder}/{line}" for line in named]
    return [os.path.normpath(path) for path in paths if os.path.isdir(path)]  # noqa: PTH112 - plain strings all the way


def _find_conda_prefix(site: str) -> str | None:
    parts = site.split("/")
    if len(parts) > 3 and parts[-1] == "site-packages" and parts[-3] in ("lib", "lib64"):
        prefix = "/".join(parts[:-3])
        if os.path.isdir(f"{prefix}/conda-meta"):  # noqa: PTH112 - plain strings all the way
            return prefix
    return None
