"""What a document is made of, and its two forms: Markdown for a file, HTML for a page.

Within a text only `code`, **strong** and [links](to) are marked up.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    ".wide{overflow-x:auto}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th,td{border:1px solid #8886;padding:.25rem .6rem;text-align:left;vertical-align:top}"
    "code{font-size:.9em;overflow-wrap:anywhere}"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """Of level 1 (the title) to 4."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list without an order."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Bullets | Table


def as_markdown(blocks: Iterable[Block]) -> str:
    """One text, a line each paragraph."""
    return "\n\n".join(map(_in_markdown, blocks)) + "\n"


def _in_markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table(head, rows):
            lines = [head, ("---",) * len(head), *rows]
            return "\n".join(f"| {' | '.join(map(_in_a_cell, line))} |" for line in lines)


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")


def as_html(blocks: Sequence[Block]) -> str:
    """A whole page; links to other documents lose their target, which is not served here."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    body = "\n".join(map(_in_html, blocks))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _in_html(block: Block) -> str:
    match block:
        case Heading(level, text):
            name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
            return f'<h{level} id="{name}">{_marked(text)}</h{level}>'
        case Paragraph(text):
            return f"<p>{_marked(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{_marked(item)}</li>' for item in items)}</ul>"
        case Table(head, rows):
            cells = "".join(f'<th scope="col">{_marked(cell)}</th>' for cell in head)
            lines = "".join(
                f"<tr>{''.join(f'<td>{_marked(cell)}</td>' for cell in row)}</tr>" for row in rows
            )
            return (
                f'<div class="wide" tabindex="0"><table><thead><tr>{cells}</tr></thead>'
                f"<tbody>{lines}</tbody></table></div>"
            )


_MARKS: Final[tuple[tuple[str, Callable[[re.Match[str]], str]], ...]] = (
    (r"\[([^\]]+)\]\((https?://[^)]+)\)", lambda m: f'<a href="{m[2]}">{m[1]}</a>'),
    (r"\[([^\]]+)\]\([^)]+\)", lambda m: m[1]),
    (r"\*\*([^*]+)\*\*", lambda m: f"<strong>{m[1]}</strong>"),
    (r"`([^`]+)`", lambda m: f"<code>{m[1]}</code>"),
)


def _marked(text: str) -> str:
    marked = escape(text)
    for pattern, told in _MARKS:
        marked = re.sub(pattern, told, marked)
    return marked
