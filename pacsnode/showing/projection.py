"""A report in pictures, drawn by a process of its own: projections, kept on disk, and the PDF."""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread

from engine.errors import UnusableCase
from engine.reading.part10 import FOREIGN
from pacsnode import log
from pacsnode.errors import NodeError
from pacsnode.jobs.pictures import case_of, stands_rejected
from storage.archive import Archive
from storage.records import Instance

FOLDER: Final = "pictures"
DRAWN_BY: Final = 2  # raise it when the drawing changes: older files are drawn anew
PATIENCE_S: Final = 150.0
MOST_KEPT: Final = 2000
PNG_BEGINS: Final = b"\x89PNG"
PDF_BEGINS: Final = b"%PDF"


class NoPicture(NodeError):
    """Why there is none, in a sentence for a person."""


class Projections:
    """One picture is drawn at a time: drawing takes a processor and the memory of a whole PET."""

    def __init__(self, archive: Archive, home: Path, fractional_threshold: float) -> None:
        self._archive = archive
        self._folder = home / FOLDER
        self._fractional_threshold = fractional_threshold
        self._lock = threading.Lock()

    def picture(self, sr: Instance) -> bytes:
        """The PNG. Raises NoPicture."""
        path = self._folder / f"{sr.sha256}-{DRAWN_BY}.png"
        kept = _kept(path)
        if kept is not None:
            return kept
        with self._lock:
            kept = _kept(path)
            if kept is not None:
                return kept
            drawn = _drawn(self._errand(sr, "projections"), PNG_BEGINS)
            self._keep(path, drawn)
            return drawn

    def pdf(self, sr: Instance) -> bytes:
        """What `pacsnode pdf --plain` writes; it is not kept. Raises NoPicture."""
        if stands_rejected(sr, self._archive):
            raise NoPicture("A person rejected this report: it is not drawn.")
        with self._lock:
            return _drawn(self._errand(sr, "pdf"), PDF_BEGINS)

    def _errand(self, sr: Instance, what: str) -> dict[str, object]:
        try:
            case = case_of(_header(sr), self._archive)
        except UnusableCase as exc:
            raise NoPicture(
                "The images that the report was made from are not all kept here."
            ) from exc
        return {
            "what": what,
            "sr": str(sr.path),
            "pet": [str(path) for path in case.pet],
            "ct": [str(path) for path in case.ct],
            "mask": str(case.mask),
            "fractional_threshold": self._fractional_threshold,
        }

    def _keep(self, path: Path, drawn: bytes) -> None:
        """A picture that cannot be kept is drawn again next time."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            draft = path.with_suffix(".part")
            draft.write_bytes(drawn)
            draft.replace(path)
            self._forget_old()
        except OSError as exc:
            log.event("picture-not-kept", level=logging.WARNING, reason=exc.strerror)

    def _forget_old(self) -> None:
        kept = sorted(self._folder.glob("*.png"), key=lambda one: one.stat().st_mtime)
        for path in kept[:-MOST_KEPT]:
            path.unlink(missing_ok=True)


def _kept(path: Path) -> bytes | None:
    try:
        found = path.read_bytes()
    except OSError:
        return None
    return found if found.startswith(PNG_BEGINS) else None


def _header(sr: Instance) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            return dcmread(sr.path)
    except FOREIGN as exc:
        raise NoPicture("The report cannot be read.") from exc


def _drawn(errand: dict[str, object], begins: bytes) -> bytes:
    # a spare environment: what the node was told (passwords, say) is none of a decoder's business
    environment = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ
    }
    environment |= {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-P", "-m", "pacsnode.showing.projection_child"]
    try:
        done = subprocess.run(  # noqa: S603  our own program, no shell, no peer's words
            command, input=json.dumps(errand).encode(), env=environment, timeout=PATIENCE_S,
            check=False, capture_output=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise NoPicture("Drawing took too long.") from exc
    except OSError as exc:
        raise NoPicture("The drawing process did not start.") from exc
    if done.returncode or not done.stdout.startswith(begins):
        log.event(
            "picture-not-drawn", level=logging.WARNING, status=done.returncode,
            error=done.stderr.decode("ascii", "replace")[-60:],
        )  # fmt: skip
        raise NoPicture("The picture could not be drawn.")
    return done.stdout
