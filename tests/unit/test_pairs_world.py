"""How well pairs are made from reports of the phantom world, which nothing was tuned on."""

from collections import Counter

import pytest

from engine.cohort.pairs import pairs_of
from engine.cohort.pairs_records import Exam
from engine.cohort.world import make_world_study
from tests.unit.hot_spots import is_within_a_voxel

# seed: findings, and how many of them get their mask. 50 of 57: docs/reference/dataset.md quotes it
REACHED = {
    2000: (1, 1), 2001: (1, 0), 2002: (10, 10), 2003: (9, 8), 2004: (7, 6), 2005: (7, 5),
    2006: (4, 3), 2007: (1, 1), 2008: (2, 2), 2009: (6, 5), 2010: (2, 2), 2011: (7, 7),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", REACHED)
def test_pairs_of_the_phantom_world_are_no_worse_than_stated(seed: int) -> None:
    study = make_world_study(seed)
    report = "\n".join(one.text for one in study.records)
    pairs = pairs_of(report, study.scan, Exam("a", "test"))
    dropped = {one.text for one in pairs.dropped}
    made = {one.record.text: one.mask for one in pairs.examples}
    became: Counter[str] = Counter()
    for one in study.findings:
        text = one.record.text
        if text in dropped:
            became["dropped"] += 1
        else:
            is_right = is_within_a_voxel(one.mask.voxels, made[text].voxels)
            became["right" if is_right else "wrong"] += 1
    findings, right = REACHED[seed]
    assert became.total() == findings
    assert became["right"] >= right, became
