"""What readers answered: scores by rubric, preferences, and how metrics follow them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from engine.errors import Unreadable
from engine.evaluating.paper import READERS
from engine.evaluating.reader_items import RUBRICS, SIDES, Item, Key, read_json

MODEL, REFERENCE, TIE = "model", "reference", "tie"
LEAST = 3  # items below which no correlation is stated


@dataclass(frozen=True, slots=True)
class Reading:
    """One reader's answer to one item: rubric scores 1-5 of both texts, and which is preferred."""

    reader: str
    item: str
    model: Mapping[str, int]
    reference: Mapping[str, int]
    preferred: str  # model, reference or tie


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """All answers together; scores are (mean, standard deviation) over readings."""

    readers: int
    items: int
    readings: int
    unfinished: int
    rubrics: dict[str, dict[str, tuple[float, float]]]  # by model or reference, by rubric
    preferred: dict[str, int]
    spearman: dict[str, float | None]  # each metric with the model's mean score; None: undefined
    compared: int  # items behind it


def read_answers(key: Key, paths: Iterable[Path]) -> tuple[list[Reading], int]:
    """The finished answers of every file, unblinded, and how many were left unfinished.

    Raises Unreadable: not this study's, not the form's values, or a reader given twice.
    """
    items = {item.item: item for item in key.items}
    readings: list[Reading] = []
    unfinished, seen = 0, set[str]()
    for path in paths:
        told = read_json(path)
        if not isinstance(told, dict) or told.get("study") != key.study:
            raise Unreadable(f"{path.name} holds no answers to the reader study {key.study}")
        reader = str(told.get("reader", ""))
        if reader in seen:
            raise Unreadable(f"{path.name}: reader {reader!r} is in another file already")
        seen.add(reader)
        for answer in told.get("answers", ()):
            reading = _reading(reader, answer, items, path.name)
            if reading is None:
                unfinished += 1
            else:
                readings.append(reading)
    return readings, unfinished


def scored(key: Key, readings: Sequence[Reading], unfinished: int = 0) -> ReaderScores:
    """Every figure of a reader study. Raises Unreadable without a finished answer."""
    if not readings:
        raise Unreadable("No item was answered completely")
    by_item: dict[str, list[Reading]] = {}
    for one in readings:
        by_item.setdefault(one.item, []).append(one)
    compared = [item for item in key.items if item.item in by_item]
    judged = [
        fmean(score for one in by_item[item.item] for score in one.model.values())
        for item in compared
    ]
    preferred = Counter(one.preferred for one in readings)
    return ReaderScores(
        readers=len({one.reader for one in readings}),
        items=len(compared),
        readings=len(readings),
        unfinished=unfinished,
        rubrics={
            MODEL: _means([one.model for one in readings]),
            REFERENCE: _means([one.reference for one in readings]),
        },
        preferred={name: preferred[name] for name in (MODEL, TIE, REFERENCE)},
        spearman={
            name: spearman([item.scores[name] for item in compared], judged)
            for name in (compared[0].scores if compared else ())
        },
        compared=len(compared),
    )


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Rank correlation, ties at their mean rank; None below three items or for a constant."""
    if len(one) < LEAST or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    from scipy.stats import spearmanr  # only a finished study needs it

    return float(spearmanr(one, other).statistic)


def scores_markdown(scores: ReaderScores, describer: str) -> str:
    """The study's figures, with the paper's own correlations beside them."""
    lines = [
        f"# Reader study of {describer}", "",
        f"{scores.readers} readers, {scores.items} lesions, {scores.readings} readings; "
        f"{scores.unfinished} unfinished and left out.", "",
        "| rubric (1-5) | describer | reference |", "| --- | --- | --- |",
        *(f"| {rubric} | {_plus(scores.rubrics[MODEL][rubric])} "
          f"| {_plus(scores.rubrics[REFERENCE][rubric])} |" for rubric in RUBRICS), "",
        f"Preferred: describer {scores.preferred[MODEL]}, no difference {scores.preferred[TIE]}, "
        f"reference {scores.preferred[REFERENCE]}.", "",
        f"Spearman correlation over {scores.compared} lesions with the describer's mean score:", "",
        "| metric | here |", "| --- | --- |",
        *(f"| {name} | {'-' if value is None else f'{value:.3f}'} |"
          for name, value in scores.spearman.items()), "",
        "Printed in the paper, of other texts and readers: "
        + ", ".join(f"{name} {value:.3f}" for name, value in READERS.items()) + ".",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _reading(reader: str, answer: Any, items: Mapping[str, Item], where: str) -> Reading | None:
    """The answer with A and B told apart; None where it is not finished."""
    item = items.get(str(answer.get("item"))) if isinstance(answer, dict) else None
    if item is None:
        raise Unreadable(f"{where} answers an item that this study does not have")
    told = {side: _rubrics(answer.get(side), where, item.item) for side in SIDES}
    preferred = answer.get("preferred")
    if preferred is None or any(None in scores.values() for scores in told.values()):
        return None
    if preferred not in (*SIDES, TIE):
        raise Unreadable(f"{where}, item {item.item}: preferred is {preferred!r}")
    theirs = "B" if item.model_is == "A" else "A"
    by_whom = {item.model_is: MODEL, theirs: REFERENCE, TIE: TIE}
    whole = {side: {name: int(v or 0) for name, v in told[side].items()} for side in SIDES}
    return Reading(reader, item.item, whole[item.model_is], whole[theirs], by_whom[preferred])


def _rubrics(told: Any, where: str, item: str) -> dict[str, int | None]:
    scores = {rubric: told.get(rubric) if isinstance(told, dict) else None for rubric in RUBRICS}
    for rubric, score in scores.items():
        if score is not None and score not in range(1, 6):
            raise Unreadable(f"{where}, item {item}: {rubric} is {score!r}, not 1 to 5")
    return scores


def _means(answers: Sequence[Mapping[str, int]]) -> dict[str, tuple[float, float]]:
    columns = {rubric: [one[rubric] for one in answers] for rubric in RUBRICS}
    return {
        rubric: (fmean(values), stdev(values) if len(values) > 1 else 0.0)
        for rubric, values in columns.items()
    }


def _plus(score: tuple[float, float]) -> str:
    return f"{score[0]:.2f} \u00b1 {score[1]:.2f}"
