"""Rewrite the texts in which a Python names the folder it was installed in (logic module).

Text in, text out. `sysconfig`'s variables and pkg-config's settings can find the prefix by themselves; any other text
that has it gets a placeholder, which whoever unpacks replaces.
"""

from __future__ import annotations

import ast
import pprint
import re

from wq_package.spec.python_text import parse_python

__all__ = [
    "PLACEHOLDER",
    "is_shared_prefix",
    "mask_prefix",
    "replace_prefix",
    "rewrite_pkgconfig",
    "rewrite_variables",
]

PLACEHOLDER = "/wq-package-prefix/replaced-when-unpacked"
"""Stands for the prefix in text files."""

_TOKEN = "{wq-package prefix}"
# The variables that name a folder of Python's own even where the prefix is shared with a whole system.
_FOLDERS = frozenset(
    [
        "BINDIR",
        "BINLIBDEST",
        "CONFINCLUDEDIR",
        "CONFINCLUDEPY",
        "DESTDIRS",
        "DESTLIB",
        "DESTSHARED",
        "INCLDIRSTOMAKE",
        "INCLUDEDIR",
        "INCLUDEPY",
        "LIBDEST",
        "LIBDIR",
        "LIBP",
        "LIBPC",
        "LIBPL",
        "MACHDESTLIB",
        "SCRIPTDIR",
        "exec_prefix",
        "prefix",
        "datarootdir",
    ]
)
_VARIABLES = '''"""The variables of this Python's build; its folder is found when they are read."""

import sys as _sys


def _find_prefix(value, prefix=_sys.base_prefix):
    return value.replace({token!r}, prefix) if isinstance(value, str) else value


build_time_vars = {variables}
build_time_vars = {{name: _find_prefix(value) for name, value in build_time_vars.items()}}
'''


def is_shared_prefix(prefix: str) -> bool:
    """Tell whether a prefix belongs to a whole system: then its path in a text mostly means something else."""
    return prefix.rstrip("/") in {"", "/usr", "/usr/local"}


def rewrite_variables(text: str, prefix: str) -> str:
    """Rewrite a `_sysconfigdata` module so that it computes the prefix from `sys` when it is imported."""
    tree = parse_python(text)
    found = next(
        (
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and _names(node) == ["build_time_vars"]
        ),
        None,
    )
    if found is None:
        return text
    variables = ast.literal_eval(found)
    shared = is_shared_prefix(prefix)
    rewritten = {
        name: replace_prefix(value, prefix, _TOKEN)
        if isinstance(value, str) and (name in _FOLDERS or not shared)
        else value
        for name, value in variables.items()
    }
    return _VARIABLES.format(token=_TOKEN, variables=pprint.pformat(rewritten, width=110))


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def rewrite_pkgconfig(text: str, prefix: str) -> str:
    """Rewrite a `.pc` file so that pkg-config computes the prefix from the file's own place."""
    return replace_prefix(text, prefix, "${pcfiledir}/../..")


def replace_prefix(text: str, prefix: str, replacement: str) -> str:
    """Replace a path where it stands as a whole path, not as the beginning of another name."""
    pattern = re.escape(prefix.rstrip("/")) + r"(?![A-Za-z0-9._-])"
    return re.sub(pattern, lambda _: replacement, text)


def mask_prefix(data: bytes, prefix: str) -> bytes:
    """Overwrite a path inside a binary by one that exists nowhere, keeping every length.

    The last part of the path stays: linkers let one string be the tail of another, and `3.11.7` at the end of a pyenv
    prefix is also the version that `sys.version` shows.
    """
    parent, _, _ = prefix.rstrip("/").rpartition("/")
    if is_shared_prefix(prefix) or len(parent) < 2:
        return data
    old = prefix.rstrip("/").encode()
    return data.replace(old, b"/" + b"_" * (len(parent.encode()) - 1) + old[len(parent.encode()) :])
