"""Makes docs/images/ohif.png, a phantom's report in OHIF: python -m tests.story.picture_of_ohif"""

import subprocess
import sys
import tempfile
from pathlib import Path

from pydicom import dcmread

from storage.archive import Archive
from tests.conftest import ROOT, find_ohif
from tests.story.ohif import ohif_at
from tests.story.small import settings_for, site
from tests.wire.browser import serving

PICTURE = ROOT / "docs" / "images" / "ohif.png"
WIDE = {"width": 1280, "height": 720}
LESION = 1
DISPLAY_SETS = 4


def main() -> None:
    """Make, report, open, keep."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = [sys.executable, "-m", "pacsnode", "phantom", "--out", str(home / "made")]
        subprocess.run([*made, "--seed", "1"], check=True)
        files = sorted((home / "made").rglob("*.dcm"))
        with site(settings_for(home, quiet_s=0.2)) as here:
            here.send_files(files)
            here.work_until(lambda: reports(home / "archive"), within_s=300)
        (report,) = reports(home / "archive")
        with (
            Archive.open(home / "archive") as archive,
            serving(archive, home, ohif=find_ohif()) as web,
            ohif_at(web.url.removesuffix("/dicom-web")) as viewer,
        ):
            viewer.page.set_viewport_size(WIDE)
            header = dcmread(report)
            viewer.open([str(header.StudyInstanceUID)], DISPLAY_SETS)
            viewer.hang(str(header.SeriesInstanceUID))
            viewer.page.wait_for_selector("svg tspan", state="attached")
            for _ in range(LESION - 1):
                viewer.to_next()
            viewer.page.wait_for_load_state("networkidle")
            viewer.page.screenshot(path=PICTURE)
            if viewer.faults:
                sys.exit("\n".join(viewer.faults))


def reports(archive: Path) -> list[Path]:
    """The files of SRs."""
    found = archive.rglob("*.dcm")
    return [one for one in found if dcmread(one, specific_tags=["Modality"]).Modality == "SR"]


if __name__ == "__main__":
    main()
