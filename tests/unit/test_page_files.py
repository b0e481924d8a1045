"""What the page is made of comes with the program, and nothing of it runs from elsewhere."""

import re
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "pacsnode" / "web" / "templates").glob("*.html"))
STATIC = ROOT / "pacsnode" / "web" / "static"


def test_the_wheel_carries_templates_and_static_files() -> None:
    carried = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    wanted = {str(path.relative_to(ROOT)) for path in (*TEMPLATES, *STATIC.iterdir())}
    assert "pacsnode/web/static/htmx.min.js" in wanted
    assert wanted <= carried
    assert "htmx" in (ROOT / "NOTICE").read_text("utf-8")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_inline_script_or_style_or_loads_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
