"""`pacsnode model`: what a folder is, whether it can serve, and whether it looks at the mask."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from engine.finding import Description
from engine.petar.checkpoint import load_checkpoint
from engine.petar.lanes import Fixed
from engine.petar.options import Options, settled
from engine.petar.writing import Writer
from pacsnode.cli import app
from tests.model.checkpoints import PROMPT, Tensors, make_checkpoint, write_tokenizer

torch.set_num_threads(1)
PET, CT = "model.vision_tower.vision_tower.", "model.vision_tower.ct_tower."


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def run_json(*arguments: object) -> tuple[int, dict[str, Any]]:
    code, out = run(*arguments, "--json")
    answer: dict[str, Any] = json.loads(out)
    return code, answer


def test_inspect_says_what_a_load_would_find(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    code, told = run_json("model", "inspect", folder)
    loaded = load_checkpoint(folder)
    assert (code, told["can_serve"], told["refusals"]) == (0, True, [])
    assert told["name"] == loaded.name == "toy"
    assert told["version"] == loaded.version
    assert told["weights_sha256"] == loaded.weights_sha256
    assert told["parameters"] == sum(p.numel() for p in loaded.network.parameters())
    assert told["stop_ids"] == sorted(loaded.stop_ids)
    assert told["stored_as"] == ["float32"]
    assert told["encoder"] == "a PET and a CT tower"
    assert told["vision"]["heads"] == 1
    assert told["vision"]["visual_tokens"] == 8
    assert told["tokenizer"]["placeholder_id"] == loaded.prompt_ids(PROMPT)[1]


def test_inspect_speaks_to_people_too(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="lora", shared=True, generation_config=False)
    code, said = run("model", "inspect", folder)
    assert code == 0
    assert "one tower for PET and CT" in said
    assert "LoRA adapters of 8 layers are merged" in said
    assert "No generation_config.json" in said
    assert said.rstrip().endswith("It can serve.")


def test_inspect_notes_what_is_left_out_or_unused(tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors["model.seg_module.weight"] = torch.ones(1)
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[key] = torch.cat([tensors[key], tensors[key][:5]])

    folder = make_checkpoint(tmp_path / "toy", change=change, stated={"vocab_size": 453})
    code, told = run_json("model", "inspect", folder)
    assert code == 0
    assert "1 keys of the segmentation module are left out" in told["notes"]
    assert "The language model has 453 rows for 448 entries" in told["notes"]


def test_inspect_names_every_refusal(tmp_path: Path) -> None:
    key = f"{CT}blocks.1.norm1.bias"
    folder = make_checkpoint(tmp_path / "toy", change=lambda tensors: tensors.__delitem__(key))
    write_tokenizer(folder, adds_bos=False)
    code, told = run_json("model", "inspect", folder)
    assert (code, told["can_serve"]) == (1, False)
    missing, bos = told["refusals"]
    assert key in missing
    assert "BOS" in bos
    assert "version" not in told
    code, said = run("model", "inspect", folder)
    assert code == 1
    assert said.count("refused:") == 2
    assert "can serve" not in said


@pytest.mark.parametrize("absent", ["config.json", "model.safetensors", "tokenizer.model"])
def test_inspect_tells_the_rest_when_a_part_is_absent(absent: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    (folder / absent).unlink()
    code, told = run_json("model", "inspect", folder)
    assert code == 1
    assert len(told["refusals"]) == 1
    assert ("parameters" in told) == (absent != "model.safetensors")
    assert ("tokenizer" in told) == (absent != "tokenizer.model")


def test_verify_asks_and_times(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", says="Mild uptake near the liver")
    code, told = run_json("model", "verify", folder)
    assert (code, told["passed"]) == (0, True)
    assert [check["question"] for check in told["checks"]] == [
        "loads", "prompt comes back", "visual tokens are finite",
        "the same lesion gives the same visual tokens",
        "another mask gives other visual tokens", "another CT gives other visual tokens",
        "another PET gives other visual tokens", "logits are finite",
        "the same lesion gives the same words",
    ]  # fmt: skip
    assert set(told["seconds"]) == {"load", "vision_of_one_lesion", "words_of_one_lesion"}
    assert all(seconds > 0 for seconds in told["seconds"].values())
    assert told["words"] == "Mild uptake near the liver"
    assert told["identity"]["prompt"] == PROMPT
    assert told["identity"]["profile"] == "petar-release"


def ignore_mask(tensors: Tensors) -> None:
    for part in ("weight", "bias"):
        tensors[f"{PET}patch_embedding_mask.patch_embeddings.1.{part}"].zero_()


def ignore_ct(tensors: Tensors) -> None:
    weight = tensors["model.mm_projector.projector.0.weight"]
    weight[:, weight.shape[1] // 2 :] = 0


def ignore_pet(tensors: Tensors) -> None:
    tensors[f"{PET}patch_embedding.patch_embeddings.1.weight"].zero_()


@pytest.mark.parametrize(
    ("change", "what"), [(ignore_mask, "mask"), (ignore_ct, "CT"), (ignore_pet, "PET")]
)
def test_verify_fails_a_network_that_does_not_look(change: Any, what: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", change=change)
    assert run("model", "inspect", folder)[0] == 0  # nothing that a file could show is wrong
    code, said = run("model", "verify", folder)
    assert code == 1
    assert re.findall(r"FAIL (.*):", said) == [f"another {what} gives other visual tokens"]


def test_verify_fails_values_that_overflow(tmp_path: Path) -> None:
    def enlarge(tensors: Tensors) -> None:
        tensors["model.norm.weight"].fill_(3e38)  # finite still

    code, told = run_json("model", "verify", make_checkpoint(tmp_path / "toy", change=enlarge))
    failed = [check["question"] for check in told["checks"] if not check["passed"]]
    assert code == 1
    assert failed == ["logits are finite"]


def test_verify_asks_by_the_way_that_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "toy", says="Mild uptake near the liver")
    lanes: list[Fixed | None] = []
    write, step = Writer.write, Fixed.step

    def fixed(options: Options, device: torch.device) -> Options:
        return replace(settled(options, device), has_fixed_cache=True)  # as on a GPU

    def watched(writer: Writer, *given: Any) -> Any:
        answers = write(writer, *given)
        lanes.append(writer._lane)
        return answers

    monkeypatch.setattr("engine.petar.verification.settled", fixed)
    monkeypatch.setattr(Writer, "write", watched)
    code, told = run_json("model", "verify", folder)
    assert (code, told["words"]) == (0, "Mild uptake near the liver")
    assert isinstance(lanes[0], Fixed)
    assert lanes[0] is lanes[1]  # what the first left in the buffers is not seen by the second
    monkeypatch.setattr(Fixed, "step", lambda lane, chosen: step(lane, chosen) * torch.nan)
    code, told = run_json("model", "verify", folder)
    failed = [check["question"] for check in told["checks"] if not check["passed"]]
    assert (code, failed) == (1, ["logits are finite"])


def test_verify_fails_a_way_that_serves_other_words_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "toy", says="Mild uptake near the liver")
    answers = iter(["one", "other"])
    monkeypatch.setattr(Writer, "write", lambda *given: [Description(next(answers))])
    code, said = run("model", "verify", folder)
    assert code == 1
    assert re.findall(r"FAIL (.*):", said) == ["the same lesion gives the same words"]


def test_verify_names_what_keeps_it_from_loading(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", stated={"vision_select_feature": "cls_patch"})
    code, said = run("model", "verify", folder)
    assert code == 1
    assert "FAIL loads: config.json: vision_select_feature is 'cls_patch'" in said
    code, told = run_json("model", "verify", make_checkpoint(tmp_path / "b"), "--dtype", "int8")
    assert (code, told["passed"], told["identity"]) == (1, False, None)


def test_a_folder_that_is_not_there_is_a_wrong_argument(tmp_path: Path) -> None:
    for command in ("inspect", "verify"):
        assert run("model", command, tmp_path / "nowhere")[0] == 2
