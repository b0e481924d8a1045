"""The attributes of an instance as DICOM JSON (PS3.18 annex F), bulk data by reference."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydicom import Dataset
from pydicom.dataelem import DataElement

from engine.errors import Unreadable
from engine.reading.part10 import FOREIGN, read_instance
from pacsnode.web.frames import Frames
from pacsnode.web.media import EXPLICIT_BIG
from pacsnode.web.outgoing import swapped
from pacsnode.web.refusal import BAD_REQUEST, NOT_FOUND, Refusal
from storage.records import Instance

INLINE_BYTES: Final = 1024  # what is longer goes by reference
BULK: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
UTF_8: Final = {"vr": "CS", "Value": ["ISO_IR 192"]}
DEEPEST: Final = 64


def attributes_of(instance: Instance, url: str) -> dict[str, Any]:
    """Everything but pixels; `url` is that of the instance. Raises Unreadable."""
    read = read_instance(instance.path, f"Instance {instance.sop_instance_uid}")
    swap = read.transfer_syntax_uid == EXPLICIT_BIG
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        told = _dataset(read.header, f"{url}/bulkdata", swap)
    if "00080005" in told:
        told["00080005"] = UTF_8  # JSON has no other character set
    told["00083002"] = {"vr": "UI", "Value": [instance.transfer_syntax_uid]}
    told |= _pixels(instance, url)
    return dict(sorted(told.items()))


def _pixels(instance: Instance, url: str) -> Mapping[str, Any]:
    try:
        layout = Frames(instance.path).layout
    except Unreadable:
        return {}
    tag = f"{layout.pixel_tag:08X}"
    vr = {"7FE00008": "OF", "7FE00009": "OD"}.get(tag, "OW" if layout.bits_allocated > 8 else "OB")
    return {tag: {"vr": vr, "BulkDataURI": f"{url}/bulkdata/{tag}"}}


def _dataset(dataset: Dataset, url: str, swap: bool) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for tag in sorted(dataset.keys()):
        name = f"{tag:08X}"
        try:
            told[name] = _element(dataset[tag], f"{url}/{name}", swap)
        except FOREIGN:  # a value that is none of its VR: left out, as if it were absent
            continue
    return told


def _element(element: DataElement, url: str, swap: bool) -> dict[str, Any]:
    if element.VR == "SQ":
        items = [
            _dataset(item, f"{url}/{number}", swap) for number, item in enumerate(element.value, 1)
        ]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in BULK and isinstance(element.value, bytes):
        if len(element.value) > INLINE_BYTES:
            return {"vr": element.VR, "BulkDataURI": url}
        if swap:
            element = DataElement(element.tag, element.VR, swapped(element))
    told: dict[str, Any] = element.to_json_dict(None, 0)
    return told


def bulk_pieces(instance: Instance, path: str) -> Iterator[bytes]:
    """The value that a BulkDataURI names: `TAG`, or `TAG/ITEM/TAG` with items from 1."""
    *nested, last = path.strip("/").split("/")
    if len(nested) % 2 or len(nested) > DEEPEST:
        raise Refusal(BAD_REQUEST, "A bulk data path is TAG, or TAG/ITEM/TAG")
    read = read_instance(instance.path, f"Instance {instance.sop_instance_uid}")
    dataset: Dataset = read.header
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for sequence, item in zip(nested[::2], nested[1::2], strict=True):
                dataset = dataset[_tag(sequence)].value[_number(item) - 1]
            element = dataset[_tag(last)]
    except FOREIGN as exc:
        raise Refusal(NOT_FOUND, "The instance has no such bulk data") from exc
    if element.VR not in BULK or not isinstance(element.value, bytes):
        raise Refusal(NOT_FOUND, "The instance has no such bulk data")
    yield swapped(element) if read.transfer_syntax_uid == EXPLICIT_BIG else element.value


def _tag(text: str) -> int:
    try:
        return int(text, 16) if len(text) == 8 else _no_such()
    except ValueError:
        return _no_such()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else _no_such()


def _no_such() -> int:
    raise Refusal(NOT_FOUND, "The instance has no such bulk data")
