"""How well studies that are never trained on are described."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from engine.evaluating.facts import facts_in
from engine.petar.config import VisionConfig
from engine.petar.generation import generate
from engine.petar.model import PetarNetwork
from engine.training.lesson import Lesson, Writer, seen_of, visual_tokens
from engine.training.questions import Bundle, bundle_of
from engine.training.recipe import Ask, Recipe
from engine.training.studies import studies_held_out

Autocast = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Losses, and shares of answers that are right; None where nothing was asked."""

    held_out_lesions: float | None = None
    held_out_regions: float | None = None
    region_exact: float | None = None
    lesion_site: float | None = None
    lesion_side: float | None = None


def held_out_bundles(recipe: Recipe, vision: VisionConfig) -> list[Bundle]:
    """The examples of the held-out studies: always the same."""
    made = []
    for at, study in enumerate(studies_held_out(recipe)):
        rng = np.random.default_rng([recipe.run.seed, 5, at])
        regions = recipe.held_out.regions_per_study
        asked = [({"lesions": 1.0}, 0), ({"regions": 1.0}, regions)]
        for shares, alone in asked:
            made.append(bundle_of(study, recipe, vision, shares, alone, rng))  # type: ignore[arg-type]
    return [bundle for bundle in made if len(bundle)]


class Examiner:
    """Asks the same questions each time."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        writer: Writer,
        tokenizer: PreTrainedTokenizerFast,
        stop_ids: frozenset[int],
        max_new_tokens: int,
    ) -> None:
        self._bundles, self._writer, self._tokenizer = bundles, writer, tokenizer
        self._stop_ids, self._most = stop_ids, max_new_tokens
        self.last_words: list[tuple[str, str]] = []  # reference and answer, of lesions

    @torch.no_grad()
    def examine(self, lesson: Lesson, device: torch.device, autocast: Autocast) -> Scores:
        """Loss and words for every question."""
        was_training = lesson.training
        lesson.eval()
        try:
            with autocast():
                return self._scores(lesson, device)
        finally:
            lesson.train(was_training)

    def _scores(self, lesson: Lesson, device: torch.device) -> Scores:
        losses: dict[Ask, list[float]] = {"lesions": [], "regions": []}
        answers: dict[Ask, list[tuple[str, str]]] = {"lesions": [], "regions": []}
        for ask, picked in self._asked():
            batch = self._writer.batch(picked)
            seen = batch.seen.on(device)
            loss = lesson(seen, batch.asked.on(device))
            losses[ask] += [float(loss)] * len(picked)
            said = self._said(lesson.network, ask, picked, device)
            answers[ask] += [
                (bundle.answers[at], words)
                for (bundle, at), words in zip(picked, said, strict=True)
            ]
        self.last_words = answers["lesions"]
        told = [(facts_in(known), facts_in(said)) for known, said in answers["lesions"]]
        return Scores(
            _mean(losses["lesions"]),
            _mean(losses["regions"]),
            _mean([float(known == said) for known, said in answers["regions"]]),
            _mean([float(known.site == said.site) for known, said in told]),
            _mean([float(known.laterality == said.laterality) for known, said in told]),
        )

    def _asked(self) -> Iterator[tuple[Ask, list[tuple[Bundle, int]]]]:
        for bundle in self._bundles:  # one ask a bundle
            yield bundle.asks[0], [(bundle, at) for at in range(len(bundle))]

    def _said(
        self, network: PetarNetwork, ask: Ask, picked: list[tuple[Bundle, int]],
        device: torch.device,
    ) -> list[str]:  # fmt: skip
        visual = visual_tokens(network, seen_of(picked).on(device))
        rows = generate(network, visual, self._writer.prompts[ask], self._stop_ids, self._most)
        decode = self._tokenizer.decode
        return [str(decode(row, skip_special_tokens=True)).strip() for row in rows]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
