"""A metric that is a model itself, run from a folder on this machine."""

import os
import socket
import sys
from importlib import import_module
from pathlib import Path

import pytest

from engine.evaluating import learned
from engine.evaluating.evaluation import evaluate
from engine.evaluating.learned import BERT, MetricAbsent, learned_scores
from tests.unit.judged import Knowing, examples

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "uptake",
    "in",
    "the",
    "liver",
    "lung",
    "right",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights and eleven words, as its authors would publish one."""
    import_module("bert_score")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(3)
    place = tmp_path_factory.mktemp("metrics") / "bertscore"
    place.mkdir()
    (place / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(WORDS), intermediate_size=64, **shape)
    BertModel(config).save_pretrained(place)
    tokenizer = BertTokenizerFast(vocab_file=str(place / "vocab.txt"), model_max_length=512)
    tokenizer.save_pretrained(place)
    return place.parent


@pytest.mark.filterwarnings("ignore")  # of a library that is no dependency of ours
def test_bertscore_of_a_local_model(folder: Path) -> None:
    texts = ["uptake in the liver", "uptake in the right lung"]
    scores = learned_scores((BERT,), folder, texts, [texts[0], texts[0]])[BERT]
    assert scores[0] == pytest.approx(1, abs=1e-5)
    assert scores[1] < scores[0] - 1e-3
    told = evaluate(Knowing(), examples(1), metrics=(BERT,), metric_models=folder)
    assert told.wording.whole[BERT] == pytest.approx(1, abs=1e-5)
    assert len(told.wording.each[BERT]) == 2


@pytest.mark.parametrize("is_imported", [True, False])
def test_no_metric_asks_a_hub(
    is_imported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def refuse(*told: object, **_: object) -> None:
        asked.append(told)
        raise OSError("No network in this test")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    if is_imported:
        constants = import_module("huggingface_hub.constants")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    else:
        for name in [one for one in sys.modules if one.split(".")[0] == "huggingface_hub"]:
            monkeypatch.delitem(sys.modules, name)

    def asking(place: Path, candidates: list[str], references: list[str]) -> list[float]:
        import_module("huggingface_hub").hf_hub_download("some/model", "config.json",
                                                         cache_dir=place)  # fmt: skip
        return [1.0]

    (tmp_path / "asking").mkdir()
    (tmp_path / "asking" / "a").touch()
    monkeypatch.setitem(learned._METRICS, "Asking", ("socket", "asking", asking))
    with pytest.raises(MetricAbsent, match="Asking cannot run"):
        learned_scores(("Asking",), tmp_path, ["a"], ["a"])
    assert not asked
    assert dict(os.environ) == before
    assert import_module("huggingface_hub.constants").HF_HUB_OFFLINE is False


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_model_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bertscore"
    broken.mkdir()
    (broken / "config.json").write_text("{}", "utf-8")
    with pytest.raises(MetricAbsent, match="BERTScore cannot run with the model in"):
        learned_scores((BERT,), tmp_path, ["a"], ["a"])
