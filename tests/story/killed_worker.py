"""A worker that dies wherever a test arms it and is started again, and a listener that lives on."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from pacsnode.intake.association import Listener
from pacsnode.settings import Settings
from storage.archive import Archive
from tests.conftest import ROOT


@contextmanager
def worker_that_is_killed(
    settings: Settings, armed: Path, *, first_pause_s: float = 5.0
) -> Iterator[list[int]]:
    """A worker that dies at the places that `armed` names, as below."""
    arguments = ["tests.story.forking_worker", str(first_pause_s)]
    with worker_started_anew(settings, arguments, PACSNODE_TEST_FAILPOINT=str(armed)) as ended:
        yield ended


@contextmanager
def worker_started_anew(
    settings: Settings, arguments: Sequence[str], **environment: str
) -> Iterator[list[int]]:
    """A module's worker that starts again whenever it ends; gives the exit codes of those ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(settings.model_dump_json() + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "loaded\n"
    ended: list[int] = []
    output = process.stdout
    reader = Thread(target=lambda: ended.extend(map(int, output)), daemon=True)
    reader.start()
    try:
        yield ended
    finally:
        process.terminate()
        process.wait(30)
        reader.join(10)
        process.stdin.close()
        output.close()


@contextmanager
def listening(settings: Settings) -> Iterator[tuple[Archive, int]]:
    """The archive of a home and the port of a listener in front of it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with Archive.open(settings.home / "archive") as archive:
        listener = Listener(archive, settings.listen)
        listener.start()
        try:
            yield archive, listener.address[1]
        finally:
            listener.stop()
