"""Where the network runs and in which floating-point type, from words of a setting."""

import torch

from engine.errors import ModelFault

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def chosen_device(device: torch.device | str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ModelFault where what is asked for is absent."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as exc:
        raise ModelFault(f"{device!r} is no device: auto, cpu or cuda", code="no-device") from exc
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ModelFault("There is no CUDA device here that torch can use", code="no-device")
    return chosen


def chosen_dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """None and `auto` are bfloat16 on a GPU and float32, the reference, elsewhere."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype in (None, "auto"):
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise ModelFault(f"{dtype!r} is none of {', '.join(DTYPES)}", code="no-dtype")
    return DTYPES[dtype]
