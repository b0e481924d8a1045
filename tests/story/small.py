"""Small studies for story tests, and one process that is listener, worker and receiver at once."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, generate_uid

from pacsnode.intake.association import Listener
from pacsnode.settings import Destination, Settings
from pacsnode.worker.running import Worker, working
from storage.archive import Archive
from storage.records import Decision
from tests.makers import make_ct, make_pet, make_seg, save
from tests.peers import LOOPBACK, Receiver, storescu, wait_until

SLICES = 6
HOT = (slice(2, 4), slice(5, 9), slice(5, 9))
HOT_BQ_ML = 20000.0


@dataclass(frozen=True)
class SmallStudy:
    """A PET and a CT of six slices and a SEG of one lesion, hot and in the middle."""

    pet: list[Dataset]
    ct: list[Dataset]
    seg: Dataset

    @property
    def study_uid(self) -> str:
        return str(self.seg.StudyInstanceUID)

    @property
    def mask_uid(self) -> str:
        return str(self.seg.SOPInstanceUID)

    @property
    def everything(self) -> list[Dataset]:
        return [*self.pet, *self.ct, self.seg]


def small_study(name: str, **seg_attributes: Any) -> SmallStudy:
    """A study whose every UID derives from `name`."""
    values = np.full((SLICES, 16, 16), 1000.0)
    values[HOT] = HOT_BQ_ML
    lesion = np.zeros(values.shape, bool)
    lesion[HOT] = True
    pet = make_pet(values, study=name, frame_of_reference=name)
    ct = make_ct(np.zeros(values.shape), study=name, frame_of_reference=name)
    seg = make_seg({"Lesion": lesion}, pet, series=f"seg {name}", **seg_attributes)
    return SmallStudy(pet, ct, seg)


def settings_for(home: Path, *receivers: Receiver, quiet_s: float = 1.0, **more: Any) -> Settings:
    """A node's settings with a destination for each receiver, named after its AE title."""
    destinations = tuple(
        Destination(name=one.ae_title, ae_title=one.ae_title, host=LOOPBACK, port=one.port)
        for one in receivers
    )
    return Settings(
        home=home,
        listen={"port": 0, "free_space_reserve_mb": 0},
        assembly={"quiet_s": quiet_s},
        destinations=destinations,
        **more,
    )


def reports_at(receiver: Receiver, study_uid: str | None = None) -> dict[str, Dataset]:
    """The SRs that a receiver got, by SOP Instance UID; those that came twice came alike."""
    encoded: dict[str, bytes] = {}
    for one in list(receiver.arrived):
        if one.sop_class_uid == Comprehensive3DSRStorage:
            first = encoded.setdefault(one.sop_instance_uid, one.encoded)
            assert first == one.encoded, "a report was sent again with other bytes"
    read = {uid: dcmread(BytesIO(data), force=True) for uid, data in encoded.items()}
    return {
        uid: report
        for uid, report in read.items()
        if study_uid is None or report.StudyInstanceUID == study_uid
    }


def predecessors(report: Dataset) -> list[str]:
    """The SOP Instance UIDs that a report takes the place of."""
    return [
        str(item.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]


@dataclass
class Site:
    """A listener and a worker in this process, on one home."""

    home: Path
    settings: Settings
    archive: Archive
    listener: Listener
    worker: Worker

    def send_files(self, paths: Sequence[Path]) -> None:
        """Files as they are, by DCMTK's storescu."""
        sent = storescu(self.listener.address[1], paths)
        assert sent.returncode == 0, sent.stderr + sent.stdout

    def send(self, datasets: Sequence[Dataset], *options: str) -> None:
        """By DCMTK's storescu, over one association; `options` are its own."""
        folder = self.home / "outgoing" / generate_uid()
        save(datasets, folder)
        sent = storescu(self.listener.address[1], [folder], options=options or ("-R",))
        assert sent.returncode == 0, sent.stderr + sent.stdout

    def work_until(
        self, true: Callable[[], Any], *, within_s: float = 30, what: str = "it"
    ) -> None:
        """Turn the worker's loop until `true()` holds."""

        def turned() -> Any:
            self.worker.turn()
            return true()

        wait_until(turned, within_s=within_s, what=what)

    def work_for(self, seconds: float) -> None:
        """Turn the worker's loop for a while in which nothing should happen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.worker.turn()
            time.sleep(0.05)

    def lines(self, study: SmallStudy) -> tuple[Decision, ...]:
        """The journal of a study's mask."""
        return self.archive.decisions(study.study_uid, study.mask_uid)

    def state(self, study: SmallStudy) -> str | None:
        """The state in the last line about a study's mask."""
        lines = self.lines(study)
        return lines[-1].state if lines else None


@contextmanager
def site(settings: Settings, **work: Any) -> Iterator[Site]:
    """Everything but the receiver, in this process; `work` goes to `working`."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with Archive.open(settings.home / "archive") as archive:
        listener = Listener(archive, settings.listen)
        listener.start()
        try:
            with working(settings, **work) as worker:
                yield Site(settings.home, settings, archive, listener, worker)
        finally:
            listener.stop()
