"""Runs the activation scripts of an unpacked environment and tells which variables they leave (shell module).

Packages bring such scripts in `etc/conda/activate.d`, and an environment's own data and variables are set by one. `source
bin/activate` and the launcher run them in the shell that is there; this does it for processes that no shell starts.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from wq_package.errors import ArchiveError
from wq_package.programs import kill_left_behind, start_program

__all__ = ["ACTIVATION_FOLDER", "DEACTIVATION_FOLDER", "apply_scripts"]

ACTIVATION_FOLDER = "etc/conda/activate.d"
DEACTIVATION_FOLDER = "etc/conda/deactivate.d"

_SECONDS = 60
# A script that this shell cannot read would end it. What scripts print must not mix with the answer.
_RUN = r"""
for wqp_file in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
    if [ -f "$wqp_file" ] && /bin/sh -n "$wqp_file" 2>/dev/null; then . "$wqp_file" >&2; fi
done
unset wqp_file
exec "$0/bin/python3" -I -S -c "$1"
"""
# Not `os.environ`: Python itself adds to it in the C locale.
_ANSWER = "import sys; sys.stdout.buffer.write(open('/proc/self/environ', 'rb').read())"
_OF_THE_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})


def apply_scripts(prefix: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Give the variables as they are after the activation scripts of the environment at `prefix`, if it has any.

    Scripts that `/bin/sh` cannot read are left out, as the launcher does.

    Raises:
        ArchiveError: the scripts do not come to an end, or end the shell that runs them.
    """
    if not any((prefix / ACTIVATION_FOLDER).glob("*.sh")):
        return dict(variables)
    import tempfile  # costs 5 ms, and most environments have no scripts

    command = ("/bin/sh", "-c", _RUN, str(prefix), _ANSWER)
    try:
        # A file, not a pipe: a program that a script leaves in the background keeps hold of it.
        with (
            tempfile.TemporaryFile() as errors,
            start_program(command, environ=variables, stdin=subprocess.DEVNULL, stderr=errors) as shell,
        ):
            output, _ = shell.communicate(timeout=_SECONDS)
            errors.seek(0)
            words = errors.read()
        kill_left_behind(shell)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"they did not end within {_SECONDS} s"
        raise ArchiveError(f"the environment's activation scripts cannot be run ({reason})") from error
    if shell.returncode or not output:
        lines = words.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {shell.returncode}"
        raise ArchiveError(f"the environment's activation scripts in `{ACTIVATION_FOLDER}` failed: {reason}")
    return _parse(output, variables)


def _parse(answer: bytes, before: Mapping[str, str]) -> dict[str, str]:
    pairs = (
        entry.decode("utf-8", "surrogateescape").partition("=") for entry in answer.split(b"\0") if entry
    )
    return {name: value for name, _, value in pairs if name not in _OF_THE_SHELL or name in before}
