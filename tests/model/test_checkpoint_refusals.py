"""Every damaged folder is refused, in words of its own that name the file or the key."""

import json
import os
import pickle
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from engine.errors import ModelFault, UnusableCase
from engine.petar.checkpoint import UnusableCheckpoint, load_checkpoint
from engine.petar.tensor_files import read_tensors
from tests.model.checkpoints import SMALL, Form, Tensors, make_checkpoint, write_tokenizer

torch.set_num_threads(1)
PET, CT = "model.vision_tower.vision_tower.", "model.vision_tower.ct_tower."
O_PROJ = "base_model.model.model.layers.1.self_attn.o_proj"


def drop(*keys: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for key in keys:
            del tensors[key]

    return change


def put(key: str, tensor: torch.Tensor) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({key: tensor})


def spoil(key: str, value: float) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[key] = tensors[key].clone()
        tensors[key].view(-1)[-1] = value

    return change


def become_base_m3d(tensors: Tensors) -> None:
    for key in [key for key in tensors if key.startswith(CT) or "_mask." in key]:
        del tensors[key]
    tensors["model.mm_projector.projector.0.weight"] = torch.ones(SMALL.hidden, SMALL.width)
    tensors["model.seg_module.mask_decoder.weight"] = torch.ones(2)


def rename_block(tensors: Tensors) -> None:
    for key in [key for key in tensors if key.startswith(f"{PET}blocks.1.")]:
        tensors[key.replace("blocks.1.", "blocks.7.")] = tensors.pop(key)


OF_TENSORS: list[tuple[str, Form, Callable[[Tensors], None], str]] = [
    ("base-m3d", "safetensors", become_base_m3d, "base M3D checkpoint, not PETAR"),
    ("no-position", "safetensors", drop(f"{PET}patch_embedding_mask.position_embeddings"),
     f"lack {PET}patch_embedding_mask.position_embeddings"),
    ("no-class-token", "safetensors", drop(f"{PET}cls_token"), f"lack {PET}cls_token"),
    ("no-embedding", "safetensors", drop("model.embed_tokens.weight"),
     "lack model.embed_tokens.weight"),
    ("no-layer", "safetensors", drop("model.layers.1.input_layernorm.weight"),
     "lack model.layers.1.input_layernorm.weight"),
    ("part-of-ct-tower", "safetensors", drop(f"{CT}blocks.1.norm2.bias"),
     f"lack {CT}blocks.1.norm2.bias"),
    ("block-out-of-place", "safetensors", rename_block, f"lack {PET}blocks.1.norm1.weight"),
    ("misshapen", "safetensors", put(f"{CT}norm.bias", torch.ones(7)),
     f"{CT}norm.bias is (7,); the network needs (64,)"),
    ("flat-patches", "safetensors",
     put(f"{PET}patch_embedding.patch_embeddings.1.weight", torch.ones(9)),
     f"{PET}patch_embedding.patch_embeddings.1.weight is (9,), not a matrix"),
    ("unknown", "safetensors", put("model.audio_tower.weight", torch.ones(1)),
     "model.audio_tower.weight is no weight of PETAR"),
    ("not-of-this-network", "safetensors", put(f"{CT}cls_token", torch.ones(1, 1, 64)),
     f"{CT}cls_token is no weight of this network"),
    ("not-a-number", "safetensors", spoil("model.layers.0.mlp.down_proj.weight", torch.nan),
     "model.layers.0.mlp.down_proj.weight holds values that are not finite"),
    ("infinite", "bin", spoil(f"{PET}norm.weight", -torch.inf),
     f"{PET}norm.weight holds values that are not finite"),
    ("quantised", "safetensors", put("lm_head.weight", torch.ones(448, 64, dtype=torch.int8)),
     "lm_head.weight is torch.int8"),
    ("sparse", "bin", put("lm_head.weight", torch.ones(448, 64).to_sparse()),
     "lm_head.weight is torch.float32: weights are floating point, neither quantised nor sparse"),
    ("two-names", "safetensors", put("base_model.model.lm_head.weight", torch.ones(448, 64)),
     "lm_head.weight is there twice"),
    ("two-aliases", "safetensors",
     put(f"{PET}patch_embedding_contour.patch_embeddings.bias", torch.ones(64)),
     f"{PET}patch_embedding_mask.patch_embeddings.1.bias is there twice"),
    ("half-an-adapter", "lora", drop(f"{O_PROJ}.lora_B.default.weight"),
     "o_proj has part of an adapter and lacks"),
    ("adapter-without-base", "lora", drop(f"{O_PROJ}.base_layer.weight"),
     "lacks model.layers.1.self_attn.o_proj.base_layer.weight"),
    ("base-without-adapter", "lora",
     drop(f"{O_PROJ}.lora_A.default.weight", f"{O_PROJ}.lora_B.default.weight"),
     "lacks model.layers.1.self_attn.o_proj.lora_A.default.weight"),
    ("other-adapter", "lora", put(f"{O_PROJ}.lora_magnitude_vector.default.weight", torch.ones(3)),
     "model.layers.1.self_attn.o_proj.lora_magnitude_vector.default.weight is no weight of this"),
    ("misshapen-adapter", "lora", put(f"{O_PROJ}.lora_A.default.weight", torch.ones(8, 63)),
     "o_proj: lora_B (64, 8) x lora_A (8, 63) does not fit its base_layer (64, 64)"),
    ("adapter-of-no-rank", "lora", put(f"{O_PROJ}.lora_A.default.weight", torch.ones(0, 64)),
     "o_proj: lora_B (64, 8) x lora_A (0, 64) does not fit"),
    ("merged-and-not", "lora", put(f"{O_PROJ}.weight", torch.ones(64, 64)),
     "model.layers.1.self_attn.o_proj.weight is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "change", "sentence"), [
    pytest.param(form, change, sentence, id=name) for name, form, change, sentence in OF_TENSORS
])  # fmt: skip
def test_damaged_tensors(
    form: Form, change: Callable[[Tensors], None], sentence: str, tmp_path: Path
) -> None:
    refused(make_checkpoint(tmp_path / "toy", form=form, change=change), sentence)


OF_CONFIG: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "llama"}, "model_type is 'llama', not lamed_phi3 or petar_phi3"),
    ({"vision_select_feature": "cls_patch"}, "vision_select_feature is 'cls_patch', not 'patch'"),
    ({"vision_select_layer": -2}, "vision_select_layer is -2, not -1"),
    ({"classification": False}, "classification is False, not True"),
    ({"use_mask": False}, "use_mask is False, not True: this is an ablation"),
    ({"use_ct": False}, "use_ct is False, not True: this is an ablation"),
    ({"proj_pooling_type": "sequence"}, "proj_pooling_type is 'sequence'"),
    ({"mm_projector_type": "linear"}, "mm_projector_type is 'linear'"),
    ({"tie_word_embeddings": True}, "tie_word_embeddings is True"),
    ({"vocab_size": 500}, "vocab_size is 500; model.embed_tokens.weight has 448 rows"),
    ({"vocab_size": None}, "config.json lacks vocab_size"),
    ({"hidden_size": "64"}, "hidden_size is a whole number above 0, not '64'"),
    ({"num_attention_heads": None}, "config.json lacks num_attention_heads"),
    ({"num_hidden_layers": 10**9},
     "The weights lack model.layers.999999999.input_layernorm.weight"),
    ({"num_hidden_layers": 1}, "model.layers.1.input_layernorm.weight is no weight of this"),
    ({"hidden_act": "no-such-thing"}, "config.json describes no Phi-3"),
    ({"rms_norm_eps": [1]}, "config.json describes no Phi-3"),
    ({"image_size": [16, 64]}, "image_size is three numbers (z, y, x), not [16, 64]"),
    ({"image_size": [16, 64, 65]}, "image_size (16, 64, 65) is no multiple of (4, 16, 16)"),
    ({"image_size": [16, 64, 128]}, "patch_embedding.position_embeddings is (1, 64, 64)"),
    ({"patch_size": [4, 16, 8]}, "patch_size (4, 16, 8) has 512 voxels"),
    ({"proj_pooling_size": 3}, "proj_pooling_size 3 does not divide the grid (4, 4, 4)"),
    ({"vision_num_heads": 5}, "width 64 is no multiple of its 5 heads"),
]  # fmt: skip


@pytest.mark.parametrize(("stated", "sentence"), OF_CONFIG, ids=lambda value: str(value)[:40])
def test_configs_that_are_not_petars(stated: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    refused(make_checkpoint(tmp_path / "toy", stated=stated), sentence)


class RunsCode:
    """A pickle that would run code where it is read."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.trap),)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="bin")
    trap = tmp_path / "it-ran"
    torch.save({"lm_head.weight": RunsCode(trap)}, folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin cannot be read as tensors alone")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(RunsCode(trap), protocol=2))
    refused(folder, "pytorch_model.bin cannot be read as tensors alone")
    assert not trap.exists()


def test_a_pickle_of_other_things(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="bin")
    torch.save({"epoch": 3}, folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin is no plain dict of tensors")


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("kept", [0.5, 0.001, 0])
def test_a_file_cut_short(form: Form, kept: float, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form=form)
    path = next(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    refused(folder, path.name)


@given(
    name=st.sampled_from(["model.safetensors", "pytorch_model.bin"]),
    zipped=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_damaged_bytes_are_read_or_refused(
    name: str, zipped: bool, changes: list[tuple[int, int]]
) -> None:
    tensors = {"lm_head.weight": torch.ones(3, 3), "bias": torch.ones(2)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        if path.suffix == ".bin":
            torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
        else:
            save_file(tensors, path)
        damaged = bytearray(path.read_bytes())
        for at, byte in changes:
            damaged[at % len(damaged)] = byte
        path.write_bytes(damaged)
        with suppress(UnusableCheckpoint), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on odd pickles
            assert set(map(type, read_tensors(Path(folder)).tensors.values())) <= {torch.Tensor}


def test_shards_that_are_not_there(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="sharded")
    (folder / "model-00002-of-00003.safetensors").unlink()
    refused(folder, "names model-00002-of-00003.safetensors, which is not in the folder")


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ('{"weight_map": {"a": "../x.safetensors"}}', "'../x.safetensors', which is no file of"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "'/etc/passwd', which is no file of the folder"),
        ('{"weight_map": {"a": 3}}', "is no index of weights files"),
        ('{"weight_map": {"a": {}}}', "is no index of weights files"),
        ('{"weight_map": {}}', "names no weights file"),
        ("[]", "is no index of weights files"),
        ("{", "is no index of weights files"),
    ],
)
def test_an_index_that_leads_elsewhere(index: str, sentence: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="sharded")
    (folder / "model.safetensors.index.json").write_text(index)
    refused(folder, sentence)


def test_a_key_in_two_shards(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="sharded")
    first = folder / "model-00001-of-00003.safetensors"
    (folder / "model-00002-of-00003.safetensors").write_bytes(first.read_bytes())
    refused(folder, "is in more than one weights file")


def test_folders_without_what_they_need(tmp_path: Path) -> None:
    for at, (name, sentence) in enumerate([
        ("config.json", "config.json cannot be read"),
        ("model.safetensors", "holds no weights: looked for model.safetensors.index.json"),
        ("tokenizer.model", "holds neither tokenizer.model nor tokenizer.json"),
    ]):  # fmt: skip
        folder = make_checkpoint(tmp_path / str(at))
        (folder / name).unlink()
        refused(folder, sentence)
        if name == "config.json":
            (folder / name).write_text("[1]")
            refused(folder, "config.json is not a JSON object")
            (folder / name).write_text("[" * 100_000)
            refused(folder, "config.json is not valid JSON")


def test_tokenizers_that_would_shift_the_splice(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    write_tokenizer(folder, adds_bos=False)
    refused(folder, "The tokenizer does not begin with BOS")

    write_tokenizer(folder)
    for name in ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"):
        text = (folder / name).read_text().replace("<im_patch>", "<image>")
        (folder / name).write_text(text)
    refused(folder, "The tokenizer does not know <im_patch>")

    write_tokenizer(folder)
    (folder / "tokenizer.model").write_bytes(b"")
    refused(folder, "The tokenizer does not give the prompt 'What' back")

    write_tokenizer(folder)
    (folder / "tokenizer.model").write_bytes(b"\x07damage" * 40)
    refused(folder, "holds no tokenizer that can be read")

    write_tokenizer(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["448"] = dict(
        config["added_tokens_decoder"]["447"], content="[MORE]"
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    refused(folder, "The tokenizer knows ids up to 448, the language model 448 of them")


@pytest.mark.parametrize("eos", [[], ["</s>"], [448], [-1], 3.5])
def test_stop_ids_that_are_no_ids(eos: Any, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    refused(folder, "generation_config.json: eos_token_id")


def test_prompts_that_the_tokenizer_cannot_give_back(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(make_checkpoint(tmp_path / "toy"))
    assert checkpoint.prompt_ids("Où est-ce ? 第3")
    for prompt in ("", "What is <im_patch>?"):
        with pytest.raises(UnusableCheckpoint, match="does not give the prompt"):
            checkpoint.prompt_ids(prompt)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_devices_and_types_that_are_not_here(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    assert load_checkpoint(folder, device="auto", dtype="auto").device.type == "cpu"
    assert load_checkpoint(folder, dtype="bfloat16").dtype == torch.bfloat16
    for asked in ({"device": "cuda"}, {"device": "no such"}, {"dtype": "int8"}):
        with pytest.raises(ModelFault):
            load_checkpoint(folder, **asked)


def refused(folder: Path, sentence: str) -> None:
    with pytest.raises(UnusableCheckpoint, match=re.escape(sentence)) as caught:
        load_checkpoint(folder)
    assert isinstance(caught.value, UnusableCase)
    assert not caught.value.retryable
    assert caught.value.code == "unusable-checkpoint"
    assert str(folder.parent) not in str(caught.value)  # a name, not a place on this machine
