"""ROUGE-L (Lin, ACL workshop 2004): F1 of the longest common subsequence, without stemming."""

from collections.abc import Sequence


def rouge_l(candidate: Sequence[str], reference: Sequence[str]) -> float:
    """F1 (beta = 1) of the longest common subsequence of two token lists; 0 where one is empty."""
    if not candidate or not reference:
        return 0.0
    return 2 * _longest_shared(candidate, reference) / (len(candidate) + len(reference))


def _longest_shared(one: Sequence[str], other: Sequence[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for at, against in enumerate(other, 1):
            above = row[at]
            row[at] = diagonal + 1 if word == against else max(above, row[at - 1])
            diagonal = above
    return row[-1]
