"""Wording metrics, beside the reference libraries wherever they compute the same thing."""

import math
import random
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluating.bleu import corpus_bleu, sentence_bleu
from engine.evaluating.cider import cider_of
from engine.evaluating.masking import masked
from engine.evaluating.meteor import meteor, porter
from engine.evaluating.rouge import rouge_l
from engine.evaluating.tokens import tokens_of
from engine.evaluating.wording import wording_of

NEAR = 1e-6
VOCABULARY = [
    "intense", "mild", "fdg", "uptake", "avid", "in", "the", "right", "left", "hilar", "node",
    "nodes", "nodule", "lung", "liver", "lesion", "lesions", "hypermetabolic",
    "hypermetabolism", "suspicious", "suspicion", "for", "metastasis", "metastatic", "[#]",
    "cm", "suvmax", "of", "a", "and", "measuring", "measures",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(VOCABULARY), max_size=24)


def cases(seed: int = 7, count: int = 60) -> tuple[list[list[str]], list[list[str]]]:
    """Candidates that share whole phrases with their references, and some that share nothing."""
    rng = random.Random(seed)
    references = [rng.choices(VOCABULARY, k=rng.randint(1, 30)) for _ in range(count)]
    candidates = []
    for words in references:
        start = rng.randrange(len(words))
        kept = words[start : start + rng.randint(1, 12)]
        candidates.append(
            [*rng.choices(VOCABULARY, k=rng.randint(0, 4)), *kept, *rng.choices(VOCABULARY, k=3)]
        )
    return candidates, references


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SUV max of 6.3, 1.2 x 1.1 cm.", "SUV max of [#], [#] x [#] cm."),
        ("SUVmax6.3 at C6, level 2, image 77", "SUVmax[#] at C6, level 2, image [#]"),
        ("Segment VIII, the 7th rib, 18F-FDG, 12-mm", "Segment VIII, the 7th rib, 18F-FDG, [#]-mm"),
        ("already [#] and [ # ]", "already [#] and [#]"),
        ("\u00bd of 3\u00b75 cm", "[#] of [#] cm"),
        ("HER2, no number", "HER2, no number"),
        ("", ""),
    ],
)  # fmt: skip
def test_numbers_are_masked_and_names_stay(text: str, said: str) -> None:
    assert masked(text) == said
    assert masked(said) == said


@given(st.text(alphabet="suvmax 0123456789.,x[]#C6Tlevel-", max_size=60))
def test_masking_twice_is_masking_once(text: str) -> None:
    assert masked(masked(text)) == masked(text)


def test_tokens_know_no_case_and_no_punctuation() -> None:
    told = tokens_of("FDG-avid node, the patient's; SUVmax [#].")
    assert told == ("fdg", "avid", "node", "the", "patient's", "suvmax", "[#]")


def test_bleu_of_the_original_papers_example() -> None:
    # Papineni et al. 2002, example 2: clipping leaves 2 of 7 unigrams
    candidate, reference = ["the"] * 7, ["the", "cat", "is", "on", "the", "mat"]
    assert sentence_bleu(candidate, reference, 1) == pytest.approx(2 / 7)


@given(TEXTS)
def test_equal_texts_score_highest(words: list[str]) -> None:
    whole = 1.0 if words else 0.0
    assert sentence_bleu(words, words, 4) == pytest.approx(whole)
    assert rouge_l(words, words) == pytest.approx(whole)
    # METEOR's own penalty of the one chunk is left
    expected = 1 - 0.5 / len(words) ** 3 if words else 0.0
    assert meteor(words, words, str) == pytest.approx(expected)


@given(TEXTS, TEXTS)
def test_scores_stay_in_their_range(mine: list[str], theirs: list[str]) -> None:
    for score in (
        sentence_bleu(mine, theirs, 1), sentence_bleu(mine, theirs, 4), rouge_l(mine, theirs),
        meteor(mine, theirs, str), cider_of([theirs, mine]).score(mine, theirs) / 10,
    ):  # fmt: skip
        assert 0 <= score <= 1 + 1e-12


def test_numbers_never_change_a_score() -> None:
    reference = ["Right hilar node, SUVmax 6.3, 1.2 x 1.1 cm.", "Liver lesion, SUVmax 3.1."]
    mine = ["Right hilar node, SUVmax 9.9, 4.0 x 0.1 cm.", "Splenic lesion, SUVmax 3.1."]
    other = ["Right hilar node, SUVmax 1.0, 2.2 x 2.0 cm.", "Splenic lesion, SUVmax 7.7."]
    assert wording_of(mine, reference) == wording_of(other, reference)
    whole = wording_of(mine, reference).whole
    assert 0 < whole["BLEU-4"] < 1
    assert wording_of([], []).whole["CIDEr-D"] == 0


def test_bleu_equals_sacrebleu() -> None:
    sacrebleu = import_module("sacrebleu")
    candidates, references = cases()
    mine, theirs = [" ".join(one) for one in candidates], [" ".join(one) for one in references]
    for order in (1, 4):
        whole: Any = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=order)
        each: Any = sacrebleu.BLEU(tokenize="none", effective_order=True, max_ngram_order=order)
        expected = whole.corpus_score(mine, [theirs]).score / 100
        assert expected > 0.05
        assert corpus_bleu(candidates, references, order) == pytest.approx(expected, abs=NEAR)
        for one, other, written, asked in zip(candidates, references, mine, theirs, strict=True):
            expected = each.sentence_score(written, [asked]).score / 100
            assert sentence_bleu(one, other, order) == pytest.approx(expected, abs=NEAR)


def test_rouge_l_equals_rouge_score() -> None:
    scorer = import_module("rouge_score.rouge_scorer")

    class Split:
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    judge = scorer.RougeScorer(["rougeL"], tokenizer=Split())
    for one, other in zip(*cases(), strict=True):
        expected = judge.score(" ".join(other), " ".join(one))["rougeL"].fmeasure
        assert rouge_l(one, other) == pytest.approx(expected, abs=NEAR)


def test_cider_equals_the_coco_captions_own() -> None:
    scorer = import_module("pycocoevalcap.cider.cider_scorer")
    candidates, references = cases()
    judge = scorer.CiderScorer(n=4, sigma=6.0)
    for one, other in zip(candidates, references, strict=True):
        judge += (" ".join(one), [" ".join(other)])
    _, expected = judge.compute_score()
    cider = cider_of(references)
    scores = [cider.score(one, other) for one, other in zip(candidates, references, strict=True)]
    assert max(scores) > 1
    assert scores == pytest.approx(list(expected), abs=NEAR)


def test_meteor_equals_nltks_without_a_wordnet() -> None:
    judge = import_module("nltk.translate.meteor_score")

    class NoWordNet:
        def synsets(self, word: str) -> list[Any]:
            return []

    class Porter:
        stem = staticmethod(porter())

    for one, other in zip(*cases(), strict=True):
        expected = judge.single_meteor_score(other, one, stemmer=Porter(), wordnet=NoWordNet())
        assert meteor(one, other, porter()) == pytest.approx(expected, abs=NEAR)


def test_a_stem_is_a_match_in_meteor_alone() -> None:
    mine, theirs = ["hypermetabolic", "nodes"], ["hypermetabolism", "node"]
    assert rouge_l(mine, theirs) == 0
    assert meteor(mine, theirs, porter()) == pytest.approx(1 - 0.5 * (1 / 2) ** 3)


def test_rare_words_count_more_in_cider() -> None:
    references = [["uptake", "liver"], ["uptake", "spleen"], ["uptake", "lung"]]
    cider = cider_of(references)
    assert cider.score(["uptake"], references[0]) == 0  # every text holds it
    assert cider.score(["liver"], references[0]) > 2
    assert math.isfinite(cider.score([], references[0]))
