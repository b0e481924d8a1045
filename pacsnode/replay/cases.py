"""One case of a replay: the order for it, and what became of it."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, TextIO

from pacsnode import __version__

COLUMNS = (
    "input_path", "study_instance_uid", "pet_series_instance_uid", "ct_series_instance_uid",
    "mask_sop_instance_uid", "segment_number", "segment_label", "tracking_uid", "suv_max",
    "suv_mean", "suv_median", "suv_sd", "suv_peak", "suv_refusal", "tracer", "uptake_min", "model",
    "volume_cm3", "tlg_g", "long_axis_mm", "short_axis_mm", "slice_instance_number", "site",
    "laterality", "text", "flags", "sr_sop_instance_uid", "raw_text",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker process needs to report one case; everything can be pickled."""

    input_path: str
    study_instance_uid: str
    mask_instance_uid: str
    pet_series_instance_uid: str
    ct_series_instance_uid: str | None
    pet: tuple[Path, ...]
    ct: tuple[Path, ...]
    mask: Path
    lesion_numbers: tuple[int, ...]
    style: Mapping[str, Any]  # fields of engine.report.style.ReportStyle
    fractional_threshold: float
    out: Path
    flags: tuple[str, ...] = ()
    label_maps: tuple[Path, ...] = ()

    @property
    def seed(self) -> str:
        return str(self.style["seed"])


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one case. `rows` are those of findings.csv."""

    outcome: Literal["reported", "refused", "failed"]
    code: str
    sentence: str
    study_instance_uid: str
    mask_instance_uid: str
    input_path: str
    sr: str | None = None  # path, relative to the output folder
    seg: str | None = None
    words: str | None = None
    seconds: float = 0.0
    rows: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of_order(cls, order: Order, outcome: Any, code: str, sentence: str, **more: Any) -> Self:
        """The result of an order, which says what it is about."""
        return cls(
            outcome,
            code,
            sentence,
            order.study_instance_uid,
            order.mask_instance_uid,
            order.input_path,
            **more,
        )


class Ledger:
    """Results on disk, one JSON file a case, so that a second run knows what is done."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._folder = out / ".cases"
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, order: Order, result: CaseResult) -> None:
        """Write a result whole or not at all."""
        part = self._folder / f"{order.seed}.part"
        told = asdict(result) | {"flags": order.flags, "pacsnode": __version__}
        part.write_text(json.dumps(told), "utf-8")
        part.rename(self._path(order))

    def read(self, order: Order) -> CaseResult | None:
        """The result of an earlier run that still stands: a refusal, or a report that is there.

        Rows with other flags do not stand, nor does what another version refused. The mask may lie
        elsewhere by now.
        """
        try:
            stated = json.loads(self._path(order).read_text("utf-8"))
            if stated["flags"] != list(order.flags):
                return None
            if stated["outcome"] == "refused" and stated["pacsnode"] != __version__:
                return None
            names = {field.name for field in fields(CaseResult)}
            result = CaseResult(**{name: stated[name] for name in names})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        kept = [path for path in (result.sr, result.seg, result.words) if path is not None]
        if result.outcome == "failed" or not all((self._out / path).is_file() for path in kept):
            return None
        rows = tuple({**row, "input_path": order.input_path} for row in result.rows)
        return replace(result, input_path=order.input_path, rows=rows)

    def _path(self, order: Order) -> Path:
        return self._folder / f"{order.seed}.json"


def write_findings(stream: TextIO, results: Sequence[CaseResult]) -> int:
    """Write findings.csv, cases in the order of their inputs; gives the number of rows."""
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    rows = list(_sorted_rows(results))
    writer.writerows({name: _printed(row.get(name)) for name in COLUMNS} for row in rows)
    return len(rows)


def _sorted_rows(results: Sequence[CaseResult]) -> Iterator[Mapping[str, Any]]:
    for result in sorted(results, key=lambda each: (each.input_path, each.mask_instance_uid)):
        yield from result.rows


def _printed(value: Any) -> str:
    """Full precision: the shortest text that reads back as the same float."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return ";".join(str(part) for part in value)
    return str(value)
