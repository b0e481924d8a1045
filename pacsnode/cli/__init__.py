"""The command line. Every command loads what it needs when it runs, and nothing before."""

from pacsnode.cli import benching, checking, looking, modelling, running
from pacsnode.cli.application import app, main, version

for command in (
    running.serve, running.worker, running.replay, running.demo,
    looking.status, looking.why, checking.check, looking.reindex, looking.show, benching.bench,
    version,
):  # fmt: skip
    app.command()(command)
app.add_typer(modelling.model)

__all__ = ["app", "main"]
