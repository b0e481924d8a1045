"""Which destinations a report still goes to, by what the journal says of it."""

from collections.abc import Sequence
from typing import Any, Final

from pacsnode.jobs import journal
from storage.records import Decision

REJECTS: Final = "rejects"  # fact of a rejection note: the SR that it rejects


def undelivered(lines: Sequence[Decision], seed: str, *, held_too: bool = False) -> list[str]:
    """The destinations that a report was made for, that lack it, and that it may go to."""
    made = journal.made_of_seed(lines, seed)
    if made is None:
        return []
    return [name for name in made.facts["destinations"] if not is_over(lines, seed, name)]


def is_over(lines: Sequence[Decision], seed: str, name: str) -> bool:
    """Whether nothing is left to do about a report at one destination."""
    about = journal.last_about(lines, seed, name)
    return about is not None and about.code == journal.DELIVERED_TO


def report_facts(line: Decision) -> dict[str, Any]:
    """The facts that every line about a report which was made carries."""
    kept = ("seed", "sr", "documents", "destinations", REJECTS)
    return {name: line.facts[name] for name in kept if name in line.facts}
