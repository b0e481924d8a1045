"""Greedy decoding of a batch of lesions: rows that are finished leave."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from engine.petar.lanes import Growing, Lane
from engine.petar.model import PetarNetwork

Ending = Literal["stop", "length", "overdue", "not-finite"]
NOT_FINITE = -1  # in the place of a token id


class Decoded(NamedTuple):
    """New token ids of a row, without the stop token, and why there are no more."""

    tokens: list[int]
    ending: Ending


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
    """New token ids of each row of `visual` (B, V, D), without the stop token."""
    decoded = decode(
        network, visual, prompt_ids, stop_ids, max_new_tokens,
        min_new_tokens=min_new_tokens, overdue=overdue,
    )  # fmt: skip
    return [row.tokens for row in decoded]


@torch.inference_mode()
def decode(
    network: PetarNetwork,
    visual: Tensor,
    prompt_ids: Sequence[int],
    stop_ids: frozenset[int],
    max_new_tokens: int,
    *,
    min_new_tokens: int = 0,
    overdue: Callable[[int], bool] | None = None,
    lane: Lane | None = None,
) -> list[Decoded]:
    """What greedy decoding makes of each row of `visual` (B, V, D).

    All prompts are equally long, so nothing is padded. `overdue(row)` is asked before each step;
    a row it names leaves with what it has. So does a row whose logits are not finite.
    """
    lane = lane or Growing(network.language)
    tokens: list[list[int]] = [[] for _ in range(len(visual))]
    endings: dict[int, Ending] = {}
    rows = list(range(len(visual)))
    logits = lane.begin(network.spliced(visual, prompt_ids))
    while True:
        count = len(tokens[rows[0]])
        chosen = _most_likely(logits, stop_ids, must_go_on=count < min_new_tokens)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            ending: Ending | None = None
            if token == NOT_FINITE:
                ending = "not-finite"
            elif token in stop_ids:
                ending = "stop"
            else:
                tokens[row].append(token)
                if count + 1 == max_new_tokens:
                    ending = "length"
                elif overdue is not None and overdue(row):
                    ending = "overdue"
            if ending is not None:
                endings[row] = ending
        staying = [position for position, row in enumerate(rows) if row not in endings]
        if not staying:
            return [Decoded(tokens[row], endings[row]) for row in range(len(tokens))]
        if len(staying) < len(rows):
            lane.keep(staying)
            chosen = chosen[torch.tensor(staying, device=chosen.device)]
            rows = [rows[position] for position in staying]
        logits = lane.step(chosen)


def _most_likely(logits: Tensor, stop_ids: frozenset[int], *, must_go_on: bool) -> Tensor:
    if must_go_on:
        logits = logits.clone()
        logits[:, list(stop_ids)] = -torch.inf
    highest, chosen = logits.max(dim=-1)  # a NaN anywhere in a row is its highest
    return chosen.where(highest.isfinite(), NOT_FINITE)
