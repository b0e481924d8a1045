"""Pairs of a table of examinations into a dataset, with counts of what was matched and why not."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.cohort.dataset import write_example
from engine.cohort.pairs import Ask, Pairs, pairs_of
from engine.cohort.pairs_exams import Opened, listed_exams, open_exam
from engine.cohort.pairs_records import Exam
from engine.errors import UnusableCase

PART = ".part"  # where a study lies until it is whole

Interpret = Callable[[str], str | None]


def write_pairs(
    table: Path,
    out: Path,
    ask: Ask | None = None,
    interpret: Interpret | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Build, and tell: counts, refused examinations; beside the studies pairs.json and dropped.csv.

    A study that is there already is passed over. Both files hold what this run did; dropped.csv
    holds sentences of reports, as the dataset itself does.
    """
    exams = listed_exams(table)
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / PART, ignore_errors=True)
    counts: Counter[str] = Counter()
    told: dict[str, Any] = {"exams": len(exams), "before": 0, "sentences": 0, "asked": 0}
    refused, by_study = [], {}
    with (out / "dropped.csv").open("w", encoding="utf-8", newline="") as stream:
        dropped = csv.writer(stream, lineterminator="\n")
        dropped.writerow(("study_id", "code", "sentence"))
        for listed in exams:
            try:
                exam = open_exam(listed)
            except UnusableCase as exc:
                refused.append({"line": listed.line, "code": exc.code, "sentence": str(exc)})
                say(str(exc))
                continue
            if (out / exam.study_id).exists():
                told["before"] += 1
                continue
            made = pairs_of(
                exam.report, exam.scan, Exam(exam.study_id, exam.split, interpret=interpret),
                ask=ask,
            )  # fmt: skip
            _write(out, exam, made)
            dropped.writerows((exam.study_id, one.code, one.text) for one in made.dropped)
            by_study[exam.study_id] = made.counts()
            counts.update(made.counts())
            told["sentences"] += made.sentences
            told["asked"] += made.asked
            say(f"{exam.study_id}: {len(made.examples)} lesions of {made.sentences} sentences")
    told |= {"counts": dict(counts), "refused": refused, "studies": by_study}
    (out / "pairs.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    return told


def _write(out: Path, exam: Opened, made: Pairs) -> None:
    for example in made.examples:
        write_example(out / PART, example)
    if made.examples:
        (out / PART / exam.study_id).rename(out / exam.study_id)
