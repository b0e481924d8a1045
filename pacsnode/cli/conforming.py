"""conformance: what the node promises its peers."""

import typer

from pacsnode.cli.application import AsJson, print_json


def conformance(as_json: AsJson = False) -> None:
    """Print the DICOM conformance statement (DIMSE and DICOMweb), as Markdown."""
    from dataclasses import asdict

    from pacsnode.web.statement import as_markdown, statement

    blocks = statement()
    if as_json:
        print_json([{"kind": type(block).__name__.lower()} | asdict(block) for block in blocks])
    else:
        typer.echo(as_markdown(blocks), nl=False)
