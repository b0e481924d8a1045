"""BLEU (Papineni et al., ACL 2002) with one reference, of a corpus or of one text; 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from engine.evaluating.tokens import grams_of

Tokens = Sequence[str]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Matched and written n-grams for n = 1, 2, ... and the lengths of both sides."""

    matched: tuple[int, ...]
    written: tuple[int, ...]
    candidate: int
    reference: int


def corpus_bleu(candidates: Sequence[Tokens], references: Sequence[Tokens], order: int) -> float:
    """BLEU-`order` of all texts together, without smoothing."""
    each = [_counted(one, other, order) for one, other in zip(candidates, references, strict=True)]
    if not each:
        return 0.0
    total = _Counts(
        tuple(map(sum, zip(*(one.matched for one in each), strict=True))),
        tuple(map(sum, zip(*(one.written for one in each), strict=True))),
        sum(one.candidate for one in each),
        sum(one.reference for one in each),
    )
    if not all(total.matched):
        return 0.0
    logs = [log(hits / all_) for hits, all_ in zip(total.matched, total.written, strict=True)]
    return _brevity(total) * exp(sum(logs) / order)


def sentence_bleu(candidate: Tokens, reference: Tokens, order: int) -> float:
    """BLEU-`order` of one text.

    Orders longer than the text do not count, and the k-th order without a match counts as 1/2^k of
    one match (the exponential smoothing of mteval; Chen & Cherry, WMT 2014, method 3).
    """
    counts = _counted(candidate, reference, order)
    if not any(counts.matched):
        return 0.0
    logs, halving = [], 1.0
    for hits, all_ in zip(counts.matched, counts.written, strict=True):
        if not all_:
            break
        if not hits:
            halving /= 2
        logs.append(log((hits or halving) / all_))
    return _brevity(counts) * exp(sum(logs) / len(logs))


def _counted(candidate: Tokens, reference: Tokens, order: int) -> _Counts:
    written = [grams_of(candidate, n) for n in range(1, order + 1)]
    asked = [grams_of(reference, n) for n in range(1, order + 1)]
    return _Counts(
        tuple((one & other).total() for one, other in zip(written, asked, strict=True)),
        tuple(one.total() for one in written),
        len(candidate),
        len(reference),
    )


def _brevity(counts: _Counts) -> float:
    if counts.candidate >= counts.reference:
        return 1.0
    return exp(1 - counts.reference / counts.candidate) if counts.candidate else 0.0
