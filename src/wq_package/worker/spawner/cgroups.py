"""Control groups of programs that have a limit, where they can be had (shell module; standard library only).

Knows cgroup v2; knows nothing of programs but a number and a limit. In a group of its own a program cannot hold more memory
than its limit for even a moment, and nothing that it starts can hide from its end. That takes a folder of cgroups that we
may write to and in which nobody else is: that of a delegated systemd unit, or the root. Everything here is a backstop:
what goes wrong makes no difference but that the looks of `measure/` are all there is.

A group is named after the process that it goes with and when that began, so that who comes later can tell what was left by
whom: the group of all programs after the spawner, that of the worker and the spawner, where they need one, after the worker.
"""

from __future__ import annotations

import contextlib
import os
import time

_PREFIX, _WORKER = "wq-package.", ".worker"
_SLACK_SHARE, _SLACK_KB = 0.02, 16 * 1024
"""What the kernel needs for a program (page tables, pipes, sockets) is in its group, too, and is not what we measure."""
_ENTER = 'echo 0 2>/dev/null >"$0/cgroup.procs"; exec "$@"'
_LAST_SECONDS = 2.0
_SHORT = 0.25
"""Entering a group takes some 4 ms, in which the kernel waits for all processors."""


class Cgroups:
    """The groups of one spawner.

    Args:
        is_wanted: whether to try at all.
    """

    def __init__(self, *, is_wanted: bool) -> None:
        self._base = ""
        self._left: list[str] = []  # whose last processes were still going
        self._usual = 1.0  # seconds that programs with a limit take
        self._in_memory: dict[int, bool] = {}  # by device
        if is_wanted:
            with contextlib.suppress(OSError, ValueError):
                self._base = _make_base()

    def begin(self, number: int, limit: int, folder: str) -> str:
        """Make the group of a program that may hold so many KiB and works in a folder; empty if that cannot be."""
        if not self._base or not limit or self._usual < _SHORT or self._is_in_memory(folder):
            return ""
        group = f"{self._base}/{number}"
        try:
            os.mkdir(group)
            _write(f"{group}/memory.oom.group", "1")
            _write(f"{group}/memory.max", str(int(limit * (1 + _SLACK_SHARE) + _SLACK_KB) * 1024))
        except OSError:
            self._remove(group)
            return ""
        with contextlib.suppress(OSError):  # a kernel that cannot swap
            _write(f"{group}/memory.swap.max", "0")
        return group

    def note(self, seconds: float) -> None:
        """Take in how long a program with a limit took: where they are over at once, groups cost more than they are worth."""
        self._usual = 0.9 * self._usual + 0.1 * min(seconds, 10.0)

    def end(self, group: str) -> bool:
        """Forget a group; tell whether the kernel has killed it for its limit."""
        events = _read(f"{group}/memory.events").split()
        self._remove(group)
        return b"oom_kill" in events and events[events.index(b"oom_kill") + 1] != b"0"

    def _is_in_memory(self, folder: str) -> bool:
        """Whether a folder's files are memory: what a program writes there would count for its group, and is its disk."""
        device = os.stat(folder).st_dev
        if device not in self._in_memory:
            self._in_memory[device] = _is_memory(f"{os.major(device)}:{os.minor(device)}")
        return self._in_memory[device]

    def _remove(self, group: str) -> None:
        self._left.append(group)
        self._left = [each for each in self._left if not _remove(each)]

    def close(self) -> None:
        """Remove everything; whoever is left in a group is killed."""
        if self._base:
            _remove_all(self._base)


def enter(group: str, argv: list[str]) -> list[str]:
    """Make the command that runs another one in a group."""
    return ["/bin/sh", "-c", _ENTER, group, *argv] if group else argv


def kill_group(group: str) -> None:
    """Kill every process in a group and below it."""
    try:
        _write(f"{group}/cgroup.kill", "1")
    except OSError:  # before Linux 5.14
        for pid in _read(f"{group}/cgroup.procs").split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), 9)


def _make_base() -> str:
    """Make the folder for our groups, with control over memory.

    Raises:
        OSError: that is not ours to have.
        ValueError: we are in no cgroup that can be seen.
    """
    own = _find_own()
    if not os.access(own, os.W_OK) or b"memory" not in _read(f"{own}/cgroup.controllers").split():
        raise PermissionError(own)
    _sweep(own)
    base = f"{own}/{_PREFIX}{_name(os.getpid())}"
    if b"memory" not in _read(f"{own}/cgroup.subtree_control").split():
        try:
            _write(f"{own}/cgroup.subtree_control", "+memory")
        except OSError:  # no processes beside groups that control something, except in the root
            _move_aside(own, f"{own}/{_PREFIX}{_name(os.getppid())}{_WORKER}")
            _write(f"{own}/cgroup.subtree_control", "+memory")
    os.mkdir(base)
    try:
        _write(f"{base}/cgroup.subtree_control", "+memory")
    except OSError:
        os.rmdir(base)
        raise
    return base


def _move_aside(own: str, leaf: str) -> None:
    """Move the worker and ourselves to a group of their own, if nobody else is here."""
    ours = {os.getpid(), os.getppid()}
    there = set(map(int, _read(f"{own}/cgroup.procs").split()))
    if not there <= ours:
        raise PermissionError(own)
    os.mkdir(leaf)
    for pid in there:
        _write(f"{leaf}/cgroup.procs", str(pid))


def _find_own() -> str:
    """Find the folder of our own cgroup.

    Raises:
        ValueError: there is none.
    """
    lines = _read("/proc/self/cgroup").decode(errors="surrogateescape").splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    for line in _read("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        if (
            path is not None
            and after.startswith("cgroup2 ")
            and f"{path}/".startswith(f"{root.rstrip('/')}/")
        ):
            own = os.path.normpath(place + "/" + os.path.relpath(path, root))
            is_moved = os.path.basename(own).startswith(_PREFIX) and own.endswith(_WORKER)
            return os.path.dirname(own) if is_moved else own  # by a spawner before us
    raise ValueError("no cgroup v2")


def _sweep(own: str) -> None:
    """Remove what spawners have left that were killed before they could."""
    for name in os.listdir(own):
        if name.startswith(_PREFIX):
            pid = name[len(_PREFIX) :].partition("-")[0]
            is_gone = pid.isdigit() and _name(int(pid)) != name[len(_PREFIX) :].partition(".")[0]
            if is_gone and not _has_strangers(f"{own}/{name}"):
                _remove_all(f"{own}/{name}")


def _has_strangers(base: str) -> bool:
    """Whether processes are in there that we cannot see: then it may be that we cannot see the spawner, either."""
    return any(b"0" in _read(f"{folder}/cgroup.procs").split() for folder, _, _ in os.walk(base))


def _name(pid: int) -> str:
    """Name a process like no other that has its number before or after it."""
    stat = _read(f"/proc/{pid}/stat")
    began = stat[stat.rindex(b")") :].split()[20].decode() if stat else "0"
    return f"{pid}-{began}"


def _remove_all(base: str) -> None:
    kill_group(base)
    until = time.monotonic() + _LAST_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            for entry in os.listdir(base):
                if os.path.isdir(f"{base}/{entry}"):
                    _remove(f"{base}/{entry}")
        if _remove(base):
            return
        time.sleep(0.005)


def _remove(group: str) -> bool:
    """Remove a group and those below it, which a program may have made; tell whether it is gone."""
    with contextlib.suppress(OSError):
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    return not os.path.isdir(group)


def _is_memory(device: str) -> bool:
    for line in _read("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == device:
            return after.startswith(("tmpfs ", "ramfs "))
    return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", 0) as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
