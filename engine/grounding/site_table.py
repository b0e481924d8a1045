"""The table of sites: codes of PS3.16 (CID 4031, 7151, 7600, 7601, 7602) and the terms for them.

`sites.csv` has one row a site. `side` says whether it has a left and a right (yes, no, or the only
side it lies on); `rank` is 0 for a region, 1 for a tissue that is everywhere, 2 for a place;
`part_of` names the site it belongs to; `node` the lymph nodes of a place. `{node}` in a synonym
stands for every word for a lymph node.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain

from pydicom.sr.coding import Code

from engine.codes import same

NODE_WORDS = ("lymph node", "node", "ln", "lymphadenopathy", "adenopathy", "nodal")


@dataclass(frozen=True, slots=True)
class Site:
    """One row of the table."""

    name: str
    region: str | None
    part_of: str | None
    side: str  # yes, no, left, right
    rank: int
    node: str | None
    code: Code
    organ_group: str | None
    synonyms: tuple[str, ...]


@cache
def table() -> dict[str, Site]:
    """Every site by its name."""
    text = files("engine.grounding").joinpath("sites.csv").read_text("utf-8")
    return {row["site"]: _site(row) for row in csv.DictReader(text.splitlines())}


@cache
def site_coded(code: Code) -> Site | None:
    """The first site with this code, SRT codes of older objects among them."""
    return next((site for site in table().values() if same(site.code, code)), None)


def region_site(region: str | None) -> Site | None:
    """The row of a body region as a whole; None for the extremities, which are two."""
    return table().get(region.lower()) if region else None


def wholes_of(site: Site) -> Iterator[Site]:
    """What the site is part of, the nearest first."""
    while site.part_of is not None:
        site = table()[site.part_of]
        yield site


def is_within(part: Site, whole: Site) -> bool:
    """Whether `part` is `whole`, or one of its parts."""
    return any(site.name == whole.name for site in chain((part,), wholes_of(part)))


def _site(row: dict[str, str]) -> Site:
    return Site(
        name=row["site"],
        region=row["region"] or None,
        part_of=row["part_of"] or None,
        side=row["side"],
        rank=int(row["rank"]),
        node=row["node"] or None,
        code=Code(row["code"], row["scheme"], row["meaning"]),
        organ_group=row["organ_group"] or None,
        synonyms=tuple(
            synonym.replace("{node}", word)
            for synonym in row["synonyms"].split(";")
            for word in (NODE_WORDS if "{node}" in synonym else ("",))
        ),
    )
