"""evaluate, reader-study: how good a describer's words are."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.status import Status
from rich.table import Table

from pacsnode.cli.application import (
    FAILED,
    WRONG,
    AsJson,
    Config,
    console,
    errors,
    fail,
    print_json,
    settings_from,
)
from pacsnode.cli.folders import existing

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
PHANTOMS = "phantoms"
VIEWS = ("focal", "mask", "ct")
reader_study = typer.Typer(
    name="reader-study",
    help="Let people judge a describer's words, blinded, beside the reference.",
    no_args_is_help=True,
)


def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Folder of a dataset (docs/reference/dataset.md); or phantoms: held-out studies "
            "of the phantom world, made on the way.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report and pictures.")],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Checkpoint folder of petar, or demo; may be given more than once.",
            parser=existing,
            show_default=False,
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VIEW",
            help="Judge each model once more with focal, mask or ct views blanked.",
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        bool, typer.Option(help="Judge the describer that needs no model as well.")
    ] = True,
    config: Config = None,
    split: Split = None,
    lesions: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first N lesions; 500 of phantoms.", show_default=False),
    ] = None,
    shifted: Annotated[
        bool, typer.Option("--shifted", help="Phantoms of other bodies, scanners and words.")
    ] = False,
    mask_swap: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Also describe N pairs of one study, each by its own mask: are they told apart?",
        ),
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
    from engine.evaluating.evaluation import evaluate as judged
    from engine.evaluating.learned import require
    from engine.evaluating.saving import keeping, save
    from pacsnode.jobs.describers import describing

    for wanted in metric or ():
        require(wanted, metric_models)
    name, examples = _examples(data, split, lesions, is_shifted=shifted)
    told = _described(config, model, without or (), template=template)
    if not told:
        fail("Nothing to judge: give --model, or leave --template on", WRONG)

    if len(told) > 1:  # hours of the first are not spent before the last is known to load
        for one, load in told:
            with errors.status("trying to load"), describing(one, load=load):
                pass
    evaluations: list[Evaluation] = []
    swaps: list[MaskSwap | None] = []
    with keeping(out) as keep, errors.status("loading") as status:
        for one, load in told:
            with describing(one, load=load) as describer:
                say = partial(_say, status, describer.identity.name)
                evaluations.append(
                    judged(
                        describer, examples(), metrics=tuple(metric or ()),
                        metric_models=metric_models, say=say,
                        keep=partial(keep, describer.identity),
                    )
                )  # fmt: skip
                swaps.append(_swap(describer, examples(), mask_swap))
    figures = save(evaluations, examples, out, name, swaps)
    if as_json:
        print_json(figures)
    else:
        console.print(_table(evaluations, swaps))
        console.print(f"Report, pictures, a row a lesion: {out}", markup=False, soft_wrap=True)
    silent = [one for one in evaluations if one.silent == len(one.answers)]
    for one in silent:
        codes = ", ".join(f"{code} {count}" for code, count in one.reasons.items())
        errors.print(f"{one.model.name} had words for no lesion: {codes}", markup=False)
    if silent:
        raise typer.Exit(FAILED)


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


def _examples(
    data: str, split: str | None, lesions: int | None, *, is_shifted: bool
) -> "tuple[str, Callable[[], Iterator[Example]]]":
    """What the lesions are called, and how to begin with them, as often as one likes."""
    from itertools import islice

    from engine.cohort.dataset import read_dataset
    from engine.evaluating.held_out import LESIONS, held_out, name_of_world

    if data == PHANTOMS:
        if split is not None:
            fail("--split is for a folder: phantoms that are held out are all of split test", WRONG)
        most = lesions or LESIONS
        name = name_of_world(is_shifted=is_shifted)
        return name, lambda: held_out(most, is_shifted=is_shifted)
    folder = Path(data)
    if not folder.is_dir():
        fail(f"{folder} is not there, or is no folder; {PHANTOMS} needs none", WRONG)
    if is_shifted:
        fail(f"--shifted is for {PHANTOMS} alone", WRONG)
    return folder.name, lambda: islice(read_dataset(folder, split), lesions)


def _described(
    config: Path | None, models: list[Path] | None, without: Sequence[str], *, template: bool
) -> list[tuple[Any, Any]]:
    """The settings of every describer that is to be judged, and how it is loaded."""
    from pacsnode.jobs.describers import petar

    unknown = sorted(set(without) - set(VIEWS))
    if unknown:
        fail(f"--without is {unknown[0]!r}, not of {', '.join(VIEWS)}", WRONG)
    told: list[tuple[dict[str, Any], Any]] = []
    if template:
        told.append(({"describer": "template"}, None))
    for folder in models or ():
        # a model that cannot be loaded is an error here, whoever speaks for it in a node
        one = {
            "describer": "petar", "model": folder, "when_unable": "wait",
            "allow_demonstration": True,
        }  # fmt: skip
        told += [(one, petar), *((one, partial(petar, blank=(view,))) for view in without)]
    return [(settings_from(config, describe=one).describe, load) for one, load in told]


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


def _table(evaluations: "list[Evaluation]", swaps: "list[MaskSwap | None]") -> Table:
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
    if any(swaps):
        table.add_row("pairs told apart", *(_share(one.share if one else None) for one in swaps))
    if any(one.silent for one in evaluations):
        table.add_row("without words", *(str(one.silent) for one in evaluations))
    return table


def _share(exact: float | None) -> str:
    return "-" if exact is None else f"{100 * exact:.1f} %"
