"""A study whose images a slow source gives: nothing is reported of it until they are here."""

import json
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import pytest
from pydicom import Dataset

from pacsnode.jobs.desk import Backoff
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.records import Decision
from tests.encoded import part10_bytes
from tests.makers import save
from tests.pacs import asking
from tests.peers import LOOPBACK, Receiver, storescu, wait_until
from tests.story.killed_worker import listening, worker_that_is_killed
from tests.story.small import SmallStudy, reports_at, site, small_study
from tests.web_server import Asked, Reply, WebServer, part10

pytestmark = [pytest.mark.slow, pytest.mark.wire]

QUICK = Backoff(first_s=0.1)  # later pauses grow: a study is looked at in one
LONG_S = 2.0  # a study would long have counted as quiet


def source_of(
    images: Sequence[Dataset], before_giving: Callable[[Dataset], object]
) -> AbstractContextManager[WebServer]:
    """A DICOMweb source of these images of one study (PS3.18 10.4, 10.6)."""
    series = {str(one.SeriesInstanceUID): str(one.Modality) for one in images}

    def answer(asked: Asked) -> Reply:
        path = asked.path.partition("?")[0]
        if "/instances/" in path:
            (wanted,) = (one for one in images if path.endswith(f"/{one.SOPInstanceUID}"))
            before_giving(wanted)
            return part10(part10_bytes(wanted))
        if "offset=" in asked.path:
            return Reply(200, b"[]")
        if path.endswith("/instances"):
            return _rows(
                {"00080018": str(one.SOPInstanceUID)}
                for one in images
                if f"/series/{one.SeriesInstanceUID}/" in path
            )
        return _rows({"0020000E": uid, "00080060": kind} for uid, kind in series.items())

    return WebServer(answer)


def _rows(rows: Iterable[dict[str, str]]) -> Reply:
    return Reply(200, json.dumps([
        {tag: {"Value": [value]} for tag, value in row.items()} for row in rows
    ]).encode())  # fmt: skip


class Door:
    """Holds whoever gives the third CT slice until it is opened."""

    def __init__(self, study: SmallStudy) -> None:
        self._third = study.ct[2].SOPInstanceUID
        self.reached, self.opened = threading.Event(), threading.Event()

    def pass_through(self, image: Dataset) -> None:
        if image.SOPInstanceUID == self._third:
            self.reached.set()
            self.opened.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.set()


def settings_in(home: Path, quiet_s: float, receiver: Receiver, *sources: WebServer) -> Settings:
    there = {"name": "R", "ae_title": "RECEIVER", "host": LOOPBACK, "port": receiver.port}
    asked = [{"name": f"S{number}", "url": one.url} for number, one in enumerate(sources)]
    return asking(home, 0, asked, assembly={"quiet_s": quiet_s}, destinations=[there])


def _whole(lines: Sequence[Decision], study: SmallStudy) -> None:
    """It was ordered once, with every slice.

    A later try to fetch that ended just then says beside it what came: a line more, the same order.
    """
    ready = [line for line in lines if line.code == "ready"]
    assert len({line.facts["seed"] for line in ready}) == 1
    for images in (study.pet, study.ct):
        chosen = f"({images[0].SeriesInstanceUID}, {len(images)} objects) was chosen"
        assert any(chosen in reason for reason in ready[0].reasons)


def test_a_study_waits_for_the_end_of_its_own_fetch(tmp_path: Path) -> None:
    study = small_study("slow source")
    with (
        Door(study) as door,
        Receiver() as receiver,
        source_of([*study.pet, *study.ct], door.pass_through) as source,
        site(settings_in(tmp_path, 0.3, receiver, source), backoff=QUICK) as here,
    ):
        here.send([study.seg])
        here.work_until(door.reached.is_set, within_s=60, what="the third CT slice to be asked for")
        here.work_for(LONG_S)
        held = here.lines(study)
        door.opened.set()
        here.work_until(lambda: here.state(study) == "delivered", within_s=60, what="the report")
        lines = here.lines(study)
        assert len(reports_at(receiver)) == 1
    assert not {"ready", "reported"} & {line.state for line in held}
    _whole(lines, study)
    asked = [line.facts["asked"] for line in lines if "asked" in line.facts]
    told = (
        "lists 12 images in 2 series that it needs; asked for the 12 that were not here, 12 came."
    )
    assert asked[0] == (f"S0 {told}",)


def test_a_fetch_that_a_kill_broke_off_holds_its_study_after_the_restart(tmp_path: Path) -> None:
    study = small_study("killed in mid fetch")
    armed = tmp_path / "armed"
    armed.mkdir()

    def arm(image: Dataset) -> None:
        if image is study.pet[-1]:  # the worker dies before it asks the next source
            (armed / "asking").write_text("once\n", "ascii")

    with (
        Door(study) as door,
        Receiver() as receiver,
        source_of(study.pet, arm) as first,
        source_of(study.ct, door.pass_through) as second,
    ):
        settings = settings_in(tmp_path / "home", 1.0, receiver, first, second)
        with (
            listening(settings) as (archive, port),
            worker_that_is_killed(settings, armed, first_pause_s=0.1) as ended,
        ):
            assert storescu(port, save([study.seg], tmp_path / "seg")).returncode == 0
            wait_until(lambda: ended, within_s=60, what="the kill")
            assert ended == [-signal.SIGKILL]
            wait_until(door.reached.is_set, within_s=60, what="the fetch to go on")
            threading.Event().wait(LONG_S)
            held = _lines(archive, study)
            door.opened.set()
            wait_until(
                lambda: _lines(archive, study)[-1].state == "delivered",
                within_s=60, what="the report",
            )  # fmt: skip
            lines = _lines(archive, study)
        assert len(reports_at(receiver)) == 1
    assert not {"ready", "reported"} & {line.state for line in held}
    _whole(lines, study)


def _lines(archive: Archive, study: SmallStudy) -> tuple[Decision, ...]:
    return archive.decisions(study.study_uid, study.mask_uid)
