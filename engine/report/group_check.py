"""What breaks a rule inside one measurement group."""

from collections.abc import Iterator
from math import isclose, isfinite

from pydicom import Dataset

from engine import codes
from engine.report import rows, walk
from engine.report.quantities import QUANTITIES, Quantity


def group_problems(group: Dataset, where: str) -> Iterator[str]:
    """The broken rules of a group, each with `where` before it."""
    yield from rows.row_problems(group, rows.GROUP, where)
    for site in walk.named(group, codes.FINDING_SITE):
        yield from rows.row_problems(site, rows.SITE, f"{where}, Finding Site")
    yield from _first_uidref_problems(group, where)
    yield from _segment_problems(group, where)
    yield from _num_problems(group, where)


def quantity_of(num: Dataset) -> Quantity | None:
    """Which measurement a NUM states, by concept and derivation."""
    name = walk.concept(num)
    stated = [
        walk.code_in(item, "ConceptCodeSequence") for item in walk.named(num, codes.DERIVATION)
    ]
    for quantity in QUANTITIES:
        wanted = [] if quantity.derivation is None else [quantity.derivation]
        alike = len(stated) == len(wanted) and all(map(codes.same, stated, wanted))
        if codes.same(name, quantity.concept) and alike:
            return quantity
    return None


def segment_number(group: Dataset) -> int | None:
    """The one segment a group refers to."""
    for reference in walk.referenced(walk.named(group, codes.REFERENCED_SEGMENT)):
        number = reference.get("ReferencedSegmentNumber")
        return number if isinstance(number, int) else None
    return None


def exact_value(num: Dataset) -> float | None:
    """The NUM's floating point value."""
    measured = next(iter(num.get("MeasuredValueSequence") or []), Dataset())
    value = measured.get("FloatingPointValue")
    return None if value is None else float(value)


def _first_uidref_problems(group: Dataset, where: str) -> Iterator[str]:
    first = next(iter(walk.of_type(group, "UIDREF")), None)
    if first is None or not codes.same(walk.concept(first), codes.TRACKING_UNIQUE_IDENTIFIER):
        yield f"{where}: the first UIDREF is not the Tracking Unique Identifier"


def _segment_problems(group: Dataset, where: str) -> Iterator[str]:
    references = list(walk.referenced(walk.named(group, codes.REFERENCED_SEGMENT)))
    if len(references) != 1 or segment_number(group) is None:
        yield f"{where}: refers to no single segment"
    if any("ReferencedFrameNumber" in reference for reference in references):
        yield f"{where}: the segment is referenced with frame numbers"


def _num_problems(group: Dataset, where: str) -> Iterator[str]:
    nums = walk.of_type(group, "NUM")
    quantities = [quantity_of(num) for num in nums]
    known = [quantity.name for quantity in quantities if quantity is not None]
    if known != [quantity.name for quantity in QUANTITIES if quantity.name in known]:
        yield f"{where}: measurements repeat or are out of order: {', '.join(known)}"
    refused = bool(walk.named(group, codes.SUV_REFUSED))
    if refused == any(name.startswith("suv") for name in known):
        yield f"{where}: SUV must be either stated or refused with a reason"
    for position, (num, quantity) in enumerate(zip(nums, quantities, strict=True)):
        name = walk.concept(num)
        what = f"{where}: NUM {name.meaning if name is not None else 'without a name'!r}"
        if quantity is None:
            yield f"{what} states no known measurement (concept and derivation)"
        else:
            yield from _quantity_problems(num, quantity, what)
        if (walk.children(num) or position == 0) and not walk.of_type(num, "SCOORD"):
            yield f"{what} carries no coordinates"
        yield from rows.row_problems(num, rows.NUM, what)
        for region in walk.of_type(num, "SCOORD"):
            yield from _region_problems(region, what)


def _quantity_problems(num: Dataset, quantity: Quantity, what: str) -> Iterator[str]:
    values = list(num.get("MeasuredValueSequence") or [])
    if len(values) != 1:
        yield f"{what} has {len(values)} values"
        return
    unit = walk.code_in(values[0], "MeasurementUnitsCodeSequence")
    if not codes.same(unit, quantity.unit):
        stated = unit.value if unit is not None else None
        yield f"{what} is in {stated!r}, {quantity.unit.value!r} expected"
    exact, decimal = exact_value(num), values[0].get("NumericValue")
    if exact is None or decimal is None or not isfinite(exact):
        yield f"{what} has no finite value"
    elif not isclose(float(decimal), exact, rel_tol=1e-8):
        yield f"{what} states {decimal} and {exact}: not one value"
    methods = [
        walk.code_in(item, "ConceptCodeSequence")
        for item in walk.named(num, codes.MEASUREMENT_METHOD)
    ]
    wanted = [] if quantity.method is None else [quantity.method]
    if len(methods) != len(wanted) or not all(map(codes.same, methods, wanted)):
        yield f"{what} has another measurement method than {wanted or 'none'}"


def _region_problems(region: Dataset, what: str) -> Iterator[str]:
    points = list(region.get("GraphicData") or [])
    if region.get("GraphicType") != "POLYLINE" or len(points) < 6 or len(points) % 2:
        yield f"{what}: the region is no POLYLINE of three points or more"
    elif points[:2] != points[-2:]:
        yield f"{what}: the region is not closed"
    images = walk.children(region)
    if [image.get("RelationshipType") for image in images] != ["SELECTED FROM"] or not list(
        walk.referenced(images)
    ):
        yield f"{what}: the region is not SELECTED FROM one image"
