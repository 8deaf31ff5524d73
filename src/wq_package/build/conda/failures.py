"""What py-rattler's failures mean to the person who asked for a build (logic module).

Turns the words of a solver or of a network library into one sentence and a hint. Asks nothing and nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wq_package.build.conda.channels import is_local, scrub_url
from wq_package.build.conda.instead import find_wheels
from wq_package.build.conda.records import CondaRecord
from wq_package.errors import BuildError, ChannelUnreachableError
from wq_package.spec.environment import CondaRequirement
from wq_package.spec.environment_yml import parse_conda_requirement

__all__ = ["ChildError", "explain_fetch", "explain_solve", "select_record"]

_NO_CANDIDATES = re.compile(r"No candidates were found for (?P<spec>.+?)\.?\s*$", re.MULTILINE)
_REMOTE = re.compile(r"https?://[^\s()'\"`<>]+")
_PREAMBLE = re.compile(r"^Cannot solve the request because of:\s*")


class ChildError(Exception):
    """The child said what went wrong.

    Attributes:
        kind: name of py-rattler's exception.
        text: what it said, without passwords and tokens.
        details: what else is known, for example `url`.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.kind = str(answer["kind"])
        self.text = _REMOTE.sub(lambda found: scrub_url(found[0], keep=1), str(answer.get("text") or ""))
        self.details = dict(answer)
        super().__init__(self.text)


def explain_solve(
    error: ChildError,
    channels: Sequence[str],
    specs: Sequence[str],
    loose: Sequence[CondaRecord],
    *,
    offline: bool,
) -> BuildError:
    """Explain why there is no solution.

    Args:
        error: what py-rattler said.
        channels: URLs that were asked, in order.
        specs: what was asked for.
        loose: the solution that there would be without channel priorities, or nothing.
        offline: whether the network was off limits.
    """
    match error.kind:
        case "SolverError":
            return _explain_conflict(error, channels, loose)
        case "GatewayError" | "FetchRepoDataError" | "IoError":
            return _explain_unreachable(error, channels, specs, offline=offline)
        case "InvalidMatchSpecError" | "InvalidVersionSpecError" | "InvalidPackageNameError":
            return BuildError(
                f"a conda requirement cannot be read: {_first_line(error.text)}", hint=_SPEC_HINT
            )
        case "InvalidChannelError" | "InvalidUrlError":
            return BuildError(
                f"a channel cannot be read: {_first_line(error.text)}", hint="correct `channels:` in the spec"
            )
        case _:
            return BuildError(f"py-rattler failed: {_first_line(error.text)} ({error.kind})")


_SPEC_HINT = "write it as `name`, `name=version` or `name=version=build`"


def _explain_conflict(error: ChildError, channels: Sequence[str], loose: Sequence[CondaRecord]) -> BuildError:
    where = _join(_name(url) for url in channels)
    if loose:
        taken = _describe_mixture(loose, channels)
        return BuildError(
            f"there is no solution while each package comes from the first channel that has it: {_flatten(error.text)}",
            hint=f"without channel priority there is one ({taken}); put that channel first, or name it: "
            "`channel::package` in the spec. Mixing builds of two channels may still fail when they are imported",
        )
    if found := _NO_CANDIDATES.search(error.text):
        return BuildError(
            f"no package `{found['spec'].removesuffix(' *')}` in {where}",
            hint="check name, version and build; a build that its channel has dropped needs a new pin, "
            "and a package of the Python index belongs under `pip:`",
        )
    return BuildError(
        f"the conda requirements contradict each other in {where}:\n{_PREAMBLE.sub('', error.text).rstrip()}",
        hint="loosen one of the versions or builds named above",
    )


def _describe_mixture(loose: Sequence[CondaRecord], channels: Sequence[str]) -> str:
    later = [record for record in loose if not record.channel.startswith(channels[0])]
    shown = [f"`{record.name} {record.version}` from {_name(record.channel)}" for record in later[:4]]
    return _join(shown) + (" and others" if len(later) > 4 else "")


def _explain_unreachable(
    error: ChildError, channels: Sequence[str], specs: Sequence[str], *, offline: bool
) -> BuildError:
    url = next((url for url in channels if is_local(url) and url in error.text), None)
    url = url or next((url for url in channels if scrub_url(url, keep=1) in error.text), channels[0])
    reason = _find_root_cause(error.text)
    if is_local(url):
        hint = "check the path; a folder becomes a channel by being indexed, see `recipes/channel/README.md`"
        return BuildError(f"`{scrub_local(url)}` is not a conda channel: {reason}", hint=hint)
    wheels = find_wheels(filter(None, map(parse_conda_requirement, specs)))
    named = _join(f"`{wheel}`" for wheel in wheels)
    instead = (
        f"; with --allow-pypi, these come from the Python package index instead: {named}" if wheels else ""
    )
    what = "is not in the cache" if offline else "cannot be reached"
    way = "build without --offline once" if offline else "check the network and proxy settings"
    return ChannelUnreachableError(
        f"the channel {_name(url)} (`{scrub_url(url, keep=1)}`) {what}: {reason}",
        wheels,
        hint=f"{way}, or name another channel in the spec{instead}",
    )


def scrub_local(url: str) -> str:
    """Write a local channel as the path that its user knows."""
    return url.removeprefix("file://")


def explain_fetch(error: ChildError, records: Sequence[CondaRecord]) -> BuildError:
    """Explain why a package could not be had."""
    url = str(error.details.get("url") or "")
    name = next((f"`{record.stem}`" for record in records if record.url == url), "a package")
    shown = scrub_local(url) if is_local(url) else scrub_url(url, keep=3)
    if error.kind == "digest":
        return BuildError(
            f"{name} from `{shown}` is not what its channel promised: "
            f"expected {error.details['wanted']}, found {error.details['found']}",
            hint="the download was damaged or altered: try again; for a local channel, index it again",
        )
    reason = _find_root_cause(error.text)
    if is_local(url):
        return BuildError(
            f"{name} cannot be extracted from `{shown}`: {reason}", hint="make or copy the package again"
        )
    return BuildError(
        f"{name} cannot be fetched from `{shown}`: {reason}", hint="check the network, then try again"
    )


def select_record(
    records: Sequence[CondaRecord], wanted: CondaRequirement, sha256: str, channels: Sequence[str]
) -> CondaRecord:
    """Choose the one package that a lock names.

    Args:
        records: all that the channels have of that name, the first channel's first.
        wanted: with exact version and build.
        sha256: hex digest of the package, or empty if it is not known.
        channels: URLs that were asked.

    Raises:
        BuildError: there is none, or one with another digest.
    """
    same = [
        each
        for each in records
        if (each.name, each.version, each.build) == (wanted.name, wanted.version, wanted.build)
    ]
    chosen = next((each for each in same if not sha256 or each.sha256 == sha256), None)
    if chosen is not None:
        return chosen
    if same:
        raise BuildError(
            f"the conda package `{same[0].stem}` has sha256:{same[0].sha256}, and sha256:{sha256} in the lock",
            hint="somebody replaced it in its channel: find out who, or write a new lock with `wq-package lock`",
        )
    where = _join(_name(url) for url in channels)
    raise BuildError(
        f"no package `{wanted.text}`, which the lock names, in {where}",
        hint="name the channel that has it in the spec, or write a new lock with `wq-package lock`",
    )


def _find_root_cause(text: str) -> str:
    """The last cause is the one that a person can act on."""
    causes = re.split(r"\s*Caused by:\s*", text.strip())
    return _first_line(causes[-1])


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[0].rstrip(".")


def _flatten(text: str) -> str:
    return " ".join(_PREAMBLE.sub("", text).split()).rstrip(".")


def _name(url: str) -> str:
    """Name a channel as people do."""
    return f"`{scrub_url(url.rstrip('/'), keep=1).rpartition('/')[2]}`"


def _join(words: Iterable[str]) -> str:
    words = list(words)
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
