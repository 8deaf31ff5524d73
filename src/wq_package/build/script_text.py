"""Scripts that start the Python beside them, wherever the environment lies (logic module).

Text in, text out. The first lines, which find the interpreter, are the archive's: see `wq_package.archive.launcher`.
"""

from __future__ import annotations

import configparser
import re

from wq_package.archive.launcher import make_relocatable_script, render_script_header

__all__ = ["normalize_script", "parse_entry_points", "render_entry_point"]

_ENTRY_POINT = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attribute>[\w.]+)\s*(\[.*\])?")
_SHEBANG = re.compile(rb"#![^\n]*?python[\w.]*(?P<options>[^\n]*)\n")
# What pip writes where a path is too long for the kernel or has blanks in it, and what uv writes to be relocatable.
_TRAMPOLINE = re.compile(rb"#!/bin/sh\n'''exec' [^\n]*\n' '''\n")


class _ScriptNames(configparser.ConfigParser):
    """Keeps the case of names."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def parse_entry_points(text: str) -> dict[str, str]:
    """Read the scripts of an `entry_points.txt`: `module:attribute` by script name."""
    parser = _ScriptNames(delimiters=("=",), interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    groups = ("console_scripts", "gui_scripts")
    return {
        name: target
        for group in groups
        if parser.has_section(group)
        for name, target in parser.items(group)
        if _ENTRY_POINT.fullmatch(target)
    }


def render_entry_point(target: str) -> str:
    """Write the script of an entry point `module:attribute`."""
    match = _ENTRY_POINT.fullmatch(target)
    assert match, target
    module, attribute = match["module"], match["attribute"]
    name = attribute.split(".")[0]
    return (
        f"{render_script_header()}import sys\n\nfrom {module} import {name}\n\n"
        f'if __name__ == "__main__":\n    sys.exit({attribute}())\n'
    )


def normalize_script(data: bytes) -> bytes:
    """Replace the first line of a script by one that works anywhere, if that line names a Python; leave all else alone."""
    match = _TRAMPOLINE.match(data) or _SHEBANG.match(data)
    if match is None:
        return data
    options = match.groupdict().get("options") or b""
    return make_relocatable_script(data[match.end() :], arguments=options.decode("utf-8", "replace"))
