"""What a text states of a lesion, read by rules, and what its record states, in the same words."""

from dataclasses import astuple, dataclass, fields

from engine.cohort.record import Record
from engine.cohort.said import GRADES, side_in
from engine.evaluating.interpretation import interpretation_in
from engine.grounding.site_table import table
from engine.grounding.sites import Located, site_of
from engine.grounding.uptake import grades_in

NO_SIDE = "none"  # the laterality of a place that is told without a side
UNSAID = "not said"  # how an absent value is shown; no fact has it as a value
NO_UPTAKE = "none"


@dataclass(frozen=True, slots=True)
class Facts:
    """One value a fact; None where a text does not say, or a record does not know."""

    site: str | None = None  # a row of the table of sites
    organ: str | None = None  # its organ group
    region: str | None = None
    laterality: str | None = None
    uptake: str | None = None
    interpretation: str | None = None


FACTS = tuple(field.name for field in fields(Facts))


def facts_in(text: str) -> Facts:
    """What `text` states."""
    located = site_of(text)
    grades = grades_in(text)
    return Facts(
        site=located.name,
        organ=located.organ_group,
        region=located.region,
        laterality=_side_in(located),
        uptake=GRADES.get(grades[0], NO_UPTAKE) if grades else None,
        interpretation=interpretation_in(text),
    )


def facts_of(record: Record) -> Facts:
    """What the record knows. A lesion at a site without sides has the laterality `none`."""
    site = table().get(record.site or "")
    side = record.laterality
    if side is None and site is not None and site.side != "yes":
        side = NO_SIDE if site.side == "no" else site.side
    told = record.interpretation
    return Facts(
        site=record.site,
        organ=record.organ_group,
        region=record.region,
        laterality=side,
        uptake=record.uptake,
        interpretation=None if told is None else interpretation_in(told) or told,
    )


def is_right(fact: str, known: Facts, said: Facts) -> bool | None:
    """Whether a text says what is known; None where that is nothing."""
    truth, told = getattr(known, fact), getattr(said, fact)
    return None if truth is None else truth == told


def mistakes(known: Facts, said: Facts) -> tuple[str, ...]:
    """The facts that a text has wrong, or leaves out."""
    return tuple(fact for fact in FACTS if is_right(fact, known, said) is False)


def are_known(known: Facts) -> bool:
    """Whether a record knows anything at all."""
    return any(value is not None for value in astuple(known))


def _side_in(located: Located) -> str | None:
    side = side_in(located)
    if side is not None or located.laterality is not None:
        return side
    # nothing said of a place is nothing said of its side
    return NO_SIDE if located.name in table() else None
