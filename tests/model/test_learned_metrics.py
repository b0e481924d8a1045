"""A metric that is a model itself, run from a folder on this machine."""

from importlib import import_module
from pathlib import Path

import pytest

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


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_model_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bertscore"
    broken.mkdir()
    (broken / "config.json").write_text("{}", "utf-8")
    with pytest.raises(MetricAbsent, match="BERTScore cannot run with the model in"):
        learned_scores((BERT,), tmp_path, ["a"], ["a"])
