"""Bills of materials of real archives, checked against the published CycloneDX schema."""

from __future__ import annotations

import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from wq_package.build import BuildOptions, build_environment
from wq_package.build.bill import make_sbom
from wq_package.build.installed import find_running_distributions
from wq_package.spec.environment import DataForm, DataSource, EnvironmentSpec, LocalSource, WheelRequirement


def test_sbom__every_kind_of_layer__is_valid_cyclonedx(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("X = 1\n")
    (tmp_path / "table.txt").write_text("1\n")
    installed = find_running_distributions()
    names = ("numpy", "python-dateutil", "six", "typeguard", "typing-extensions", "cloudpickle")
    spec = EnvironmentSpec(
        wheels=tuple(WheelRequirement(f"{name}=={installed[name].version}") for name in names),
        local=(LocalSource("helpers", str(tmp_path / "helpers.py"), ""),),
        data=(DataSource("TABLE", DataForm.FILE, (tmp_path / "table.txt").as_uri()),),
        variables=(("GREETING", "hello"),),
    )
    options = BuildOptions(cache=tmp_path / "cache", bytecode=False)
    built = build_environment(spec, tmp_path / "env.tar.zst", options)

    text = make_sbom(built.path)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    types = {each["name"]: each["type"] for each in json.loads(text)["components"]}
    assert types["TABLE"] == types["variables"] == "data"
    assert {*names, "helpers", "python"} <= types.keys()
