"""Two apps that need different releases of one package, in one program.

    python examples/two_versions.py

No single environment can hold both. Each app names a spec file of its own; the environments are built from the package index while
the program runs. Apps that name none are analysed as usual.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import parsl
from parsl import Config, python_app

from wq_package.executor import WQPackageExecutor

SPECS = Path(__file__).with_name("two_versions")


@python_app
def parse_as_before(text: str) -> str:
    """Parse a version as the old release did, which took anything."""
    import packaging
    from packaging.version import parse

    return f"packaging {packaging.__version__}: {type(parse(text)).__name__}"


@python_app
def parse_as_now(text: str) -> str:
    """Parse a version as the new release does, which is strict."""
    import packaging
    from packaging.version import InvalidVersion, parse

    try:
        return f"packaging {packaging.__version__}: {type(parse(text)).__name__}"
    except InvalidVersion as error:
        return f"packaging {packaging.__version__}: {error}"


def main() -> None:
    executor = WQPackageExecutor(
        pack=True,
        environments={
            "parse_as_before": str(SPECS / "before.txt"),
            "parse_as_now": str(SPECS / "now.txt"),
        },
    )
    with (
        tempfile.TemporaryDirectory(prefix="two-versions-") as run_dir,
        parsl.load(Config(executors=[executor], run_dir=run_dir, initialize_logging=False)),
    ):
        futures = [parse_as_before("1.0-custom-build"), parse_as_now("1.0-custom-build")]
        for future in futures:
            print(future.result())


if __name__ == "__main__":
    main()
