"""The least time that arithmetic and memory allow: peak rates, no overhead."""

from dataclasses import dataclass

from engine.petar.config import PetarConfig

BYTES = 2  # of a bfloat16


@dataclass(frozen=True, slots=True)
class Peak:
    """Dense bfloat16 rate and memory bandwidth, from the vendor's data sheet."""

    tflops: float
    tb_per_s: float


# by the device's whole name: namesakes with other memory have another bandwidth
PEAKS = {
    "NVIDIA H100 80GB HBM3": Peak(989, 3.35),
    "NVIDIA H100 PCIe": Peak(756, 2.0),
    "NVIDIA H100 NVL": Peak(835, 3.9),
    "NVIDIA H200": Peak(989, 4.8),
    "NVIDIA A100-SXM4-80GB": Peak(312, 2.04),
    "NVIDIA A100 80GB PCIe": Peak(312, 1.94),
    "NVIDIA L40S": Peak(362, 0.864),
}


def peak_of(device_name: str) -> Peak | None:
    """The rates of a known GPU; None of any other."""
    return PEAKS.get(device_name)


def least_seconds(
    config: PetarConfig, batch: int, prompt_tokens: int, new_tokens: int, peak: Peak
) -> float:
    """Least seconds for the network's part of a batch: vision, prompt, then a token a step."""
    flops = peak.tflops * 1e12
    vision = batch * _vision_flop(config) / flops
    prompt = batch * prompt_tokens * _language_flop(config) / flops
    length = prompt_tokens + new_tokens / 2
    moved = _language_weights(config) * BYTES + batch * length * _cache_bytes(config)
    step = max(moved / (peak.tb_per_s * 1e12), batch * _language_flop(config) / flops)
    return vision + prompt + new_tokens * step


def _vision_flop(config: PetarConfig) -> float:
    """Of four passes and the projector."""
    vision = config.vision
    n, c = vision.tokens, vision.width
    linear = 2 * n * (4 * c * c + 2 * c * vision.mlp_width)
    attention = 4 * n * n * c
    a_pass = vision.depth * (linear + attention) + 2 * n * vision.patch_voxels * c
    d = config.language_width
    return 4 * a_pass + 2 * config.visual_tokens * (2 * c * d + d * d)


def _language_weights(config: PetarConfig) -> float:
    """That a token passes through: every matrix but the input embedding."""
    language = config.language
    d, mlp = language["hidden_size"], language["intermediate_size"]
    layers = int(language["num_hidden_layers"]) * (4 * d * d + 3 * d * mlp)
    return float(layers + language["vocab_size"] * d)


def _language_flop(config: PetarConfig) -> float:
    """Of a token, attention over the few hundred before it left out."""
    return 2 * _language_weights(config)


def _cache_bytes(config: PetarConfig) -> float:
    """Of keys and values of a token."""
    language = config.language
    return float(2 * language["num_hidden_layers"] * language["hidden_size"] * BYTES)
