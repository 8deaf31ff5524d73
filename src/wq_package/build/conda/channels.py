"""Conda channels by name, path and URL (logic module).

Knows what conda makes of a channel's name, and which parts of a URL must not be written into an archive. Reads no
configuration and asks no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

__all__ = ["ANACONDA", "DEFAULT_CHANNEL", "is_local", "resolve_channel", "resolve_channels", "scrub_url"]

DEFAULT_CHANNEL = "conda-forge"
"""Where conda packages come from when a spec names no channel."""

ANACONDA = "https://conda.anaconda.org"
"""The server to which a bare name belongs, unless a site has a mirror of its own."""

_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
_TOKEN = re.compile(r"/t/[^/]+(?=/)")


def resolve_channels(names: Iterable[str], base: Path, alias: str = ANACONDA) -> tuple[str, ...]:
    """Return the URLs of channels in order, each once; see `resolve_channel`."""
    urls = (url for name in names or (DEFAULT_CHANNEL,) for url in resolve_channel(name, base, alias))
    return tuple(dict.fromkeys(urls))


def resolve_channel(name: str, base: Path, alias: str = ANACONDA) -> tuple[str, ...]:
    """Return the URLs that a channel stands for: of `defaults` these are two, of any other it is one.

    Args:
        name: `conda-forge`, `defaults`, a URL, or a path that begins with `/`, `./`, `../` or `~`.
        base: the folder to which a relative path belongs.
        alias: the server to which a bare name belongs.
    """
    name = name.strip()
    if name == "defaults":
        return _DEFAULTS
    if re.match(r"[a-z][a-z0-9+]+://", name):
        return (name.rstrip("/"),)
    if name.startswith(("/", "./", "../", "~")) or name in (".", ".."):
        return ((base / Path(name).expanduser()).resolve().as_uri(),)
    return (f"{alias.rstrip('/')}/{name.strip('/')}",)


def is_local(url: str) -> bool:
    """Tell whether a URL is a path of this machine."""
    return url.startswith("file:")


def scrub_url(url: str, *, keep: int) -> str:
    """Return a URL without what must not leave this machine: passwords, tokens, and the folders above a local channel.

    Args:
        url: of a channel or of a package.
        keep: how many last parts of a local path stay: 1 of a channel, 3 of a package.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return f"file:///{'/'.join(parts.path.strip('/').split('/')[-keep:])}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _TOKEN.sub("", parts.path), "", ""))
