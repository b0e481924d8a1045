"""python -m tests.bench.ablation: what mask, CT, focal view and anatomy pretraining are worth.

One recipe is trained once an arm, with the same seed and as many steps; arms differ in what the
network is shown or asked. Every arm is judged on the same held-out phantoms, and where views were
blanked in training they are blanked there too. A run that broke off is taken up.
"""

import argparse
import csv
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.evaluating.clinical import FactScore
from engine.evaluating.evaluation import Evaluation, evaluate
from engine.evaluating.held_out import held_out, name_of_world
from engine.evaluating.mask_swap import MaskSwap, mask_swap
from engine.evaluating.saving import save
from engine.evaluating.wording import BLEU_4, CIDER, ROUGE_L
from engine.training.recipe import Recipe
from engine.training.run import train
from pacsnode.jobs.describers import describing, petar
from pacsnode.settings import Describe
from tests.conftest import ROOT

Say = Callable[[str], None]
FACTS = ("region", "laterality", "organ", "site")
WORDING = (BLEU_4, ROUGE_L, CIDER)


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the table: what this network goes without."""

    name: str
    said: str
    blank: tuple[str, ...] = ()
    learns_anatomy: bool = True

    def recipe(self, told: dict[str, Any]) -> Recipe:
        """The recipe of this arm; steps, seeds and sizes are those of all arms."""
        model = told["model"] | {"blank": self.blank}
        stages = told["stage"]
        if not self.learns_anatomy:
            stages = [stage | {"asks": "lesions"} for stage in stages]
        return Recipe.model_validate(told | {"model": model, "stage": stages})


ARMS = (
    Arm("whole", "all of it"),
    Arm("no-mask", "no mask", blank=("mask",)),
    Arm("no-ct", "no CT", blank=("ct",)),
    Arm("no-focal", "no focal view", blank=("focal",)),
    Arm("no-anatomy", "no anatomy pretraining", learns_anatomy=False),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """An arm with its figures."""

    arm: Arm
    evaluation: Evaluation
    swap: MaskSwap


def run_ablation(
    recipe: Path, out: Path, *, arms: Sequence[Arm] = ARMS, lesions: int = 500, pairs: int = 200,
    say: Say = print,
) -> str:  # fmt: skip
    """Train and judge every arm; the table as Markdown, also in `out`/ablation.md and .csv."""
    told = tomllib.loads(recipe.read_text("utf-8"))
    recipes = [arm.recipe(told) for arm in arms]  # all of them are valid before one is begun
    judged = []
    for arm, its_own in zip(arms, recipes, strict=True):
        folder = out / arm.name
        if is_finished(folder):
            say(f"{arm.said}: trained before")
        else:
            say(f"{arm.said}: training")
            resume = folder.is_dir() and any(folder.iterdir())
            train(its_own, folder, resume=resume, say=say)
        judged.append(judge(arm, folder, lesions, pairs, say))
    name = f"{name_of_world(is_shifted=False)}: ablation"
    evaluations, swaps = [one.evaluation for one in judged], [one.swap for one in judged]
    save(evaluations, lambda: held_out(lesions), out / "report", name, swaps)
    table = markdown(judged)
    (out / "ablation.md").write_text(table, "utf-8")
    write_csv(judged, out / "ablation.csv")
    return table


def is_finished(folder: Path) -> bool:
    """Whether a training has come to its end here."""
    account = folder / "training.json"
    return account.is_file() and bool(json.loads(account.read_text("utf-8"))["finished"])


def judge(arm: Arm, folder: Path, lesions: int, pairs: int, say: Say) -> Judged:
    """The arm's network on held-out phantoms."""
    told = Describe(describer="petar", model=folder, allow_demonstration=True)
    say(f"{arm.said}: judging")
    with describing(told, load=partial(petar, blank=arm.blank)) as describer:
        evaluation = evaluate(describer, held_out(lesions))
        swap = mask_swap(describer, held_out(lesions), pairs)
    return Judged(arm, evaluation, swap)


def markdown(judged: Sequence[Judged]) -> str:
    """The table: exact match in percent with its 95 % interval."""
    header = ["network", *FACTS, "pairs told apart", *WORDING]
    lines = [header, ["---"] * len(header), *([one.arm.said, *_cells(one)] for one in judged)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_csv(judged: Sequence[Judged], path: Path) -> None:
    """The same figures for programs, shares between 0 and 1."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(("network", *FACTS, "mask_swap", *WORDING, "judged", "without_words"))
        for one in judged:
            whole, facts = one.evaluation.wording.whole, _facts(one)
            rows.writerow(
                (one.arm.name, *(score.exact for score in facts), one.swap.share,
                 *(whole[name] for name in WORDING), len(one.evaluation.answers),
                 one.evaluation.silent)
            )  # fmt: skip


def _facts(one: Judged) -> list[FactScore]:
    by_name = {score.fact: score for score in one.evaluation.facts}
    return [by_name[fact] for fact in FACTS]


def _cells(one: Judged) -> list[str]:
    shares = [(score.exact, score.interval) for score in _facts(one)]
    shares.append((one.swap.share, one.swap.interval))
    cells = [
        "-" if share is None or interval is None
        else f"{100 * share:.1f} ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"
        for share, interval in shares
    ]  # fmt: skip
    return cells + [f"{one.evaluation.wording.whole[name]:.3f}" for name in WORDING]


def main() -> None:
    """Read the options, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ablation")
    parser.add_argument("--recipe", type=Path, default=ROOT / "deploy" / "train-ablation.toml")
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    parser.add_argument("--lesions", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=100)
    told = parser.parse_args()
    print(run_ablation(told.recipe, told.out, lesions=told.lesions, pairs=told.pairs))  # noqa: T201


if __name__ == "__main__":
    main()
