"""The lesions that a describer had most wrong, with their images, on one page."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.cohort.dataset import Example
from engine.evaluating.evaluation import Evaluation
from engine.evaluating.facts import UNSAID, mistakes
from engine.evaluating.tables import name_of
from engine.evaluating.wording import ROUGE_L
from engine.report.page import COLOURS, FAINT, INK, PAPER, RULE, SUV_WINDOW
from engine.report.views import VIEWS, View, project

ROW_IN, PAGE_IN = 2.9, 12.0


def worst_of(evaluation: Evaluation, most: int) -> tuple[int, ...]:
    """Positions of the answers with the most facts wrong; of equals the least alike in words."""
    rouge = evaluation.wording.each[ROUGE_L]
    wrong = [
        len(mistakes(known, said))
        for known, said in zip(evaluation.known, evaluation.said, strict=True)
    ]
    ranked = sorted(range(len(wrong)), key=lambda at: (-wrong[at], rouge[at], at))
    return tuple(at for at in ranked if wrong[at])[:most]


def save_worst(
    evaluation: Evaluation, examples: Iterable[Example], path: Path, most: int = 8
) -> int:
    """Draw the worst cases into a PNG, looked up in `examples`; how many were drawn."""
    worst = worst_of(evaluation, most)
    wanted = {_key(evaluation, at): row for row, at in enumerate(worst)}
    figure = Figure(figsize=(PAGE_IN, ROW_IN * max(1, len(worst)) + 0.5), facecolor=PAPER)
    top = 1 - 0.42 / figure.get_figheight()
    title = f"{name_of(evaluation)}: the {len(worst)} of {len(evaluation.answers)} most wrong"
    figure.text(0.02, 1 - 0.25 / figure.get_figheight(), title, fontsize=12, color=INK, va="center")
    if worst:
        grid = figure.add_gridspec(
            len(worst), 3, width_ratios=(1, 1, 2.6), left=0.02, right=0.99, top=top, bottom=0.01,
            wspace=0.05, hspace=0.12,
        )  # fmt: skip
        left = dict(wanted)
        for example in examples:
            row = left.pop((example.record.study_id, example.record.lesion_id), None)
            if row is not None:
                for column, view in enumerate(VIEWS):
                    draw_view(figure.add_subplot(grid[row, column]), example, view)
                _draw_words(figure.add_subplot(grid[row, 2]), evaluation, worst[row])
            if not left:
                break
    figure.savefig(path, format="png", dpi=130, facecolor=PAPER)
    return len(worst)


def _key(evaluation: Evaluation, at: int) -> tuple[str, str]:
    record = evaluation.answers[at].record
    return record.study_id, record.lesion_id


def draw_view(axes: Axes, example: Example, view: View) -> None:
    """The projection with the lesion's outline."""
    pet = project(example.scan.pet.values, example.scan.pet.grid, view)
    outline = project(example.mask.voxels, example.mask.grid, view)
    low, high = SUV_WINDOW
    axes.imshow(pet.values, cmap="gray_r", vmin=low, vmax=high, origin="lower",
                extent=pet.extent_mm, aspect="equal")  # fmt: skip
    rows, columns = outline.values.shape
    axes.contour(
        (np.arange(columns) + 0.5) * outline.extent_mm[1] / columns,
        (np.arange(rows) + 0.5) * outline.extent_mm[3] / rows,
        outline.values.astype(np.float32), levels=[0.5], colors=[COLOURS[0]], linewidths=1.2,
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("R - L" if view == "coronal" else "A - P", fontsize=7, color=FAINT, pad=2)
    for spine in axes.spines.values():
        spine.set_edgecolor(RULE)


def _draw_words(axes: Axes, evaluation: Evaluation, at: int) -> None:
    axes.set_axis_off()
    answer, known, said = evaluation.answers[at], evaluation.known[at], evaluation.said[at]
    wrong = "; ".join(
        f"{fact}: {getattr(known, fact)}, said {getattr(said, fact) or UNSAID}"
        for fact in mistakes(known, said)
    )
    words = answer.text or f"(no words: {answer.unable.code if answer.unable else 'empty'})"
    record = answer.record
    _block(axes, 0.97, f"{record.study_id} {record.lesion_id}", (FAINT, 8))
    _block(axes, 0.88, f"Wrong: {wrong}", (COLOURS[0], 8))
    _block(axes, 0.66, f"Reference: {record.text}", (INK, 8.5))
    _block(axes, 0.32, f"Said: {words}", (COLOURS[1], 8.5))


def _block(axes: Axes, y: float, text: str, style: tuple[str, float]) -> None:
    """Text that keeps to four lines."""
    colour, size = style
    lines: Sequence[str] = textwrap.wrap(text, 92) or [""]
    shown = [*lines[:3], f"{lines[3][:88]} ..."] if len(lines) > 4 else lines
    # mathtext would read dollar signs of a text as formulae
    axes.text(0.01, y, "\n".join(shown), fontsize=size, color=colour, va="top",
              transform=axes.transAxes, parse_math=False)  # fmt: skip
