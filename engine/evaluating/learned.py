"""Metrics that are models themselves: from a folder on this machine, or not at all.

`FOLDER/bertscore`, `FOLDER/ratescore/{ner,encoder}` and `FOLDER/green` hold what their authors
publish; nothing is ever asked of a hub, and no such package is a dependency of ours.
"""

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.errors import EngineError
from engine.evaluating.offline import offline

BERT, RATE, GREEN = "BERTScore", "RaTEScore", "GREEN"


class MetricAbsent(EngineError):
    """A metric was asked for whose model, or whose library, is not on this machine."""

    code = "metric-absent"


def learned_scores(
    names: Sequence[str], folder: Path | None, candidates: Sequence[str], references: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """Scores of every text by metric, numbers masked by the caller. Raises MetricAbsent."""
    places = {name: require(name, folder) for name in names}  # refused before anything is computed
    scores = {}
    for name, place in places.items():
        try:
            with offline():
                told = _METRICS[name][2](place, list(candidates), list(references))
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as exc:
            raise MetricAbsent(f"{name} cannot run with the model in {place}: {exc}") from exc
        scores[name] = tuple(float(one) for one in told)
    return scores


def require(name: str, folder: Path | None) -> Path:
    """The folder of a metric's model, once its library is there as well. Raises MetricAbsent."""
    if name not in _METRICS:
        raise MetricAbsent(f"There is no metric {name!r}; there are {', '.join(_METRICS)}")
    module, under, _ = _METRICS[name]
    if folder is None:
        raise MetricAbsent(f"{name} needs a folder of metric models on this machine; none is given")
    place = folder / under
    if not (place.is_dir() and any(place.iterdir())):
        raise MetricAbsent(f"{name} needs its model in {place}, where there is none")
    if find_spec(module) is None:
        raise MetricAbsent(f"{name} needs the Python package {module}, which is not installed")
    return place


def _bert(place: Path, candidates: list[str], references: list[str]) -> Any:
    """F1 of the last layer, without a baseline: comparable among runs of one model alone."""
    config = json.loads((place / "config.json").read_text("utf-8"))
    layers = int(config["num_hidden_layers"])
    score = import_module("bert_score").score
    _, _, f1 = score(candidates, references, model_type=str(place), num_layers=layers)
    return f1.tolist()


def _rate(place: Path, candidates: list[str], references: list[str]) -> Any:
    made = import_module("RaTEScore").RaTEScore(
        bert_model=str(place / "ner"), eval_model=str(place / "encoder")
    )
    return made.compute_score(candidates, references)


def _green(place: Path, candidates: list[str], references: list[str]) -> Any:
    with TemporaryDirectory() as written:
        made = import_module("green_score").GREEN(str(place), output_dir=written)
        _, _, each, _, _ = made(references, candidates)
    return each


_Score = Callable[[Path, list[str], list[str]], Any]
_METRICS: dict[str, tuple[str, str, _Score]] = {
    BERT: ("bert_score", "bertscore", _bert),
    RATE: ("RaTEScore", "ratescore", _rate),
    GREEN: ("green_score", "green", _green),
}
LEARNED = tuple(_METRICS)
