"""All files of an evaluation in one folder."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from engine.cohort.dataset import Example
from engine.evaluating.asking import Answer
from engine.evaluating.clinical import FactScore
from engine.evaluating.evaluation import Evaluation
from engine.evaluating.mask_swap import MaskSwap
from engine.evaluating.tables import markdown_of, name_of, write_figures, write_lesions
from engine.finding import ModelIdentity

PICTURED = ("organ", "site", "region")
ANSWERS = "answers.jsonl"


@contextmanager
def keeping(folder: Path) -> Iterator[Callable[[ModelIdentity, Answer], None]]:
    """What writes each answer to answers.jsonl at once: a run that breaks off loses none."""
    opened: list[IO[str]] = []
    with ExitStack() as until:

        def keep(who: ModelIdentity, answer: Answer) -> None:
            if not opened:  # no folder before there is something to keep
                folder.mkdir(parents=True, exist_ok=True)
                file = (folder / ANSWERS).open("w", encoding="utf-8", buffering=1)  # line by line
                opened.append(until.enter_context(file))
            told = {
                "describer": asdict(who),
                "study_id": answer.record.study_id,
                "lesion_id": answer.record.lesion_id,
                "unable": answer.unable.code if answer.unable else None,
                "text": answer.text,
            }
            opened[0].write(json.dumps(told, ensure_ascii=False) + "\n")

        yield keep


def save(
    evaluations: Sequence[Evaluation],
    examples: Callable[[], Iterable[Example]],
    folder: Path,
    dataset: str,
    swaps: Sequence[MaskSwap | None] = (),
) -> dict[str, Any]:
    """Write report.md, the CSV files, evaluation.json and the pictures; what the JSON holds.

    `examples` begins the dataset again, for the images of the worst cases.
    """
    from engine.evaluating.confusion import save_confusion  # loads matplotlib
    from engine.evaluating.worst import save_worst

    folder.mkdir(parents=True, exist_ok=True)
    figures = figures_of(evaluations, dataset, swaps)
    pictures: list[str] = []
    for number, one in enumerate(evaluations, 1):
        for fact in PICTURED:
            pictures.append(f"{number}-{fact}.png")
            save_confusion(one, fact, folder / pictures[-1])
        pictures.append(f"{number}-worst.png")
        save_worst(one, examples(), folder / pictures[-1])
    shown = "\n\n".join(f"![{name}]({name})" for name in pictures)
    report = markdown_of(evaluations, dataset) + _swapped(evaluations, swaps)
    (folder / "report.md").write_text(f"{report}\n## Pictures\n\n{shown}\n", "utf-8")
    (folder / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    write_lesions(evaluations, folder / "lesions.csv")
    write_figures(evaluations, swaps, folder / "figures.csv")
    return figures


def figures_of(
    evaluations: Sequence[Evaluation], dataset: str, swaps: Sequence[MaskSwap | None] = ()
) -> dict[str, Any]:
    """The figures as JSON values, for other programs."""
    padded = [*swaps, *[None] * (len(evaluations) - len(swaps))]
    return {
        "dataset": dataset,
        "lesions": len(evaluations[0].answers),
        "studies": evaluations[0].studies,
        "rules_on_reference": {one.fact: _fact(one) for one in evaluations[0].rules},
        "shuffled_reference": {
            "facts": {one.fact: _fact(one) for one in evaluations[0].chance.facts},
            "wording": evaluations[0].chance.wording,
        },
        "describers": [
            {
                "describer": asdict(one.model),
                "without_words": one.silent,
                "reasons": one.reasons,
                "elapsed_s": round(one.elapsed_s, 3),
                "facts": {score.fact: _fact(score) for score in one.facts},
                "wording": one.wording.whole,
                "efficacy": asdict(one.efficacy),
                "mask_swap": None if swap is None else _swap(swap),
            }
            for one, swap in zip(evaluations, padded, strict=True)
        ],
    }


def _fact(score: FactScore) -> dict[str, Any]:
    return asdict(score) | {"exact": score.exact, "interval": score.interval}


def _swap(swap: MaskSwap) -> dict[str, Any]:
    return {
        "pairs": len(swap.pairs), "passed": swap.passed, "share": swap.share,
        "interval": swap.interval,
    }  # fmt: skip


def _passed(swap: MaskSwap) -> str:
    if swap.share is None or swap.interval is None:
        return "- (no study holds two lesions at different places)"
    low, high = swap.interval
    return (
        f"{swap.passed} of {len(swap.pairs)} pairs "
        f"({100 * swap.share:.1f} %, 95 % interval {100 * low:.1f}-{100 * high:.1f})"
    )


def _swapped(evaluations: Sequence[Evaluation], swaps: Sequence[MaskSwap | None]) -> str:
    told = [
        f"- {name_of(one)}: {_passed(swap)}"
        for one, swap in zip(evaluations, swaps, strict=False)
        if swap is not None
    ]
    if not told:
        return ""
    said = "Two lesions of one volume, each described by its own mask: pairs that each got theirs."
    return f"\n## Mask swap\n\n{said}\n\n" + "\n".join(told) + "\n"
