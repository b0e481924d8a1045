"""evaluate, reader-study: how good a describer's words are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.status import Status
from rich.table import Table

from pacsnode.cli.application import (
    WRONG,
    AsJson,
    Config,
    console,
    errors,
    fail,
    print_json,
    settings_from,
)

if TYPE_CHECKING:
    from engine.cohort.dataset import Example
    from engine.evaluating.evaluation import Evaluation
    from engine.evaluating.mask_swap import MaskSwap
    from engine.evaluating.reader_scores import ReaderScores
    from engine.finding import Describer

Dataset = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="Folder of a dataset (docs/reference/dataset.md).", exists=True,
        file_okay=False,
    ),
]  # fmt: skip
Split = Annotated[
    str | None,
    typer.Option(help="Only this part: train, validation or test.", show_default=False),
]
reader_study = typer.Typer(
    name="reader-study",
    help="Let people judge a describer's words, blinded, beside the reference.",
    no_args_is_help=True,
)


def evaluate(
    data: Dataset,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report and pictures.")],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Checkpoint folder of petar; may be given more than once.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        bool, typer.Option(help="Judge the describer that needs no model as well.")
    ] = True,
    config: Config = None,
    split: Split = None,
    lesions: Annotated[
        int | None, typer.Option(min=1, help="Only the first N lesions.", show_default=False)
    ] = None,
    mask_swap: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also describe N pairs by each other's mask.")
    ] = 0,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="A learned metric: BERTScore, RaTEScore or GREEN.", show_default=False),
    ] = None,
    metric_models: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where the models of learned metrics are.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge describers on a dataset: wording, and what is said of place, uptake and meaning."""
    from functools import partial
    from itertools import islice

    from engine.cohort.dataset import read_dataset
    from engine.evaluating.evaluation import evaluate as judged
    from engine.evaluating.learned import require
    from engine.evaluating.saving import keeping, save
    from pacsnode.jobs.describers import describing

    for name in metric or ():
        require(name, metric_models)
    told = _described(config, model, template=template)
    if not told:
        fail("Nothing to judge: give --model, or leave --template on", WRONG)

    def examples() -> "Iterator[Example]":
        return islice(read_dataset(data, split), lesions)

    if len(told) > 1:  # hours of the first are not spent before the last is known to load
        for one in told:
            with errors.status("trying to load"), describing(one):
                pass
    evaluations: list[Evaluation] = []
    swaps: list[MaskSwap | None] = []
    with keeping(out) as keep, errors.status("loading") as status:
        for one in told:
            with describing(one) as describer:
                say = partial(_say, status, describer.identity.name)
                evaluations.append(
                    judged(
                        describer, examples(), metrics=tuple(metric or ()),
                        metric_models=metric_models, say=say,
                        keep=partial(keep, describer.identity),
                    )
                )  # fmt: skip
                swaps.append(_swap(describer, examples(), mask_swap))
    figures = save(evaluations, examples, out, data.name, swaps)
    if as_json:
        print_json(figures)
    else:
        console.print(_table(evaluations))
        console.print(f"Report, pictures, a row a lesion: {out}", markup=False, soft_wrap=True)


@reader_study.command()
def make(
    data: Dataset,
    lesions: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="lesions.csv of an evaluation of that dataset.",
            exists=True,
            dir_okay=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for form.html and key.json.")],
    describer: Annotated[
        str | None,
        typer.Option(help="Whose words, where the file holds several.", show_default=False),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Lesions to judge.")] = 116,
    seed: Annotated[
        int, typer.Option(help="Draws and shuffles; the same seed, the same form.")
    ] = 1,
) -> None:
    """Make the form: pairs of findings, shuffled, and a key that readers must not see."""
    from engine.cohort.dataset import read_dataset
    from engine.evaluating.reader_form import form_of
    from engine.evaluating.reader_items import make_key, read_lesions, write_key

    name, rows = read_lesions(lesions, describer)
    key = make_key(name, rows, pairs, seed)
    drawn = {(item.study_id, item.lesion_id) for item in key.items}
    page = form_of(
        key, read_dataset(data, wanted=lambda one: (one.study_id, one.lesion_id) in drawn)
    )
    out.mkdir(parents=True, exist_ok=True)
    form, secret = out / "form.html", out / "key.json"
    form.write_text(page, "utf-8")
    write_key(key, secret)
    console.print(f"{len(key.items)} pairs of {name}", markup=False)
    console.print(f"For readers: {form}. For you alone: {secret}", markup=False, soft_wrap=True)


@reader_study.command()
def read(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="key.json of the form.", exists=True)],
    answers: Annotated[
        list[Path],
        typer.Argument(metavar="ANSWERS...", help="Files that readers saved.", exists=True),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the figures as Markdown.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read answers back: scores, preferences, and how the metrics follow them."""
    from dataclasses import asdict

    from engine.evaluating.reader_items import read_key
    from engine.evaluating.reader_scores import read_answers, scored, scores_markdown

    secret = read_key(key)
    scores: ReaderScores = scored(secret, *read_answers(secret, answers))
    said = scores_markdown(scores, secret.describer)
    if out is not None:
        out.write_text(said, "utf-8")
    if as_json:
        print_json(asdict(scores))
    else:
        console.print(said, markup=False, soft_wrap=True)


def _described(config: Path | None, models: list[Path] | None, *, template: bool) -> list[Any]:
    """The settings of every describer that is to be judged."""
    told: list[dict[str, Any]] = [{"describer": "template"}] if template else []
    told += [
        # a model that cannot be loaded is an error here, whoever speaks for it in a node
        {"describer": "petar", "model": folder.absolute(), "when_unable": "wait"}
        for folder in models or ()
    ]
    return [settings_from(config, describe=one).describe for one in told]


def _swap(describer: "Describer", examples: "Iterator[Example]", pairs: int) -> "MaskSwap | None":
    """None where it was not asked for; without pairs where the dataset has none."""
    from engine.errors import UnusableCase
    from engine.evaluating.mask_swap import NO_PAIR, MaskSwap, mask_swap

    if not pairs:
        return None
    try:
        return mask_swap(describer, examples, pairs)
    except UnusableCase as exc:
        if exc.code != NO_PAIR:
            raise
        return MaskSwap(())


def _say(status: Status, name: str, done: int) -> None:
    status.update(f"{name}: {done} lesions")


def _table(evaluations: "list[Evaluation]") -> Table:
    from engine.evaluating.tables import name_of

    facts, wording = evaluations[0].facts, evaluations[0].wording.whole
    table = Table("figure", *(name_of(one) for one in evaluations), "rules on reference")
    for at, score in enumerate(facts):
        rules = evaluations[0].rules[at]
        cells = [_share(one.facts[at].exact) for one in evaluations]
        table.add_row(f"{score.fact} right, of {score.judged}", *cells, _share(rules.exact))
    for name in wording:
        table.add_row(name, *(f"{one.wording.whole[name]:.3f}" for one in evaluations), "")
    table.add_row("uptake by organ, F1", *(f"{one.efficacy.f1:.3f}" for one in evaluations), "")
    return table


def _share(exact: float | None) -> str:
    return "-" if exact is None else f"{100 * exact:.1f} %"
