"""CIDEr-D (Vedantam et al., CVPR 2015) with one reference a text, as the COCO captions use it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

from engine.evaluating.tokens import Gram, grams_of

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0  # words of difference in length that are forgiven
SCALE = 10.0

Weights = Sequence[Mapping[Gram, float]]  # one mapping an order


@dataclass(frozen=True, slots=True)
class Cider:
    """The texts that hold each n-gram, of all reference texts: rare n-grams count more."""

    holding: Mapping[Gram, int]
    texts: int

    def score(self, candidate: Sequence[str], reference: Sequence[str]) -> float:
        """CIDEr-D of one text, from 0 to 10."""
        mine, theirs = self._weighed(candidate), self._weighed(reference)
        # the original counts bigrams, so that a text of one word is as long as an empty one
        apart = max(len(candidate) - 1, 0) - max(len(reference) - 1, 0)
        alike = sum(map(_cosine, mine, theirs)) / len(ORDERS)
        return SCALE * alike * exp(-(apart**2) / (2 * SIGMA**2))

    def _weighed(self, tokens: Sequence[str]) -> Weights:
        return [
            {
                gram: count * (log(self.texts) - log(max(1, self.holding.get(gram, 0))))
                for gram, count in grams_of(tokens, order).items()
            }
            for order in ORDERS
        ]


def cider_of(references: Sequence[Sequence[str]]) -> Cider:
    """The score whose rarity of n-grams is that of these reference texts."""
    holding: Counter[Gram] = Counter()
    for tokens in references:
        holding.update({gram for order in ORDERS for gram in grams_of(tokens, order)})
    return Cider(holding, max(1, len(references)))


def _cosine(mine: Mapping[Gram, float], theirs: Mapping[Gram, float]) -> float:
    """Cosine of two vectors, where no n-gram of the candidate counts more than in the reference."""
    product = sum(
        min(weight, theirs[gram]) * theirs[gram] for gram, weight in mine.items() if gram in theirs
    )
    norm = sqrt(sum(w * w for w in mine.values())) * sqrt(sum(w * w for w in theirs.values()))
    return product / norm if norm else 0.0
