"""What independent tools say of a document."""

import json
import subprocess
from pathlib import Path
from typing import Any

from pydicom import Dataset

from tests.conftest import find_peer, find_pixelmed

# dsrdump knows UTF-8 and says that its checker of value representations does not
_KNOWN_DSRDUMP = "VR checker does not support"


def write(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def dciodvfy_errors(path: Path) -> list[str]:
    """The errors (not the warnings) of dicom3tools' IOD validator."""
    said = _run([find_peer("dciodvfy"), "-new", str(path)])
    assert said, "dciodvfy said nothing at all"
    return [line for line in said if line.startswith("Error")]


def dsrdump_complaints(path: Path) -> list[str]:
    """All that DCMTK's reader of structured reports complains of."""
    said = _run([find_peer("dsrdump"), "--no-output", str(path)], accepted=(0, 1, 2))
    return [line for line in said if line[:2] in ("E:", "W:", "F:") and _KNOWN_DSRDUMP not in line]


def dsrdump_text(path: Path) -> str:
    return "\n".join(
        _run([find_peer("dsrdump"), "--print-all-codes", "--print-long-values", str(path)])
    )


def tid1500_groups(path: Path) -> list[dict[str, Any]]:
    """The measurement groups as dcmqi reads them."""
    out = path.with_suffix(".json")
    reader = find_peer("tid1500reader")
    _run([reader, "--inputDICOM", str(path), "--outputMetadata", str(out)])
    groups: list[dict[str, Any]] = json.loads(out.read_text())["Measurements"]
    return groups


# the templates are XSLT of a size that Java's own bounds refuse; a short life needs no compiler
_JAVA = (
    *(f"-Djdk.xml.xpath{what}Limit=0" for what in ("ExprOp", "TotalOp", "ExprGrp")),
    "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
)  # fmt: skip


def pixelmed_lines(path: Path) -> list[str]:
    """What PixelMed's DicomSRValidator says: IHE tests Evidence Creators with it."""
    jar = find_pixelmed()
    java = find_peer("java")
    # Debian's jar names those it needs; one from elsewhere has them beside it
    classes = str(jar) if jar.parent == Path("/usr/share/java") else f"{jar}:{jar.parent}/*"
    validator = "com.pixelmed.validate.DicomSRValidator"
    return _run([java, *_JAVA, "-cp", classes, validator, str(path)], timeout_s=200)


def _run(
    command: list[str], accepted: tuple[int, ...] = (0, 1), timeout_s: float = 60
) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode in accepted, done.stderr
    return (done.stdout + done.stderr).splitlines()
