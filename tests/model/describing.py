"""A PETAR that is stopped after use, and a network that can be made to fail."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.finding import Description, Unable
from engine.lesion import Lesion
from engine.petar.checkpoint import Checkpoint
from engine.petar.config import PETAR_RELEASE, Profile
from engine.petar.describe import Petar
from engine.petar.options import NOTHING_KEPT, Options

QUICK = Options(max_new_tokens=10, batch_size=4, deadline_s=60, gather_s=5)


@contextmanager
def petar(
    checkpoint: Checkpoint, profile: Profile = PETAR_RELEASE, **options: Any
) -> Iterator[Petar]:
    before = threading.active_count()
    with Petar(checkpoint, profile, replace(QUICK, **options)) as made:
        yield made
    assert threading.active_count() == before


def one_by_one(
    checkpoint: Checkpoint, scan: Any, lesions: Sequence[Lesion], profile: Profile = PETAR_RELEASE
) -> list[Any]:
    """Each lesion in a batch of its own, nothing kept."""
    with petar(checkpoint, profile, batch_size=1, caches=NOTHING_KEPT) as alone:
        return [alone.describe(scan, [lesion])[0] for lesion in lesions]


def codes(answers: Sequence[Description | Unable]) -> list[str | None]:
    return [answer.code if isinstance(answer, Unable) else None for answer in answers]


class Meddler:
    """The network, but a call of `visual_tokens` first asks `before` (which may raise)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, made: Petar) -> None:
        self.sizes: list[int] = []
        self.fits = 1000
        self.poison: Tensor | None = None
        network = made._writer.network
        original = type(network).visual_tokens

        def meddled(views: Any, ct_global: Tensor | None = None) -> Tensor:
            self.sizes.append(len(views.pet))
            if len(views.pet) > self.fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
            if (
                self.poison is not None
                and (views.focal_mask == self.poison).flatten(1).all(1).any()
            ):
                raise RuntimeError("the kernel does not like this one")
            visual: Tensor = original(network, views, ct_global)
            return visual

        monkeypatch.setattr(network, "visual_tokens", meddled, raising=False)
