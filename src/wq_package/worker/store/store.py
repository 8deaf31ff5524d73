"""The store: layers unpacked once, environments composed of them (shell module).

    root/layers/<digest>/      a layer's members; read only
    root/layers/<digest>.json  what is known of it; its time is that of the layer's last use
    root/envs/<digest>/        an environment at its prefix
    root/envs/<digest>.json    which layers it is made of; its time is that of its last use
    root/files/, root/held/    input files of tasks, see `files`
    root/tmp/                  what is not finished yet
    root/locks/                empty files to lock

Any number of processes may use one store. A folder below `layers` or `envs` appears by rename when it is complete. Knows nothing
of managers, messages or tasks.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wq_package.archive.index_text import compute_environment_digest, is_digest
from wq_package.archive.layer import (
    INDEX_PATH,
    PREFIX_NOTE,
    LayerManifest,
    make_manifest_path,
)
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.unpack import check_room, unpack_layer
from wq_package.errors import ArchiveError
from wq_package.worker.store.claims import Claims
from wq_package.worker.store.eviction import Evicted, Kept, choose_evictions
from wq_package.worker.store.files import FileShelf, iter_kept_files, remove_kept_file
from wq_package.worker.store.locks import Lease, hold_lock, try_lock
from wq_package.worker.store.manifests import ManifestCache
from wq_package.worker.store.plan import Plan, make_plan, measure_layer, measure_own
from wq_package.worker.store.records import (
    find_lease,
    find_record,
    is_unknown,
    iter_kept_trees,
    iter_unknown_trees,
    write_record,
)
from wq_package.worker.store.scratch import open_scratch, remove_abandoned
from wq_package.worker.store.tree import READ_ONLY_FOLDER, Composer, find_damage

_log = logging.getLogger(__name__)

_FOLDERS = ("layers", "envs", "files", "held", "tmp", "locks")


@dataclass(frozen=True, slots=True)
class _NamedLayer:
    digest: str
    size: int


class Store:
    """Layers and environments below one folder.

    Methods block; call them in a thread where that matters. All of them are safe from several threads and processes.

    Args:
        root: the folder; created if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._manifests = ManifestCache()
        try:
            for name in _FOLDERS:
                (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                self._check_owner(self.root / name)
            for name in ("tmp", "held"):
                remove_abandoned(self.root / name)
        except OSError as error:
            raise self._translate(error) from error

    def _check_owner(self, folder: Path) -> None:
        """Refuse a folder that somebody else has put into the store: programs would be run out of it."""
        if folder.lstat().st_uid not in {os.getuid(), 0, self.root.stat().st_uid}:
            raise ArchiveError(
                f"`{folder}` was put there by somebody else",
                hint="name another folder with `$WQ_PACKAGE_STORE`",
            )

    def open_shelf(self) -> FileShelf:
        """Open the input files of the store.

        Raises:
            ArchiveError: the store cannot be used.
        """
        try:
            return FileShelf(self.root)
        except OSError as error:
            raise self._translate(error) from error

    def find_missing_layers(self, digests: Sequence[str]) -> tuple[str, ...]:
        """Tell which layers are not here; one that is found damaged is dropped, and missing from then on."""
        return tuple(digest for digest in dict.fromkeys(digests) if not self._check_layer(digest))

    @property
    def trees(self) -> tuple[str, ...]:
        """The folders that nobody but the store writes to."""
        return tuple(str(self.root / name) for name in ("layers", "envs", "files", "held"))

    def has_layer(self, digest: str) -> bool:
        """Tell whether a layer is here, without a look at its files."""
        return self._place("layers", digest).is_dir()

    def open_claims(self) -> Claims:
        """Make the book of the layers that one process undertakes to fetch."""
        return Claims(self.root / "locks")

    def add_layer(self, digest: str, size_hint: int, stream: BinaryIO) -> bool:
        """Unpack a layer as it arrives; it is there when this returns, and else as if nothing had happened.

        Args:
            digest: the layer's name.
            size_hint: its uncompressed size.
            stream: gives its stored bytes, and is read to its end even when the layer is here already.

        Returns:
            Whether the bytes were looked at: not if the layer was here.

        Raises:
            CorruptArchiveError: the bytes are not that layer.
            UnsafeMemberError: the layer has a member that is never unpacked.
        """
        place = self._place("layers", digest)
        if place.is_dir():
            _drain(stream)
            return False
        with open_scratch(self.root / "tmp") as scratch:
            tree = scratch / "layer"
            tree.mkdir()
            check_room(scratch, size_hint)
            manifest = unpack_layer(stream, _NamedLayer(digest, size_hint), tree, read_only=True)
            record = {"manifest": make_manifest_path(manifest.header), "size": measure_layer(manifest)}
            with hold_lock(self._lock("place", digest)):
                self._publish(tree, place, record, scratch)
        self._manifests.remember(place / str(record["manifest"]), manifest)
        return True

    def compose(
        self, environment: str, layers: Sequence[str], index_text: str, *, since: float | None = None
    ) -> Path:
        """Make an environment out of layers that are here, by hard links, and return its prefix.

        An environment that is here is checked, and repaired if somebody changed it.

        Args:
            environment: its name, which must be that of these layers.
            layers: their digests, in order.
            index_text: text of the archive's index, kept in the environment.
            since: an environment that another process has made after this time is taken as it is.

        Raises:
            ArchiveError: a layer is missing, or the name is not that of the layers.
        """
        place = self._place("envs", environment)
        if compute_environment_digest(layers) != environment:
            raise ArchiveError(
                f"environment {environment[:12]} is not made of the layers that it is offered with"
            )
        with hold_lock(self._lock("compose", environment)):
            if since is None or not _is_younger(place, since):
                plan = make_plan(layers, [self._load_manifest(digest) for digest in layers])
                if place.is_dir():
                    self._repair(place, plan)
                    self._note_again(place, plan)
                else:
                    self._compose(place, plan, index_text)
        self._touch(place, layers)
        return place

    def lease(self, environment: str, layers: Sequence[str] = ()) -> Lease:
        """Keep an environment from eviction until the lease is closed or this process ends, whether it is here yet or not.

        Args:
            environment: its name.
            layers: layers to keep as well, while the environment is not composed of them yet.
        """
        paths = [
            self._lock("env", environment),
            *(self._lock("layer", digest) for digest in sorted(set(layers))),
        ]
        try:
            lease = Lease(paths)
        except OSError as error:
            raise self._translate(error) from error
        with suppress(OSError):
            os.utime(find_record(self._place("envs", environment)))
        return lease

    def find_environment(self, environment: str) -> Path | None:
        """Find an environment's prefix; `None` if it is not here."""
        place = self._place("envs", environment)
        return place if place.is_dir() else None

    def unpack(self, archive: Path) -> Path:
        """Add the layers of an archive that are missing, compose its environment and return the prefix."""
        with ArchiveReader(archive) as reader, self.lease(reader.index.environment, reader.index.digests):
            try:
                return self._unpack(reader)
            except OSError as error:
                raise self._translate(error) from error

    def size(self) -> int:
        """Tell how many bytes the layers, environments and files take, what they share counted once."""
        return sum(item.size for item in self._iter_kept())

    def evict(self, limit_bytes: int | None = None, *, free_bytes: int = 0) -> Evicted:
        """Remove what was least recently used and is not leased, until the store is small enough.

        Args:
            limit_bytes: what the store may take; there is no limit without.
            free_bytes: what the disk should have free besides.
        """
        self._drop_unknown()
        status = os.statvfs(self.root)
        excess = free_bytes - status.f_bavail * status.f_frsize
        if limit_bytes is None and excess <= 0:
            return Evicted()
        kept = list(self._iter_kept())
        if limit_bytes is not None:
            excess = max(sum(item.size for item in kept) - limit_bytes, excess)
        freed = sum(item.size for item in choose_evictions(kept, excess) if self._evict(item))
        return Evicted(freed, max(0, excess - freed))

    def _place(self, kind: str, digest: str) -> Path:
        if not is_digest(digest):  # digests come from the network, and become names here
            raise ArchiveError(f"`{digest[:80]}` is not a digest")
        return self.root / kind / digest

    def _lock(self, kind: str, digest: str) -> Path:
        return self._place("locks", digest).with_suffix(f".{kind}")

    def _check_layer(self, digest: str) -> bool:
        if not self._place("layers", digest).is_dir():
            return False
        if not self._find_layer_fault(digest):
            return True
        # Another process may have found the same and put a new one there meanwhile: look again, alone.
        with hold_lock(self._lock("place", digest)):
            fault = self._find_layer_fault(digest)
            if fault:
                _log.warning("layer %s is dropped: %s", digest[:12], fault)
                self._remove(self._place("layers", digest))
            return not fault

    def _find_layer_fault(self, digest: str) -> str:
        try:
            damage = find_damage(self._place("layers", digest), self._load_manifest(digest).members)
        except ArchiveError as error:
            return str(error)
        return f"`{damage[0].path}` was changed" if damage else ""

    def _load_manifest(self, digest: str) -> LayerManifest:
        place = self._place("layers", digest)
        try:
            record = json.loads(find_record(place).read_bytes())
            return self._manifests.load(place / record["manifest"])
        except FileNotFoundError:
            raise ArchiveError(f"layer {digest[:12]} is not in the store") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"layer {digest[:12]} is damaged in the store") from error

    def _compose(self, place: Path, plan: Plan, index_text: str) -> None:
        with open_scratch(self.root / "tmp") as scratch:
            tree = scratch / "env"
            tree.mkdir()
            composer = Composer(tree, str(place))
            try:
                for digest, members in plan.members.items():
                    composer.add_members(self._place("layers", digest), members, plan.relocations)
                composer.write_file(INDEX_PATH, index_text.encode("utf-8"))
                composer.write_file(PREFIX_NOTE, os.fsencode(place) + b"\n")
                composer.protect()
            finally:
                composer.close()
            self._publish(tree, place, _make_record(plan), scratch)
        with suppress(OSError):
            place.chmod(READ_ONLY_FOLDER)

    def _unpack(self, reader: ArchiveReader) -> Path:
        index = reader.index
        if self._is_whole(index.environment, index.digests):
            return self._place("envs", index.environment)
        for digest in self.find_missing_layers(index.digests):
            layer = reader.find_layer(digest)
            assert layer is not None
            with hold_lock(self._lock("claim", digest)), reader.open_layer(digest) as stream:
                if not self.has_layer(digest):  # another process may have unpacked it while we waited
                    self.add_layer(digest, layer.size, stream)
        return self.compose(index.environment, index.digests, reader.index_text)

    def _translate(self, error: OSError) -> ArchiveError:
        return ArchiveError(
            f"the store `{self.root}` cannot be used ({error.strerror})",
            hint="name another folder with `$WQ_PACKAGE_STORE`",
        )

    def _is_whole(self, environment: str, layers: Sequence[str]) -> bool:
        place = self._place("envs", environment)
        if not (place.is_dir() and find_record(place).exists()):
            return False
        try:
            plan = make_plan(layers, [self._load_manifest(digest) for digest in layers])
        except ArchiveError:
            return False
        return not any(
            find_damage(place, members, relocated=plan.resized) for members in plan.members.values()
        )

    def _repair(self, place: Path, plan: Plan) -> None:
        for digest, members in plan.members.items():
            damaged = find_damage(place, members, relocated=plan.resized)
            if damaged:
                _log.warning("`%s` was changed and is repaired", place / damaged[0].path)
                composer = Composer(place, str(place))
                try:
                    composer.unprotect(damaged)
                    composer.add_members(self._place("layers", digest), damaged, plan.relocations)
                    composer.protect()
                finally:
                    composer.close()

    def _note_again(self, place: Path, plan: Plan) -> None:
        """Write what is known of an environment if that is lost: it could never be evicted."""
        if not find_record(place).exists():
            with open_scratch(self.root / "tmp") as scratch:
                write_record(place, _make_record(plan), scratch)

    def _publish(self, tree: Path, place: Path, record: Mapping[str, object], scratch: Path) -> None:
        """Put a finished tree in its place; whoever comes second has made the same, and throws it away."""
        write_record(place, record, scratch)
        try:
            tree.rename(place)
        except OSError:
            if not place.is_dir():
                raise

    def _touch(self, place: Path, layers: Sequence[str]) -> None:
        for path in (place, *(self._place("layers", digest) for digest in layers)):
            with suppress(OSError):
                os.utime(find_record(path))

    def _iter_kept(self) -> Iterator[Kept]:
        yield from iter_kept_trees(self.root)
        yield from iter_kept_files(self.root)

    def _drop_unknown(self) -> None:
        """Remove what somebody left who was killed while he removed it."""
        for place in iter_unknown_trees(self.root):
            with try_lock(find_lease(place)) as is_free:
                if is_free and is_unknown(place):
                    self._remove(place)

    def _evict(self, item: Kept) -> bool:
        if item.is_file:
            return remove_kept_file(self.root, item.digest)
        place = self._place("envs" if item.is_environment else "layers", item.digest)
        with try_lock(find_lease(place)) as is_free:
            if is_free:
                self._remove(place)
        return is_free

    def _remove(self, place: Path) -> None:
        """Take a tree away in one step, then remove it and what is known of it."""
        with open_scratch(self.root / "tmp") as scratch:
            # Without its record a tree counts as damaged, should this end here.
            find_record(place).unlink(missing_ok=True)
            with suppress(OSError):
                place.chmod(0o700)
            with suppress(FileNotFoundError):
                place.rename(scratch / "removed")


def _make_record(plan: Plan) -> Mapping[str, object]:
    return {"layers": list(plan.members), "size": measure_own(plan)}


def _is_younger(place: Path, since: float) -> bool:
    """Whether a folder was put in its place after some time."""
    try:
        return place.stat().st_ctime > since
    except OSError:
        return False


def _drain(stream: BinaryIO) -> None:
    while stream.read(2**20):
        pass
