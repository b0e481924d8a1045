"""The pairs of a reader study: which lesions, in what order, and what hides behind A and B."""

import csv
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from engine.errors import Unreadable
from engine.evaluating.facts import FACTS
from engine.evaluating.masking import masked
from engine.evaluating.tables import metrics_in

RUBRICS = ("anatomy", "interpretation", "utility")
SIDES = ("A", "B")


@dataclass(frozen=True, slots=True)
class Item:
    """One lesion of the study: both texts, numbers masked. `model_is` is A or B: the secret."""

    item: str
    study_id: str
    lesion_id: str
    model_is: str
    reference: str
    text: str
    scores: dict[str, float]  # by metric, of this lesion

    def shown(self, side: str) -> str:
        """The text under A or B."""
        return self.text if side == self.model_is else self.reference


@dataclass(frozen=True, slots=True)
class Key:
    """What the form must not hold. `study` is a digest that form, key and answers share."""

    study: str
    describer: str
    items: tuple[Item, ...]


def read_lesions(path: Path, describer: str | None = None) -> tuple[str, list[dict[str, str]]]:
    """The rows of one describer in an evaluation's lesions.csv, and its name. Raises Unreadable."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    wanted = {"describer", "study_id", "lesion_id", f"{FACTS[-1]}_said", "reference", "text"}
    if not rows or not wanted <= rows[0].keys():
        raise Unreadable(f"{path.name} is no lesions.csv of an evaluation, or holds no lesion")
    names = list(dict.fromkeys(row["describer"] for row in rows))
    if describer is None and len(names) > 1:
        raise Unreadable(f"{path.name} holds several describers, name one: {', '.join(names)}")
    name = describer or names[0]
    chosen = [row for row in rows if row["describer"] == name]
    if not chosen:
        raise Unreadable(f"{path.name} holds no describer {name!r} but {', '.join(names)}")
    return name, chosen


def make_key(describer: str, rows: Sequence[Mapping[str, str]], pairs: int, seed: int) -> Key:
    """Draw `pairs` lesions that got words, and shuffle them and their sides, by the seed."""
    drawn = [row for row in rows if row["text"].strip() and row["reference"].strip()]
    if not drawn:
        raise Unreadable("No lesion has both a reference and words of the describer")
    chance = random.Random(seed)  # noqa: S311  # reproducible order, no secrecy
    chosen = chance.sample(drawn, min(pairs, len(drawn)))
    # half the models under A, to one: what a reader favours by position cannot tell
    sides = [SIDES[at % 2] for at in range(len(chosen))]
    chance.shuffle(sides)
    items = tuple(_item(row, side, seed) for row, side in zip(chosen, sides, strict=True))
    told = json.dumps([describer, seed, [asdict(one) for one in items]], sort_keys=True)
    return Key(sha256(told.encode()).hexdigest()[:16], describer, items)


def write_key(key: Key, path: Path) -> None:
    """Write what only the evaluator may see."""
    path.write_text(json.dumps(asdict(key), indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_key(path: Path) -> Key:
    """A key as `write_key` writes it. Raises Unreadable."""
    told = read_json(path)
    try:
        items = tuple(Item(**one) for one in told["items"])
        return Key(told["study"], told["describer"], items)
    except (KeyError, TypeError) as exc:
        raise Unreadable(f"{path.name} is no key of a reader study") from exc


def read_json(path: Path) -> Any:
    """The JSON of a file. Raises Unreadable."""
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as exc:  # UnicodeDecodeError and JSONDecodeError are ones
        raise Unreadable(f"{path.name} is no JSON") from exc


def _item(row: Mapping[str, str], side: str, seed: int) -> Item:
    named = f"{seed}/{row['study_id']}/{row['lesion_id']}"
    try:
        scores = {name: float(row[name]) for name in metrics_in(row)}
    except ValueError as exc:
        raise Unreadable(f"A score of lesion {row['lesion_id']} is no number") from exc
    return Item(
        item=sha256(named.encode()).hexdigest()[:10],
        study_id=row["study_id"],
        lesion_id=row["lesion_id"],
        model_is=side,
        reference=masked(row["reference"]),
        text=masked(row["text"]),
        scores=scores,
    )
