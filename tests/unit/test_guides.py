"""Every command in README and docs exists, with every option that is shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from pacsnode.cli import app
from pacsnode.intake import acceptance
from storage.records import CaseState

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SOURCES = "\n".join(
    path.read_text("utf-8")
    for each in ("engine", "pacsnode")
    for path in (ROOT / each).rglob("*.py")
)


def shown(page: Path) -> Iterator[list[str]]:
    """The words of each command line of ours in a page's shell blocks, ours taken off."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "docker" in words[:1] and "run" in words[:2]:
                words = words[words.index("pacsnode", 1) :]  # the image, and what it is told
            if words and words[0].rpartition("/")[2] == "pacsnode":
                yield words[1:]


COMMANDS = [(page.name, words) for page in PAGES for words in shown(page)]


def test_there_are_commands_in_every_guide_for_a_person() -> None:
    named = {page for page, _ in COMMANDS}
    assert {"README.md", "routing.md", "replay.md", "reading.md", "running.md"} <= named


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda each: str(each)[:40])
def test_a_command_that_is_shown_exists(page: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    options = {name: param for param in command.params for name in param.opts}
    places = [param for param in command.params if param.param_type_name == "argument"]
    rest = list(words)
    given = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            given.append(word)
        elif not options[word].is_flag:
            assert rest, f"{word} wants a value"
            rest.pop(0)
    assert len(given) >= sum(place.required for place in places)
    assert len(given) <= len(places) or any(place.nargs == -1 for place in places)


def test_the_reading_guide_names_flags_that_exist() -> None:
    page = (ROOT / "docs" / "guide" / "reading.md").read_text("utf-8")
    flags = [flag for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
             for flag in re.findall(r"`([\w-]+)`", row)]  # fmt: skip
    assert len(flags) >= 6
    assert [flag for flag in flags if f'"{flag}"' not in SOURCES] == []


def test_the_routing_guide_names_states_and_statuses_that_exist() -> None:
    page = (ROOT / "docs" / "guide" / "routing.md").read_text("utf-8")
    states = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert len(states) >= 4
    assert set(states) <= set(get_args(CaseState))
    told = {int(status, 16) for status in re.findall(r"^\| (0x\w{4}) \|", page, re.MULTILINE)}
    assert told == {acceptance.SUCCESS, *acceptance.REASONS}
