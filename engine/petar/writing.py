"""From the views of a batch of lesions to raw words: all that touches the network."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from engine.errors import ModelFault
from engine.finding import Description, Unable
from engine.petar.checkpoint import Checkpoint
from engine.petar.generation import Decoded, decode
from engine.petar.keeping import Shelf
from engine.petar.lanes import Fixed
from engine.petar.model import Views
from engine.petar.options import Options

VIEW_NAMES = [field.name for field in fields(Views)]
UNABLE = {
    "deadline": "The model did not finish within the time allowed for a lesion.",
    "not-finite": "The network gave values that are not finite.",
    "empty-text": "The model said nothing.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The views of one lesion (B = 1); global CT views of equal `ct_key` are equal."""

    views: Views
    ct_key: Hashable
    warnings: tuple[str, ...] = ()


class Writer:
    """Runs batches. One thread at a time."""

    def __init__(self, checkpoint: Checkpoint, prompt: str, options: Options) -> None:
        self.network, self.device = checkpoint.network, checkpoint.device
        self.options = options
        self.stop_ids = checkpoint.stop_ids
        self._tokenizer = checkpoint.tokenizer
        self.prompt_ids = checkpoint.prompt_ids(prompt)
        self.ct_features: Shelf[Tensor] = Shelf(options.caches.ct_features, lambda t: t.nbytes)
        self._lane: Fixed | None = None
        self._lane_rows = options.batch_size or 1

    def write(
        self, batch: Sequence[Seen], is_stopping: Callable[[], bool] = lambda: False
    ) -> list[Description | Unable]:
        """Raw words for every lesion of a batch, in its order."""
        deadline_s = self.options.deadline_s
        until = None if deadline_s is None else time.monotonic() + deadline_s

        def overdue(row: int) -> bool:
            return is_stopping() or (until is not None and time.monotonic() > until)

        with torch.inference_mode():
            visual = self.visual_tokens(batch)
            is_finite = visual.isfinite().flatten(1).all(dim=1).tolist()
            going_on = [row for row, finite in enumerate(is_finite) if finite]
            decoded = iter(self._decoded(visual[going_on], overdue) if going_on else ())
        if is_stopping():  # rows may have left for that: not a word about any of them
            raise ModelFault("The model has been stopped", code="stopped")
        return [
            self._answer(next(decoded), seen) if finite else _unable("not-finite")
            for seen, finite in zip(batch, is_finite, strict=True)
        ]

    def visual_tokens(self, batch: Sequence[Seen]) -> Tensor:
        """(B, V, D); the CT of a window is encoded once for all lesions that share it."""
        views = stacked([seen.views for seen in batch])
        if self.ct_features.limit_bytes == 0:
            return self.network.visual_tokens(views)
        keys = [seen.ct_key for seen in batch]
        known: dict[Hashable, Tensor] = {}
        for key in keys:
            features = self.ct_features.get(key)
            if features is not None:
                known[key] = features
        fresh = [row for row, key in enumerate(keys) if key not in known and key not in keys[:row]]
        if fresh:
            for row, pooled in zip(fresh, self.network.pooled_ct(views.ct[fresh]), strict=True):
                known[keys[row]] = pooled.clone()  # by itself, not a part of the batch
                self.ct_features.put(keys[row], known[keys[row]])
        shared = torch.stack([known[key] for key in keys])
        return self.network.visual_tokens(views, shared)

    def make_room(self) -> None:
        """Give back what memory is held beyond the weights."""
        self._lane, self._lane_rows = None, max(1, self._lane_rows // 2)
        self.ct_features.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def is_alive(self) -> bool:
        """Whether the device still answers: after some faults a GPU never does for this process."""
        if self.device.type != "cuda":
            return True
        try:
            torch.ones(1, device=self.device).item()
        except RuntimeError:
            return False
        return True

    def _decoded(self, visual: Tensor, overdue: Callable[[int], bool]) -> list[Decoded]:
        most, least = self.options.max_new_tokens, self.options.min_new_tokens
        return decode(
            self.network, visual, self.prompt_ids, self.stop_ids, most,
            min_new_tokens=least, overdue=overdue, lane=self._lane_for(len(visual)),
        )  # fmt: skip

    def _lane_for(self, rows: int) -> Fixed | None:
        if not self.options.has_fixed_cache:
            return None
        if self._lane is None or self._lane.rows < rows:
            self._lane = None  # free before it is built anew
            self._lane_rows = max(self._lane_rows, rows)
            length = len(self.prompt_ids) + self.options.max_new_tokens
            self._lane = Fixed(self.network.language, self._lane_rows, -(-length // 8) * 8)
        return self._lane

    def _answer(self, decoded: Decoded, seen: Seen) -> Description | Unable:
        if decoded.ending == "overdue":
            return _unable("deadline")
        if decoded.ending == "not-finite":
            return _unable("not-finite")
        text = str(self._tokenizer.decode(decoded.tokens, skip_special_tokens=True)).strip()
        if not text:
            return _unable("empty-text")
        truncated = ("truncated",) if decoded.ending == "length" else ()
        return Description(text, warnings=(*seen.warnings, *truncated))


def stacked(each: Sequence[Views]) -> Views:
    """One batch of views."""
    return Views(*(torch.cat([getattr(views, name) for views in each]) for name in VIEW_NAMES))


def as_type(views: Views, device: torch.device, dtype: torch.dtype) -> Views:
    """The views as the network takes them."""
    return Views(*(getattr(views, name).to(device, dtype) for name in VIEW_NAMES))


def _unable(code: str) -> Unable:
    return Unable(code, UNABLE[code])
