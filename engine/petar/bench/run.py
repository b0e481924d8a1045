"""Both sides on the same studies in one run: what was measured, and whether the words agree."""

import copy
import math
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from engine.finding import Description
from engine.petar.bench.bound import least_seconds, peak_of
from engine.petar.bench.chance import checkpoint_of_chance
from engine.petar.bench.naive import Naive
from engine.petar.bench.studies import SCALED_DOWN, WHOLE_BODY, Study, make_study
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from engine.petar.config import PETAR_RELEASE
from engine.petar.describe import Petar
from engine.petar.focus import prepare, views_of
from engine.petar.options import Options, settled
from engine.petar.placement import chosen_device, chosen_dtype
from engine.petar.writing import Seen, Writer, as_type

NEW_TOKENS = 60
LESIONS = (1, 8, 32, 128)  # of the four studies
REFERENCES = 4  # lesions compared with float32 where the network runs in less


@dataclass(slots=True)
class Bench:
    """What a run measured. Seconds are of the wall clock, rates are lesions a second."""

    machine: str
    model: str
    dtype: str
    lesions: tuple[int, ...]
    batch_size: int
    new_tokens: int
    ours_s: float = math.inf
    naive_s: float = math.inf
    ours_processor_s: float = math.inf  # of all threads: other programs disturb it least
    naive_processor_s: float = math.inf
    ours_latency_s: dict[str, float] = field(default_factory=dict)
    naive_latency_s: dict[str, float] = field(default_factory=dict)
    naive_profile_s: dict[str, float] = field(default_factory=dict)  # of a lesion
    network_rate: dict[str, float] = field(default_factory=dict)  # views cut beforehand
    percent_of_bound: float | None = None
    peak_memory_gb: float = 0.0
    same_words: int = 0  # lesions with the naive side's very words
    distinct_words: int = 0
    same_as_float32: tuple[int, int] | None = None  # of so many compared

    @property
    def ratio(self) -> float:
        return self.naive_s / self.ours_s

    @property
    def network_ratio(self) -> float:
        return self.network_rate["ours"] / self.network_rate["naive"]


def run_bench(
    folder: Path | None = None,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    lesions: Sequence[int] | None = None,
    rounds: int = 1,
    threads: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measure a checkpoint folder, or random weights: full size on a GPU, small on a CPU.

    Both sides take turns for some rounds, and the best of each counts. `threads` are torch's on a
    CPU, for both: beyond 1, figures of a shared machine vary most.
    """
    torch.set_num_threads(threads)
    place = chosen_device(device)
    on_gpu = place.type == "cuda"
    checkpoint = _checkpoint(folder, place)
    wanted = Options(
        batch_size=batch_size or (32 if on_gpu else 8), deadline_s=None,
        max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS,
    )  # fmt: skip
    options = settled(wanted, place)
    counts = tuple(lesions or LESIONS)
    sizes = WHOLE_BODY if on_gpu else SCALED_DOWN
    say("making studies")
    studies = [make_study(sizes, count, seed) for seed, count in enumerate(counts, start=1)]
    warm_up = make_study(sizes, options.batch_size or 1, seed=0)
    bench = Bench(
        machine=machine(place), model=checkpoint.name,
        dtype=str(checkpoint.dtype).removeprefix("torch."), lesions=counts,
        batch_size=options.batch_size or 1, new_tokens=NEW_TOKENS,
    )  # fmt: skip
    ours, naive = [], []
    for _ in range(rounds):
        ours = _ours(bench, checkpoint, options, studies, warm_up, say)
        naive = _naive(bench, checkpoint, studies, warm_up, say)
    bench.same_words = sum(a == b for a, b in zip(ours, naive, strict=True))
    bench.distinct_words = len(set(ours))
    _network_alone(bench, checkpoint, options, warm_up, say)
    if checkpoint.dtype != torch.float32:
        _against_float32(bench, checkpoint, studies, ours, say)
    return bench


def machine(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0))
    return f"{_name_of_cpu()}, {cores} cores, {torch.get_num_threads()} threads in torch"


def _name_of_cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _checkpoint(folder: Path | None, device: torch.device) -> Checkpoint:
    if folder is not None:
        return load_checkpoint(folder, device=device)
    shape = "4b" if device.type == "cuda" else "small"
    return checkpoint_of_chance(shape, device, chosen_dtype(None, device))


def _ours(
    bench: Bench, checkpoint: Checkpoint, options: Options, studies: list[Study],
    warm_up: Study, say: Callable[[str], None],
) -> list[str]:  # fmt: skip
    """Every study handed in at once; the words of all lesions in their order."""
    with Petar(checkpoint, PETAR_RELEASE, options) as petar:
        say("warming up")
        petar.describe(warm_up.scan, warm_up.lesions)
        say("describing in batches")
        _forget_peak(checkpoint.device)
        began, worked = time.perf_counter(), time.process_time()

        def described(study: Study) -> tuple[list[str], float]:
            answers = petar.describe(study.scan, study.lesions)
            return [_text(answer) for answer in answers], time.perf_counter() - began

        with ThreadPoolExecutor(len(studies)) as pool:
            told = list(pool.map(described, studies))
        took_s = time.perf_counter() - began
        bench.ours_processor_s = min(bench.ours_processor_s, time.process_time() - worked)
    if took_s < bench.ours_s:
        bench.ours_s = took_s
        bench.ours_latency_s = _percentiles(
            [took for (_, took), study in zip(told, studies, strict=True) for _ in study.lesions]
        )
    bench.peak_memory_gb = bench.peak_memory_gb or _peak_gb(checkpoint.device)
    return [text for texts, _ in told for text in texts]


def _naive(
    bench: Bench, checkpoint: Checkpoint, studies: list[Study], warm_up: Study,
    say: Callable[[str], None],
) -> list[str]:  # fmt: skip
    """The same studies, which all arrive at the beginning, one lesion after the other."""
    naive = Naive(checkpoint, PETAR_RELEASE, NEW_TOKENS)
    naive.tokens(warm_up.scan, warm_up.lesions[0])
    naive.seconds.clear()
    texts, took = [], []
    began, worked = time.perf_counter(), time.process_time()
    for study in studies:
        for number, lesion in enumerate(study.lesions, start=1):
            say(f"one by one: lesion {number} of {len(study.lesions)}")
            texts.append(_decoded(checkpoint, naive.tokens(study.scan, lesion)))
        took += [time.perf_counter() - began] * len(study.lesions)
    bench.naive_processor_s = min(bench.naive_processor_s, time.process_time() - worked)
    if took[-1] < bench.naive_s:
        bench.naive_s = took[-1]
        bench.naive_latency_s = _percentiles(took)
        bench.naive_profile_s = {name: s / len(texts) for name, s in naive.seconds.items()}
    return texts


def _network_alone(
    bench: Bench, checkpoint: Checkpoint, options: Options, study: Study,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """One full batch whose views are cut, against the same lesions one by one."""
    say("the network alone")
    device, vision = checkpoint.device, checkpoint.network.config.vision
    with torch.inference_mode():
        prepared = prepare(study.scan, PETAR_RELEASE, device)
        seen = []
        for number, lesion in enumerate(study.lesions):
            views = views_of(prepared, lesion.segment.mask, PETAR_RELEASE, vision).views
            seen.append(Seen(as_type(views, device, checkpoint.dtype), number))
    # no view is shared: this is the whole work for each lesion
    writer = Writer(
        checkpoint, PETAR_RELEASE.prompt,
        replace(options, caches=replace(options.caches, ct_features=0)),
    )  # fmt: skip
    writer.write(seen)
    naive = Naive(checkpoint, PETAR_RELEASE, NEW_TOKENS)
    few = seen[:4]
    ours_s = naive_s = math.inf
    for _ in range(3):
        ours_s = min(ours_s, _seconds(lambda: writer.write(seen)))
        naive_s = min(naive_s, _seconds(lambda: [naive.tokens_of_views(one.views) for one in few]))
    bench.network_rate = {"ours": len(seen) / ours_s, "naive": len(few) / naive_s}
    peak = peak_of(bench.machine)
    if peak is not None:
        config, prompt = checkpoint.network.config, len(writer.prompt_ids)
        bench.percent_of_bound = (
            100 * least_seconds(config, len(seen), prompt, NEW_TOKENS, peak) / ours_s
        )


def _against_float32(
    bench: Bench, checkpoint: Checkpoint, studies: list[Study], ours: list[str],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    say("the float32 reference")
    exact = replace(checkpoint, network=copy.deepcopy(checkpoint.network).float())
    naive = Naive(exact, PETAR_RELEASE, NEW_TOKENS)
    each = [(study, lesion) for study in studies for lesion in study.lesions][:REFERENCES]
    same = sum(
        _decoded(exact, naive.tokens(study.scan, lesion)) == text
        for (study, lesion), text in zip(each, ours, strict=False)
    )
    bench.same_as_float32 = (same, len(each))


def _decoded(checkpoint: Checkpoint, tokens: list[int]) -> str:
    return str(checkpoint.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def _text(answer: object) -> str:
    return answer.text if isinstance(answer, Description) else repr(answer)


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _percentiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"p{percent}": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
        for percent in (50, 95)
    }


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # ru_maxrss is in KiB
