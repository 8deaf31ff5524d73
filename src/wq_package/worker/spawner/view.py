"""A view of the file system in which folders are read-only (shell module; standard library only).

Knows namespaces and mounts; knows nothing of processes that are started in them.
"""

from __future__ import annotations

import errno
import os
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 32, 4096, 16384, 1 << 19
MS_RELATIME = 1 << 21


def separate_view(*, by_user: bool) -> int:
    """Get a view of the file system of our own; return what is in the way, or 0."""
    try:
        if by_user and (error := _try_in_child()):
            return error
        _unshare(by_user=by_user)
    except OSError as error:
        return error.errno or errno.EPERM
    except Exception:  # noqa: BLE001 - a Python without ctypes: environments are only less protected
        return errno.ENOSYS
    return 0


def _unshare(*, by_user: bool) -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", CLONE_NEWNS | (CLONE_NEWUSER if by_user else 0))
    if by_user:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    # What others mount later is still seen here; what is mounted here, nobody else sees.
    _call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)


def _try_in_child() -> int:
    """Try in a child what cannot be undone: some kernels give a namespace of users in which nothing is allowed."""
    pid = os.fork()
    if not pid:
        try:
            _unshare(by_user=True)
            os._exit(make_read_only([os.getcwd()]))
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        finally:
            os._exit(errno.EPERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def make_read_only(folders: list[str]) -> int:
    """Make folders read-only in this view; return what is in the way, or 0."""
    try:
        for folder in folders:
            place = os.fsencode(folder)
            _call("mount", place, place, None, MS_BIND, None)
            flags = os.statvfs(place).f_flag
            kept = (
                flags & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)
            ) | (MS_RELATIME if flags & os.ST_RELATIME else 0)
            _call("mount", None, place, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept, None)
    except OSError as error:
        return error.errno or errno.EPERM
    return 0


def _call(name: str, *arguments: Any) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
