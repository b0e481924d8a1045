"""A picture of which places were said for which: known down, said across."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from engine.evaluating.clinical import confusion
from engine.evaluating.evaluation import Evaluation
from engine.evaluating.facts import UNSAID
from engine.evaluating.tables import name_of
from engine.report.page import FAINT, INK, PAPER, RULE

OTHER = "other"
ANOTHER = "another other"  # said of a rare class: not the one that it is
MOST = 28  # classes that one page has room for


def save_confusion(evaluation: Evaluation, fact: str, path: Path) -> None:
    """Draw one fact (`site`, `organ`, ...) into a PNG; rarer classes share a row, `other`."""
    counts = confusion(fact, evaluation.known, evaluation.said)
    rows, columns, table = table_of(counts)
    side = max(4.0, 0.27 * len(columns) + 2.2)
    figure = Figure(figsize=(side + 0.6, side), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7, color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=7, color=INK)
    axes.set_xlabel(f"{fact} said", color=FAINT, fontsize=9)
    axes.set_ylabel(f"{fact} known", color=FAINT, fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_edgecolor(RULE)
    for row, column in np.argwhere(table > 0).tolist():
        shade = PAPER if shares[row, column] > 0.5 else INK
        axes.text(column, row, str(table[row, column]), fontsize=6, color=shade,
                  ha="center", va="center")  # fmt: skip
    right = sum(count for (known, said), count in counts.items() if known == said)
    axes.set_title(f"{name_of(evaluation)}: {fact}, {counts.total()} lesions, {right} right",
                   fontsize=9, color=INK, loc="left")  # fmt: skip
    figure.savefig(path, format="png", dpi=150, facecolor=PAPER)


def table_of(
    counts: Counter[tuple[str, str]],
) -> tuple[Sequence[str], Sequence[str], np.ndarray]:
    """Classes known, classes said, and counts [known, said].

    The most frequent classes by name; the others are one, whose wrong answers have a column of
    their own: on the diagonal is what is right, and nothing else.
    """
    seen: Counter[str] = Counter()
    for (known, said), count in counts.items():
        seen[known] += count
        seen[said] += count
    kept = sorted(
        (name for name, _ in seen.most_common(MOST)), key=lambda one: (one == UNSAID, one)
    )
    rows, columns = kept, kept
    if len(seen) > MOST:
        rows, columns = [*kept, OTHER], [*kept, OTHER, ANOTHER]
    place = {name: at for at, name in enumerate(kept)}
    table = np.zeros((len(rows), len(columns)), np.int64)
    for (known, said), count in counts.items():
        row, column = place.get(known, len(kept)), place.get(said, len(kept))
        is_wrong = row == column == len(kept) and known != said
        table[row, column + is_wrong] += count
    return rows, columns, table
