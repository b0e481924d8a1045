"""An evaluation as Markdown for people, and as CSV, a row a lesion."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from engine.evaluating import paper
from engine.evaluating.clinical import FactScore
from engine.evaluating.evaluation import Evaluation
from engine.evaluating.facts import FACTS, UNSAID, mistakes
from engine.evaluating.mask_swap import MaskSwap
from engine.evaluating.wording import (
    BLEU_1,
    BLEU_1_CORPUS,
    BLEU_4,
    BLEU_4_CORPUS,
    CIDER,
    METEOR,
    ROUGE_L,
)

_WORDING = (BLEU_1, BLEU_4, BLEU_1_CORPUS, BLEU_4_CORPUS, ROUGE_L, METEOR, CIDER)
_NOT_STATED = "-"


def name_of(evaluation: Evaluation) -> str:
    """Who was judged, short: name, and the first digits of its weights."""
    who = evaluation.model
    weights = f" {who.weights_sha256[:8]}" if who.weights_sha256 else f" {who.version}"
    profile = f" {who.profile}" if who.profile else ""
    return f"{who.name}{weights}{profile}{' (demonstration)' if who.is_demonstration else ''}"


def markdown_of(evaluations: Sequence[Evaluation], dataset: str) -> str:
    """The report on one dataset, every describer that was judged on it beside the others."""
    first = evaluations[0]
    sources = sorted({answer.record.source or "unknown" for answer in first.answers})
    parts = [
        f"# Evaluation on {dataset}",
        f"{len(first.answers)} lesions of {first.studies} studies; source: {', '.join(sources)}. "
        "Neutral segment labels, numbers masked, raw words of the describer. Definitions: "
        "docs/reference/metrics.md.",
        _table(
            ("describer", "lesions", "without words", "seconds", "lesions/s"),
            ([name_of(one), str(len(one.answers)), _silent(one), f"{one.elapsed_s:.1f}",
              _rate(one)] for one in evaluations),
        ),
        "## What is said",
        "Exact match with the record, 95 % interval; macro-F1 after the slash. A fact counts where "
        "the record knows it. Two rows are of the reference texts: read with the same rules no "
        "describer can be expected above them; shuffled over the lesions they show what style "
        "alone is worth.",
        _facts_table(evaluations),
        "## Wording",
        "Mean over lesions, but for (corpus).",
        _wording_table(evaluations),
        _paper_table(),
        "## Uptake by organ group, study by study",
        "PET2Rep's clinical efficacy with our 19 groups: precision / recall / F1. A state that "
        "occurs on neither side is not averaged.",
        _efficacy_table(evaluations),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def write_lesions(evaluations: Sequence[Evaluation], path: Path) -> None:
    """One row a lesion and describer: what is known, what was said, and the scores."""
    metrics = tuple(evaluations[0].wording.each)
    header = [
        "describer", "study_id", "lesion_id", "unable", "wrong",
        *(f"{fact}_known" for fact in FACTS), *(f"{fact}_said" for fact in FACTS),
        *metrics, "reference", "text",
    ]  # fmt: skip
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(header)
        for one in evaluations:
            rows.writerows(_lesion_rows(one, metrics))


def write_figures(
    evaluations: Sequence[Evaluation], swaps: Sequence[MaskSwap | None], path: Path
) -> None:
    """One row a describer and figure, for spreadsheets; shares lie between 0 and 1."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(("describer", "figure", "value", "low_95", "high_95", "judged"))
        for one, swap in zip_longest(evaluations, swaps[: len(evaluations)]):
            rows.writerows(_figure_rows(one, swap))


def _figure_rows(one: Evaluation, swap: MaskSwap | None) -> Iterator[list[object]]:
    who = name_of(one)
    for score in one.facts:
        if score.exact is not None and score.interval is not None:
            yield [who, f"{score.fact} exact", score.exact, *score.interval, score.judged]
            yield [who, f"{score.fact} macro-F1", score.macro_f1, "", "", score.judged]
    for name, value in one.wording.whole.items():
        yield [who, name, value, "", "", len(one.answers)]
    yield [who, "uptake by organ group F1", one.efficacy.f1, "", "", one.studies]
    yield [who, "without words", one.silent, "", "", len(one.answers)]
    if swap is not None and swap.share is not None and swap.interval is not None:
        yield [who, "mask swap", swap.share, *swap.interval, len(swap.pairs)]


def metrics_in(row: Iterable[str]) -> tuple[str, ...]:
    """The metrics among the columns that `write_lesions` writes."""
    columns = list(row)
    return tuple(columns[columns.index(f"{FACTS[-1]}_said") + 1 : columns.index("reference")])


def _lesion_rows(one: Evaluation, metrics: Sequence[str]) -> Iterator[list[object]]:
    who = name_of(one)
    for at, (answer, known, said) in enumerate(zip(one.answers, one.known, one.said, strict=True)):
        yield [
            who, answer.record.study_id, answer.record.lesion_id,
            answer.unable.code if answer.unable else "", " ".join(mistakes(known, said)),
            *(getattr(known, fact) or "" for fact in FACTS),
            *(getattr(said, fact) or UNSAID for fact in FACTS),
            *(f"{one.wording.each[name][at]:.6f}" for name in metrics),
            answer.record.text, answer.text,
        ]  # fmt: skip


def _facts_table(evaluations: Sequence[Evaluation]) -> str:
    rows = [[name_of(one), *map(_fact_cell, one.facts)] for one in evaluations]
    rows.append(["reference texts, same rules", *map(_fact_cell, evaluations[0].rules)])
    rows.append(["reference texts, shuffled", *map(_fact_cell, evaluations[0].chance.facts)])
    judged = [f"{score.fact} ({score.judged})" for score in evaluations[0].facts]
    return _table(("describer", *judged), rows)


def _fact_cell(score: FactScore) -> str:
    if score.exact is None or score.interval is None or score.macro_f1 is None:
        return _NOT_STATED
    low, high = score.interval
    return f"{_percent(score.exact)} % ({_percent(low)}-{_percent(high)}) / {score.macro_f1:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _wording_table(evaluations: Sequence[Evaluation]) -> str:
    learned = [name for name in evaluations[0].wording.whole if name not in _WORDING]
    columns = (*_WORDING, *learned)
    rows = [
        [name_of(one), *(f"{one.wording.whole[name]:.3f}" for name in columns)]
        for one in evaluations
    ]
    chance = evaluations[0].chance.wording
    shown = (f"{chance[name]:.3f}" if name in chance else _NOT_STATED for name in columns)
    rows.append(["reference texts, shuffled", *shown])
    return _table(("describer", *columns), rows)


def _paper_table() -> str:
    rows = [
        [f"{name} (as printed, another test set)", *("-" if v is None else f"{v:.3f}" for v in row)]
        for name, row in (paper.TABLE_2 | paper.TABLE_3).items()
    ]
    return (
        f"Beside them the paper's own rows (Tables 2 and 3), on **another test set** "
        f"({paper.TEST_SET}), not measured here. Its METEOR has synonyms, its BLEU is of unclear "
        "order, its CIDEr of unstated scale: compare nothing across the two tables digit by digit."
        "\n\n" + _table(("printed in the paper", *paper.COLUMNS), rows)
    )


def _efficacy_table(evaluations: Sequence[Evaluation]) -> str:
    rows = []
    for one in evaluations:
        states = [
            _NOT_STATED if score is None else " / ".join(f"{value:.3f}" for value in score)
            for score in one.efficacy.by_state.values()
        ]
        mean = one.efficacy.precision, one.efficacy.recall, one.efficacy.f1
        rows.append([name_of(one), *states, " / ".join(f"{value:.3f}" for value in mean)])
    return _table(("describer", *evaluations[0].efficacy.by_state, "macro"), rows)


def _silent(one: Evaluation) -> str:
    """How many lesions got no words, and why; each counts as said wrong."""
    reasons = ", ".join(f"{code} {count}" for code, count in one.reasons.items())
    return f"{one.silent} ({reasons})" if reasons else str(one.silent)


def _rate(one: Evaluation) -> str:
    return f"{len(one.answers) / one.elapsed_s:.2f}" if one.elapsed_s else _NOT_STATED


def _table(header: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
