"""A made PET/CT study with findings, reference sentences and records: one seed, one study."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.uid import PositronEmissionTomographyImageStorage

from engine.acquisition import SuvConversion
from engine.cohort.body import Habitus, draw_habitus, make_body
from engine.cohort.body_parts import Part
from engine.cohort.body_shapes import Ellipsoid
from engine.cohort.body_tissues import FDG, SHORT_NAMES, densities, uptakes
from engine.cohort.dataset import (
    Example,
    Record,
    numbered_from_the_head,
    numbers_of,
    write_example,
    write_regions,
)
from engine.cohort.headers import uid_of
from engine.cohort.plain import plain_acquisition
from engine.cohort.sentences import Told, finding
from engine.cohort.world_grades import (
    grade_called,
    interpretation_of,
    liver_reference,
    wanted_suv,
)
from engine.cohort.world_images import (
    Float,
    Labels,
    Scanner,
    activity,
    as_ct,
    as_pet,
    density,
    draw_scanner,
    lying_grid,
    paint,
)
from engine.cohort.world_lesions import (
    Tumour,
    collides,
    numbers_of_part,
    outline,
    raise_density,
    raise_uptake,
    seat,
    surroundings,
)
from engine.cohort.world_places import Place, places
from engine.cohort.world_position import Stance, draw_stance, extent_mm, turn, turned_grid
from engine.geometry import Grid
from engine.grounding.site_table import table
from engine.lesion import Measurements, Segment
from engine.measuring.lesions import measure
from engine.volume import ImageReference, Mask, Scan, Volume

_ATTEMPTS = 6  # for each finding that is wanted
_ROUNDS = 4  # where none came about


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """What a caller may choose; the seed decides all else."""

    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0)  # of the PET along z, y, x
    ct_spacing_mm: tuple[float, float, float] | None = None  # by default the PET's grid
    findings: tuple[int, int] = (1, 10)  # how many are tried for, from and to
    is_shifted: bool = False  # other bodies, scanners, positions and words than at home
    split: str = "train"
    tracer: str = FDG
    field: str | None = None  # a row of FIELDS
    upright: bool = False  # always head first, supine, slices towards the head


@dataclass(frozen=True, slots=True, eq=False)
class WorldFinding:
    """One finding: its record and outline, and what was put in."""

    record: Record
    mask: Mask
    tumour: Tumour
    measurements: Measurements


@dataclass(frozen=True, slots=True, eq=False)
class WorldStudy:
    """A made study. `regions` labels the anatomy on the PET's grid with the names given."""

    seed: int
    study_id: str
    scan: Scan
    findings: tuple[WorldFinding, ...]
    regions: npt.NDArray[np.uint16]
    region_names: dict[int, str]
    liver_suv: float  # the reference of the grades: mean + 2 SD
    habitus: Habitus
    scanner: Scanner
    stance: Stance
    tracer: str

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(one.record for one in self.findings)

    def examples(self) -> Iterator[Example]:
        """Each finding with the scan and its mask."""
        for one in self.findings:
            yield Example(one.record, self.scan, one.mask)


def make_world_study(seed: int, options: WorldOptions | None = None) -> WorldStudy:
    """The study of a seed; equal seeds and options give equal studies.

    It has a finding at least, unless none is wanted or four rounds of places had no room for one.
    """
    options = options or WorldOptions()
    rng = np.random.default_rng([seed, int(options.is_shifted)])
    habitus = draw_habitus(rng, is_shifted=options.is_shifted)
    scanner = draw_scanner(rng, is_shifted=options.is_shifted)
    stance = _stance(options, rng)
    parts = make_body(habitus, rng)
    suv = uptakes(options.tracer, rng, spread=1.3 if options.is_shifted else 1.0)
    hu = densities(rng)

    extent = extent_mm(stance.field, habitus.stature, habitus.build + habitus.fat_mm / 300)
    grid = lying_grid(extent, options.spacing_mm)
    labels = paint(parts, grid)
    uptake = activity(labels, parts, suv)
    wanted = int(rng.integers(options.findings[0], options.findings[1] + 1))
    for _ in range(_ROUNDS):
        tumours = _tumours(wanted, parts, labels, uptake, grid, habitus, suv, rng)
        pet = _pet(uptake, tumours, grid, scanner, rng)
        outlined = [(tumour, outline(pet, tumour, labels, grid)) for tumour in tumours]
        if wanted == 0 or any(voxels is not None for _, voxels in outlined):
            break

    liver = liver_reference(pet, _labelled(labels, parts, "liver"), grid, 1.15 * suv["liver"], rng)
    ct_grid = grid if options.ct_spacing_mm is None else lying_grid(extent, options.ct_spacing_mm)
    ct = _ct(parts, labels, grid, ct_grid, hu, tumours, scanner, rng)
    scan = _scan(seed, options, turn(pet, stance), turned_grid(grid, stance), ct, ct_grid, stance)

    study_id = f"world-{seed:07d}" + ("-shifted" if options.is_shifted else "")
    findings: list[WorldFinding] = []
    for tumour, voxels in outlined:
        if voxels is not None:
            mask = Mask(turn(voxels, stance), scan.pet.grid)
            findings.append(
                _finding(study_id, len(findings) + 1, tumour, mask, scan, liver, options, rng)
            )
    regions, names = _regions(labels, parts)
    return WorldStudy(
        seed, study_id, scan, tuple(findings), turn(regions, stance), names,
        liver, habitus, scanner, stance, options.tracer,
    )  # fmt: skip


def write_arrays(study: WorldStudy, folder: Path, ending: str = ".npz") -> None:
    """Add the study to a folder of examples: docs/reference/dataset.md."""
    for example in study.examples():
        write_example(folder, example, ending)
    if study.findings:
        write_regions(
            folder / study.study_id, study.regions, study.region_names, study.scan.pet.grid, ending
        )


def _stance(options: WorldOptions, rng: np.random.Generator) -> Stance:
    stance = draw_stance(rng, is_shifted=options.is_shifted)
    if options.upright:
        stance = Stance(stance.field, "HFS", rises=True)
    return stance if options.field is None else replace(stance, field=options.field)


def _tumours(
    wanted: int, parts: Sequence[Part], labels: Labels, uptake: Float, grid: Grid,
    habitus: Habitus, suv: dict[str, float], rng: np.random.Generator,
) -> list[Tumour]:  # fmt: skip
    """Findings at places by their weights, none near another."""
    every = places()
    weights = np.array([place.weight for place in every])
    found: list[Tumour] = []
    for at in rng.choice(len(every), _ATTEMPTS * (wanted + 3), p=weights / weights.sum()):
        if len(found) == wanted:
            break
        where = every[at]
        if where.kind == "organ":
            tumour = _whole_organ(where, parts, labels, grid, suv, found)
        else:
            tumour = _drawn(where, parts, labels, uptake, grid, habitus, suv, found, rng)
        if tumour is not None:
            found.append(tumour)
    return found


def _drawn(
    where: Place, parts: Sequence[Part], labels: Labels, uptake: Float, grid: Grid,
    habitus: Habitus, suv: dict[str, float], found: Sequence[Tumour], rng: np.random.Generator,
) -> Tumour | None:  # fmt: skip
    shape = seat(where, parts, labels, grid, habitus, rng)
    if shape is None or collides(shape, [one.shape for one in found]):
        return None
    value = wanted_suv(where, suv, surroundings(uptake, shape, grid), rng)
    morphology = None
    if where.kind == "bone":
        morphology = (None, "lytic", "sclerotic")[int(rng.choice(3, p=(0.4, 0.3, 0.3)))]
    elif where.kind in ("mass", "nodule") and min(shape.radii_mm) > 12 and rng.random() < 0.25:
        morphology = "necrotic"
    return Tumour(where, shape, value, morphology)


def _whole_organ(
    where: Place, parts: Sequence[Part], labels: Labels, grid: Grid, suv: dict[str, float],
    found: Sequence[Tumour],
) -> Tumour | None:  # fmt: skip
    """The hotter tissue of an organ, where all of it is imaged, and it stands out."""
    numbers = numbers_of_part(where, parts)
    hottest = max(numbers, key=lambda number: suv[parts[number - 1].tissue])
    value = suv[parts[hottest - 1].tissue]
    shape = parts[hottest - 1].solids[0]
    at = np.flatnonzero((labels == hottest).any(axis=(1, 2)))
    is_cut = not len(at) or at[0] < 3 or at[-1] > grid.shape[0] - 4
    if is_cut or value < 1.5 * suv["blood"] or not isinstance(shape, Ellipsoid):
        return None
    if collides(shape, [one.shape for one in found]):
        return None
    return Tumour(where, shape, value, None, frozenset((hottest,)))


def _pet(
    uptake: Float, tumours: Sequence[Tumour], grid: Grid, scanner: Scanner, rng: np.random.Generator
) -> Float:
    with_tumours = uptake.copy()
    for tumour in tumours:
        raise_uptake(with_tumours, tumour, grid)
    return as_pet(with_tumours, grid, scanner, rng)


def _ct(
    parts: Sequence[Part], labels: Labels, grid: Grid, ct_grid: Grid, hu: dict[str, float],
    tumours: Sequence[Tumour], scanner: Scanner, rng: np.random.Generator,
) -> Float:  # fmt: skip
    own = labels if ct_grid is grid else paint(parts, ct_grid)
    values = density(own, parts, hu)
    for tumour in tumours:
        raise_density(values, tumour, ct_grid)
    return as_ct(values, scanner, rng)


def _scan(
    seed: int, options: WorldOptions, pet: Float, pet_grid: Grid, ct: Float, ct_grid: Grid,
    stance: Stance,
) -> Scan:  # fmt: skip
    name = world_name(seed, is_shifted=options.is_shifted)
    frame = uid_of(name, "frame of reference")
    count = len(pet)
    slices = tuple(
        ImageReference(
            PositronEmissionTomographyImageStorage, uid_of(name, f"PET {number}"), None, number
        )
        for number in numbered_from_the_head(pet_grid)
    )
    nowhere = tuple(ImageReference("", "", None, None) for _ in range(len(ct)))
    placed = Grid(pet_grid.shape, pet_grid.affine, frame)
    ct_placed = turned_grid(ct_grid, stance)
    return Scan(
        Volume(pet, placed, "g/ml", slices, uid_of(name, "series PET")),
        Volume(
            turn(ct, stance), Grid(ct_placed.shape, ct_placed.affine, frame), "HU", nowhere,
            uid_of(name, "series CT"),
        ),
        plain_acquisition(options.tracer),
        SuvConversion(np.ones(count), "bw", "made as SUV"),
    )  # fmt: skip


def world_name(seed: int, *, is_shifted: bool) -> str:
    """What UIDs of this study are derived from."""
    return f"W{seed}" + ("S" if is_shifted else "")


def _finding(
    study_id: str, number: int, tumour: Tumour, mask: Mask, scan: Scan, liver: float,
    options: WorldOptions, rng: np.random.Generator,
) -> WorldFinding:  # fmt: skip
    where = tumour.place
    segment = Segment(number, f"Lesion {number}", "lesion", mask, "", "")
    measurements = measure(segment, scan)
    measured = numbers_of(measurements)
    grade = grade_called(measured["suv_max"], liver)
    meaning = interpretation_of(where, grade)
    site = table()[where.site]
    told = Told(
        where.site, where.side, where.kind, grade, meaning, tumour.morphology, measured,
        SHORT_NAMES.get(options.tracer, options.tracer),
    )  # fmt: skip
    record = Record(
        study_id=study_id,
        lesion_id=f"lesion-{number:02d}",
        split=options.split,
        site=where.site,
        organ_group=site.organ_group,
        region=site.region,
        laterality=where.side,
        uptake=grade,
        interpretation=meaning,
        text=finding(told, rng, "unseen" if options.is_shifted else "home"),
        measured=measured,
        source="phantom",
    )
    return WorldFinding(record, mask, tumour, measurements)


def _labelled(labels: Labels, parts: Sequence[Part], site: str) -> npt.NDArray[np.bool_]:
    looked_up = np.array([False, *(part.site == site for part in parts)])
    return np.asarray(looked_up[labels])


def _regions(
    labels: Labels, parts: Sequence[Part]
) -> tuple[npt.NDArray[np.uint16], dict[int, str]]:
    """The parts that are sites, each side one region with a name as words have it."""
    numbers: dict[str, int] = {}
    looked_up = np.zeros(len(parts) + 1, np.uint16)
    for label, part in enumerate(parts, start=1):
        name = region_name(part)
        if name is not None:
            looked_up[label] = numbers.setdefault(name, len(numbers) + 1)
    return looked_up[labels], {number: name for name, number in numbers.items()}


def region_name(part: Part) -> str | None:
    """What words call the region of a part; None for tissue that is no site."""
    if part.site not in table():
        return None
    return name_with_side(part.site, part.side)


def name_with_side(site: str, side: str | None) -> str:
    """A site as words have it: left kidney; the side once, where the site tells it already."""
    return f"{side} {site}" if side and side not in site else site
