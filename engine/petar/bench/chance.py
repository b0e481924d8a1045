"""A checkpoint of seeded random weights: it computes like a real one and knows nothing."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from engine.petar.checkpoint import Checkpoint
from engine.petar.config import PETAR_4B, PHI3_MINI, PROFILES, PetarConfig, VisionConfig
from engine.petar.model import PetarNetwork

SMALL = PetarConfig(
    vision=VisionConfig((16, 64, 64), (4, 16, 16), width=256, depth=6, mlp_width=1024, heads=4),
    language=PHI3_MINI
    | {
        "vocab_size": 2000, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 4,
        "eos_token_id": 2, "pad_token_id": 2,
    },
)  # fmt: skip
SHAPES = {"small": SMALL, "4b": PETAR_4B}


def checkpoint_of_chance(
    shape: str, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Checkpoint:
    """Random weights of one of SHAPES, equal for equal seeds on one kind of device."""
    config = SHAPES[shape]
    with torch.device("meta"):
        network = PetarNetwork(config)
    network = network.to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.fill_(1)
            else:  # large enough that lesions differ in what is said of them
                parameter.normal_(0, parameter.shape[-1] ** -0.5, generator=generator)
    rotary = network.language.model.rotary_emb
    network.language.model.rotary_emb = type(rotary)(config=network.language.config).to(device)
    return Checkpoint(
        network.eval(), _tokenizer(config), frozenset([config.language["eos_token_id"]]),
        f"random-{shape}", str(seed), "0" * 64,
    )  # fmt: skip


def _tokenizer(config: PetarConfig) -> PreTrainedTokenizerFast:
    """A word for every id; the prompts' own words among them."""
    words = ["<unk>", "<s>", "</s>", "<im_patch>"]
    words += sorted({word for profile in PROFILES.values() for word in profile.prompt.split()})
    words += [f"w{i}" for i in range(len(words), config.language["vocab_size"])]
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, additional_special_tokens=["<im_patch>"],
        clean_up_tokenization_spaces=False, **special,
    )  # fmt: skip
