"""The conformance statement: whole, from the code's tables, and the same wherever it is told."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from pydicom.uid import EncapsulatedPDFStorage
from typer.testing import CliRunner

from pacsnode.cli import app
from pacsnode.delivery.cstore import SENT
from pacsnode.delivery.statuses import NEEDS_A_PERSON
from pacsnode.intake import acceptance
from pacsnode.settings import known_keys
from pacsnode.web.query import PAGES
from pacsnode.web.server import HEAD_WITHIN_S
from pacsnode.web.statement import as_html, as_markdown, statement
from pacsnode.web.statement.blocks import Block, Bullets, Heading, Paragraph, Table
from pacsnode.web.statement.provider import STATUSES
from pacsnode.web.statement.whole import MADE_AS
from pacsnode.web.table import OFFERED

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "conformance.md"
TOLD = as_markdown(statement())


def test_the_page_in_the_docs_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["conformance"])
    assert printed.exit_code == 0
    assert printed.stdout == TOLD
    stale = (
        "docs/reference/conformance.md is stale: write what `pacsnode conformance` prints into it"
    )
    assert PAGE.read_text("utf-8") == TOLD, stale


def test_as_json_it_is_the_same_blocks() -> None:
    blocks = json.loads(CliRunner().invoke(app, ["conformance", "--json"]).stdout)
    assert [block["kind"] for block in blocks][:3] == ["heading", "paragraph", "heading"]
    assert len(blocks) == len(statement())


def test_it_has_the_sections_of_ps3_2() -> None:
    sections = [block.text for block in statement() if isinstance(block, Heading)]
    for wanted in (
        "Overview", "Implementation model", "Application entities", "Storage as SCP", "SOP classes",
        "Association policies", "Association acceptance", "Transfer syntaxes", "Answers to C-STORE",
        "Storage as SCU", "Query and Retrieve as SCU", "DICOMweb as origin server",
        "Network and configuration", "Character sets", "Security", "Created objects",
    ):  # fmt: skip
        assert wanted in sections
    assert len(set(sections)) == len(sections), "two sections would have one anchor"


def test_every_status_that_the_code_answers_or_heeds_is_told() -> None:
    assert STATUSES.keys() == {acceptance.SUCCESS, *acceptance.REASONS}
    for status in NEEDS_A_PERSON:
        assert f"0x{status:04X}" in TOLD or status >> 12 == 0xC
    assert f"no whole request head within {HEAD_WITHIN_S:.0f} s" in TOLD


def test_every_resource_and_parameter_is_told_once() -> None:
    rows = [line for line in TOLD.splitlines() if re.match(r"\| \w+-RS \| [\w ]+ \| `/", line)]
    assert len(rows) == len(OFFERED)
    assert len(set(rows)) == len(rows)
    for name in PAGES:
        assert f"`{name}`" in TOLD


def test_every_class_that_may_be_sent_is_told_as_sent_and_as_made() -> None:
    assert {*map(str, SENT), str(EncapsulatedPDFStorage)} == MADE_AS.keys()
    user = TOLD.partition("### Storage as SCU")[2].partition("###")[0]
    for one in SENT:
        assert f"| {one} | Explicit VR Little Endian" in user


def test_every_setting_that_it_names_exists() -> None:
    sections = "listen|web|assembly|sources|destinations"
    named = set(re.findall(rf"`((?:{sections})\.\w+)`", TOLD))
    assert len(named) > 15
    assert named <= set(known_keys())


def test_its_links_lead_somewhere() -> None:
    anchors = {_anchor(block.text) for block in statement() if isinstance(block, Heading)}
    for target in re.findall(r"\]\(([^)]+)\)", TOLD):
        file, _, anchor = target.partition("#")
        if file:
            assert (PAGE.parent / file).is_file(), target
        else:
            assert anchor in anchors, target
    for page in ("README.md", "docs/reference/jobs.md", "docs/guide/routing.md"):
        text = (ROOT / page).read_text("utf-8")
        for anchor in re.findall(r"conformance\.md#([\w-]+)", text):
            assert anchor in anchors, f"{page} links to #{anchor}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


class _Reader(HTMLParser):
    """Text, and tags that are not closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.rows += tag == "tr"
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_is_whole_and_says_the_same() -> None:
    reader = _Reader()
    reader.feed(as_html(statement()))
    assert reader.open == []
    assert reader.rows == sum(len(each.rows) + 1 for each in statement() if isinstance(each, Table))
    plain = " ".join(reader.text.split())
    for text in _texts(statement()):
        shown = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text).replace("`", "").replace("**", "")
        assert " ".join(shown.split()) in plain


def _texts(blocks: list[Block]) -> Iterator[str]:
    for block in blocks:
        match block:
            case Heading(_, text) | Paragraph(text):
                yield text
            case Bullets(items):
                yield from items
            case Table(head, rows):
                yield from head
                yield from (cell for row in rows for cell in row)


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    shown = as_html([Heading(1, "A & B"), Table(("<i>",), (("a | `b` <c>",),))])
    assert "A &amp; B" in shown
    assert "<td>a | <code>b</code> &lt;c&gt;</td>" in shown
    assert as_markdown([Table(("h",), (("a | b",),))]).splitlines()[-1] == "| a \\| b |"
