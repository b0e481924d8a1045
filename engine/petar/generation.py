"""Greedy decoding of a batch of lesions: rows that are finished leave."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from engine.petar.model import PetarNetwork


@torch.inference_mode()
def generate(
    network: PetarNetwork,
    visual: Tensor,
    prompt_ids: Sequence[int],
    stop_ids: frozenset[int],
    max_new_tokens: int,
    *,
    min_new_tokens: int = 0,
    overdue: Callable[[int], bool] | None = None,
) -> list[list[int]]:
    """New token ids of each row of `visual` (B, V, D), without the stop token.

    All prompts are equally long, so nothing is padded. `overdue(row)` is asked before each step;
    a row it names leaves with what it has.
    """
    language = network.language
    tokens: list[list[int]] = [[] for _ in range(len(visual))]
    rows = list(range(len(visual)))
    cache = DynamicCache(config=language.config)
    step = language(
        inputs_embeds=network.spliced(visual, prompt_ids), past_key_values=cache, use_cache=True,
        logits_to_keep=1,
    )  # fmt: skip
    while rows:
        chosen = _most_likely(step.logits[:, -1], stop_ids, len(tokens[rows[0]]) < min_new_tokens)
        staying = []
        for position, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            if token in stop_ids:
                continue
            tokens[row].append(token)
            if len(tokens[row]) < max_new_tokens and not (overdue is not None and overdue(row)):
                staying.append(position)
        if not staying:
            break
        if len(staying) < len(rows):
            kept = torch.tensor(staying, device=chosen.device)
            cache.batch_select_indices(kept)
            chosen = chosen[kept]
            rows = [rows[position] for position in staying]
        step = language(input_ids=chosen[:, None], past_key_values=cache, use_cache=True)
    return tokens


def _most_likely(logits: Tensor, stop_ids: frozenset[int], must_go_on: bool) -> Tensor:
    if must_go_on:
        logits = logits.clone()
        logits[:, list(stop_ids)] = -torch.inf
    return logits.argmax(dim=-1)
