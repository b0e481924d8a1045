"""The reference: one lesion at a time, prepared from the start each time, by generate().

generate() is that of transformers. Nothing is slowed down: preparation and views are the fast code
that the describer uses itself.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.lesion import Lesion
from engine.petar.checkpoint import Checkpoint
from engine.petar.config import Profile
from engine.petar.focus import prepare, views_of
from engine.petar.model import Views
from engine.petar.writing import as_type
from engine.volume import Scan


@dataclass(slots=True)
class Naive:
    """Describes lesions as a script would; `seconds` says where the time went."""

    checkpoint: Checkpoint
    profile: Profile
    new_tokens: int
    seconds: dict[str, float] = field(default_factory=dict)

    @torch.inference_mode()
    def tokens(self, scan: Scan, lesion: Lesion) -> list[int]:
        """Token ids of one lesion."""
        device = self.checkpoint.device
        with self._timed("prepare the study"):
            study = prepare(scan, self.profile, device)
        with self._timed("cut views"):
            vision = self.checkpoint.network.config.vision
            views = views_of(study, lesion.segment.mask, self.profile, vision).views
            views = as_type(views, device, self.checkpoint.dtype)
        return self.tokens_of_views(views)

    @torch.inference_mode()
    def tokens_of_views(self, views: Views) -> list[int]:
        """Token ids of one lesion whose views are cut."""
        network = self.checkpoint.network
        with self._timed("encode"):
            visual = network.visual_tokens(views)
        with self._timed("generate"):
            return self._generated(network.spliced(visual, self._prompt_ids))

    @property
    def _prompt_ids(self) -> list[int]:
        return self.checkpoint.prompt_ids(self.profile.prompt)

    def _generated(self, inputs: Tensor) -> list[int]:
        stops = sorted(self.checkpoint.stop_ids)
        language: Any = self.checkpoint.network.language  # generate() is typed for other classes
        generated = language.generate(
            inputs_embeds=inputs,
            attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device),
            do_sample=False,
            max_new_tokens=self.new_tokens,
            min_new_tokens=self.new_tokens,
            eos_token_id=stops,
            pad_token_id=stops[0],
        )
        return [int(token) for token in generated[0].tolist()]

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        if self.checkpoint.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
