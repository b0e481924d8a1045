"""The picture of what was said for what: its diagonal is what is right, and nothing else."""

from collections import Counter

from engine.evaluating.confusion import ANOTHER, MOST, OTHER, table_of

COMMON = Counter({(f"site {at:02}", f"site {at:02}"): 10 for at in range(MOST)})


def test_rare_classes_share_a_row_and_their_wrong_answers_a_column() -> None:
    rare = Counter({("C3 vertebra", "left testis"): 1, ("ureter", "ureter"): 2,
                    ("site 01", "mandible"): 3, ("mandible", "site 02"): 4})  # fmt: skip
    known, said, table = table_of(COMMON + rare)
    assert table.sum() == (COMMON + rare).total()
    assert list(known[-1:]) == [OTHER]
    assert list(said[-2:]) == [OTHER, ANOTHER]
    right = sum(table[at, at] for at in range(len(known)))
    assert right == 10 * MOST + 2
    other = known.index(OTHER)
    assert table[other, said.index(ANOTHER)] == 1
    assert table[known.index("site 01"), said.index(OTHER)] == 3
    assert table[other, said.index("site 02")] == 4


def test_few_classes_need_no_other() -> None:
    known, said, table = table_of(Counter({("liver", "liver"): 2, ("liver", "spleen"): 1}))
    assert known == said == ["liver", "spleen"]
    assert table.tolist() == [[2, 1], [0, 0]]
