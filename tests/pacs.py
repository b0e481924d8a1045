"""Orthanc as the PACS that a node asks, and the real study that it holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pacsnode.settings import Settings
from tests.conftest import DICOM_WEB, find_plugin
from tests.peers import LOOPBACK, Orthanc

WAYS = ("dicomweb", "move", "get")


def images_of(study: Path) -> list[Path]:
    """The PET and the CT of a study of `ibsi_sts`."""
    return sorted([*(study / "PET").glob("*.dcm"), *(study / "CT").glob("*.dcm")])


class Pacs(Orthanc):
    """Answers C-FIND, C-MOVE, C-GET and DICOMweb; knows one node, at the port given."""

    def __init__(self, folder: Path, node_port: int) -> None:
        super().__init__(
            folder,
            Plugins=[find_plugin(DICOM_WEB)],
            DicomModalities={"node": ["PACSNODE", LOOPBACK, node_port]},
            DicomAlwaysAllowFind=True,
            DicomAlwaysAllowGet=True,
            DicomAlwaysAllowMove=True,
        )

    def asked_by(self, way: str) -> dict[str, Any]:
        """The source of a node's settings."""
        if way == "dicomweb":
            return {"name": "PACS", "url": self.dicom_web}
        there = {"name": "PACS", "ae_title": self.ae_title, "host": LOOPBACK, "port": self.port}
        return there | {"retrieve": way}


def asking(home: Path, port: int, sources: Sequence[dict[str, Any]], **more: Any) -> Settings:
    """The settings of a node that listens on a port and asks these sources."""
    listen = {"port": port, "free_space_reserve_mb": 0}
    return Settings.model_validate({"home": home, "listen": listen, "sources": sources} | more)
