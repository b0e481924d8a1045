"""The picture: head up, radiological sides, every lesion outlined and numbered."""

import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from engine.finding import ModelIdentity
from engine.geometry import Grid
from engine.report.picture import draw, save_picture
from engine.report.views import VIEWS, distance_mm, free_place, number_mm, project
from tests.conftest import ROOT
from tests.unit.reports import REFUSAL, Study, measured, refused

BOX = st.tuples(*[st.floats(50, 350)] * 2, st.floats(5, 60), st.floats(5, 60))


def _box(drawn):
    x, y, width, height = drawn
    return x, x + width, y, y + height


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("picture"), lesions=2)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [
        text.get_text() for text in figure.texts
    ]


def test_a_png_is_written(study, tmp_path):
    path = tmp_path / "lesions.png"
    save_picture(study.report(), path)
    pixels = imread(path)
    assert min(pixels.shape[:2]) > 500
    coloured = np.ptp(pixels[..., :3], axis=-1) > 0.3  # the outlines; everything else is grey
    assert coloured.sum() > 500


def test_every_lesion_is_numbered_and_listed(study):
    figure = draw(study.report())
    for number in ("1", "2"):
        assert texts(figure).count(number) == 3  # on both views, in the list
    assert "Left lung" in texts(figure)
    assert "8.3" in texts(figure)
    assert "2.5 x 1.8" in texts(figure)
    assert "2 lesions" in texts(figure)
    assert [len(axes.collections) for axes in figure.axes[:2]] == [2, 2]


def test_context_is_not_drawn_as_a_lesion(study):
    report = study.report()
    first = report.findings[0]
    segment = replace(first.lesion.segment, role="context")
    context = replace(first, lesion=replace(first.lesion, segment=segment))
    figure = draw(replace(report, findings=(context, report.findings[1])))
    assert "1 lesion" in texts(figure)
    assert "1" not in texts(figure)


def test_a_refused_suv_has_no_suv_scale(tmp_path):
    study = Study(tmp_path, suv=REFUSAL)
    report = study.report(refused(study.pet))
    unitless = replace(study.scan, pet=replace(study.pet, unit="CNTS"))
    figure = draw(replace(report, scan=unitless))
    assert "CNTS, SUV refused: missing weight" in texts(figure)
    assert "-" in texts(figure)


DEMONSTRATED = (
    "DEMONSTRATION. Words by a demonstration trained on synthetic phantoms, not for clinical use."
)


def test_a_demonstration_says_so(study):
    model = ModelIdentity("petar", "0", is_demonstration=True)
    figure = draw(study.report(model=model))
    assert DEMONSTRATED in texts(figure)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts]
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_many_lesions_fit_the_page(tmp_path):
    study = Study(tmp_path, lesions=60)
    figure = draw(study.report())
    assert any(
        text.startswith("and ") and text.endswith("more, in the report") for text in texts(figure)
    )


def test_labels_are_drawn_as_they_are_written(tmp_path):
    r"""Not as mathematics, in which "$\frac$" is an error that would cost the picture."""
    study = Study(tmp_path)
    label = r"A$\frac$ b_1$^$"
    study.segments = (replace(study.segments[0], label=label, anatomic_region=None),)
    acquisition = replace(study.scan.acquisition, tracer=None, tracer_name="$\\x$")
    report = study.report(
        scan=replace(study.scan, acquisition=acquisition), model=ModelIdentity("$\\y$", "1")
    )
    save_picture(report, tmp_path / "lesions.png")
    drawn = texts(draw(report))
    assert label in drawn
    assert any("$\\x$" in text for text in drawn)


@pytest.mark.parametrize(
    ("volume_cm3", "shown"), [(0.0042, "0.004"), (0.16, "0.16"), (0.996, "1.00"), (5.14, "5.1")]
)
def test_a_small_volume_is_not_called_none(volume_cm3, shown, study):
    report = study.report(measured(study.pet, volume_cm3=volume_cm3))
    assert shown in texts(draw(report))
    assert f"{shown} cm3" in report.findings[0].description.text


def test_no_patient_is_named(study):
    said = " ".join(texts(draw(study.report())))
    assert "Phantom" not in said
    assert "MADE-1" not in said


def test_an_empty_pet_is_drawn(study):
    pet = replace(study.pet, values=np.zeros_like(study.pet.values))
    report = study.report(refused(study.pet), scan=replace(study.scan, pet=pet, suv=REFUSAL))
    draw(report)


def _grid(directions, shape=(4, 5, 6)):
    affine = np.eye(4)
    affine[:3, :3] = directions
    return Grid(shape, affine)


# columns are where k, j, i go in LPS
HEAD_FIRST = np.array([[0, 0, 1], [0, 1, 0], [3, 0, 0]], float)
FEET_FIRST = np.array([[0, 0, -1], [0, 1, 0], [-3, 0, 0]], float)
CORONAL = np.array([[0, 0, 1], [3, 0, 0], [0, -1, 0]], float)


@pytest.mark.parametrize("directions", [HEAD_FIRST, FEET_FIRST, CORONAL])
@pytest.mark.parametrize("view", VIEWS)
def test_a_projection_has_the_head_up_whatever_the_grid(directions, view):
    grid = _grid(directions)
    values = np.zeros(grid.shape)
    corners = np.array([(0, 0, 0), (3, 4, 5)])
    lps = grid.to_lps_mm(corners)
    across = 0 if view == "coronal" else 1
    top = int(np.argmax(lps[:, 2]))
    values[tuple(corners[top])] = 1
    seen = project(values, grid, view)
    row, column = np.argwhere(seen.values)[0]
    assert row == seen.values.shape[0] - 1  # drawn with the origin below: the last row is on top
    is_far = lps[top, across] > lps[1 - top, across]
    assert column == (seen.values.shape[1] - 1 if is_far else 0)


def test_extents_are_in_mm():
    seen = project(np.zeros((4, 5, 6)), _grid(HEAD_FIRST), "coronal")
    assert seen.extent_mm == (0.0, 6.0, 0.0, 12.0)


@given(st.lists(BOX, min_size=1, max_size=8))
def test_numbers_do_not_cover_one_another_or_a_lesion(drawn):
    bounds = (0.0, 400.0, 0.0, 900.0)
    boxes = [_box(one) for one in drawn]
    taken = []
    for box in boxes:
        x, y = free_place(box, bounds, boxes, taken)
        assert 0 < x < 400
        assert 0 < y < 900
        assert all(np.hypot(x - other[0], y - other[1]) >= number_mm(bounds) for other in taken)
        assert all(distance_mm((x, y), other) > 0 for other in boxes)
        taken.append((x, y))


def test_no_global_state_of_matplotlib_is_touched():
    told = "import sys, engine.report.picture; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=False).returncode == 0
