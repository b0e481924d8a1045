"""Every code and flag that assembly may end with is explained where people look it up."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "pacsnode" / "assembly").glob("*.py"))
COMPOSED = ("gated-pet", "dynamic-pet", "projection-pet", "reformat-pet", "localizer-pet")
INNER = ("mask-not-covered",)  # said in a sentence, never as the code of an assessment


def test_the_search_finds_codes() -> None:
    assert {"no-ct", "ambiguous-pet", "waiting-for-quiet"} <= set(codes())


def codes() -> list[str]:
    found = {
        code
        for path in SOURCES
        for code in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', path.read_text("utf-8"))
    }
    return sorted((found | set(COMPOSED)) - set(INNER))


@pytest.mark.parametrize("code", codes())
def test_every_code_is_documented(code: str) -> None:
    assert f"`{code}`" in (ROOT / "docs" / "reference" / "assembly.md").read_text("utf-8")
