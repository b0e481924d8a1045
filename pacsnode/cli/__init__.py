"""The command line. Every command loads what it needs when it runs, and nothing before."""

from pacsnode.cli import (
    acting,
    benching,
    checking,
    datasets,
    evaluating,
    looking,
    making,
    modelling,
    running,
    secrets,
    training,
)
from pacsnode.cli.application import app, main, version

for command in (
    running.serve, running.worker, running.replay, running.demo,
    looking.status, looking.why, checking.check, looking.reindex, looking.show, benching.bench,
    acting.retry, acting.requeue, acting.cancel, acting.accept, acting.verify, acting.reject,
    evaluating.evaluate, making.phantom, training.train, secrets.password, secrets.token, version,
):  # fmt: skip
    app.command()(command)
app.add_typer(modelling.model)
app.add_typer(datasets.dataset)
app.add_typer(evaluating.reader_study)

__all__ = ["app", "main"]
