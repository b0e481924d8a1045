"""The tokenizer of a checkpoint folder, checked to splice visual tokens where training did."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

from engine.petar.released_config import read_json
from engine.petar.tensor_files import UnusableCheckpoint

PLACEHOLDER = "<im_patch>"  # one for every visual token
STOP_WORDS = ("<|endoftext|>", "<|assistant|>", "<|end|>")


def read_tokenizer(folder: Path, rows: int) -> PreTrainedTokenizerFast:
    """The folder's tokenizer; `rows` is how many ids the language model knows."""
    if not any((folder / name).is_file() for name in ("tokenizer.model", "tokenizer.json")):
        raise UnusableCheckpoint(f"{folder.name} holds neither tokenizer.model nor tokenizer.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder,
            config=PreTrainedConfig(),  # config.json names code that is not run, and says no more
            trust_remote_code=False,
            local_files_only=True,
        )
    except (
        OSError, ValueError, ImportError, KeyError, TypeError, AttributeError, RuntimeError,
    ) as exc:  # fmt: skip
        raise UnusableCheckpoint(f"{folder.name} holds no tokenizer that can be read") from exc
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnusableCheckpoint(f"{type(tokenizer).__name__} is no tokenizer that PETAR was given")
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise UnusableCheckpoint(
            f"The tokenizer knows ids up to {highest}, the language model {rows} of them"
        )
    prompt_ids(tokenizer, "What", visual_tokens=2)
    return tokenizer


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: str, visual_tokens: int) -> list[int]:
    """BOS, the placeholders, the prompt: what the network splices visual tokens into, by position.

    Raises UnusableCheckpoint when the ids lie elsewhere, or do not read as the prompt again.
    """
    ids = [int(i) for i in tokenizer(PLACEHOLDER * visual_tokens + prompt).input_ids]
    patch = tokenizer.get_vocab().get(PLACEHOLDER)
    if patch is None:
        raise UnusableCheckpoint(f"The tokenizer does not know {PLACEHOLDER}")
    if tokenizer.bos_token_id is None or ids[:1] != [tokenizer.bos_token_id]:
        raise UnusableCheckpoint(
            "The tokenizer does not begin with BOS: visual tokens would overwrite the prompt"
        )
    if ids[1 : 1 + visual_tokens] != [patch] * visual_tokens:
        raise UnusableCheckpoint(f"The tokenizer does not take {PLACEHOLDER} as one token")
    words = ids[1 + visual_tokens :]
    if not words or patch in words or str(tokenizer.decode(words)).strip() != prompt.strip():
        raise UnusableCheckpoint(f"The tokenizer does not give the prompt {prompt!r} back")
    return ids


def stop_ids(
    folder: Path, stated: dict[str, Any], tokenizer: PreTrainedTokenizerFast, rows: int
) -> frozenset[int]:
    """Ids that end an answer: of generation_config.json, else config.json, else known words."""
    generation = folder / "generation_config.json"
    sources = {generation.name: read_json(generation)} if generation.is_file() else {}
    for name, source in (sources | {"config.json": stated}).items():
        eos = source.get("eos_token_id")
        if eos is not None:
            return _valid(name, eos if isinstance(eos, list) else [eos], rows)
    known = tokenizer.get_vocab()
    ids = frozenset(known[word] for word in STOP_WORDS if word in known)
    if not ids:
        raise UnusableCheckpoint("No eos_token_id in generation_config.json, config.json or tokens")
    return ids


def _valid(name: str, ids: list[Any], rows: int) -> frozenset[int]:
    if not ids or not all(type(i) is int and 0 <= i < rows for i in ids):
        raise UnusableCheckpoint(f"{name}: eos_token_id {ids} are no ids below {rows}")
    return frozenset(ids)
