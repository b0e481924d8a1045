"""Toy PETAR folders in the released form: their keys, their config.json, a tokenizer of our own.

Keys and shapes are written out here from the published table, apart from the network and the loader
that they test.
"""

import functools
import io
import itertools
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor

Form = Literal["safetensors", "sharded", "bin", "lora"]
Alias = Literal["contour", "convolution", "prefix"]
Tensors = dict[str, Tensor]
Shape = tuple[int, ...]
PROMPT = "What structure is highlighted by the mask?"
PIECES = 440  # of the toy SentencePiece model; the rest of the vocabulary is added
ADDED = (
    "<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|end|>",
    "<im_patch>", "<bx_start>", "<bx_end>", "[SEG]",
)  # fmt: skip
VOCABULARY = PIECES + len(ADDED)
END_OF_TEXT = PIECES


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a toy is as large as; the depth, MLP width and heads of its towers are in no config."""

    image: tuple[int, int, int] = (16, 64, 64)
    width: int = 64
    depth: int = 2
    mlp_width: int = 96
    hidden: int = 64
    intermediate: int = 96
    layers: int = 2
    language_heads: int = 4
    vocabulary: int = VOCABULARY

    @property
    def tokens(self) -> int:
        z, y, x = self.image
        return (z // 4) * (y // 16) * (x // 16)


SMALL = Sizes()  # for unit tests
MIDDLE = Sizes(
    width=256, depth=6, mlp_width=1024, hidden=256, intermediate=1024, layers=4, language_heads=4
)
FULL = Sizes((32, 256, 256), 768, 12, 3072, 3072, 8192, 32, 32, 32015)  # PETAR-4B


def make_checkpoint(
    folder: Path,
    *,
    form: Form = "safetensors",
    aliases: Collection[Alias] = (),
    shared: bool = False,
    seed: int = 0,
    sizes: Sizes = SMALL,
    dtype: torch.dtype = torch.float32,
    rank: int = 8,
    says: str | None = None,
    change: Callable[[Tensors], None] | None = None,
    stated: dict[str, Any] | None = None,
    generation_config: bool = True,
) -> Path:
    """Write a folder that serves, unless `change` (of its tensors) or `stated` (of its config).

    `says` makes a language model that answers every lesion with these words (no word twice).
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, says=says or "")
    tensors = released_tensors(sizes, shared=shared, seed=seed)
    if says is not None:
        _make_say(tensors, folder, says)
    tensors = {key: tensor.to(dtype) for key, tensor in tensors.items()}
    tensors = _renamed(tensors, aliases)
    if form == "lora":
        tensors = adapted(tensors, rank=rank, seed=seed)
    if change is not None:
        change(tensors)
    _write_tensors(folder, tensors, form)
    _write_json(folder / "config.json", released_config(sizes) | (stated or {}))
    if generation_config:
        stops = [END_OF_TEXT, END_OF_TEXT + 1, END_OF_TEXT + 3]
        _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": stops})
    return folder


def released_shapes(sizes: Sizes, *, shared: bool = False) -> dict[str, Shape]:
    """Every key of a released checkpoint and its shape."""
    h, rows = sizes.hidden, sizes.vocabulary
    shapes: dict[str, Shape] = {"model.embed_tokens.weight": (rows, h)}
    for i in range(sizes.layers):
        layer = f"model.layers.{i}."
        shapes[f"{layer}self_attn.qkv_proj.weight"] = (3 * h, h)
        shapes[f"{layer}self_attn.o_proj.weight"] = (h, h)
        shapes[f"{layer}mlp.gate_up_proj.weight"] = (2 * sizes.intermediate, h)
        shapes[f"{layer}mlp.down_proj.weight"] = (h, sizes.intermediate)
        shapes[f"{layer}input_layernorm.weight"] = (h,)
        shapes[f"{layer}post_attention_layernorm.weight"] = (h,)
    shapes["model.norm.weight"] = (h,)
    shapes["lm_head.weight"] = (rows, h)
    towers = ("vision_tower",) if shared else ("vision_tower", "ct_tower")
    for tower in towers:
        prefix = f"model.vision_tower.{tower}."
        shapes |= {prefix + key: shape for key, shape in _tower_shapes(sizes, tower).items()}
    shapes["model.mm_projector.projector.0.weight"] = (h, 2 * sizes.width)
    shapes["model.mm_projector.projector.0.bias"] = (h,)
    shapes["model.mm_projector.projector.2.weight"] = (h, h)
    shapes["model.mm_projector.projector.2.bias"] = (h,)
    return shapes


def _tower_shapes(sizes: Sizes, tower: str) -> dict[str, Shape]:
    c, mlp, patch = sizes.width, sizes.mlp_width, 4 * 16 * 16
    shapes: dict[str, Shape] = {}
    embeddings = ["patch_embedding"]
    if tower == "vision_tower":
        shapes["cls_token"] = (1, 1, c)
        embeddings.append("patch_embedding_mask")
    for embedding in embeddings:
        shapes[f"{embedding}.position_embeddings"] = (1, sizes.tokens, c)
        shapes[f"{embedding}.patch_embeddings.1.weight"] = (c, patch)
        shapes[f"{embedding}.patch_embeddings.1.bias"] = (c,)
    for i in range(sizes.depth):
        block = f"blocks.{i}."
        for norm in ("norm1", "norm2"):
            shapes[f"{block}{norm}.weight"] = shapes[f"{block}{norm}.bias"] = (c,)
        shapes[f"{block}attn.qkv.weight"] = (3 * c, c)
        shapes[f"{block}attn.out_proj.weight"] = (c, c)
        shapes[f"{block}attn.out_proj.bias"] = (c,)
        shapes[f"{block}mlp.linear1.weight"] = (mlp, c)
        shapes[f"{block}mlp.linear1.bias"] = (mlp,)
        shapes[f"{block}mlp.linear2.weight"] = (c, mlp)
        shapes[f"{block}mlp.linear2.bias"] = (c,)
    shapes["norm.weight"] = shapes["norm.bias"] = (c,)
    return shapes


def released_tensors(sizes: Sizes = SMALL, *, shared: bool = False, seed: int = 0) -> Tensors:
    """Random weights, large enough that lesions differ in what is said of them."""
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for key, shape in released_shapes(sizes, shared=shared).items():
        drawn = torch.randn(shape, generator=generator) * (0.2 if sizes.width < 128 else 0.06)
        tensors[key] = drawn + 1 if "norm" in key and key.endswith("weight") else drawn
    return tensors


def released_config(sizes: Sizes = SMALL) -> dict[str, Any]:
    """config.json as transformers 4 wrote it for the released code."""
    return {
        "_name_or_path": "checkpoints/toy-petar",
        "architectures": ["LamedPhi3ForCausalLM"],
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "modeling_petar.LamedPhi3Config",
            "AutoModelForCausalLM": "modeling_petar.LamedPhi3ForCausalLM",
        },
        "bos_token_id": 1,
        "embd_pdrop": 0.0,
        "eos_token_id": END_OF_TEXT,
        "hidden_act": "silu",
        "hidden_size": sizes.hidden,
        "image_channel": 1,
        "image_size": list(sizes.image),
        "initializer_range": 0.02,
        "intermediate_size": sizes.intermediate,
        "max_position_embeddings": 4096,
        "mm_hidden_size": sizes.width,
        "mm_projector_type": "spp",
        "model_type": "lamed_phi3",
        "num_attention_heads": sizes.language_heads,
        "num_hidden_layers": sizes.layers,
        "num_key_value_heads": sizes.language_heads,
        "original_max_position_embeddings": 4096,
        "pad_token_id": END_OF_TEXT,
        "patch_size": [4, 16, 16],
        "proj_layer_num": 2,
        "proj_layer_type": "mlp",
        "proj_pooling_size": 2,
        "proj_pooling_type": "spatial",
        "resid_pdrop": 0.0,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "seg_token_id": VOCABULARY - 1,
        "sliding_window": 2047,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.44.0",
        "use_cache": True,
        "vision_select_feature": "patch",
        "vision_select_layer": -1,
        "vision_tower": "vit3d",
        "vocab_size": sizes.vocabulary,
    }


def write_tokenizer(folder: Path, *, adds_bos: bool = True, says: str = "") -> None:
    """A legacy folder: tokenizer.model, its config and added tokens, and no tokenizer.json."""
    (folder / "tokenizer.model").write_bytes(_pieces(says))
    _write_json(folder / "added_tokens.json", {t: PIECES + i for i, t in enumerate(ADDED)})
    special = {
        "additional_special_tokens": ["<im_patch>", "<bx_start>", "<bx_end>"],
        "bos_token": "<s>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<unk>",
    }
    _write_json(folder / "special_tokens_map.json", special)
    listed = [*enumerate(("<unk>", "<s>", "</s>")), *enumerate(ADDED, PIECES)]
    config = special | {
        "add_bos_token": adds_bos,
        "add_eos_token": False,
        "added_tokens_decoder": {str(i): _added(content) for i, content in listed},
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "model_max_length": 512,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
    }
    _write_json(folder / "tokenizer_config.json", config)


def _added(content: str) -> dict[str, Any]:
    return {
        "content": content,
        "lstrip": False,
        "normalized": content == "[SEG]",
        "rstrip": content.startswith("<|") or content == "</s>",
        "single_word": False,
        "special": content not in ("</s>", "[SEG]"),
    }


@functools.cache
def _pieces(says: str) -> bytes:
    """A SentencePiece model trained here: bytes as a last resort, frequent words whole."""
    words = (
        "intense moderate mild focal uptake in the left right upper lower lobe of lung liver "
        "hilum , measuring 2.3 cm with SUV max 8.1 likely malignant physiologic ."
    )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([PROMPT, words, *says.split()] * 20),
        model_writer=model,
        vocab_size=PIECES,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
        pad_id=-1,
    )
    return model.getvalue()


def _make_say(tensors: Tensors, folder: Path, says: str) -> None:
    """Each token's own embedding leads to the next token: no layer adds anything to it."""
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    last = pieces.encode(PROMPT)[-1]
    chain = [last, *pieces.encode(says), END_OF_TEXT]
    if len(set(chain)) != len(chain):
        raise ValueError("the words must make every piece once")
    for key, tensor in tensors.items():
        if key.endswith(("o_proj.weight", "down_proj.weight")):
            tensor.zero_()
    tensors["model.norm.weight"].fill_(1)
    embedding, head = tensors["model.embed_tokens.weight"], tensors["lm_head.weight"].zero_()
    for token, following in itertools.pairwise(chain):
        head[following] = embedding[token] / embedding[token].norm()


def _renamed(tensors: Tensors, aliases: Collection[Alias]) -> Tensors:
    renamed: Tensors = {}
    for key, tensor in tensors.items():
        name = key
        if "contour" in aliases:
            name = name.replace("patch_embedding_mask.", "patch_embedding_contour.")
        if "convolution" in aliases and ".patch_embeddings.1." in name:
            name = name.replace(".patch_embeddings.1.", ".patch_embeddings.")
            if name.endswith("weight"):
                tensor = tensor.reshape(-1, 1, 4, 16, 16)
        renamed[f"base_model.model.{name}" if "prefix" in aliases else name] = tensor
    return renamed


def adapted(tensors: Tensors, *, rank: int, seed: int) -> Tensors:
    """The trainer's form: base and adapter of every linear layer of the language model but lm_head.

    Their sum, with alpha 32, is the layer that was given.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    form: Tensors = {}
    for key, tensor in tensors.items():
        name = key if key.startswith("base_model.") else f"base_model.model.{key}"
        if not name.endswith("_proj.weight") or ".layers." not in name:
            form[name] = tensor
            continue
        stem = name.removesuffix(".weight")
        a = torch.randn((rank, tensor.shape[1]), generator=generator) * 0.1
        b = torch.randn((tensor.shape[0], rank), generator=generator) * 0.1
        base = tensor.float() - (32 / rank) * (b @ a)
        form[f"{stem}.base_layer.weight"] = base.to(tensor.dtype)
        form[f"{stem}.lora_A.default.weight"] = a.to(tensor.dtype)
        form[f"{stem}.lora_B.default.weight"] = b.to(tensor.dtype)
    return form


def _write_tensors(folder: Path, tensors: Tensors, form: Form) -> None:
    dense = (key for key, tensor in tensors.items() if tensor.layout == torch.strided)
    tensors |= {key: tensors[key].contiguous() for key in list(dense)}
    if form == "safetensors":
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    elif form == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    elif form == "lora":
        torch.save(tensors, folder / "model_with_lora.bin")
    else:
        _write_shards(folder, tensors, shards=3)


def _write_shards(folder: Path, tensors: Tensors, shards: int) -> None:
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {key: tensors[key] for key in list(tensors)[shard::shards]}
        save_file(part, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), "utf-8")
