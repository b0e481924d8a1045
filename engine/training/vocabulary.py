"""A small tokenizer of its own, trained on the words that answers are made of."""

from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from engine.cohort.body import draw_habitus, make_body
from engine.cohort.sentences import Told, finding
from engine.cohort.world import region_name
from engine.cohort.world_grades import interpretation_of
from engine.cohort.world_places import places
from engine.evaluating.masking import MASK
from engine.petar.tokenizing import PLACEHOLDER

BOS, STOP = "<s>", "<|endoftext|>"
_SENTENCES_A_PLACE = 24
_BODIES = 8
_GRADES = ("mild", "moderate", "intense")
_PRINTABLE = [chr(code) for code in range(33, 127)]


def phantom_words(seed: int, tracer: str = "FDG") -> Iterator[str]:
    """Sentences of every place of the phantom world, numbers and all, and its regions' names."""
    rng = np.random.default_rng([seed, 1])
    for place in places():
        for _ in range(_SENTENCES_A_PLACE):
            grade = _GRADES[int(rng.integers(3))]
            measured = {
                "long_axis_mm": rng.uniform(8, 60), "short_axis_mm": rng.uniform(6, 40),
                "suv_max": rng.uniform(1, 25), "slice": int(rng.integers(1, 400)),
            }  # fmt: skip
            morphology = None
            if place.kind == "bone":
                morphology = (None, "lytic", "sclerotic")[int(rng.integers(3))]
            elif place.kind in ("mass", "nodule") and rng.random() < 0.25:
                morphology = "necrotic"
            meaning = interpretation_of(place, grade)  # type: ignore[arg-type]
            told = Told(
                place.site, place.side, place.kind, grade, meaning, morphology, measured, tracer
            )
            yield finding(told, rng)
    for _ in range(_BODIES):
        for part in make_body(draw_habitus(rng), rng):
            name = region_name(part)
            if name is not None:
                yield name


def train_tokenizer(
    texts: Iterable[str], prompts: Iterable[str], vocabulary: int
) -> PreTrainedTokenizerFast:
    """Byte-pair encoding of at most `vocabulary` ids, BOS first, every digit by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[STOP, BOS, PLACEHOLDER],
        initial_alphabet=[*_PRINTABLE, "Ġ"],
        show_progress=False,
    )
    answers = (f" {text}" for text in texts)  # as they stand behind the prompt
    tokenizer.train_from_iterator([*answers, *(list(prompts) * 40), f" {MASK}"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=STOP,
        pad_token=STOP,
        additional_special_tokens=[PLACEHOLDER],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
