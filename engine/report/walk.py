"""Walking the content tree of any SR, ours or another tool's, well formed or not."""

from collections.abc import Iterable, Iterator
from functools import partial

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine.codes import same, stated_code

MAX_ITEMS = 1_000_000


def children(item: Dataset) -> list[Dataset]:
    return _items(item, "ContentSequence")


def code_in(item: Dataset, keyword: str) -> Code | None:
    """The code in the sequence `keyword`, None where there is none to speak of."""
    codes = (stated_code(partial(_text, coded)) for coded in _items(item, keyword))
    return next((code for code in codes if code is not None), None)


def concept(item: Dataset) -> Code | None:
    """What the item is about."""
    return code_in(item, "ConceptNameCodeSequence")


def named(item: Dataset, name: Code) -> list[Dataset]:
    """The children that are about `name`."""
    return [child for child in children(item) if same(concept(child), name)]


def of_type(item: Dataset, value_type: str) -> list[Dataset]:
    """The children of one value type."""
    return [child for child in children(item) if child.get("ValueType") == value_type]


def descendants(root: Dataset) -> Iterator[Dataset]:
    """Every item under `root`, in document order, without recursion."""
    waiting = children(root)[::-1]
    for _ in range(MAX_ITEMS):
        if not waiting:
            return
        item = waiting.pop()
        yield item
        waiting.extend(children(item)[::-1])


def referenced(items: Iterable[Dataset]) -> Iterator[Dataset]:
    """The SOP references that the items themselves make."""
    for item in items:
        yield from _items(item, "ReferencedSOPSequence")


def evidence(sr: Dataset) -> Iterator[tuple[str, str, str]]:
    """(series, SOP class, SOP instance) of everything listed as evidence."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in _items(sr, keyword):
            for series in _items(study, "ReferencedSeriesSequence"):
                for instance in _items(series, "ReferencedSOPSequence"):
                    yield (
                        _text(series, "SeriesInstanceUID"),
                        _text(instance, "ReferencedSOPClassUID"),
                        _text(instance, "ReferencedSOPInstanceUID"),
                    )


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return []
    return [item for item in value if isinstance(item, Dataset)]


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
