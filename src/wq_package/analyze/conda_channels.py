"""The channel of an installed conda package, as an environment.yml names it (logic module, but for one look at the disk).

Knows how conda and its relatives write channels into `conda-meta`. Imported only in conda environments.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

__all__ = ["name_channel"]

_SUBDIR = re.compile(r"/(noarch|(linux|osx|win)-\w+)$")
_SECRETS = re.compile(r"(?<=//)[^/@]*@|/t/[^/]+(?=/)")


def name_channel(url: str) -> str:
    """Name a channel without passwords and tokens; empty if nobody could find it by that name.

    Args:
        url: what `conda-meta` says: a channel's or a platform's URL, or a bare name.
    """
    url = _SUBDIR.sub("", url.rstrip("/"))
    if url.startswith("file://"):
        return url if os.path.isdir(unquote(url.removeprefix("file://"))) else ""  # noqa: PTH112 - a plain string
    if url.startswith("https://repo.anaconda.com/pkgs/"):
        return "defaults"
    if url.startswith(("https://", "http://")):
        return _SECRETS.sub("", url).removeprefix("https://conda.anaconda.org/")
    return url if re.fullmatch(r"[\w.-]+", url) and url != "pypi" else ""
