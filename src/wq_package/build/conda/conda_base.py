"""The part of an environment that comes from conda channels (shell module).

From a spec to the recipes of layers: solve, fetch, find who owns what, lay Python out. Compiling, compressing and joining is
the business of the rooms that all layers share.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wq_package.archive.launcher import make_launcher_entries
from wq_package.build.artefacts import Artefact
from wq_package.build.base import EnvironmentBase
from wq_package.build.conda.channels import ANACONDA, DEFAULT_CHANNEL, resolve_channels, scrub_url
from wq_package.build.conda.conda_meta import render_conda_meta
from wq_package.build.conda.extracted import ExtractedPackage, open_package
from wq_package.build.conda.installed_prefix import find_installed_packages, open_prefix
from wq_package.build.conda.layer import plan_conda_layer, with_digest
from wq_package.build.conda.ownership import find_ownership
from wq_package.build.conda.rattler_backend import RattlerBackend, SolveRequest
from wq_package.build.conda.records import CondaRecord
from wq_package.build.conda.staged_python import select_python_closure, stage_python
from wq_package.build.conda.upkeep import mark_used
from wq_package.build.interpreter import Interpreter, describe_interpreter, describe_running_interpreter
from wq_package.build.layer_cache import compute_key
from wq_package.build.lock_text import Lock, parse_lock
from wq_package.build.options import BuildOptions, Reporter
from wq_package.build.recipes import BUILDER_VERSION, Recipe
from wq_package.errors import BuildError
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec

__all__ = ["find_subdir", "make_base", "make_request", "prepare_conda_base"]

_LOG = logging.getLogger(__name__)

_SUBDIRS = {
    "x86_64": "linux-64",
    "aarch64": "linux-aarch64",
    "ppc64le": "linux-ppc64le",
    "s390x": "linux-s390x",
    "riscv64": "linux-riscv64",
}
# What the manylinux policies let wheels expect from any host, and what bare hosts lack.
_EXPECTED_BY_WHEELS = ("libstdcxx", "libgcc")


def find_subdir() -> str:
    """Name this machine's platform as conda does."""
    machine = os.uname().machine
    try:
        return _SUBDIRS[machine]
    except KeyError:
        raise BuildError(f"conda has no packages for `{machine}`") from None


def prepare_conda_base(
    spec: EnvironmentSpec,
    options: BuildOptions,
    root: Path,
    reporter: Reporter,
) -> EnvironmentBase:
    """Find the conda packages of a spec: installed, if all are pinned and here; else from their channels.

    Args:
        spec: what is wanted.
        options: of the build.
        root: a folder of the cache for packages and channels.
        reporter: told about downloads.

    Raises:
        BuildError: there is no solution, or a channel or package cannot be had.
    """
    if options.interpreter is not None:
        hint = "leave --interpreter out, or take the conda packages out of the spec"
        raise BuildError("an environment with conda packages has conda's Python", hint=hint)
    if options.prefix and not options.fresh:
        prefix = Path(options.prefix)
        packages = open_prefix(prefix, keep_edits=options.keep_edits)
        return make_base(packages, describe_interpreter(str(prefix / "bin" / "python3")), options)
    if not options.fresh:
        packages = find_installed_packages(spec, Path(sys.prefix), _EXPECTED_BY_WHEELS if spec.wheels else ())
        if packages:
            return make_base(packages, describe_running_interpreter(), options)
    lock = parse_lock(options.lock, "the lock") if options.lock else None
    packages = _fetch_packages(spec, lock, RattlerBackend(root, offline=options.offline), reporter)
    (root / "pythons").mkdir(parents=True, exist_ok=True)
    prefix = stage_python(select_python_closure(packages), root / "pythons")
    mark_used(prefix)
    return make_base(packages, describe_interpreter(str(prefix / "bin" / "python3")), options)


def _fetch_packages(
    spec: EnvironmentSpec, lock: Lock | None, backend: RattlerBackend, reporter: Reporter
) -> tuple[ExtractedPackage, ...]:
    request = make_request(spec)
    if lock:
        records = backend.find(request.channels, request.subdir, lock.conda_digests)
    else:
        reporter.start("solving", None)
        records = backend.solve(request)
        reporter.done()
    folders = backend.fetch(records, reporter)
    for folder in folders:
        mark_used(folder)
    records = tuple(with_digest(each, folder.name) for each, folder in zip(records, folders, strict=True))
    site_packages = next(record for record in records if record.name == "python").find_site_packages()
    return tuple(
        open_package(each, folder, site_packages) for each, folder in zip(records, folders, strict=True)
    )


def _warn_of_scripts(packages: Sequence[ExtractedPackage]) -> None:
    """Such a script may run any program on this machine, and what it changes would not be the same elsewhere."""
    for package in packages:
        for path in package.iter_targets():
            if path.startswith("bin/.") and path.endswith("-post-link.sh"):
                _LOG.warning("the post-link script of %s is not run: %s", package.record.stem, path)


def make_request(spec: EnvironmentSpec) -> SolveRequest:
    """Make the solver's request; Python is always part of it."""
    named = [requirement for requirement in spec.conda if requirement.name == "python"]
    python = [] if named else [CondaRequirement("python", spec.python or "")]
    base, alias = Path.cwd(), os.environ.get("CONDA_CHANNEL_ALIAS") or ANACONDA
    specs = tuple(_render(requirement, base, alias) for requirement in (*python, *spec.conda))
    wished = _EXPECTED_BY_WHEELS if spec.wheels else ()
    # A channel that only one package names comes last: it offers the others nothing that they could have elsewhere.
    named_channels = [requirement.channel for requirement in spec.conda if requirement.channel]
    channels = [*(spec.channels or (DEFAULT_CHANNEL,)), *named_channels]
    return SolveRequest(resolve_channels(channels, base, alias), specs, find_subdir(), wished)


def _render(requirement: CondaRequirement, base: Path, alias: str) -> str:
    """Write a match spec; a channel is written as its URL."""
    if not requirement.channel:
        return requirement.text
    bare = CondaRequirement(requirement.name, requirement.version, requirement.build)
    return f"{resolve_channels([requirement.channel], base, alias)[0]}::{bare.text}"


def make_base(
    packages: Sequence[ExtractedPackage], interpreter: Interpreter, options: BuildOptions
) -> EnvironmentBase:
    """Make what an environment stands on from its conda packages.

    Args:
        packages: all of them, Python included.
        interpreter: the same Python, as it can be run here.
        options: of the build.
    """
    _warn_of_scripts(packages)
    launcher = {entry.path for entry in make_launcher_entries(interpreter.version)}
    ownership = find_ownership(packages, launcher)
    recipes = {
        package.record.name: _make_recipe(
            package, ownership.shadowed[package.record.name], interpreter, options
        )
        for package in packages
    }
    python = recipes.pop("python")
    others = tuple(recipes[name] for name in sorted(recipes))
    artefacts = {package.record.name: _describe_artefact(package.record) for package in packages}
    return EnvironmentBase(interpreter, python, others, ownership.distributions, ownership.owners, artefacts)


def _describe_artefact(record: CondaRecord) -> Artefact:
    url = scrub_url(record.url, keep=3) if record.url else ""
    return Artefact(
        record.file_name, url, record.sha256, record.size, (record.subdir,) if record.subdir else ()
    )


def _make_recipe(
    package: ExtractedPackage, shadowed: frozenset[str], interpreter: Interpreter, options: BuildOptions
) -> Recipe:
    record = package.record
    # Everything that decides the layer: the artefact, what the channel says of it, and the Python that it is for.
    compiled = [interpreter.version, interpreter.magic, interpreter.cache_tag] if options.bytecode else []
    place = package.site_packages if record.noarch == "python" else ""
    meta = render_conda_meta(record, ())
    # Without a digest of the whole, those of the files decide; of a prefix, sizes and times, too.
    files = [] if record.sha256 else [[file.path, file.sha256] for file in package.files]
    identity = [record.sha256, meta, *([files] if files else ()), *package.stamp_files()]
    key = compute_key("conda", BUILDER_VERSION, *identity, place, compiled, sorted(shadowed))
    title = f"{record.name} {record.version} {record.build}"
    return Recipe(title, key, record.size * 4, lambda _: plan_conda_layer(package, without=shadowed))
