"""A mask sent alone, while its PET and CT lie in a real PACS: the node asks for them."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dbos import DBOS, WorkflowStatus
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from pacsnode.cli import app
from pacsnode.jobs.desk import Backoff
from storage.records import Decision
from tests.makers import make_seg
from tests.pacs import WAYS, Pacs, asking, images_of
from tests.peers import LOOPBACK, Receiver, encoded_dataset, free_port
from tests.story.small import Site, reports_at, site

pytestmark = [pytest.mark.slow, pytest.mark.wire]

QUICK = Backoff(first_s=0.2, cap_s=2.0)  # a study is looked at between two tries


@pytest.fixture(scope="module")
def study(data: Path) -> Path:
    return data / "ibsi_sts" / "STS_002"


@pytest.fixture(scope="module")
def node_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def pacs(study: Path, node_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    with Pacs(tmp_path_factory.mktemp("pacs"), node_port) as running:
        running.hold(images_of(study))
        yield running


@pytest.fixture(scope="module")
def seg(study: Path) -> Dataset:
    """A SEG of what is hot in the real PET, the only series that it refers to."""
    pet = [dcmread(path) for path in (study / "PET").glob("*.dcm")]
    pet.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    hot = np.stack([one.pixel_array * float(one.RescaleSlope) for one in pet])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The string")  # the patient's name has one component
        return make_seg({"Lesion": hot > 0.5 * hot.max()}, pet, series="alone")


@contextmanager
def asking_node(home: Path, port: int, sources: Sequence[dict[str, Any]]) -> Iterator[Site]:
    with Receiver() as receiver:
        there = {"name": "R", "ae_title": "RECEIVER", "host": LOOPBACK, "port": receiver.port}
        told = {"assembly": {"quiet_s": 1.0}, "destinations": [there]}
        with site(asking(home, port, sources, **told), backoff=QUICK) as here:
            yield here
            # the last try to fetch finds that the report is made, and ends
            here.work_until(lambda: not _under_way(), within_s=60, what="the end of asking")
        assert len(reports_at(receiver)) == 1


def _under_way() -> list[WorkflowStatus]:
    return DBOS.list_workflows(
        workflow_id_prefix="fetch:", status=["ENQUEUED", "PENDING", "DELAYED"], load_input=False
    )


def lines(here: Site, mask: Dataset) -> tuple[Decision, ...]:
    return here.archive.decisions(str(mask.StudyInstanceUID), str(mask.SOPInstanceUID))


def work_until_delivered(here: Site, mask: Dataset) -> None:
    def delivered() -> bool:
        return "delivered" in [line.state for line in lines(here, mask)]

    here.work_until(delivered, within_s=90, what="the report")


def why(home: Path, mask: Dataset) -> str:
    told = CliRunner().invoke(app, ["why", str(mask.StudyInstanceUID), "--home", str(home)])
    assert told.exit_code == 0
    return told.stdout


@pytest.mark.parametrize("way", WAYS)
def test_a_seg_sent_alone_ends_in_a_report(
    way: str, study: Path, seg: Dataset, pacs: Pacs, node_port: int, tmp_path: Path
) -> None:
    images = images_of(study)
    down = {"name": "OTHER", "url": f"http://{LOOPBACK}:{free_port()}"}
    with asking_node(tmp_path, node_port, [down, pacs.asked_by(way)]) as here:
        here.send([seg])
        work_until_delivered(here, seg)
        for path in images:
            sent = dcmread(path)
            kept = here.archive.instance(str(sent.SOPInstanceUID))
            assert kept is not None
            assert kept.calling_ae == ("ORTHANC" if way == "move" else "PACS")
            if way == "dicomweb":
                same = encoded_dataset(kept.path) == encoded_dataset(path)
            else:  # Orthanc writes anew what it sends by DIMSE
                same = dcmread(kept.path) == sent
            assert same, path.name
    told = why(tmp_path, seg)
    said = f"PACS lists {len(images)} images in 2 series that it needs; "
    assert said + f"asked for the {len(images)} that were not here, {len(images)} came." in told
    assert "OTHER could not be asked now" in told


def test_an_rtstruct_waits_until_the_pacs_has_its_images(study: Path, tmp_path: Path) -> None:
    mask = dcmread(study / "RTSTRUCT_PET.dcm")  # which names images that nobody has
    port = free_port()
    with (
        Pacs(tmp_path / "pacs", port) as pacs,
        asking_node(tmp_path / "home", port, [pacs.asked_by("dicomweb")]) as here,
    ):
        here.send_files([study / "RTSTRUCT_PET.dcm"])
        here.work_until(lambda: "asked" in lines(here, mask)[-1].facts if lines(here, mask) else 0)
        pacs.hold(images_of(study))
        work_until_delivered(here, mask)
        asked = [line.facts["asked"] for line in lines(here, mask) if "asked" in line.facts]
    assert asked[0] == ("PACS was asked, and lists no series that it needs.",)
    assert "that were not here" in why(tmp_path / "home", mask)
    assert len(asked) <= 6  # what is only said again takes no line
