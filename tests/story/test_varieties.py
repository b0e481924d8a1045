"""Every SEG, RTSTRUCT and foreign SR by C-STORE, and then what the worker makes of each mask."""

from pathlib import Path

import pytest
from pydicom import dcmread

from tests.peers import encoded_dataset
from tests.story.small import settings_for, site
from tests.wire.node import identity
from tests.wire.sender import Sender

pytestmark = [pytest.mark.slow, pytest.mark.wire]

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"  # Deflated Image Frame Compression
MASKS = ("SEG", "RTSTRUCT")
ENDS = ("context", "refused", "reported")


# masks that the index has: one SEG comes in a syntax that is not taken, two RTSTRUCTs share a UID
@pytest.mark.parametrize(
    ("folder", "kept_masks"), [("seg_variety", 7), ("rtstruct_variety", 2), ("sr_other_tools", 1)]
)
def test_each_object_ends_kept_reported_or_refused_with_its_reason(
    folder: str, kept_masks: int, data: Path, tmp_path: Path
) -> None:
    files = sorted((data / folder).rglob("*.dcm"))
    deflated = [one for one in files if identity(one)[2] == DEFLATED_FRAMES]
    sent = [one for one in files if one not in deflated]
    masks = {}
    with site(settings_for(tmp_path, quiet_s=0.2)) as here:
        port = here.listener.address[1]
        for path in sent:
            sop_class, instance, syntax = identity(path)
            with Sender(port, {1: (sop_class, [syntax])}) as sender:
                assert sender.store(encoded_dataset(path)[0], sop_class, instance) == 0, path.name
            header = dcmread(path, stop_before_pixels=True)
            if header.Modality in MASKS:
                masks[instance] = str(header.StudyInstanceUID)
        for path in deflated:
            sop_class, _, syntax = identity(path)
            with Sender(port, {1: (sop_class, [syntax])}) as sender:
                assert sender.accepted.get(1) is None, path.name

        def states() -> dict[str, str]:
            latest = here.archive.latest_decisions()
            return {str(line.mask_instance_uid): line.state for line in latest}

        here.work_until(
            lambda: all(states().get(mask) in ENDS for mask in masks), what="every decision"
        )
        for mask, study in masks.items():
            last = here.archive.decisions(study, mask)[-1]
            assert last.code, mask
            assert all(last.reasons), mask
            assert last.reasons, mask
        counts = here.archive.counts()
    assert counts["kept"] + counts["header-differs"] + counts["quarantined"] == len(sent)
    assert len(masks) == kept_masks
    assert len(deflated) == (1 if folder == "seg_variety" else 0)
