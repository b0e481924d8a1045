"""A worker with a toy model that fails as told, started again within a moment of its death.

As `forking_worker`, with the learning stack loaded before the fork. A file in the folder that the
environment names is called after the PET series of a study and says what its words end in.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from engine.errors import ModelFault
from engine.lesion import Lesion
from engine.petar import checkpoint, describe  # noqa: F401 loaded before the fork
from engine.volume import Scan
from pacsnode import log
from pacsnode.jobs import describers
from pacsnode.settings import Describe, Settings
from pacsnode.worker import running

FAULTS = Path(os.environ["PACSNODE_TEST_FAULTS"])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """In native code, other threads going on."""
    libc = ctypes.CDLL(None)
    while True:
        libc.pause()


def hold() -> None:
    """In native code, no other Python thread going on."""
    libc = ctypes.PyDLL(None)
    while True:
        libc.pause()


def exhaust() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def lose() -> None:
    raise ModelFault("The device of the model no longer answers", code="device-lost")


KINDS: dict[str, Callable[[], None]] = {
    "die": die, "hang": hang, "hold": hold, "exhaust": exhaust,
}  # fmt: skip


def faulty(told: Describe) -> Any:
    """The model, with faults in its own thread while a study that is named is under way."""
    model: Any = load(told)
    model._results.limit_bytes = 0  # the studies of these tests have the same pixels
    write, words = model._writer.write, model.describe
    armed: list[str] = []

    def meddled_write(*arguments: Any, **named: Any) -> Any:
        for kind in armed:
            KINDS[kind]()
        return write(*arguments, **named)

    def meddled_words(scan: Scan, lesions: Sequence[Lesion]) -> Any:
        order = FAULTS / scan.pet.series_instance_uid
        try:
            kind, often = order.read_text("ascii").split()
        except FileNotFoundError:
            return words(scan, lesions)
        if often == "once":
            order.unlink()
        if kind == "lose":
            lose()
        armed.append(kind)
        try:
            return words(scan, lesions)
        finally:
            armed.remove(kind)

    model._writer.write, model.describe = meddled_write, meddled_words
    return model


load = describers.petar


def main() -> int:
    """Fork workers until SIGTERM; tell how each of them ended."""
    settings = Settings.model_validate_json(sys.stdin.buffer.readline())
    log.set_up("error")
    torch.set_num_threads(1)
    describers.petar = faulty
    describers.HANGS_AFTER_S = 3.0
    describers.HANGS_AFTER_DEADLINES = 0
    running.SILENT_FOR_S = 8.0
    stopping = False
    child = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    print("loaded", flush=True)  # noqa: T201 the test waits for it
    while not stopping:
        child = os.fork()
        if child == 0:
            os._exit(running.work(settings, may_wait_for_model=True))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 the test reads it
    return 0


if __name__ == "__main__":
    sys.exit(main())
