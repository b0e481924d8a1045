"""evaluate: a describer over a dataset, from its words to every figure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from time import perf_counter

from engine.cohort.dataset import Example
from engine.errors import UnusableCase
from engine.evaluating.asking import Answer, answers_of
from engine.evaluating.clinical import FactScore, fact_scores
from engine.evaluating.efficacy import Efficacy, efficacy_of
from engine.evaluating.facts import Facts, facts_in, facts_of
from engine.evaluating.learned import learned_scores, require
from engine.evaluating.masking import masked
from engine.evaluating.wording import Wording, wording_of
from engine.finding import Describer, Description, ModelIdentity, Unable
from engine.lesion import Lesion
from engine.volume import Scan


@dataclass(frozen=True, slots=True)
class Chance:
    """The figures of the reference texts, shuffled over the lesions: what style alone is worth."""

    wording: dict[str, float]
    facts: tuple[FactScore, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Answers, and in their order what is known and what was said; then the figures."""

    model: ModelIdentity
    answers: tuple[Answer, ...]
    known: tuple[Facts, ...]
    said: tuple[Facts, ...]
    wording: Wording
    facts: tuple[FactScore, ...]
    rules: tuple[FactScore, ...]  # of the reference texts themselves: the most that is in reach
    efficacy: Efficacy
    chance: Chance
    elapsed_s: float  # of the describer's own work

    @property
    def studies(self) -> int:
        return len({answer.record.study_id for answer in self.answers})

    @property
    def silent(self) -> int:
        """Lesions that the describer had no words for; they count as said wrong."""
        return sum(answer.unable is not None for answer in self.answers)

    @property
    def reasons(self) -> dict[str, int]:
        """Why it had none: how often by code, the most frequent first."""
        codes = Counter(one.unable.code for one in self.answers if one.unable is not None)
        return dict(codes.most_common())


def evaluate(
    describer: Describer,
    examples: Iterable[Example],
    *,
    metrics: tuple[str, ...] = (),
    metric_models: Path | None = None,
    say: Callable[[int], None] = lambda _: None,
    keep: Callable[[Answer], None] = lambda _: None,
) -> Evaluation:
    """Judge a describer on every lesion of `examples`; `metrics` names learned ones.

    `say` hears how many lesions are done, `keep` gets each answer as it comes.
    Raises UnusableCase without any lesion, MetricAbsent, ModelFault.
    """
    for name in metrics:
        require(name, metric_models)
    timed, answers = _Timed(describer), []
    for answer in answers_of(timed, examples):
        keep(answer)
        answers.append(answer)
        say(len(answers))
    return judge(describer.identity, answers, timed.elapsed_s, metrics, metric_models)


@dataclass(slots=True)
class _Timed:
    """A describer and how long it took, without the reading or making of what it is asked about."""

    describer: Describer
    elapsed_s: float = 0.0

    @property
    def identity(self) -> ModelIdentity:
        return self.describer.identity

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
        started = perf_counter()
        try:
            return self.describer.describe(scan, lesions)
        finally:
            self.elapsed_s += perf_counter() - started


def judge(
    model: ModelIdentity,
    answers: Iterable[Answer],
    elapsed_s: float = 0.0,
    metrics: tuple[str, ...] = (),
    metric_models: Path | None = None,
) -> Evaluation:
    """Every figure of answers that were given already. Raises UnusableCase, MetricAbsent."""
    answers = tuple(answers)
    if not answers:
        raise UnusableCase("The dataset holds no lesion to judge by", code="no-lesion")
    candidates = [answer.text for answer in answers]
    references = [answer.record.text for answer in answers]
    known = tuple(facts_of(answer.record) for answer in answers)
    said = tuple(map(facts_in, candidates))
    wording = wording_of(candidates, references)
    if metrics:
        hidden = [masked(text) for text in candidates], [masked(text) for text in references]
        wording = _with(wording, learned_scores(metrics, metric_models, *hidden))
    return Evaluation(
        model=model,
        answers=answers,
        known=known,
        said=said,
        wording=wording,
        facts=fact_scores(known, said),
        rules=fact_scores(known, tuple(map(facts_in, references))),
        efficacy=efficacy_of(_by_study(answers, candidates), _by_study(answers, references)),
        chance=_chance(known, references),
        elapsed_s=elapsed_s,
    )


def _chance(known: tuple[Facts, ...], references: list[str]) -> Chance:
    shuffled = [references[at] if at is not None else "" for at in others(len(references))]
    facts = fact_scores(known, tuple(map(facts_in, shuffled)))
    return Chance(wording_of(shuffled, references).whole, facts)


def others(count: int) -> list[int | None]:
    """For each of `count` the place of another one, by chance, each once; None where there is none.

    Sattolo's shuffle: one cycle through all, so that nothing stays where it is.
    """
    if count == 1:
        return [None]
    chance = Random(0)  # noqa: S311  # reproducible, no secrecy
    places: list[int | None] = list(range(count))
    for last in range(count - 1, 0, -1):
        at = chance.randrange(last)
        places[last], places[at] = places[at], places[last]
    return places


def _with(wording: Wording, learned: dict[str, tuple[float, ...]]) -> Wording:
    means = {name: fmean(scores) for name, scores in learned.items()}
    return Wording(wording.each | learned, wording.whole | means)


def _by_study(answers: Iterable[Answer], texts: Iterable[str]) -> dict[str, list[str]]:
    studies: dict[str, list[str]] = {}
    for answer, text in zip(answers, texts, strict=True):
        studies.setdefault(answer.record.study_id, []).append(text)
    return studies
