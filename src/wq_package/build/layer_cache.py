"""Keeps finished layers, so that each is made once on a machine (shell module).

    root/layers/<digest>.<zst|gz>        the stored bytes
    root/layers/<digest>.<zst|gz>.json   what they are; touched whenever a build uses them
    root/layers/<digest>.<zst|gz>.stamp  size and times of the file when its digest was last verified
    root/keys/<key>.json              which layer came of what; the key is a digest of everything that decided it
    root/locks/, root/tmp/

Everything appears by rename. Several builders may work at once: one lock for each key, so that nothing is made twice, and
one lock that builders share and `prune` has alone. Knows nothing of what layers are made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.index_text import TextError, parse_stored_layer, render_stored_layer
from wq_package.archive.layer import Compression, StoredLayer
from wq_package.archive.unfinished import claim, is_abandoned
from wq_package.build.artefacts import UNKNOWN, Artefact, parse_artefact, render_artefact
from wq_package.errors import BuildError, DiskFullError

__all__ = ["CachedLayer", "LayerCache", "compute_file_digest", "compute_key", "default_cache_root"]

_SUFFIXES = {Compression.ZSTD: "zst", Compression.GZIP: "gz"}


@dataclass(frozen=True, slots=True)
class CachedLayer:
    """A layer in the cache.

    Attributes:
        path: the file with its stored bytes.
        requires: what the distribution in it requires.
        watched: files outside any distribution that went in.
        artefact: what is known of the file that a distribution was installed from.
    """

    stored: StoredLayer
    path: Path
    requires: tuple[str, ...] = ()
    watched: tuple[Path, ...] = ()
    artefact: Artefact = UNKNOWN


def default_cache_root() -> Path:
    """Where layers are kept: `$WQ_PACKAGE_CACHE`, else below the user's cache folder, else a private temporary folder."""
    named = os.environ.get("WQ_PACKAGE_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or ""
    if base.startswith("/"):
        return Path(base) / "wq-package" / "build"
    try:
        return Path.home() / ".cache" / "wq-package" / "build"
    except RuntimeError:  # a user without an entry in passwd, as containers have
        return _make_private_folder() / "build"


def _make_private_folder() -> Path:
    """Make a folder below the temporary one that nobody else can have put anything into."""
    import tempfile  # costs 5 ms, and most users have a folder

    folder = Path(tempfile.gettempdir()) / f"wq-package-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        hint = "set WQ_PACKAGE_CACHE to a folder of your own"
        raise BuildError(f"`{folder}` is not a private folder of this user", hint=hint)
    return folder


def compute_key(*parts: object) -> str:
    """Make a key from everything that decides what a layer will be."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class LayerCache:
    """The layers of one folder.

    Args:
        root: made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for name in ("layers", "keys", "locks", "tmp"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "set WQ_PACKAGE_CACHE, or --cache, to a folder that can be written"
            raise BuildError(
                f"the layer cache `{root}` cannot be made ({error.strerror})", hint=hint
            ) from error

    def find(self, key: str, compression: Compression) -> CachedLayer | None:
        """Find the layer of a key; `None` if it was never made, or what it was made from has changed."""
        try:
            record = json.loads((self.root / "keys" / f"{key}.json").read_bytes())
            if any(_stat(Path(path)) != state for path, state in record["watched"]):
                return None
            path = self._name(record["digest"], compression)
            note = path.with_name(path.name + ".json")
            stored = parse_stored_layer(note.read_bytes())
            if not self._is_sound(path, stored):
                return None
            os.utime(note)  # so that `prune` knows what is in use
            watched = tuple(Path(watched) for watched, _ in record["watched"])
            artefact = parse_artefact(record["artefact"])
            return CachedLayer(stored, path, tuple(record["requires"]), watched, artefact)
        except (OSError, ValueError, KeyError, TypeError, TextError):
            return None

    def find_any(self, key: str) -> CachedLayer | None:
        """Find the layer of a key in whatever compression it is there."""
        return self.find(key, Compression.ZSTD) or self.find(key, Compression.GZIP)

    def add(
        self,
        key: str,
        write: Callable[[BinaryIO], StoredLayer],
        *,
        requires: tuple[str, ...] = (),
        watched: tuple[Path, ...] = (),
        artefact: Artefact | None = None,
    ) -> CachedLayer:
        """Keep a layer that `write` writes, under a key."""
        states = [(str(path), _stat(path)) for path in watched]
        temporary = self.root / "tmp" / f"{_make_name()}.layer"
        try:
            stored, path = self._write_layer(temporary, write)
            made = CachedLayer(stored, path, requires, watched, artefact or UNKNOWN)
            self._write_record(key, made, states)
        except OSError as error:
            hint = "free some space, or set WQ_PACKAGE_CACHE to another disk"
            raise DiskFullError(
                f"the layer cache `{self.root}` cannot be written ({error.strerror})", hint=hint
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink()
        return made

    def _write_layer(
        self, temporary: Path, write: Callable[[BinaryIO], StoredLayer]
    ) -> tuple[StoredLayer, Path]:
        with temporary.open("xb") as file:
            claim(file.fileno())
            stored = write(file)
        path = self._name(stored.digest, stored.compression)
        self._write(path.with_name(path.name + ".json"), render_stored_layer(stored))
        temporary.replace(path)
        self._stamp(path)
        return stored, path

    def link(self, key: str, layer: CachedLayer) -> None:
        """Let another key lead to a layer that is already there."""
        self._write_record(key, layer, [])

    def _write_record(
        self, key: str, layer: CachedLayer, states: Sequence[tuple[str, list[int] | None]]
    ) -> None:
        record = {
            "digest": layer.stored.digest,
            "requires": layer.requires,
            "watched": states,
            "artefact": render_artefact(layer.artefact),
        }
        self._write(self.root / "keys" / f"{key}.json", json.dumps(record))

    def has_key(self, key: str) -> bool:
        """Tell whether something was ever kept under a key."""
        return (self.root / "keys" / f"{key}.json").exists()

    def has_note(self, note: str) -> bool:
        """Tell whether a fact, known by its key, was noted before."""
        return (self.root / "keys" / f"{note}.note").exists()

    def read_note(self, note: str) -> str | None:
        """Tell what was noted; `None` if nothing was."""
        try:
            return (self.root / "keys" / f"{note}.note").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def add_note(self, note: str, text: str = "") -> None:
        """Note a fact, so that it need not be found out again."""
        self._write(self.root / "keys" / f"{note}.note", text)

    def _is_sound(self, path: Path, stored: StoredLayer) -> bool:
        """Tell whether a file still holds what was written to it; read it only if anything touched it since."""
        if _read_stamp(path) == _make_stamp(path):
            return True
        if compute_file_digest(path) != stored.stored_digest:
            return False
        self._stamp(path)
        return True

    def _stamp(self, path: Path) -> None:
        self._write(path.with_name(path.name + ".stamp"), _make_stamp(path))

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Have a key alone."""
        with _locked(self.root / "locks" / key, fcntl.LOCK_EX):
            yield

    @contextmanager
    def use(self) -> Iterator[None]:
        """Keep `prune` away while layers are in use."""
        with _locked(self.root / "locks" / "use", fcntl.LOCK_SH):
            yield

    @contextmanager
    def own(self) -> Iterator[None]:
        """Have the cache alone; waits until nobody uses it."""
        with _locked(self.root / "locks" / "use", fcntl.LOCK_EX):
            yield

    @contextmanager
    def make_staging(self) -> Iterator[Path]:
        """Make a folder for a build's own files; it goes away, even if the builder is killed, with the next build."""
        self.remove_abandoned()
        folder = self.root / "tmp" / _make_name()
        with _locked(self.root / "locks" / f"staging-{folder.name}", fcntl.LOCK_EX) as lock:
            folder.mkdir()
            try:
                yield folder
            finally:
                _remove_tree(folder)
                lock.unlink(missing_ok=True)

    def remove_abandoned(self) -> None:
        """Remove the folders and files of builds that were killed."""
        for lock in (self.root / "locks").glob("staging-*"):
            with suppress(OSError), _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _remove_tree(self.root / "tmp" / lock.name.removeprefix("staging-"))
                lock.unlink(missing_ok=True)

        for file in (self.root / "tmp").iterdir():
            if file.suffix in (".layer", ".json") and is_abandoned(file):
                file.unlink(missing_ok=True)

    def _name(self, digest: str, compression: Compression) -> Path:
        return self.root / "layers" / f"{digest}.{_SUFFIXES[compression]}"

    def _write(self, path: Path, text: str) -> None:
        temporary = self.root / "tmp" / f"{_make_name()}.json"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def compute_file_digest(path: Path) -> str:
    """Compute the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_name() -> str:
    return os.urandom(8).hex()


def _remove_tree(folder: Path) -> None:
    try:
        folder.rmdir()  # of a build that made nothing, it is empty
    except OSError:
        import shutil  # costs 4 ms

        shutil.rmtree(folder, ignore_errors=True)


def _make_stamp(path: Path) -> str:
    # The change time moves with every write, rename and change of owner, and no program can set it back.
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _read_stamp(path: Path) -> str:
    try:
        return path.with_name(path.name + ".stamp").read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _stat(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


@contextmanager
def _locked(path: Path, how: int) -> Iterator[Path]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield path
    finally:
        os.close(descriptor)
