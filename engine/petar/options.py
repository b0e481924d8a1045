"""How PETAR is run, and the few choices that change its words.

What the network computes for a lesion depends on `prompt`, `max_new_tokens`, `min_new_tokens`,
`ct_of_air` and `blank` alone. `deadline_s` and `allow_untrained_tracers` decide whether there are
words at all; the rest decides how fast they come and how much memory they take, and changes the
network's values by no more than the rounding of other batch sizes and kernels.
"""

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Most bytes kept of each kind; 0 keeps nothing. All of them are exact."""

    studies: int = 2 << 30  # on the network's 3 mm grid, on the model's device
    ct_features: int = 256 << 20  # pooled, of global views
    results: int = 16 << 20


NOTHING_KEPT = CacheLimits(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Options:
    """What a site may choose. `None` leaves the choice to the device or the profile."""

    batch_size: int | None = None  # most lesions in one pass: 32 on a GPU, 4 on a CPU
    gather_s: float = 0.05  # silence after which an unfilled batch waits no longer
    max_new_tokens: int = 128
    min_new_tokens: int = 0  # above 0 only to measure speed
    deadline_s: float | None = 600.0  # for a lesion, from when its batch begins
    prompt: str | None = None
    ct_of_air: bool = False  # describe without a CT as if it were all air
    blank: tuple[str, ...] = ()  # of `blanking.BLANKS`: views that are all zero
    allow_untrained_tracers: bool = False
    has_fixed_cache: bool | None = None  # keys and values in place, with CUDA graphs on a GPU
    caches: CacheLimits = CacheLimits()


def settled(options: Options, device: torch.device) -> Options:
    """The options with what is left to the device decided."""
    on_gpu = device.type == "cuda"
    fixed = on_gpu if options.has_fixed_cache is None else options.has_fixed_cache
    batch_size = options.batch_size or (32 if on_gpu else 4)
    return replace(options, batch_size=batch_size, has_fixed_cache=fixed)
