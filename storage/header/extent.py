"""The box around all contours of an RT structure set."""

from typing import Final

import numpy as np

from storage.header.elements import Elements

ROI_CONTOUR_SEQUENCE: Final = 0x30060039
CONTOUR_SEQUENCE: Final = 0x30060040
CONTOUR_DATA: Final = 0x30060050


def contour_extent_lps_mm(encoded: bytes, elements: Elements) -> tuple[float, ...] | None:
    """Least x, y, z and greatest x, y, z; None without contours, or where a number is none."""
    boxes = []
    rois = elements.get(ROI_CONTOUR_SEQUENCE)
    for roi in (rois and rois.items) or ():
        contours = roi.get(CONTOUR_SEQUENCE)
        for contour in (contours and contours.items) or ():
            data = contour.get(CONTOUR_DATA)
            if data is None or data.start == data.stop:
                continue
            letters = encoded[data.start : data.stop].rstrip(b" \0").split(b"\\")
            try:
                points = np.array(letters, dtype=np.float64).reshape(-1, 3)
            except ValueError:
                return None
            if not np.isfinite(points).all():
                return None
            boxes.append((points.min(axis=0), points.max(axis=0)))
    if not boxes:
        return None
    least = np.min([box[0] for box in boxes], axis=0)
    greatest = np.max([box[1] for box in boxes], axis=0)
    return (*least.tolist(), *greatest.tolist())
