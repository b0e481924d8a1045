"""Rendered frames and thumbnails as JPEG or PNG (PS3.18 10.4.1.1.3, 8.3.5)."""

import functools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from starlette.requests import Request
from starlette.responses import Response

from engine.reading.attributes import Attributes, attributes_of_frames
from engine.reading.part10 import FOREIGN, read_instance
from pacsnode.web import media
from pacsnode.web.frames import Frames
from pacsnode.web.media import JPEG, PNG, RELATED
from pacsnode.web.refusal import BAD_REQUEST, NOT_ACCEPTABLE, NOT_FOUND, Refusal
from pacsnode.web.resources import instance_of, instances_of
from pacsnode.web.retrieving import in_parts
from storage.archive import Archive
from storage.records import Instance

MOST_PIXELS: Final = 1 << 26
LARGEST_SIDE: Final = 8192
THUMBNAIL: Final = (128, 128)
QUALITY: Final = 90
FUNCTIONS: Final = frozenset(("linear", "linear-exact", "sigmoid"))
SHOWN_FIRST: Final = ("PT", "CT", "MR")  # what a study is told by
NOT_DONE: Final = ("annotation", "iccprofile")

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Window:
    """Which values become black and white (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str  # as PS3.18 8.3.5.1.4 names them

    def grey(self, values: Pixels) -> Pixels:
        """The values between 0 and 1."""
        if self.function == "sigmoid":
            exponent = np.clip(-4 * (values - self.center) / self.width, -80, 80)
            return np.asarray(1 / (1 + np.exp(exponent)))
        shown = (values - self.center) / self.width + 0.5
        if self.function == "linear":
            shown = (values - (self.center - 0.5)) / max(self.width - 1, 1e-6) + 0.5
        return np.clip(shown, 0, 1)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the query parameters ask for."""

    window: Window | None
    viewport: tuple[int, ...] | None  # width and height; then x, y, width and height to cut out
    quality: int


class Rendering:
    """The Retrieve transactions on rendered resources."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def rendered(self, request: Request) -> Response:
        """One frame, the first where the path names none."""
        instance = instance_of(self._archive, request)
        frame = _frame_number(request) or 1
        kind = _kind(request)
        picture = _picture(instance, frame, _wish(request.query_params), kind)
        return _warned(Response(picture, media_type=kind), request)

    def all_rendered(self, request: Request) -> Response:
        """Every frame of a study or series in reading order, a part each.

        To who takes a bare picture alone: the one that shows it best, and a warning.
        """
        images = _images(instances_of(self._archive, request))
        wish = _wish(request.query_params)
        shown, count = _middle(images), sum(map(_frame_count, images))
        kind, is_whole = _kind_of_all(request, count)
        if is_whole:
            parts = ((kind, (picture,)) for one in images for picture in _pictures(one, wish, kind))
            return _warned(in_parts(kind, parts), request)
        picture = _picture(shown, _middle_frame(shown), wish, kind)
        answer = _warned(Response(picture, media_type=kind), request)
        if count > 1:
            told = f"{RELATED}; type={kind} gives all {count}"
            answer.headers.append("Warning", f'299 pacsnode "One picture of {count}: {told}"')
        return answer

    def thumbnail(self, request: Request) -> Response:
        """A small picture of a frame, of an instance, or of what shows a series or study best."""
        shown = _middle(_images(instances_of(self._archive, request)))
        kind = _kind(request)
        wish = _wish(request.query_params)
        frame = _frame_number(request) or _middle_frame(shown)
        small = Wish(wish.window, wish.viewport or THUMBNAIL, wish.quality)
        return Response(_picture(shown, frame, small, kind), media_type=kind)


def _images(instances: Sequence[Instance]) -> list[Instance]:
    images = [one for one in instances if "Rows" in one.attributes]
    if not images:
        raise Refusal(NOT_FOUND, "Nothing under this path has pixels to show")
    return images


def _middle(images: Sequence[Instance]) -> Instance:
    """What shows a series or study best."""
    for modality in SHOWN_FIRST:
        images = [one for one in images if one.modality == modality] or images
    return images[len(images) // 2]


def _frame_count(image: Instance) -> int:
    return Frames(image.path).layout.frames


def _middle_frame(image: Instance) -> int:
    return (_frame_count(image) + 1) // 2


def _warned(answer: Response, request: Request) -> Response:
    for name in NOT_DONE:
        if name in request.query_params:
            answer.headers.append("Warning", f'299 pacsnode "{name} is not supported"')
    return answer


def _kind_of_all(request: Request, count: int) -> tuple[str, bool]:
    """The type of the pictures, and whether all of them go, in parts (8.7.4, 10.4.3.3)."""
    for asked in media.asked(request):
        for kind in (JPEG, PNG):
            if asked.covers_parts(kind) and (count > 1 or not asked.covers(kind)):
                return kind, True
            if asked.covers(kind):
                return kind, False
    raise Refusal(NOT_ACCEPTABLE, f"Pictures come as {JPEG} or {PNG}, alone or in {RELATED}")


def _kind(request: Request) -> str:
    for asked in media.asked(request):
        for kind in (JPEG, PNG):
            if asked.covers(kind):
                return kind
    raise Refusal(NOT_ACCEPTABLE, f"Pictures come as {JPEG} or {PNG}")


def _frame_number(request: Request) -> int | None:
    stated = request.path_params.get("frames")
    if stated is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", str(stated)):
        raise Refusal(BAD_REQUEST, "One frame is rendered at a time, by its number from 1")
    return int(stated)


# what is asked for


def _wish(parameters: Mapping[str, str]) -> Wish:
    quality = parameters.get("quality", str(QUALITY))
    if not (re.fullmatch(r"[0-9]{1,3}", quality) and 1 <= int(quality) <= 100):
        raise Refusal(BAD_REQUEST, "quality is a whole number from 1 to 100")
    return Wish(_asked_window(parameters), _asked_viewport(parameters), int(quality))


def _asked_window(parameters: Mapping[str, str]) -> Window | None:
    if "window" not in parameters:
        return None
    words = parameters["window"].split(",")
    try:
        center, width = float(words[0]), float(words[1])
        function = words[2].lower() if len(words) == 3 else "linear"
        if not (math.isfinite(center) and math.isfinite(width) and width > 0) or len(words) > 3:
            raise ValueError
        if function not in FUNCTIONS:
            raise ValueError
    except (ValueError, IndexError) as exc:
        raise Refusal(
            BAD_REQUEST, "window is center,width,function; the function is linear, linear-exact or "
            "sigmoid",
        ) from exc  # fmt: skip
    return Window(center, width, function)


def _asked_viewport(parameters: Mapping[str, str]) -> tuple[int, ...] | None:
    if "viewport" not in parameters:
        return None
    words = parameters["viewport"].split(",")
    numbers = tuple(int(word) for word in words if re.fullmatch(r"[0-9]{1,5}", word))
    if len(numbers) != len(words) or len(numbers) not in (2, 6):
        raise Refusal(BAD_REQUEST, "viewport is width,height, or width,height,x,y,width,height")
    sides = numbers[:2] + numbers[4:]
    if not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise Refusal(BAD_REQUEST, f"A side of a viewport has 1 to {LARGEST_SIDE} pixels")
    return numbers


# what is shown


def _picture(instance: Instance, frame: int, wish: Wish, kind: str) -> bytes:
    return next(_pictures(instance, wish, kind, frame))


def _pictures(
    instance: Instance, wish: Wish, kind: str, frame: int | None = None
) -> Iterator[bytes]:
    """One frame, or all of an instance; its header is read once."""
    frames = Frames(instance.path)
    if frame is not None:
        frames.check(frame)
    if frames.layout.rows * frames.layout.columns > MOST_PIXELS:
        raise Refusal(NOT_ACCEPTABLE, f"Frames of more than {MOST_PIXELS} pixels are not rendered")
    header = read_instance(instance.path, f"Instance {instance.sop_instance_uid}").header
    # masks and colours do without, and may have very many frames
    stated = functools.cache(lambda: attributes_of_frames(header, frames.layout.frames))
    for number in range(1, frames.layout.frames + 1) if frame is None else (frame,):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote values
                shown = _shown(header, frames, number, stated, wish.window)
        except FOREIGN as exc:
            raise Refusal(NOT_ACCEPTABLE, "The pixels cannot be rendered") from exc
        yield _encoded(Image.fromarray(np.ascontiguousarray(shown)), wish, kind)


def _encoded(picture: Image.Image, wish: Wish, kind: str) -> bytes:
    if wish.viewport is not None:
        picture = _fitted(picture, wish.viewport)
    written = BytesIO()
    if kind == PNG:
        picture.save(written, "PNG")
    else:
        picture.save(written, "JPEG", quality=wish.quality)
    return written.getvalue()


def _fitted(picture: Image.Image, viewport: tuple[int, ...]) -> Image.Image:
    """Cut out, then scaled to fit; the proportions stay (PS3.18 8.3.5.1.3)."""
    width, height, *cut = viewport
    if cut:
        left, top, across, down = cut
        box = (left, top, min(left + across, picture.width), min(top + down, picture.height))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise Refusal(BAD_REQUEST, "The part that viewport cuts out lies outside the picture")
        picture = picture.crop(box)
    scale = min(width / picture.width, height / picture.height)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.BILINEAR)


def _shown(
    header: Dataset,
    frames: Frames,
    frame: int,
    by_frame: Callable[[], Sequence[Attributes]],
    asked: Window | None,
) -> Pixels:
    """Grey or RGB, [row, column] or [row, column, 3], 8 bits."""
    layout = frames.layout
    values = frames.values(frame)
    photometric = str(header.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "PALETTE COLOR":
        return _eight_bits(apply_color_lut(values, header))
    if layout.samples == 3:
        if photometric == "YBR_FULL" and not frames.is_compressed:
            values = convert_color_space(values, "YBR_FULL", "RGB")
        return _eight_bits(values)
    if layout.bits_allocated == 1:
        return (values * 255).astype(np.uint8)
    stated = by_frame()[frame - 1]
    used = _used_bits(values, stated, layout.bits_allocated)
    slope, intercept = stated.number("RescaleSlope"), stated.number("RescaleIntercept")
    real = used.astype(np.float64) * (1.0 if slope is None else slope) + (intercept or 0.0)
    real = np.nan_to_num(real, nan=0.0, posinf=0.0, neginf=0.0)
    grey = (asked or _stated_window(stated) or _whole_range(real)).grey(real)
    if photometric == "MONOCHROME1":
        grey = 1 - grey
    return np.asarray(np.rint(grey * 255), np.uint8)


def _used_bits(values: Pixels, stated: Attributes, allocated: int) -> Pixels:
    """Without what older objects hide in unused bits (overlays), and with the sign extended."""
    bits_stored = int(stated.number("BitsStored") or allocated)
    high_bit = int(stated.number("HighBit") or bits_stored - 1)
    if values.dtype.kind == "f" or not 0 < bits_stored <= high_bit + 1 <= allocated:
        return values
    return np.asarray((values << (allocated - 1 - high_bit)) >> (allocated - bits_stored))


def _stated_window(stated: Attributes) -> Window | None:
    first = [_first(stated.value(keyword)) for keyword in ("WindowCenter", "WindowWidth")]
    center, width = first
    if center is None or width is None or width <= 0:
        return None
    function = (stated.text("VOILUTFunction") or "LINEAR").lower().replace("_", "-")
    return Window(center, width, function if function in FUNCTIONS else "linear")


def _first(value: Any) -> float | None:
    try:
        number = float(value if isinstance(value, str | int | float) else value[0])
    except FOREIGN:
        return None
    return number if math.isfinite(number) else None


def _whole_range(values: Pixels) -> Window:
    least, greatest = float(values.min()), float(values.max())
    return Window((least + greatest) / 2, max(greatest - least, 1e-6), "linear-exact")


def _eight_bits(values: Pixels) -> Pixels:
    return np.asarray(values >> 8 * (values.dtype.itemsize - 1), np.uint8)
