"""Where distributions are looked for: options, uv's settings and pip's, brought together for uv (logic module).

uv reads its own settings by itself and none of pip's. Whoever has set up pip alone (a mirror, a folder of wheels) is
understood as well. Texts in, variables and options out; which files there are is found out by
`wq_package.build.index_files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "Indexes",
    "make_indexes",
    "make_uv_settings",
    "names_indexes",
    "parse_pip_config",
    "read_pip_variables",
]

_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_KEYS_OF_UV = ("index", "index-url", "extra-index-url", "find-links", "no-index")
_SECTIONS = ("global", "install")
_TRUE = ("1", "true", "yes", "on", "y", "t")


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where distributions are looked for.

    Attributes:
        url: of the index that takes the place of PyPI, or empty.
        extra_urls: of further indexes.
        find_links: folders, or pages, that have wheels.
        no_index: whether only `find_links` count.
        insecure_hosts: whose certificates are not verified.
        certificates: file of the authorities to trust, or empty.
        proxy: URL of a proxy, or empty.
    """

    url: str = ""
    extra_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    insecure_hosts: tuple[str, ...] = ()
    certificates: str = ""
    proxy: str = ""


def parse_pip_config(texts: Iterable[str]) -> dict[str, str]:
    """Read pip's settings from the texts of its files; a later one has the last word."""
    import configparser  # only who asks an index pays for it

    settings: dict[str, str] = {}
    for text in texts:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error:
            continue  # pip itself would have complained
        for section in _SECTIONS:
            if parser.has_section(section):
                settings |= {key.lstrip("-").replace("_", "-"): value for key, value in parser.items(section)}
    return settings


def read_pip_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Read pip's settings from environment variables."""
    return {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in variables.items()
        if name.startswith("PIP_") and value
    }


def make_indexes(settings: Mapping[str, str]) -> Indexes:
    """Make a value of pip's settings."""
    return Indexes(
        url=settings.get("index-url", "").strip(),
        extra_urls=tuple(settings.get("extra-index-url", "").split()),
        find_links=tuple(settings.get("find-links", "").split()),
        no_index=settings.get("no-index", "").strip().lower() in _TRUE,
        insecure_hosts=tuple(settings.get("trusted-host", "").split()),
        certificates=settings.get("cert", "").strip(),
        proxy=settings.get("proxy", "").strip(),
    )


def names_indexes(text: str) -> bool:
    """Tell whether a `uv.toml` says where to look."""
    import tomllib  # only who asks an index pays for it

    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    of_pip = fields.get("pip")
    return any(
        key in part for part in (fields, of_pip if isinstance(of_pip, dict) else {}) for key in _KEYS_OF_UV
    )


def make_uv_settings(
    asked: Indexes, pip: Indexes, variables: Mapping[str, str], *, has_own: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Make the variables and the options that uv is run with.

    Args:
        asked: what the user of this program named: it has the last word.
        pip: pip's settings: they count where uv has none.
        variables: those of this process.
        has_own: whether a file of uv's says where to look.

    Returns:
        All variables, and options. Addresses, which may have passwords in them, are variables: every user sees options.
    """
    made = dict(variables)
    counts = not (has_own or any(made.get(name) for name in _OF_UV) or asked.url or asked.no_index)
    options = _add_places(made, pip) if counts else []
    if counts and pip.extra_urls:
        # What pip would find with the same settings: the best version of all indexes, not of the first that has any.
        made.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    options = [*options, *_add_places(made, asked)]
    if pip.insecure_hosts:
        made.setdefault("UV_INSECURE_HOST", " ".join(pip.insecure_hosts))
    if pip.certificates:
        made.setdefault("SSL_CERT_FILE", pip.certificates)
    if pip.proxy:
        made.setdefault("ALL_PROXY", pip.proxy)
    return made, tuple(dict.fromkeys(options))


def _add_places(made: dict[str, str], indexes: Indexes) -> list[str]:
    options: list[str] = []
    if indexes.url:
        made["UV_DEFAULT_INDEX"] = indexes.url
        made.pop("UV_INDEX_URL", None)
    if indexes.extra_urls:
        made["UV_INDEX"] = " ".join((*indexes.extra_urls, *made.get("UV_INDEX", "").split()))
    if indexes.find_links:
        there = [each for each in made.get("UV_FIND_LINKS", "").split(",") if each]
        made["UV_FIND_LINKS"] = ",".join((*indexes.find_links, *there))
    if indexes.no_index:
        options.append("--no-index")
    return options
