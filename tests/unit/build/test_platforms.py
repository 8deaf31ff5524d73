from __future__ import annotations

import pytest

from wq_package.build.platforms import Platform, parse_platform
from wq_package.errors import BuildError


@pytest.mark.parametrize(
    ("text", "platform", "for_uv"),
    [
        ("aarch64", Platform("aarch64"), "aarch64-unknown-linux-gnu"),
        ("linux-aarch64", Platform("aarch64"), "aarch64-unknown-linux-gnu"),
        ("linux-64", Platform("x86_64"), "x86_64-unknown-linux-gnu"),
        ("linux_x86_64", Platform("x86_64"), "x86_64-unknown-linux-gnu"),
        ("manylinux2014_x86_64", Platform("x86_64", (2, 17)), "x86_64-manylinux_2_17"),
        ("manylinux_2_28_aarch64", Platform("aarch64", (2, 28)), "aarch64-manylinux_2_28"),
        ("manylinux_2_24_x86_64", Platform("x86_64", (2, 24)), "x86_64-manylinux_2_17"),
        ("manylinux_2_99_x86_64", Platform("x86_64", (2, 99)), "x86_64-manylinux_2_40"),
        ("arm64", Platform("aarch64"), "aarch64-unknown-linux-gnu"),
    ],
)
def test_parse__names_that_people_use(text: str, platform: Platform, for_uv: str) -> None:
    assert parse_platform(text) == platform
    assert platform.for_uv == for_uv


@pytest.mark.parametrize(
    "text", ["", "win-64x", "macosx_11_0_arm64", "manylinux_2_aarch64", "sparc", "manylinux1_x86_64"]
)
def test_parse__anything_else__is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BuildError) as caught:
        parse_platform(text)
    assert caught.value.hint
