"""Where the keys and values of a batch lie while the language model goes on, a token a step.

Growing: transformers' own cache. Fixed: buffers in place, so that a step is always the same work on
the same memory and a GPU can replay it as one CUDA graph.
"""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, Phi3ForCausalLM
from transformers.cache_utils import CacheLayerMixin

log = logging.getLogger(__name__)


class Lane(Protocol):
    """A batch on its way through the language model. Rows are those begun and not yet left."""

    def begin(self, inputs: Tensor) -> Tensor:
        """Take in prompts (B, T, D); give the logits (B, vocabulary) after them."""
        ...

    def step(self, chosen: Tensor) -> Tensor:
        """Take in one token id a row (B,); give the logits after it."""
        ...

    def keep(self, positions: Sequence[int]) -> None:
        """Let go of all rows but those at these positions, ascending."""
        ...


class Growing:
    """A cache that grows by a token a step."""

    def __init__(self, language: Phi3ForCausalLM) -> None:
        self.language = language

    def begin(self, inputs: Tensor) -> Tensor:
        self.cache = DynamicCache(config=self.language.config)
        return _logits(self.language(
            inputs_embeds=inputs, cache=self.cache, use_cache=True, logits_to_keep=1
        ))  # fmt: skip

    def step(self, chosen: Tensor) -> Tensor:
        return _logits(self.language(input_ids=chosen[:, None], cache=self.cache, use_cache=True))

    def keep(self, positions: Sequence[int]) -> None:
        kept = torch.tensor(positions, device=self.language.device)
        self.cache.batch_select_indices(kept)


class Fixed:
    """Buffers of `rows` x `length` tokens, used again by every batch.

    A step runs on 1, 2, 4, ... rows; rows that left stay in it as ballast until half are gone.
    """

    def __init__(self, language: Phi3ForCausalLM, rows: int, length: int) -> None:
        self.language = language
        self.rows, self.length = rows, length
        device = language.device
        config = language.config
        heads = config.num_key_value_heads or config.num_attention_heads
        shape = (rows, heads, length, config.hidden_size // config.num_attention_heads)
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.layers = [
            _FixedLayer(shape, language.dtype, device, self.position)
            for _ in range(config.num_hidden_layers)
        ]
        self.cache = Cache(layers=list(self.layers))
        self.ids = torch.zeros(rows, dtype=torch.long, device=device)
        self.places = torch.arange(length, device=device)
        self.slots: list[int] = []  # of the rows, in their order
        self.width = 0  # rows a step runs on
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor] | None] = {}

    def begin(self, inputs: Tensor) -> Tensor:
        rows, tokens = inputs.shape[:2]
        if rows > self.rows or tokens > self.length:
            raise ValueError(f"{rows} rows of {tokens} tokens exceed {self.rows} of {self.length}")
        self.slots = list(range(rows))
        self.width = self._width_for(rows)
        self._shown(rows, prompts=True)
        logits = _logits(self.language(
            inputs_embeds=inputs, cache=self.cache, use_cache=True, logits_to_keep=1
        ))  # fmt: skip
        self.position.fill_(tokens)
        return logits

    def step(self, chosen: Tensor) -> Tensor:
        slots = torch.tensor(self.slots, device=chosen.device)
        self.ids[slots] = chosen
        self._shown(self.width, prompts=False)
        logits = self._replayed() if self.ids.is_cuda else self._stepped()
        self.position.add_(1)
        return logits if len(self.slots) == self.width else logits[slots]

    def keep(self, positions: Sequence[int]) -> None:
        self.slots = [self.slots[position] for position in positions]
        width = self._width_for(len(self.slots))
        if width == self.width:
            return
        kept = torch.tensor(self.slots, device=self.ids.device)
        for layer in self.layers:
            layer.all_keys[: len(kept)] = layer.all_keys[kept]
            layer.all_values[: len(kept)] = layer.all_values[kept]
        self.slots, self.width = list(range(len(kept))), width

    def _width_for(self, rows: int) -> int:
        return min(1 << (rows - 1).bit_length(), self.rows)

    def _shown(self, rows: int, *, prompts: bool) -> None:
        for layer in self.layers:
            layer.show(rows, prompts=prompts)

    def _stepped(self) -> Tensor:
        # a mask of four dimensions is taken as it is: a token sees all up to its own place
        mask = (self.places <= self.position).expand(self.width, 1, 1, -1)
        return _logits(self.language(
            input_ids=self.ids[: self.width, None],
            position_ids=self.position[None],
            attention_mask=mask,
            cache=self.cache,
            use_cache=True,
        ))  # fmt: skip

    def _replayed(self) -> Tensor:
        if self.width not in self.graphs:
            try:
                self.graphs[self.width] = self._captured()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:  # slower without, and as right
                log.warning("no CUDA graph of %d rows could be captured", self.width, exc_info=True)
                self.graphs[self.width] = None
        captured = self.graphs[self.width]
        if captured is None:
            return self._stepped()
        graph, logits = captured
        graph.replay()
        return logits

    def _captured(self) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """A step of this width as a graph. Running it again writes the same to the same place."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # libraries set themselves up outside of the graph
                self._stepped()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # other threads prepare studies on this device meanwhile
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = self._stepped()
        return graph, logits


class _FixedLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, in place."""

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dtype: torch.dtype,
        device: torch.device,
        position: Tensor,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.all_keys = torch.zeros(shape, dtype=dtype, device=device)
        self.all_values = torch.zeros(shape, dtype=dtype, device=device)
        self.position = position
        self.show(shape[0], prompts=True)
        self.is_initialized = True

    def show(self, rows: int, *, prompts: bool) -> None:
        """The part that the next update is about."""
        self.shown_keys, self.shown_values = self.all_keys[:rows], self.all_values[:rows]
        self.takes_prompts = prompts

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self.takes_prompts:
            tokens = key_states.shape[2]
            self.shown_keys[:, :, :tokens] = key_states
            self.shown_values[:, :, :tokens] = value_states
            return key_states, value_states
        self.shown_keys.index_copy_(2, self.position, key_states)
        self.shown_values.index_copy_(2, self.position, value_states)
        return self.shown_keys, self.shown_values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """The buffers are there from the beginning."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0  # asked for prompts only: a step brings its own mask

    def get_seq_length(self) -> int:
        return 0  # likewise

    def get_max_length(self) -> int:
        return self.all_keys.shape[2]


def _logits(step: Any) -> Tensor:
    last: Tensor = step.logits[:, -1]
    return last
