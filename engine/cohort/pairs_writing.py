"""Pairs of a table of examinations into a dataset, with counts of what was matched and why not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.cohort.dataset import write_example
from engine.cohort.pairs import Ask, pairs_of
from engine.cohort.pairs_accounts import Account, keep, kept, total
from engine.cohort.pairs_exams import Found, Listed, find_exam, listed_exams, open_exam
from engine.cohort.pairs_records import Exam
from engine.cohort.stored import replacing
from engine.errors import EngineError, UnusableCase

PART = ".part"  # where a study lies until it is whole
DUPLICATE, THERE_ALREADY = "duplicate-study", "study-there-already"
SPLITS_DIFFER = "splits-differ"

Interpret = Callable[[str], str | None]


def write_pairs(
    table: Path,
    out: Path,
    ask: Ask | None = None,
    interpret: Interpret | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Build, and tell: counts, refused examinations; beside the studies pairs.json and dropped.csv.

    A study that is done already is passed over before its pixels are read. Both files hold all
    studies of the dataset; dropped.csv holds sentences of reports, as the dataset itself does.
    """
    exams = listed_exams(table)
    out.mkdir(parents=True, exist_ok=True)
    making = _Making(out, ask, interpret)
    before, refused = 0, []
    for listed in exams:
        try:
            told = making.make(listed)
        except EngineError as exc:  # of a model that is asked as well: the next one may answer
            sentence = str(exc) if isinstance(exc, UnusableCase) else f"Line {listed.line}: {exc}"
            refused.append({"line": listed.line, "code": exc.code, "sentence": sentence})
            say(sentence)
            continue
        before += told is None
        if told is not None:
            say(told)
    sums = {"exams": len(exams), "before": before, "refused": refused} | total(out)
    with replacing(out / "pairs.json") as part:
        part.write_text(json.dumps(sums, indent=1) + "\n", "utf-8")
    return sums


@dataclass(slots=True)
class _Making:
    out: Path
    ask: Ask | None
    interpret: Interpret | None
    lines: dict[str, int] = field(default_factory=dict)  # by study that is done: its line
    splits: dict[str, tuple[str, int]] = field(default_factory=dict)  # by patient, and whose line

    def make(self, listed: Listed) -> str | None:
        """A sentence on the study that was made; None where it is done already."""
        found = find_exam(listed)
        self._refuse_two_splits(found)
        told = None if self._is_done(found) else self._made(found)
        self.lines[found.study_id] = listed.line
        return told

    def _refuse_two_splits(self, found: Found) -> None:
        """What is learnt of a patient is not judged by another examination of the same."""
        split, line = self.splits.setdefault(found.patient, (found.split, found.listed.line))
        if split != found.split:
            raise UnusableCase(
                f"Line {found.listed.line}: its split is {found.split}, and that of line {line},"
                f" the same patient, is {split}; give both the same in the column split",
                code=SPLITS_DIFFER,
            )

    def _is_done(self, found: Found) -> bool:
        """Raises UnusableCase where the name of the study is another's."""
        name, line = found.study_id, found.listed.line
        if name in self.lines:
            raise UnusableCase(
                f"Line {line}: study {name} is that of line {self.lines[name]}; give each a name of"
                " its own in the column study",
                code=DUPLICATE,
            )
        account = kept(self.out, name)
        if account is None and (self.out / name).exists():
            raise UnusableCase(
                f"Line {line}: a study {name} is there that was made from no report",
                code=THERE_ALREADY,
            )
        if account is not None and account.made_from != found.made_from:
            raise UnusableCase(
                f"Line {line}: study {name} was made from another PET or report; give this one"
                " another name in the column study, or remove that one",
                code=DUPLICATE,
            )
        return account is not None

    def _made(self, found: Found) -> str:
        name = found.study_id
        exam = Exam(name, found.split, interpret=self.interpret)
        made = pairs_of(found.report, open_exam(found), exam, ask=self.ask)
        shutil.rmtree(self.out / PART, ignore_errors=True)
        for example in made.examples:
            write_example(self.out / PART, example)
        dropped = tuple((one.code, one.text) for one in made.dropped)
        account = Account(found.made_from, made.sentences, made.asked, made.counts(), dropped)
        keep(self.out, name, account)
        if made.examples:  # last: without its folder the account of lesions does not count
            (self.out / PART / name).rename(self.out / name)
            (self.out / PART).rmdir()
        return f"{name}: {len(made.examples)} lesions of {made.sentences} sentences"
