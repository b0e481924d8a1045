"""phantom: a study of the phantom world in a folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pacsnode.cli.application import AsJson, console, fail, print_json

FORMS = ("siemens", "ge", "philips", "arrays")
TRACERS = ("FDG", "PSMA", "DOTATATE")
SPLITS = ("train", "validation", "test")


def phantom(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.", file_okay=False)],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same study.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Studies, of this seed and the next ones.")] = 1,
    form: Annotated[
        str,
        typer.Option("--as", help="DICOM as one of siemens, ge, philips writes it; or arrays."),
    ] = "siemens",
    spacing_mm: Annotated[float, typer.Option(min=1.5, max=10, help="Edge of a PET voxel.")] = 4.0,
    shifted: Annotated[
        bool, typer.Option("--shifted", help="Other bodies, scanners, positions and words.")
    ] = False,
    tracer: Annotated[str, typer.Option(help="FDG, PSMA or DOTATATE.")] = "FDG",
    split: Annotated[
        str, typer.Option(help="What the records are for: train, validation or test.")
    ] = "train",
    as_json: AsJson = False,
) -> None:
    """Make a PET/CT of the phantom world, with lesions and what a report says of them."""
    for option, wanted, allowed in (
        ("--as", form, FORMS), ("--tracer", tracer, TRACERS), ("--split", split, SPLITS),
    ):  # fmt: skip
        if wanted not in allowed:
            fail(f"{option} is {wanted!r}, not of {', '.join(allowed)}", code=2)
    from engine.cohort.body_tissues import SHORT_NAMES
    from engine.cohort.world import WorldOptions, make_world_study, write_arrays
    from engine.cohort.world_dicom import write_dicom

    is_dicom = form != "arrays"
    options = WorldOptions(
        spacing_mm=(spacing_mm,) * 3,
        ct_spacing_mm=(3.0, 1.953125, 1.953125) if is_dicom else None,
        is_shifted=shifted,
        split=split,
        tracer={short: name for name, short in SHORT_NAMES.items()}[tracer],
    )
    told: list[dict[str, Any]] = []
    for each in range(seed, seed + count):
        study = make_world_study(each, options)
        if is_dicom:
            place = out if count == 1 else out / study.study_id
            write_dicom(study, place, form)
            lines = [json.dumps(asdict(record)) for record in study.records]
            (place / "records.jsonl").write_text("".join(f"{one}\n" for one in lines), "utf-8")
        else:
            write_arrays(study, out)
        told.extend(asdict(record) for record in study.records)
        if not as_json:
            console.print(f"{study.study_id}: {len(study.records)} findings", markup=False)
            for record in study.records:
                console.print(f"  {record.text}", markup=False, soft_wrap=True)
    if as_json:
        print_json(told)
