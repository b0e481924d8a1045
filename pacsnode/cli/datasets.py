"""dataset pairs, dataset petarseg, dataset show: folders of lesions with images and words."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pacsnode.cli.application import DONE, FAILED, WRONG, AsJson, console, errors, fail, print_json

if TYPE_CHECKING:
    from engine.cohort.pairs_endpoint import Endpoint

dataset = typer.Typer(
    name="dataset",
    help="Make a folder of lesions with images and words, or look at one.",
    no_args_is_help=True,
)
Out = Annotated[Path, typer.Option(help="Folder of the dataset; what is in it stays.")]


@dataset.command()
def pairs(
    exams: Annotated[
        Path,
        typer.Argument(
            metavar="EXAMS.CSV",
            help="A line an examination: the folder of its DICOM files, the file of its report.",
            exists=True,
            dir_okay=False,
        ),
    ],
    out: Out,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="OpenAI-compatible endpoint to ask where rules do not settle; by default none.",
            show_default=False,
        ),
    ] = None,
    endpoint_model: Annotated[
        str, typer.Option(metavar="NAME", help="The model to ask there.")
    ] = "default",
    allow_remote_endpoint: Annotated[
        bool,
        typer.Option(
            "--allow-remote-endpoint",
            help="Send sentences of reports to an endpoint that is not on this machine.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Match sentences of reports with lesions of their PET by SUVmax and slice.

    Exit code 1 where an examination could not be read.
    """
    from engine.cohort.pairs import REASONS
    from engine.cohort.pairs_writing import write_pairs
    from engine.evaluating.interpretation import interpretation_in

    ask = _endpoint(endpoint, endpoint_model, allow_remote=allow_remote_endpoint)
    told = write_pairs(exams, out, ask, interpretation_in, say=lambda line: errors.print(line))
    if as_json:
        print_json(told)
    else:
        table = Table("", "sentences", "why")
        for code, count in sorted(told["counts"].items(), key=lambda one: -one[1]):
            table.add_row(code, str(count), REASONS.get(code, ""))
        console.print(table)
        console.print(
            f"{told['exams']} examinations, {told['before']} done before, "
            f"{len(told['refused'])} refused; {told['sentences']} sentences"
        )
    raise typer.Exit(FAILED if told["refused"] else DONE)


@dataset.command()
def petarseg(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE.CSV", help="A line a lesion.", exists=True, dir_okay=False),
    ],
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="The folder that the table's paths start from.",
            exists=True,
            file_okay=False,
        ),
    ],
    out: Out,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN",
            help="Which column holds a field; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    tracer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of lines that state none, FDG say: a model is asked of tracers it knows alone.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring in PETARSeg-11K, or another table of lesions with NIfTI images.

    A lesion comes in when its mask holds the SUVmax that its line states. A run that broke off is
    taken up. Exit code 1 where no lesion comes in or is there.
    """
    from engine.cohort.dataset import write_example
    from engine.cohort.petarseg import THERE_ALREADY, Passed, read_petarseg
    from engine.errors import UnusableCase

    named = dict(_field(text) for text in column or ())
    counts: Counter[str] = Counter()
    for one in read_petarseg(table, images, named, out, tracer):
        if isinstance(one, Passed):
            counts[one.code] += 1
            if one.code != THERE_ALREADY:
                errors.print(f"Line {one.line}: {one.sentence}", soft_wrap=True)
            continue
        try:
            write_example(out, one)
            counts["lesions"] += 1
        except UnusableCase as exc:
            counts[exc.code] += 1
            errors.print(str(exc), soft_wrap=True)
    if as_json:
        print_json(dict(counts))
    else:
        for code, count in counts.most_common():
            console.print(f"{code}: {count}")
    raise typer.Exit(DONE if counts["lesions"] + counts[THERE_ALREADY] else FAILED)


@dataset.command()
def show(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A dataset.", exists=True, file_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Count the lesions of a dataset by split, organ group, side, uptake and interpretation."""
    from engine.cohort.dataset import read_records

    fields = ("split", "organ_group", "region", "laterality", "uptake", "interpretation", "source")
    counts = {field: Counter[str]() for field in fields}
    studies, lesions = set(), 0
    for record in read_records(folder):
        studies.add(record.study_id)
        lesions += 1
        for field in fields:
            counts[field][getattr(record, field) or "not known"] += 1
    if as_json:
        print_json({"studies": len(studies), "lesions": lesions} | {
            field: dict(found.most_common()) for field, found in counts.items()
        })  # fmt: skip
        return
    console.print(f"{len(studies)} studies, {lesions} lesions")
    for field, found in counts.items():
        listed = ", ".join(f"{name} {count}" for name, count in found.most_common())
        console.print(f"{field}: {listed}", soft_wrap=True)


def _field(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not equals or not column:
        fail(f"--column is FIELD=COLUMN, not {text!r}", WRONG)
    return field, column


def _endpoint(url: str | None, model: str, *, allow_remote: bool) -> "Endpoint | None":
    if url is None:
        return None
    from engine.cohort.pairs_endpoint import Endpoint, EndpointNotAllowed

    try:
        return Endpoint(url, model, allow_remote, os.environ.get("PACSNODE_ENDPOINT_KEY"))
    except EndpointNotAllowed as exc:
        fail(str(exc), WRONG)
