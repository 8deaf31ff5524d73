"""The built wheel of this checkout, as functional tests use it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Installed:
    """The wheel of this checkout, installed in an environment of its own."""

    prefix: Path

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.prefix / "bin" / "wq-package"

    def run(self, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        """Run `wq-package` and capture what it says."""
        settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 600} | options
        return subprocess.run([self.command, *arguments], **settings)  # type: ignore[call-overload,no-any-return]  # options are forwarded
