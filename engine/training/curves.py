"""What a run has measured on its way: loss.csv and loss.png."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from engine.cohort.stored import replacing


@dataclass(frozen=True, slots=True)
class Row:
    """The training loss is the mean since the row before. Figures of held-out studies are None
    where they were not taken; shares are 0..1.
    """

    stage: str
    step: int  # of the whole run
    examples: int
    seconds: float
    learning_rate: float
    loss: float
    held_out_lesions: float | None = None  # loss
    held_out_regions: float | None = None  # loss
    region_exact: float | None = None  # names written exactly
    lesion_site: float | None = None  # sentences with the site of the reference
    lesion_side: float | None = None


NAMES = [one.name for one in fields(Row)]


def write_curves(folder: Path, rows: Sequence[Row]) -> None:
    """Both files, whole."""
    with replacing(folder / "loss.csv") as part, part.open("w", encoding="utf-8", newline="") as to:
        table = csv.DictWriter(to, NAMES)
        table.writeheader()
        table.writerows({k: _short(v) for k, v in asdict(row).items()} for row in rows)
    _draw(folder / "loss.png", rows)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _draw(path: Path, rows: Sequence[Row]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, shares = figure.subplots(2, 1, sharex=True)
    losses.plot([r.step for r in rows], [r.loss for r in rows], lw=1, label="training")
    for axes, names in (
        (losses, ("held_out_lesions", "held_out_regions")),
        (shares, ("region_exact", "lesion_site", "lesion_side")),
    ):
        for name in names:
            taken = [(r.step, getattr(r, name)) for r in rows if getattr(r, name) is not None]
            if taken:
                axes.plot(*zip(*taken, strict=True), marker=".", label=name.replace("_", " "))
    losses.set_ylabel("cross-entropy of a token")
    losses.set_yscale("log")
    shares.set(xlabel="step", ylabel="share right, held out", ylim=(0, 1))
    for axes in (losses, shares):
        if axes.lines:
            axes.legend()
        for at in {row.stage: row.step for row in rows}.values():
            axes.axvline(at, color="0.8", lw=0.8)
    with replacing(path) as part:
        figure.savefig(part, dpi=100, format="png")
