"""Data that travels with an environment: the fields `git`, `http` and `variables` of a spec, both ways (logic module).

`git` and `http` are poncho's; in an environment.yml they stand under the top-level key `wq-package`. Knows nothing of how
data are fetched.

    git:  {VAR: {remote: URL, ref: COMMIT}}
    http: {VAR: {url: URL, type: file, compression: gzip, sha256: 0f3a…}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from wq_package.spec.environment import DataForm, DataSource

__all__ = ["describe_data", "read_data", "read_variables"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HTTP_KEYS = frozenset({"url", "type", "compression", "sha256"})
_GIT_KEYS = frozenset({"remote", "ref"})
_RESERVED = frozenset(
    {"PATH", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE"}
)
"""Variables that an environment sets itself, or that would break its Python."""


def read_data(section: Mapping[object, object], issues: list[str]) -> tuple[DataSource, ...]:
    """Read the fields `git` and `http` of a mapping; what is wrong with them is added to `issues`."""
    found = [
        *_read_entries("git", section.get("git"), _read_git, issues),
        *_read_entries("http", section.get("http"), _read_http, issues),
    ]
    names = [source.variable for source in found]
    issues += [
        f"`{name}` is in both `git` and `http`" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    return tuple(sorted(found))


def read_variables(section: object, issues: list[str]) -> tuple[tuple[str, str], ...]:
    """Read the field `variables`, which conda has as well: texts by name."""
    if section is None:
        return ()
    if not isinstance(section, dict):
        issues.append("`variables` has to be a mapping of names to texts")
        return ()
    found = []
    for name, value in section.items():
        if not _is_variable(name, issues):
            continue
        if not isinstance(value, str | int | float) or isinstance(value, bool) or "\0" in str(value):
            issues.append(f"the variable `{name}` has to be a text; put quotes around it")
            continue
        found.append((str(name), str(value)))
    return tuple(sorted(found))


def describe_data(sources: Iterable[DataSource]) -> dict[str, dict[str, dict[str, str]]]:
    """Write data as the fields `git` and `http`; a field without entries is left out."""
    fields: dict[str, dict[str, dict[str, str]]] = {}
    for source in sources:
        is_git = source.form is DataForm.GIT
        entry = {"remote": source.url} if is_git else {"url": source.url, "type": source.form.value}
        entry |= {"ref": source.reference} if source.reference else {}
        entry |= {"compression": "gzip"} if source.is_compressed else {}
        entry |= {"sha256": source.sha256} if source.sha256 else {}
        fields.setdefault("git" if is_git else "http", {})[source.variable] = entry
    return fields


class _EntryError(Exception):
    """Says what is wrong with an entry."""


def _read_entries(
    field: str, section: object, read: Callable[[str, Mapping[object, object]], DataSource], issues: list[str]
) -> list[DataSource]:
    if section is None:
        return []
    if not isinstance(section, dict):
        issues.append(f"`{field}` has to be a mapping of variables to what they stand for")
        return []
    found = []
    for name, entry in section.items():
        if not _is_variable(name, issues):
            continue
        try:
            if not isinstance(entry, dict):
                raise _EntryError("it has to be a mapping")
            found.append(read(str(name), entry))
        except _EntryError as error:
            issues.append(f"`{field}.{name}`: {error}")
    return found


def _is_variable(name: object, issues: list[str]) -> bool:
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        issues.append(f"`{name}` is no name of an environment variable")
        return False
    if name in _RESERVED:
        issues.append(f"the variable `{name}` is set by the environment itself; choose another name")
        return False
    return True


def _read_git(variable: str, entry: Mapping[object, object]) -> DataSource:
    fields = _read_texts(entry, _GIT_KEYS)
    remote = fields.get("remote", "")
    if not remote or remote.startswith("-") or not _is_address(remote):
        raise _EntryError("`remote` has to be the address of a repository")
    if fields.get("ref", "").startswith("-"):
        raise _EntryError("`ref` has to be a commit, a tag or a branch")
    return DataSource(variable, DataForm.GIT, remote, fields.get("ref", ""))


def _read_http(variable: str, entry: Mapping[object, object]) -> DataSource:
    fields = _read_texts(entry, _HTTP_KEYS)
    url, form, compression = fields.get("url", ""), fields.get("type", "file"), fields.get("compression", "")
    sha256 = fields.get("sha256", "").lower().removeprefix("sha256:")
    if not url.startswith(("https://", "http://", "file://")):
        raise _EntryError("`url` has to begin with `https://`, `http://` or `file://`")
    if not _is_address(url):
        raise _EntryError("`url` is no address that could be looked up")
    if form not in ("file", "tar"):
        raise _EntryError("`type` has to be `file` or `tar`")
    if compression not in ("", "gzip"):
        raise _EntryError("`compression` has to be `gzip`, or left out")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise _EntryError("`sha256` has to be 64 hexadecimal digits")
    return DataSource(variable, DataForm(form), url, sha256=sha256, is_compressed=compression == "gzip")


def _is_address(url: str) -> bool:
    """Tell whether a URL can be taken apart: `https://[half/of-an-address` cannot, nor one with a port that is no number."""
    from urllib.parse import urlsplit  # few specs have data

    try:
        parts = urlsplit(url)
        return not parts.netloc or parts.port is None or parts.port > 0
    except ValueError:
        return False


def _read_texts(entry: Mapping[object, object], known: frozenset[str]) -> dict[str, str]:
    unknown = sorted(str(key) for key in entry if key not in known)
    if unknown:
        raise _EntryError(
            f"unknown key `{unknown[0]}`; it has {', '.join(f'`{key}`' for key in sorted(known))}"
        )
    for key, value in entry.items():
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise _EntryError(f"`{key}` has to be a text")
    return {str(key): str(value) for key, value in entry.items() if value is not None}
