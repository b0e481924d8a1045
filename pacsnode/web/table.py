"""Every DICOMweb resource: its path, method, transaction, media types, and whose answer it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from starlette.requests import Request

from pacsnode.web.capabilities import Resource
from pacsnode.web.media import (
    DICOM,
    DICOM_JSON,
    JPEG,
    JSON,
    OCTETS,
    OF_SYNTAX,
    PNG,
    RELATED,
)
from pacsnode.web.rendering import Rendering
from pacsnode.web.retrieving import Retrieve
from pacsnode.web.searching import Searching
from pacsnode.web.storing import Store

STUDY: Final = "/studies/{study}"
SERIES: Final = f"{STUDY}/series/{{series}}"
INSTANCE: Final = f"{SERIES}/instances/{{instance}}"
FRAMES: Final = f"{INSTANCE}/frames/{{frames}}"
IN_JSON: Final = (DICOM_JSON, JSON)
PIXELS: Final = tuple(
    f'{RELATED}; type="{kind}"' for kind in (OCTETS, *sorted({*OF_SYNTAX.values()}))
)


@dataclass(frozen=True, slots=True)
class Answering:
    """Those who answer."""

    store: Store
    search: Searching
    retrieve: Retrieve
    render: Rendering


class Offered(NamedTuple):
    """A resource, before anybody is there to answer."""

    path: str
    method: str
    transaction: str
    media_types: tuple[str, ...]
    answer: Callable[[Answering], Callable[[Request], Any]]


def resources(answering: Answering) -> list[Resource]:
    """The table with its answers."""
    return [Resource(*one[:4], one.answer(answering)) for one in OFFERED]


def _storing() -> Iterator[Offered]:
    for path in ("/studies", STUDY):
        yield Offered(path, "POST", "Store Instances", IN_JSON, lambda by: by.store.answer)


def _searching() -> Iterator[Offered]:
    yield Offered("/studies", "GET", "Search Studies", IN_JSON, lambda by: by.search.studies)
    for path in ("/series", f"{STUDY}/series"):
        yield Offered(path, "GET", "Search Series", IN_JSON, lambda by: by.search.series)
    for path in ("/instances", f"{STUDY}/instances", f"{SERIES}/instances"):
        yield Offered(path, "GET", "Search Instances", IN_JSON, lambda by: by.search.instances)


def _retrieving() -> Iterator[Offered]:
    files = (f'{RELATED}; type="{DICOM}"',)
    for path in (STUDY, SERIES, INSTANCE):
        kinds = files + ((DICOM,) if path == INSTANCE else ())
        yield Offered(path, "GET", "Retrieve Instances", kinds, lambda by: by.retrieve.instances)
        told = f"{path}/metadata"
        yield Offered(told, "GET", "Retrieve Metadata", IN_JSON, lambda by: by.retrieve.metadata)
    yield Offered(FRAMES, "GET", "Retrieve Frames", PIXELS, lambda by: by.retrieve.frames)
    bulk = f"{INSTANCE}/bulkdata/{{path:path}}"
    yield Offered(bulk, "GET", "Retrieve Bulk Data", PIXELS, lambda by: by.retrieve.bulk)


def _rendering() -> Iterator[Offered]:
    kinds = (JPEG, PNG)
    whole = (*kinds, *(f'{RELATED}; type="{kind}"' for kind in kinds))
    for path in (STUDY, SERIES):
        shown = f"{path}/rendered"
        yield Offered(shown, "GET", "Retrieve Rendered", whole, lambda by: by.render.all_rendered)
    for path in (INSTANCE, FRAMES):
        shown = f"{path}/rendered"
        yield Offered(shown, "GET", "Retrieve Rendered", kinds, lambda by: by.render.rendered)
    for path in (STUDY, SERIES, INSTANCE, FRAMES):
        small = f"{path}/thumbnail"
        yield Offered(small, "GET", "Retrieve Thumbnail", kinds, lambda by: by.render.thumbnail)


OFFERED: Final = (*_storing(), *_searching(), *_retrieving(), *_rendering())
