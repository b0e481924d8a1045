"""Checkpoint folders in every released form load to one and the same network."""

import hashlib
import json
import math
import socket
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import Phi3ForCausalLM

from engine.finding import ModelIdentity
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from engine.petar.config import PETAR_4B
from engine.petar.generation import generate
from engine.petar.model import PetarNetwork, Views
from engine.petar.weights import digest, read_weights, released_name
from tests.model.checkpoints import (
    END_OF_TEXT,
    FULL,
    MIDDLE,
    PIECES,
    PROMPT,
    SMALL,
    Alias,
    Form,
    Tensors,
    make_checkpoint,
    released_config,
    released_shapes,
    released_tensors,
    write_tokenizer,
)

torch.set_num_threads(1)
EVERY_ALIAS: tuple[Alias, ...] = ("contour", "convolution", "prefix")


def views_of_made_lesions(lesions: int) -> Views:
    generator = torch.Generator().manual_seed(5)
    coarse = (lesions, 1, 2, 3, 3)
    volumes = [
        F.interpolate(torch.rand(coarse, generator=generator), size=SMALL.image) for _ in range(6)
    ]
    return Views(*(v if at % 3 < 2 else (v > 0.5).float() for at, v in enumerate(volumes)))


def said(checkpoint: Checkpoint, lesions: int = 3) -> list[list[int]]:
    """Tokens of made lesions, long enough to tell networks apart."""
    network = checkpoint.network
    with torch.inference_mode():
        visual = network.visual_tokens(views_of_made_lesions(lesions))
        return generate(network, visual, checkpoint.prompt_ids(PROMPT), checkpoint.stop_ids, 24)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(make_checkpoint(tmp_path_factory.mktemp("plain") / "toy"))


def test_the_table_of_keys_is_the_published_one() -> None:
    shapes = released_shapes(FULL)
    assert len(shapes) == 477
    assert sum(math.prod(shape) for shape in shapes.values()) == 4_012_078_080
    with torch.device("meta"):
        network = PetarNetwork(PETAR_4B)
    ours = {released_name(key): tuple(t.shape) for key, t in network.state_dict().items()}
    assert ours == shapes


@pytest.mark.parametrize(
    ("form", "aliases"),
    [
        ("safetensors", ()),
        ("sharded", ()),
        ("bin", ()),
        ("safetensors", ("contour",)),
        ("safetensors", ("convolution",)),
        ("bin", ("prefix",)),
        ("sharded", EVERY_ALIAS),
    ],
)
def test_every_form_is_the_same_network(
    form: Form, aliases: tuple[Alias, ...], plain: Checkpoint, tmp_path: Path
) -> None:
    loaded = load_checkpoint(make_checkpoint(tmp_path / "toy", form=form, aliases=aliases))
    assert loaded.weights_sha256 == plain.weights_sha256
    assert loaded.version == plain.version
    for name, tensor in plain.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
    tokens = said(loaded)
    assert tokens == said(plain)
    assert len({tuple(row) for row in tokens}) > 1


@pytest.mark.parametrize("aliases", [(), EVERY_ALIAS])
@pytest.mark.parametrize("rank", [4, 16])
def test_adapters_of_any_rank_are_merged(
    rank: int, aliases: tuple[Alias, ...], plain: Checkpoint, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="lora", rank=rank, aliases=aliases)
    loaded = load_checkpoint(folder)
    assert read_weights(folder).adapters == 4 * SMALL.layers
    for name, tensor in plain.network.state_dict().items():
        merged = loaded.network.state_dict()[name]
        torch.testing.assert_close(merged, tensor, atol=2e-6, rtol=0, msg=name)
    assert said(loaded) == said(plain)
    assert loaded.weights_sha256 != plain.weights_sha256  # rounding is part of what was merged


def test_a_shared_encoder_is_what_folders_without_any_ct_tower_have(tmp_path: Path) -> None:
    loaded = load_checkpoint(make_checkpoint(tmp_path / "toy", shared=True))
    assert loaded.network.config.has_shared_encoder
    assert len(loaded.network.state_dict()) < len(released_shapes(SMALL))
    assert any(said(loaded))


def test_shards_of_bin_files_load_too(plain: Checkpoint, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = ["pytorch_model-1.bin", "pytorch_model-2.bin"]
    weight_map = {}
    for at, name in enumerate(names):
        part = {key: tensors[key] for key in list(tensors)[at::2]}
        # torch's form before 1.6 cannot be mapped, and is read all the same
        torch.save(part, folder / name, _use_new_zipfile_serialization=at == 0)
        weight_map |= dict.fromkeys(part, name)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert load_checkpoint(folder).weights_sha256 == plain.weights_sha256


def test_safetensors_come_before_bin_and_an_index_before_both(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form="bin", seed=1)
    of_bin = load_checkpoint(folder).weights_sha256
    make_checkpoint(folder, form="safetensors", seed=2)
    of_one = load_checkpoint(folder).weights_sha256
    make_checkpoint(folder, form="sharded", seed=3)
    assert len({of_bin, of_one, load_checkpoint(folder).weights_sha256}) == 3


def test_the_language_model_is_what_transformers_loads_itself(
    plain: Checkpoint, tmp_path: Path
) -> None:
    theirs = {
        key: tensor
        for key, tensor in released_tensors(SMALL).items()
        if key.startswith(("model.embed_tokens", "model.layers", "model.norm", "lm_head"))
    }
    save_file(theirs, tmp_path / "model.safetensors", metadata={"format": "pt"})
    stated = released_config(SMALL) | {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"]}
    del stated["auto_map"], stated["rope_scaling"]
    (tmp_path / "config.json").write_text(json.dumps(stated))
    phi3 = Phi3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = torch.tensor([plain.prompt_ids(PROMPT)] * 2)
    with torch.inference_mode():
        torch.testing.assert_close(
            plain.network.language(input_ids=ids).logits, phi3(input_ids=ids).logits,
            atol=1e-6, rtol=0,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotary_frequencies_are_made_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", stated={"rope_theta": 5000.0})
    network = load_checkpoint(folder, dtype=dtype).network
    head = SMALL.hidden // SMALL.language_heads
    formula = torch.tensor([5000.0 ** (-2 * i / head) for i in range(head // 2)])
    torch.testing.assert_close(network.language.model.rotary_emb.inv_freq, formula)
    assert not any(t.is_meta for t in [*network.parameters(), *network.buffers()])
    assert {p.dtype for p in network.parameters()} == {dtype}
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training


def test_bfloat16_weights_are_widened_exactly(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", dtype=torch.bfloat16)
    head = load_checkpoint(folder).network.language.lm_head.weight
    assert head.dtype == torch.float32
    assert torch.equal(head, released_tensors()["lm_head.weight"].bfloat16().float())
    assert read_weights(folder).dtypes == ("bfloat16",)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_loaded_network_holds_no_file(form: Form, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy", form=form)
    loaded = load_checkpoint(folder)
    path = next(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    with path.open("r+b") as file:  # in place, as an overwritten or failing disk would
        file.write(bytes(path.stat().st_size))
    assert torch.equal(loaded.network.language.lm_head.weight, released_tensors()["lm_head.weight"])


def test_loading_asks_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        asked.append(arguments)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_checkpoint(make_checkpoint(tmp_path / "toy"))
    assert asked == []


def test_no_code_of_the_folder_runs(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    trap = tmp_path / "it-ran"
    code = f"open({str(trap)!r}, 'w').close()\nclass LamedPhi3Config: pass\nclass Words: pass\n"
    (folder / "modeling_petar.py").write_text(code)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": ["modeling_petar.Words", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    load_checkpoint(folder)
    assert not trap.exists()


def test_sizes_come_from_shapes(plain: Checkpoint, tmp_path: Path) -> None:
    assert plain.network.config.visual_tokens == 8
    assert plain.network.config.vision.heads == 1  # 64 wide
    middle = load_checkpoint(make_checkpoint(tmp_path / "b", sizes=MIDDLE)).network.config
    vision = middle.vision
    assert (vision.width, vision.depth, vision.mlp_width, vision.heads) == (256, 6, 1024, 4)
    stated = load_checkpoint(make_checkpoint(tmp_path / "c", stated={"vision_num_heads": 2}))
    assert stated.network.config.vision.heads == 2


def test_other_model_type_and_absent_fields_are_fine(plain: Checkpoint, tmp_path: Path) -> None:
    stated: dict[str, Any] = {"model_type": "petar_phi3"}
    stated |= dict.fromkeys(("vision_select_feature", "mm_projector_type", "use_mask"))
    folder = make_checkpoint(tmp_path / "toy", stated=stated)
    assert said(load_checkpoint(folder)) == said(plain)


def test_segmentation_keys_are_left_out(plain: Checkpoint, tmp_path: Path) -> None:
    def add(tensors: Tensors) -> None:
        tensors["model.seg_module.image_encoder.weight"] = torch.full((2,), torch.nan)
        tensors["model.seg_projector.0.bias"] = torch.ones(2, dtype=torch.int64)
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)

    folder = make_checkpoint(tmp_path / "toy", change=add)
    assert read_weights(folder).ignored == 3
    assert load_checkpoint(folder).weights_sha256 == plain.weights_sha256


def test_rows_that_no_entry_uses_are_legal(tmp_path: Path) -> None:
    def widen(tensors: Tensors) -> None:
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[key] = torch.cat([tensors[key], tensors[key][:5]])

    folder = make_checkpoint(tmp_path / "toy", change=widen, stated={"vocab_size": 453})
    assert load_checkpoint(folder).network.language.lm_head.out_features == 453


def test_the_digest_is_over_names_types_shapes_and_values() -> None:
    weights = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.bfloat16)}
    lines = [
        ("a", "torch.bfloat16", "(2,)", b"\x80\x3f\x80\x3f"),
        ("b", "torch.float32", "(2, 3)", weights["b"].numpy().tobytes()),
    ]
    sha = hashlib.sha256()
    for name, dtype, shape, values in lines:
        sha.update(f"{name} {dtype} {shape} {hashlib.sha256(values).hexdigest()}\n".encode())
    assert digest(weights) == sha.hexdigest()
    assert digest({**weights, "b": weights["b"].T.contiguous().T}) == sha.hexdigest()
    assert digest({**weights, "b": weights["b"].reshape(3, 2)}) != sha.hexdigest()


def test_identity_says_all_that_decides_the_words(plain: Checkpoint, tmp_path: Path) -> None:
    assert plain.identity(profile="paper", prompt=PROMPT) == ModelIdentity(
        "toy", plain.version, plain.weights_sha256, "cpu", "float32", profile="paper", prompt=PROMPT
    )
    theta = load_checkpoint(make_checkpoint(tmp_path / "a", stated={"rope_theta": 9.0}))
    stops = load_checkpoint(make_checkpoint(tmp_path / "b", generation_config=False))
    folder = make_checkpoint(tmp_path / "c")
    write_tokenizer(folder, says="Other words were known to it")
    words = load_checkpoint(folder)
    stated = load_checkpoint(make_checkpoint(tmp_path / "d", stated={"version": "2.1 beta"}))
    assert stated.version.startswith("2.1_beta+")
    versions = {c.version for c in (plain, theta, stops, words, stated)}
    assert len(versions) == 5
    assert {c.weights_sha256 for c in (theta, stops, words, stated)} == {plain.weights_sha256}
    assert all(len(version) <= 64 for version in versions)


def test_stop_ids_are_stated_or_known_words(plain: Checkpoint, tmp_path: Path) -> None:
    assert plain.stop_ids == {END_OF_TEXT, END_OF_TEXT + 1, END_OF_TEXT + 3}
    config_alone = make_checkpoint(tmp_path / "a", generation_config=False)
    assert load_checkpoint(config_alone).stop_ids == {END_OF_TEXT}
    neither = make_checkpoint(
        tmp_path / "b", generation_config=False, stated={"eos_token_id": None}
    )
    assert load_checkpoint(neither).stop_ids == plain.stop_ids


def test_prompt_ids_are_those_of_the_sentencepiece_model(plain: Checkpoint, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    pieces = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    ids = plain.prompt_ids(PROMPT)
    assert ids[:9] == [1, *[PIECES + 4] * 8]
    # the first word after a placeholder carries no space
    assert [pieces.id_to_piece(i) for i in ids[9:12]] == ["Wh", "at", "▁structure"]
    assert ids[11:] == pieces.encode(PROMPT)[1:]
    assert pieces.decode(ids[9:]) == PROMPT


def test_every_word_of_a_saying_checkpoint_comes_back(tmp_path: Path) -> None:
    words = "Intense uptake in the left upper lobe with SUV max 8.1"
    checkpoint = load_checkpoint(make_checkpoint(tmp_path / "toy", says=words))
    tokens = said(checkpoint, lesions=2)
    assert [checkpoint.tokenizer.decode(row) for row in tokens] == [words, words]
    assert mask_changes(checkpoint)


def mask_changes(checkpoint: Checkpoint) -> bool:
    views = views_of_made_lesions(1)
    without = Views(
        views.pet, views.ct, views.mask * 0, views.focal_pet, views.focal_ct, views.focal_mask
    )
    see = checkpoint.network.visual_tokens
    with torch.inference_mode():
        difference: Tensor = see(views) - see(without)
    return float(difference.abs().max()) > 1e-2
