"""Which member paths and link targets are safe (logic module).

The one place that decides it, for writing and for unpacking. Knows nothing of the disk: that nothing is ever written
through a link is the business of `wq_package.archive.unpack`.
"""

from __future__ import annotations

from wq_package.errors import UnsafeMemberError

_MAX_PATH = 3000
_MAX_NAME = 255
_MAX_LEVELS = 200
"""Of folders. Python's own functions for trees recurse, and must at least be able to remove what was unpacked."""


def check_path(path: str) -> None:
    """Raise `UnsafeMemberError` unless a member may be written at `path` below a prefix."""
    reason = _find_path_fault(path)
    if reason:
        raise UnsafeMemberError(show(path), reason)


def check_link(path: str, target: str) -> None:
    """Raise `UnsafeMemberError` unless a link at `path` that points to `target` stays below its prefix.

    A target is some `..` and then plain names. A `..` after a name is refused, because that name may be a link, and
    the way up from where it leads could leave the prefix although the text does not look so.
    """
    reason = _find_target_fault(path, target)
    if reason:
        raise UnsafeMemberError(show(path), reason)


def show(path: str) -> str:
    """Give a path as it may be printed: a stranger's archive must not write control sequences to a terminal."""
    return path if path.isprintable() else ascii(path)[1:-1]


def _find_path_fault(path: str) -> str:
    if path.startswith("/"):
        return "its path is absolute"
    names = path.split("/")
    if ".." in names:
        return "its path leads out of the prefix"
    if "" in names or "." in names:
        return "its path is not in plain form"
    return _find_length_fault(path, names)


def _find_length_fault(path: str, names: list[str]) -> str:
    if "\0" in path:
        return "its path has a NUL in it"
    if len(path) * 4 <= _MAX_NAME:  # no character takes more than four bytes
        return ""
    size = _count_bytes(path)
    if size > _MAX_PATH:
        return "its path is too long"
    if size > _MAX_NAME and any(_count_bytes(name) > _MAX_NAME for name in names):
        return "a name in its path is too long"
    return "its path has too many levels" if len(names) > _MAX_LEVELS else ""


def _find_target_fault(path: str, target: str) -> str:
    if target.startswith("/"):
        return f"it links to the absolute path `{show(target)}`"
    if not target or "\0" in target:
        return "its link target is empty or has a NUL in it"
    if _count_bytes(target) > _MAX_PATH:
        return "its link target is too long"
    names = target.split("/")
    ups = 0
    while ups < len(names) and names[ups] == "..":
        ups += 1
    if ups > path.count("/"):
        return f"it links out of the prefix, to `{show(target)}`"
    if any(name in {"", ".", ".."} for name in names[ups:]) and target != ".":
        return f"its link target `{show(target)}` is not in plain form"
    return ""


def _count_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
