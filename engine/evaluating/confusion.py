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
MOST = 28  # classes that one page has room for


def save_confusion(evaluation: Evaluation, fact: str, path: Path) -> None:
    """Draw one fact (`site`, `organ`, ...) into a PNG; rarer classes are drawn as `other`."""
    counts = confusion(fact, evaluation.known, evaluation.said)
    names, table = _table_of(counts)
    side = max(4.0, 0.27 * len(names) + 2.2)
    figure = Figure(figsize=(side + 0.6, side), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90, fontsize=7, color=INK)
    axes.set_yticks(ticks, names, fontsize=7, color=INK)
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


def _table_of(counts: Counter[tuple[str, str]]) -> tuple[Sequence[str], np.ndarray]:
    """The most frequent classes by name, and counts [known, said]; `other` comes last."""
    seen: Counter[str] = Counter()
    for (known, said), count in counts.items():
        seen[known] += count
        seen[said] += count
    kept = sorted(
        (name for name, _ in seen.most_common(MOST)), key=lambda one: (one == UNSAID, one)
    )
    names = kept if len(seen) <= MOST else [*kept, OTHER]
    place = {name: at for at, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), np.int64)
    for (known, said), count in counts.items():
        table[place.get(known, len(names) - 1), place.get(said, len(names) - 1)] += count
    return names, table
