"""pdf: the pictures of a study's reports as PDF."""

from pathlib import Path
from typing import Annotated

import typer

from pacsnode.cli.application import (
    FAILED,
    AsJson,
    Config,
    Home,
    archive_of,
    console,
    errors,
    fail,
    print_json,
    settings_from,
)


def pdf(
    study_uid: Annotated[str, typer.Argument(metavar="STUDY_UID")],
    out: Annotated[Path, typer.Option(help="Folder for the documents.")] = Path(),
    plain: Annotated[
        bool, typer.Option("--plain", help="Write .pdf files instead of DICOM objects.")
    ] = False,
    config: Config = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Draw the reports of a study into Encapsulated PDFs: projections, slices, every lesion."""
    from pacsnode.jobs.pictures import pdf_of_report, standing_reports, stands_rejected

    settings = settings_from(config, home)
    written = []
    with archive_of(settings) as archive:
        reports = standing_reports(study_uid, archive)
        if not reports:
            fail(f"The archive holds no report of ours of study {study_uid}")
        rejected = [one for one in reports if stands_rejected(one, archive)]
        for one in rejected:
            errors.print(
                f"A person rejected the report {one.sop_instance_uid}: it is not drawn.",
                soft_wrap=True,
            )
        if rejected == reports:
            raise typer.Exit(FAILED)
        out.mkdir(parents=True, exist_ok=True)
        for one in reports:
            if one in rejected:
                continue
            document = pdf_of_report(one.path, archive, settings)
            path = out / f"{one.sop_instance_uid}.{'pdf' if plain else 'dcm'}"
            if plain:
                length = document.EncapsulatedDocumentLength
                path.write_bytes(document.EncapsulatedDocument[:length])
            else:
                document.save_as(path, enforce_file_format=True)
            written.append(path)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        console.print(str(path), soft_wrap=True)
