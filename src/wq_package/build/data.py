"""Layers of data: repositories, files and variables that travel with an environment (shell module).

Knows git, downloads and tar files, and where data lie in an environment. Which data there are, the spec says. What has a
commit or a digest is fetched once; what has none is asked for at every build, because it may have changed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shlex
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from wq_package.archive.activation import ACTIVATION_FOLDER, DEACTIVATION_FOLDER
from wq_package.archive.layer import LayerEntry, LayerHeader, LayerKind
from wq_package.build.artefacts import UNKNOWN, Artefact
from wq_package.build.layer_cache import compute_key
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.recipes import BUILDER_VERSION, Recipe
from wq_package.build.tar_members import iter_harmless
from wq_package.errors import BackendFailedError, BackendNotFoundError, BuildError
from wq_package.programs import run_program
from wq_package.spec.environment import DataForm, DataSource

__all__ = ["DATA_FOLDER", "make_data_recipe", "make_variables_recipe"]

DATA_FOLDER = "share/wq-package/data"
"""Data of the variable `VAR` are in `DATA_FOLDER/VAR`."""

_TIMEOUT = (30, 60)
"""Seconds to connect, and between two pieces of a download."""
_PIECE = 2**20
# Never ask for a password, and never run a program that an address names (`ext::`).
_KEPT = re.compile(r"GIT_(SSL|SSH|PROXY|HTTP|ASKPASS|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)$)")
_GIT = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}


def make_data_recipe(source: DataSource, staging: Path, *, offline: bool) -> Recipe:
    """Make the recipe of one source; asks where it is kept whether it has changed, unless a commit or digest is named.

    Args:
        source: what to fetch.
        staging: a folder for downloads.
        offline: ask nobody.

    Raises:
        BuildError: it cannot be reached, or may not be.
    """
    if source.form is DataForm.GIT:
        return _make_git_recipe(source, offline=offline)
    return _make_download_recipe(source, staging, offline=offline)


def make_variables_recipe(variables: Sequence[tuple[str, str]]) -> Recipe:
    """Make the recipe of a layer that sets variables when the environment is activated."""
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables)
    key = compute_key("variables", BUILDER_VERSION, text)
    header = LayerHeader(LayerKind.DATA, "variables", key[:12])
    entries = _make_activation("variables", text, [name for name, _ in variables])
    return Recipe("variables", key, 0, lambda _: LayerPlan(header, entries))


def _make_activation(name: str, text: str, variables: Sequence[str]) -> tuple[LayerEntry, ...]:
    undo = "".join(f"unset {variable}\n" for variable in variables)
    return (
        LayerEntry(f"{ACTIVATION_FOLDER}/wq-package-{name}.sh", 0o644, text.encode()),
        LayerEntry(f"{DEACTIVATION_FOLDER}/wq-package-{name}.sh", 0o644, undo.encode()),
    )


def _make_plan(
    source: DataSource, version: str, digest: str, place: str, entries: Iterator[LayerEntry]
) -> LayerPlan:
    header = LayerHeader(LayerKind.DATA, source.variable, version[:12], source=digest)
    text = f'export {source.variable}="$CONDA_PREFIX"/{shlex.quote(place)}\n'
    activation = _make_activation(source.variable, text, [source.variable])
    return LayerPlan(header, (*entries, *activation), artefact=_describe_artefact(source, version, digest))


def _describe_artefact(source: DataSource, version: str, digest: str) -> Artefact:
    """Say where the data came from, unless that is a folder of this machine."""
    shown = _show(source)
    if "://" not in shown or shown.startswith("file:"):
        return UNKNOWN
    url = f"git+{shown}@{version}" if source.form is DataForm.GIT else shown
    return Artefact(url=url, sha256=digest.removeprefix("sha256:"))


# -- git ---------------------------------------------------------------------------------------------------------------


def _make_git_recipe(source: DataSource, *, offline: bool) -> Recipe:
    commit = source.reference
    if not source.is_pinned:
        _refuse_offline(
            source, offline=offline, hint="name a commit as `ref`; then what is cached can be used"
        )
        commit = _resolve_reference(source)
    key = compute_key("git", BUILDER_VERSION, source.variable, source.url, commit)

    def plan(staging: Path) -> LayerPlan:
        _refuse_offline(source, offline=offline, hint="build once without --offline")
        _check_out(source, commit, staging)
        place = f"{DATA_FOLDER}/{source.variable}"
        return _make_plan(source, commit, "", place, _iter_tree(staging, place))

    return Recipe(f"{source.variable} from {_show(source)}", key, 2**22, plan)


def _resolve_reference(source: DataSource) -> str:
    wanted = source.reference or "HEAD"
    lines = _run_git(source, "ls-remote", "--", source.url, wanted, f"{wanted}^{{}}").splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    names = (f"refs/tags/{wanted}^{{}}", f"refs/tags/{wanted}", f"refs/heads/{wanted}", wanted)
    commit = next((found[name] for name in names if name in found), "")
    if not replace(source, reference=commit).is_pinned:
        raise _explain_missing(source, wanted)
    return commit


def _explain_missing(source: DataSource, reference: str) -> BuildError:
    hint = "name a branch, a tag or a whole commit of it as `ref`"
    return BuildError(
        f"the repository `{_show(source)}` for `{source.variable}` has no `{reference}`", hint=hint
    )


def _check_out(source: DataSource, commit: str, folder: Path) -> None:
    _run_git(source, "init", "--quiet", "--template=", str(folder))
    try:
        _run_git(source, "-C", str(folder), "fetch", "--quiet", "--depth=1", "--", source.url, commit)
    except BackendFailedError:  # a server need not give out a commit that no branch ends in
        heads = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        _run_git(source, "-C", str(folder), "fetch", "--quiet", "--", source.url, *heads)
    # Line ends and filters of the user's own settings must not change what the commit says.
    plain = ("-c", "core.autocrlf=false", "-c", "core.symlinks=true", "-c", "advice.detachedHead=false")
    try:
        _run_git(source, "-C", str(folder), "cat-file", "-e", f"{commit}^{{commit}}")
    except BackendFailedError as error:
        raise _explain_missing(source, commit) from error
    _run_git(source, *plain, "-C", str(folder), "checkout", "--quiet", "--force", commit, "--")
    shutil.rmtree(folder / ".git")


def _run_git(source: DataSource, *arguments: str) -> str:
    try:
        done = run_program(("git", *arguments), environ=_make_git_environ())
    except FileNotFoundError as error:
        raise BackendNotFoundError(
            "git", ("PATH",), hint=f"install git, or leave `{source.variable}` out"
        ) from error
    if done.returncode:
        shown = _show(source)
        words = done.stderr.replace(source.url, shown)
        command = ("git", *(word.replace(source.url, shown) for word in arguments))
        summary = f"`git` failed with exit code {done.returncode} for `{source.variable}`: {words.strip()}"
        hint = "check the address, and whether git may reach it without asking for a password"
        raise BackendFailedError(command, done.returncode, words, summary=summary, hint=hint)
    return done.stdout


def _make_git_environ() -> dict[str, str]:
    """Leave out what names a repository: a hook of git's has that set, and this is about another one."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _KEPT.match(name)
    }
    return {**kept, **_GIT}


def _iter_tree(root: Path, place: str) -> Iterator[LayerEntry]:
    """Give everything below a folder, empty folders as well."""
    for folder, names, files in os.walk(root):
        below = PurePosixPath(place, Path(folder).relative_to(root).as_posix())
        for name in (*names, *files):
            path = Path(folder, name)
            if path.is_symlink():
                yield LayerEntry(str(below / name), 0o777, None, str(path.readlink()))
            elif path.is_file():
                yield LayerEntry(str(below / name), path.stat().st_mode, path)
        if not names and not files:
            yield LayerEntry(str(below), 0o755, None)


# -- downloads ---------------------------------------------------------------------------------------------------------


def _make_download_recipe(source: DataSource, staging: Path, *, offline: bool) -> Recipe:
    file = staging / f"{source.variable}.download"
    digest = source.sha256
    if not digest:
        _refuse_offline(source, offline=offline, hint="give its `sha256`; then what is cached can be used")
        digest = _download(source, file)
    name = _name_file(source)
    key = compute_key(
        "http", BUILDER_VERSION, source.variable, source.form.value, source.is_compressed, name, digest
    )

    def plan(folder: Path) -> LayerPlan:
        if not file.exists():
            _refuse_offline(source, offline=offline, hint="build once without --offline")
            _download(source, file)
        place = f"{DATA_FOLDER}/{source.variable}"
        if source.form is DataForm.TAR:
            _extract(source, file, folder)
            return _make_plan(source, digest, f"sha256:{digest}", place, _iter_tree(folder, place))
        data = _decompress(source, file, folder / "data") if source.is_compressed else file
        place = f"{place}/{name}"
        return _make_plan(source, digest, f"sha256:{digest}", place, iter([LayerEntry(place, 0o644, data)]))

    return Recipe(f"{source.variable} from {_show(source)}", key, 2**22, plan)


def _name_file(source: DataSource) -> str:
    name = PurePosixPath(unquote(urlsplit(source.url).path)).name
    if source.is_compressed:
        name = name.removesuffix(".gz")
    return name if name.isprintable() and name not in ("", ".", "..") and "/" not in name else source.variable


def _download(source: DataSource, file: Path) -> str:
    """Fetch a file; returns its hex sha256. Nothing is left if that is not the one wanted."""
    digest = hashlib.sha256()
    try:
        with file.open("wb") as sink:
            for piece in _iter_pieces(source):
                digest.update(piece)
                sink.write(piece)
        found = digest.hexdigest()
        if source.sha256 and found != source.sha256:
            issue = f"`{_show(source)}` has the digest sha256:{found}, and sha256:{source.sha256} is wanted"
            raise BuildError(issue, hint="it was changed or damaged: find out which, and correct `sha256`")
        return found
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _iter_pieces(source: DataSource) -> Iterator[bytes]:
    if source.url.startswith("file://"):
        yield from _iter_local(source)
        return
    import requests

    try:
        with requests.get(
            source.url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}
        ) as answer:
            answer.raise_for_status()
            yield from answer.iter_content(_PIECE)
    except requests.RequestException as error:
        code = getattr(error.response, "status_code", None)
        reason = f"the server answered {code}" if code else type(error).__name__
        hint = "check the address, and whether this machine may reach it"
        raise BuildError(f"`{_show(source)}` cannot be downloaded ({reason})", hint=hint) from error


def _iter_local(source: DataSource) -> Iterator[bytes]:
    try:
        with Path(unquote(urlsplit(source.url).path)).open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise BuildError(
            f"`{_show(source)}` cannot be read ({error.strerror})", hint="check the path"
        ) from error


def _extract(source: DataSource, file: Path, folder: Path) -> None:
    try:
        with tarfile.open(file, "r:gz" if source.is_compressed else "r:*") as archive:
            harmless = iter_harmless(archive)
            if sys.version_info >= (3, 11, 4):
                archive.extractall(folder, harmless, filter="data")
            else:
                archive.extractall(folder, harmless)  # noqa: S202 - it lets nothing lead out
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        hint = "check `type` and `compression`"
        raise BuildError(
            f"`{_show(source)}` cannot be unpacked as a tar file ({error})", hint=hint
        ) from error


def _decompress(source: DataSource, file: Path, target: Path) -> Path:
    try:
        with gzip.open(file) as compressed, target.open("wb") as plain:
            shutil.copyfileobj(compressed, plain, _PIECE)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BuildError(
            f"`{_show(source)}` is not compressed with gzip ({error})", hint="check `compression`"
        ) from error
    return target


def _refuse_offline(source: DataSource, *, offline: bool, hint: str) -> None:
    if offline:
        raise BuildError(
            f"`{_show(source)}` for `{source.variable}` may not be fetched with --offline", hint=hint
        )


def _show(source: DataSource) -> str:
    """Give an address as it may be printed: without a user's name and password."""
    parts = urlsplit(source.url)
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl() if parts.netloc else source.url
