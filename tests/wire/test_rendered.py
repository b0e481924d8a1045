"""Rendered frames and thumbnails: the right grey, size and type, or a refusal."""

from collections.abc import Iterator
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from storage.archive import Archive
from tests.encoded import part10_bytes
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg
from tests.wire.browser import Site, serving
from tests.wire.test_receive import REAL
from tests.wire.test_wado import path_of, uids

pytestmark = pytest.mark.wire

RAMP = np.tile(np.arange(0, 320, 10, float), (4, 16, 1)) - 100  # [k, j, i] HU
CT = make_ct(RAMP)
PET = make_pet(RAMP + 100)
BLOCK = np.zeros((4, 16, 32), bool)
BLOCK[1:3, 4:8, 4:8] = True
SEG = make_seg({"lesion": BLOCK}, PET)
RTSTRUCT = make_rtstruct({"GTV": [[[-20.0, -20.0, 3.0], [4.0, -20.0, 3.0], [4.0, 12.0, 3.0]]]}, PET)


def _changed(number: int, **attributes: Any) -> Dataset:
    one = deepcopy(CT[0])
    one.SOPInstanceUID = f"2.25.88{number}"
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    for keyword, value in attributes.items():
        setattr(one, keyword, value)
    return one


COLOURS = np.zeros((16, 32, 3), np.uint8)
COLOURS[:, :16] = (255, 0, 0)
INVERTED = _changed(1, PhotometricInterpretation="MONOCHROME1")
COLOURED = _changed(
    2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SamplesPerPixel=3, BitsAllocated=8, BitsStored=8,
    HighBit=7, PixelRepresentation=0, PhotometricInterpretation="RGB", PlanarConfiguration=0,
    PixelData=COLOURS.tobytes(),
)  # fmt: skip
COLOURED["PixelData"].VR = "OB"
COMPRESSED = _changed(3)
SECONDARY = deepcopy(COLOURED)
SECONDARY.SOPInstanceUID = SECONDARY.file_meta.MediaStorageSOPInstanceUID = "2.25.884"
FILES = [
    *(part10_bytes(one) for one in (*CT, *PET, SEG, RTSTRUCT, INVERTED, COLOURED)),
    part10_bytes(COMPRESSED, JPEGLSLossless), part10_bytes(SECONDARY, RLELossless),
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("rendered")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        answer = told.store(FILES)
        assert answer.status == 200, answer.body
        yield told


def picture(site: Site, dataset: Dataset, query: str = "", accept: str = "image/png") -> Any:
    answer = site.ask(f"{path_of(dataset)}/rendered{query}", accept)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == accept
    return np.asarray(Image.open(BytesIO(answer.body)))


def test_a_window_becomes_grey_as_the_standard_says(site: Site) -> None:
    hu = RAMP[0]
    linear = np.clip((hu - 49.5) / 99 + 0.5, 0, 1)
    np.testing.assert_array_equal(picture(site, CT[0], "?window=50,100"), np.rint(linear * 255))
    exact = np.clip((hu - 50) / 100 + 0.5, 0, 1)
    told = picture(site, CT[0], "?window=50,100,linear-exact")
    np.testing.assert_array_equal(told, np.rint(exact * 255))
    sigmoid = 1 / (1 + np.exp(-4 * (hu - 50) / 100))
    told = picture(site, CT[0], "?window=50,100,SIGMOID")
    np.testing.assert_array_equal(told, np.rint(sigmoid * 255))


def test_without_a_window_all_values_are_shown(site: Site) -> None:
    told = picture(site, PET[0])
    assert (told[0, 0], told[0, -1]) == (0, 255)
    assert (np.diff(told[0].astype(int)) > 0).all()
    inverted = picture(site, INVERTED, "?window=50,100")
    np.testing.assert_array_equal(inverted, 255 - picture(site, CT[0], "?window=50,100"))


def test_colours_and_masks_and_compressed_pixels(site: Site) -> None:
    np.testing.assert_array_equal(picture(site, COLOURED), COLOURS)
    np.testing.assert_array_equal(picture(site, SECONDARY), COLOURS)
    same = picture(site, CT[0], "?window=0,400")
    np.testing.assert_array_equal(picture(site, COMPRESSED, "?window=0,400"), same)
    frame = site.ask(f"{path_of(SEG)}/frames/1/rendered", "image/png")
    mask = np.asarray(Image.open(BytesIO(frame.body)))
    np.testing.assert_array_equal(mask == 255, SEG.pixel_array[0] == 1)


def test_a_picture_is_fitted_into_its_viewport(site: Site) -> None:
    assert picture(site, CT[0], "?viewport=64,64").shape == (32, 64)
    part = picture(site, CT[0], "?viewport=8,8,16,0,16,16&window=0,400")
    assert part.shape == (8, 8)
    assert part.min() >= picture(site, CT[0], "?window=0,400")[0, 16]


def test_dicomweb_client_retrieves_pictures(site: Site) -> None:
    client = DICOMwebClient(site.url)
    png = client.retrieve_instance_rendered(*uids(CT[0]), media_types=("image/png",))
    assert Image.open(BytesIO(png)).format == "PNG"
    jpeg = client.retrieve_instance_frames_rendered(
        *uids(SEG), [1], media_types=("image/jpeg",), params={"quality": 50}
    )
    assert Image.open(BytesIO(jpeg)).format == "JPEG"


def test_a_study_or_series_is_rendered_whole_in_parts(site: Site) -> None:
    series = path_of(PET[0]).partition("/instances")[0]
    study = series.partition("/series")[0]
    answer = site.ask(f"{series}/rendered", 'multipart/related; type="image/png"')
    assert answer.status == 200
    for one, (kind, told) in zip(PET, answer.parts(), strict=True):
        assert kind == "image/png"
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(told))), picture(site, one))
    masks = path_of(SEG).partition("/instances")[0]
    frames = site.ask(f"{masks}/rendered").parts()
    assert len(frames) == SEG.NumberOfFrames
    # every image of the study, and nothing of what has no pixels
    kinds = [kind for kind, _ in site.ask(f"{study}/rendered?viewport=8,8", "*/*").parts()]
    images = len(CT) + len(PET) + 4 + SEG.NumberOfFrames
    assert kinds == ["image/jpeg"] * images


def test_one_picture_of_a_series_is_warned_of(site: Site) -> None:
    series = path_of(PET[0]).partition("/instances")[0]
    answer = site.ask(f"{series}/rendered", "image/png")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert "One picture of " in answer.headers["warning"]
    parts = site.ask(f"{series}/rendered?iccprofile=no")
    assert parts.headers["warning"] == '299 pacsnode "iccprofile is not supported"'


@pytest.mark.parametrize("dataset", [CT[0], SEG, COLOURED])
def test_thumbnails_at_every_level(site: Site, dataset: Dataset) -> None:
    instance = path_of(dataset)
    study = instance.partition("/series")[0]
    series = instance.partition("/instances")[0]
    for path in (study, series, instance):
        answer = site.ask(f"{path}/thumbnail")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
        assert max(Image.open(BytesIO(answer.body)).size) == 128
    assert site.ask(f"{instance}/frames/1/thumbnail?accept=image/png").body[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (f"{path_of(CT[0])}/rendered", "image/gif", 406),
        (f"{path_of(CT[0])}/rendered", "video/mp4", 406),
        (f"{path_of(CT[0])}/rendered?window=1", None, 400),
        (f"{path_of(CT[0])}/rendered?window=1,0", None, 400),
        (f"{path_of(CT[0])}/rendered?window=1,2,cubic", None, 400),
        (f"{path_of(CT[0])}/rendered?window=nan,2", None, 400),
        (f"{path_of(CT[0])}/rendered?viewport=0,5", None, 400),
        (f"{path_of(CT[0])}/rendered?viewport=99999,5", None, 400),
        (f"{path_of(CT[0])}/rendered?viewport=9,9,500,0,9,9", None, 400),
        (f"{path_of(CT[0])}/rendered?quality=0", None, 400),
        (f"{path_of(CT[0])}/frames/2/rendered", None, 404),
        (f"{path_of(CT[0])}/frames/1,2/rendered", None, 400),
        (f"{path_of(RTSTRUCT)}/rendered", None, 406),
        (f"{path_of(RTSTRUCT).partition('/instances')[0]}/rendered", None, 404),
        (f"{path_of(CT[0]).partition('/instances')[0]}/rendered", "video/mp4", 406),
        ("/studies/1.2.3/rendered", None, 404),
        (f"{path_of(RTSTRUCT)}/thumbnail", None, 404),
        ("/studies/1.2.3/thumbnail", None, 404),
    ],
)
def test_what_is_not_rendered(site: Site, path: str, accept: str | None, status: int) -> None:
    assert site.ask(path, accept).status == status


def test_what_is_asked_for_and_not_done_is_warned_of(site: Site) -> None:
    answer = site.ask(f"{path_of(CT[0])}/rendered?annotation=patient")
    assert answer.status == 200
    assert "annotation is not supported" in answer.headers["warning"]


def test_real_images_are_rendered(archive: Archive, tmp_path: Path, data: Path) -> None:
    kinds = ("pet, jpeg lossless", "pet", "ct", "seg, binary", "seg, label map", "seg, rle")
    with serving(archive, tmp_path) as site:
        site.store([(data / REAL[kind]).read_bytes() for kind in kinds])
        for instance in (one for row in archive.studies() for one in _of(archive, row)):
            path = (
                f"/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
                f"/instances/{instance.sop_instance_uid}"
            )
            answer = site.ask(f"{path}/rendered", "image/png")
            assert answer.status == 200, (instance.modality, answer.body)
            shown = np.asarray(Image.open(BytesIO(answer.body)))
            assert shown.shape[:2] == (instance.attributes["Rows"], instance.attributes["Columns"])
            assert site.ask(f"{path}/thumbnail").status == 200


def _of(archive: Archive, row: Any) -> Iterator[Any]:
    study = archive.study(row.study_instance_uid)
    assert study is not None
    return (one for series in study.series for one in series.instances)
