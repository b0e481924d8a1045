"""How alike candidate and reference texts are worded, each text and all together."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from engine.evaluating.bleu import corpus_bleu, sentence_bleu
from engine.evaluating.cider import cider_of
from engine.evaluating.masking import masked
from engine.evaluating.meteor import meteor, porter
from engine.evaluating.rouge import rouge_l
from engine.evaluating.tokens import tokens_of

BLEU_1, BLEU_4 = "BLEU-1", "BLEU-4"
ROUGE_L, METEOR, CIDER = "ROUGE-L", "METEOR-nosyn", "CIDEr-D"
BLEU_1_CORPUS, BLEU_4_CORPUS = "BLEU-1 (corpus)", "BLEU-4 (corpus)"


@dataclass(frozen=True, slots=True)
class Wording:
    """Scores by metric: of every text in order, and of the whole set."""

    each: dict[str, tuple[float, ...]]
    whole: dict[str, float]


def wording_of(candidates: Sequence[str], references: Sequence[str]) -> Wording:
    """Every wording metric, numbers masked first; docs/reference/metrics.md says which exactly."""
    mine = [tokens_of(masked(text)) for text in candidates]
    theirs = [tokens_of(masked(text)) for text in references]
    pairs = list(zip(mine, theirs, strict=True))
    cider, stem = cider_of(theirs), porter()
    each = {
        BLEU_1: tuple(sentence_bleu(one, other, 1) for one, other in pairs),
        BLEU_4: tuple(sentence_bleu(one, other, 4) for one, other in pairs),
        ROUGE_L: tuple(rouge_l(one, other) for one, other in pairs),
        METEOR: tuple(meteor(one, other, stem) for one, other in pairs),
        CIDER: tuple(cider.score(one, other) for one, other in pairs),
    }
    whole = {name: fmean(scores) if scores else 0.0 for name, scores in each.items()}
    whole[BLEU_1_CORPUS] = corpus_bleu(mine, theirs, 1)
    whole[BLEU_4_CORPUS] = corpus_bleu(mine, theirs, 4)
    return Wording(each, whole)
