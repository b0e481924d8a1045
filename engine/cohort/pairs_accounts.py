"""What became of the sentences of each study, kept beside the dataset and summed over all runs."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.cohort.stored import replacing
from engine.errors import Unreadable

KEPT = ".pairs"  # no study is named so


@dataclass(frozen=True, slots=True)
class Account:
    """One study: how many sentences, what they made, and (code, text) of those dropped.

    `made_from` is a digest of its PET and report.
    """

    made_from: str
    sentences: int
    asked: int
    counts: dict[str, int]
    dropped: tuple[tuple[str, str], ...]

    @property
    def lesions(self) -> int:
        return self.counts.get("matched", 0)


def keep(out: Path, study_id: str, account: Account) -> None:
    """Write the account of a study."""
    path = out / KEPT / f"{study_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(account), ensure_ascii=False) + "\n", "utf-8")


def kept(out: Path, study_id: str) -> Account | None:
    """The account of a study that is done: one whose lesions are gone is not."""
    path = out / KEPT / f"{study_id}.json"
    if not path.is_file():
        return None
    account = _read(path)
    return account if account.lesions == 0 or (out / study_id).is_dir() else None


def total(out: Path) -> dict[str, Any]:
    """The sums over all studies that are done, and the counts of each. Writes dropped.csv."""
    counts: Counter[str] = Counter()
    told: dict[str, Any] = {"sentences": 0, "asked": 0}
    studies = {}
    with (
        replacing(out / "dropped.csv") as part,
        part.open("w", encoding="utf-8", newline="") as stream,
    ):
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("study_id", "code", "sentence"))
        for study_id, account in _all(out):
            rows.writerows((study_id, code, text) for code, text in account.dropped)
            counts.update(account.counts)
            studies[study_id] = account.counts
            told["sentences"] += account.sentences
            told["asked"] += account.asked
    return told | {"counts": dict(counts), "studies": studies}


def _all(out: Path) -> Iterator[tuple[str, Account]]:
    for path in sorted((out / KEPT).glob("[!.]*.json")):
        account = kept(out, path.stem)
        if account is not None:
            yield path.stem, account


def _read(path: Path) -> Account:
    try:
        told = json.loads(path.read_text("utf-8"))
        dropped = tuple((str(code), str(text)) for code, text in told.pop("dropped"))
        return Account(**told, dropped=dropped)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Unreadable(f"{KEPT}/{path.name} is no account of a study; remove it") from exc
