"""A model for replay's process, without a network, that fails as a file says."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from engine.errors import ModelFault
from engine.finding import Description, ModelIdentity
from engine.lesion import Lesion
from engine.volume import Scan
from pacsnode.errors import BadSettings
from pacsnode.settings import Describe

SAYS = "Moderate uptake."


class FaultyModel:
    """Dies, hangs or fails on the studies for which `folder` has a file named after their PET."""

    identity = ModelIdentity("faulty", "1", "5e" * 32, "cpu", "float32")

    def __init__(self, folder: Path) -> None:
        self.batches = SimpleNamespace(busy_s=0.0)
        self._folder = folder

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description]:
        """Words, unless a file says otherwise."""
        time.sleep(0.3)  # so that cases meet
        order = self._folder / scan.pet.series_instance_uid
        if order.exists():
            kind, often = order.read_text("ascii").split()
            if often == "once":
                order.unlink()
            if kind == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "hang":
                self.batches.busy_s = 1e9
                time.sleep(60)
            raise ModelFault("The model failed", code=kind)
        return [Description(SAYS) for _ in lesions]


@contextmanager
def faulty_model(told: Describe) -> Iterator[FaultyModel]:
    """The model in the folder that the settings name; refused where there is none."""
    assert told.model is not None
    if not told.model.is_dir():
        raise BadSettings("The model is refused")
    yield FaultyModel(told.model)
