"""OHIF in a headless Chromium, driven by its own services, and what it shows read off its page."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as NotInTime

from tests.conftest import find_peer

# WebGL by the CPU
SOFTWARE = (
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)  # fmt: skip
PATIENCE_S = 120.0  # of a machine with much else to do
OPENED = """count => {
  const all = window.services ?? {};
  if (!((all.displaySetService?.getActiveDisplaySets().length ?? 0) >= count)) return false;
  const id = all.viewportGridService.getActiveViewportId();
  const viewport = all.cornerstoneViewportService.getCornerstoneViewport(id);
  return viewport?.getCurrentImageId?.() != null && viewport.viewportStatus === 'rendered';
}"""
SET_OF = """const set = window.services.displaySetService.getActiveDisplaySets()
  .find(one => one.SeriesInstanceUID === series);"""
HANG = f"""series => {{
  {SET_OF}
  const {{ hangingProtocolService, viewportGridService }} = window.services;
  const viewport = viewportGridService.getActiveViewportId();
  const viewportsToUpdate = hangingProtocolService
    .getViewportsRequireUpdate(viewport, set.displaySetInstanceUID);
  window.commandsManager.run('setDisplaySetsForViewports', {{ viewportsToUpdate }});
}}"""
IS_HUNG = f"""series => {{
  {SET_OF}
  const {{ viewports, activeViewportId }} = window.services.viewportGridService.getState();
  const hung = viewports.get(activeViewportId).displaySetInstanceUIDs;
  return set.isLoaded && hung.includes(set.displaySetInstanceUID);
}}"""
LABELS = f"""series => {{
  {SET_OF}
  return set.measurements.map(one => [one.TrackingUniqueIdentifier, one.labels]);
}}"""
DRAWN = """() => {
  const { viewportGridService, cornerstoneViewportService } = window.services;
  const id = viewportGridService.getActiveViewportId();
  const viewport = cornerstoneViewportService.getCornerstoneViewport(id);
  const layer = document.querySelector(`#svg-layer-${id}`);
  const world = point => [...viewport.canvasToWorld(point.split(',').map(Number))];
  return {
    image: viewport.getCurrentImageId().match(/instances\\/([0-9.]+)/)[1],
    texts: Object.fromEntries([...layer.querySelectorAll('g[data-annotation-uid]')].map(
      one => [one.dataset.annotationUid, [...one.querySelectorAll('tspan')].map(
        line => line.textContent)])),
    outlines: [...layer.querySelectorAll('polyline, polygon')].map(
      one => one.getAttribute('points').trim().split(/(?<!,) +/).map(world)),
  };
}"""
SHOWS = """uid => document.querySelector(`g[data-annotation-uid="${uid}"] tspan`) !== null"""
COUNTS = f"""series => {{
  {SET_OF}
  const {{ segmentation }} = window.cornerstoneTools;
  const labels = segmentation.state.getSegmentation(set.displaySetInstanceUID)
    .representationData.Labelmap;
  const counts = {{}};
  for (const id of labels.imageIds ?? window.cornerstone.cache.getVolume(labels.volumeId).imageIds)
    for (const value of window.cornerstone.cache.getImage(id).getPixelData())
      if (value) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}}"""
MEASURED = """() => window.services.measurementService.getMeasurements().map(
  one => [one.uid, one.toolName, one.SOPInstanceUID])"""


@dataclass(frozen=True)
class Drawn:
    """One viewport as it is: image, text lines by annotation, outlines as points in LPS mm."""

    image: str
    texts: dict[str, list[str]]
    outlines: list[npt.NDArray[np.float64]]


@dataclass
class Ohif:
    """A page with OHIF in it."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def open(self, studies: Sequence[str], display_sets: int) -> None:
        """Open studies, wait for the first picture, and put its first-time notices away."""
        address = f"{self.origin}/ohif/viewer?StudyInstanceUIDs={','.join(studies)}"
        self.page.goto(address, wait_until="commit")
        self.await_opened(display_sets)
        for notice in ("Skip all", "Confirm and hide"):
            if (button := self.page.get_by_text(notice)).count():
                button.click()

    def await_opened(self, display_sets: int) -> None:
        """Wait until it has so many display sets, and a picture before the eyes."""
        self._wait(OPENED, display_sets)

    def hang(self, series: str) -> None:
        """Put a series into the viewport, as a double click on it does."""
        self.page.evaluate(HANG, series)
        self._wait(IS_HUNG, series)

    def say_yes(self) -> None:
        """Let OHIF take over what it asks about."""
        button = self.page.locator('[data-cy="yes-hydrate-btn"]')
        button.click()
        button.wait_for(state="detached")

    def shows(self, annotation: str, within_s: float = PATIENCE_S) -> bool:
        """Whether an annotation's text is on the page, now or soon."""
        try:
            self._wait(SHOWS, annotation, within_s)
        except NotInTime:
            return False
        return True

    def to_next(self) -> None:
        """One lesion on, by the arrow beside the badge."""
        self.page.locator('[data-cy="viewport-action-arrows-right"]').click()

    def drawn(self) -> Drawn:
        """What the viewport shows."""
        told = self.page.evaluate(DRAWN)
        return Drawn(told["image"], told["texts"], [np.array(one) for one in told["outlines"]])

    def labels(self, series: str) -> dict[str, list[dict[str, str]]]:
        """Every label and value that it read of a report, by tracking UID."""
        return dict(self.page.evaluate(LABELS, series))

    def voxels(self, series: str) -> dict[int, int]:
        """How many voxels each segment of a segmentation has."""
        return {int(k): v for k, v in self.page.evaluate(COUNTS, series).items()}

    def measured(self, count: int) -> list[tuple[str, str, str]]:
        """UID, tool and image of its own measurements, once there are so many."""
        self._wait(f"() => ({MEASURED})().length >= {count}")
        return [tuple(one) for one in self.page.evaluate(MEASURED)]

    def keep_picture(self, folder: Path, name: str) -> None:
        """A screenshot, in the folder that PACSNODE_TEST_ARTEFACTS names, else in `folder`."""
        kept = Path(os.environ.get("PACSNODE_TEST_ARTEFACTS", folder))
        self.page.screenshot(path=kept / f"{name}.png")

    def _wait(self, true: str, argument: Any = None, within_s: float = PATIENCE_S) -> None:
        self.page.wait_for_function(true, arg=argument, timeout=within_s * 1000)


@contextmanager
def ohif_at(origin: str) -> Iterator[Ohif]:
    """A browser with a page for a site; what went wrong in it, or left for elsewhere, is kept."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_peer("chromium"), args=list(SOFTWARE)
        )
        page = browser.new_page(viewport={"width": 1000, "height": 640})
        page.set_default_timeout(PATIENCE_S * 1000)
        viewer = Ohif(page, origin)
        page.on("pageerror", lambda error: viewer.faults.append(str(error)))
        page.on(
            "console",
            lambda said: viewer.faults.append(said.text) if said.type == "error" else None,
        )
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.removeprefix("blob:").startswith(("data:", f"{origin}/"))
                else viewer.faults.append(asked.url)
            ),
        )
        yield viewer
        browser.close()
