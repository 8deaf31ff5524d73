"""The scripts that travel with an environment, and the variables that a process in it gets (shell module).

Knows where an unpacked environment keeps what, and the contract of older tools for a tarball (`bin/activate`, `bin/conda-unpack`,
`bin/run_in_env`, `bin/poncho_package_run`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wq_package.archive.activation import apply_scripts
from wq_package.archive.layer import LayerEntry
from wq_package.archive.script_header import make_relocatable_script, render_script_header

__all__ = [
    "make_environment_variables",
    "make_launcher_entries",
    "make_relocatable_script",
    "read_script",
    "render_launcher",
    "render_script_header",
]

_SCRIPTS = Path(__file__).parent / "scripts"
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_REMOVED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def render_launcher() -> str:
    """Write the POSIX script that unpacks an archive once and runs a command in it, without any Python."""
    return read_script("launch.sh")


def read_script(name: str) -> str:
    """Read a script of `wq_package/archive/scripts`."""
    return (_SCRIPTS / name).read_text(encoding="utf-8")


def make_launcher_entries(python: str, *, conda_spec: str = "") -> tuple[LayerEntry, ...]:
    """Make the members that every environment has beside its packages.

    Args:
        python: version of the environment's interpreter (`3.11.7`).
        conda_spec: text of `conda_spec.yml`, which TaskVine's tools look for; left out if empty.
    """
    short = ".".join(python.split(".")[:2])
    scripts = {
        "bin/activate": read_script("activate.sh").replace("@PYTHON@", short),
        "bin/conda-unpack": make_relocatable_script(read_script("conda_unpack.py").encode()).decode(),
        "bin/poncho_package_run": render_launcher(),
        "bin/run_in_env": read_script("run_in_env.sh"),
    }
    entries = [LayerEntry(path, 0o755, text.encode("utf-8")) for path, text in scripts.items()]
    if conda_spec:
        entries.append(LayerEntry("conda_spec.yml", 0o644, conda_spec.encode("utf-8")))
    return tuple(entries)


def make_environment_variables(prefix: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Make the variables of a process in the environment at `prefix` from those it would have without.

    Starts the environment's activation scripts, if it has any.

    Raises:
        ArchiveError: the scripts fail.
    """
    variables = {name: value for name, value in base.items() if name not in _REMOVED}
    variables["PATH"] = f"{prefix}/bin:{base.get('PATH') or _DEFAULT_PATH}"
    variables["CONDA_PREFIX"] = variables["CONDA_DEFAULT_ENV"] = str(prefix)
    variables["PYTHONNOUSERSITE"] = "1"
    if not base.get("SSL_CERT_FILE") and not base.get("SSL_CERT_DIR"):
        # The C library of SSL looks for certificates where they were on the machine that it was built on.
        for bundle in prefix.glob("lib/python3*/site-packages/certifi/cacert.pem"):
            variables["SSL_CERT_FILE"] = str(bundle)
    return apply_scripts(prefix, variables)
