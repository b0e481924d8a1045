"""PETAR as a describer: the mask matters, nothing else changes a word, and one fails alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import ModelFault
from engine.finding import Description
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from engine.petar.config import PAPER, PETAR_RELEASE, Profile
from engine.petar.describe import Petar
from engine.petar.focus import prepare, views_of
from engine.petar.options import NOTHING_KEPT, CacheLimits, Options, settled
from tests.model.checkpoints import make_checkpoint
from tests.model.describing import QUICK, Meddler, codes, one_by_one, petar
from tests.model.scans import TALL_SHAPE, make_lesions, make_scan


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.set_num_threads(1)
    return load_checkpoint(make_checkpoint(tmp_path_factory.mktemp("toy"), seed=3))


@pytest.mark.parametrize("profile", [PETAR_RELEASE, PAPER], ids=lambda profile: profile.name)
def test_the_mask_reaches_the_language_model(checkpoint: Checkpoint, profile: Profile) -> None:
    study = prepare(make_scan(1), profile, torch.device("cpu"))
    vision = checkpoint.network.config.vision
    here, there = (lesion.segment.mask for lesion in make_lesions(2))
    with torch.inference_mode():
        first, second, again = (
            checkpoint.network.visual_tokens(views_of(study, mask, profile, vision).views)
            for mask in (here, there, here)
        )
    assert torch.equal(first, again)
    assert (first - second).abs().max() > 0.1 * first.abs().max()


def test_lesions_of_one_scan_are_not_described_alike(checkpoint: Checkpoint) -> None:
    with petar(checkpoint) as made:
        answers = made.describe(make_scan(1), make_lesions(8))
    assert codes(answers) == [None] * 8
    assert len({str(answer) for answer in answers}) > 4


@pytest.mark.parametrize("fixed", [False, True], ids=["growing", "fixed"])
@pytest.mark.parametrize("caches", [NOTHING_KEPT, CacheLimits()], ids=["nothing-kept", "kept"])
def test_batches_caches_and_lanes_change_no_word(
    checkpoint: Checkpoint, caches: CacheLimits, fixed: bool
) -> None:
    scan, lesions = make_scan(2), make_lesions(9, seed=2)
    expected = one_by_one(checkpoint, scan, lesions)
    with petar(checkpoint, caches=caches, has_fixed_cache=fixed) as made:
        assert made.describe(scan, lesions) == expected
        assert made.describe(scan, lesions[::-1]) == expected[::-1]


def test_what_is_kept_is_not_computed_again(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lesions = make_scan(3), make_lesions(6, seed=3)
    with petar(checkpoint, PAPER) as made:
        meddler = Meddler(monkeypatch, made)
        windows = []
        encode = made._writer.network.pooled_ct
        monkeypatch.setattr(
            made._writer.network, "pooled_ct", lambda ct: (windows.append(len(ct)), encode(ct))[1],
            raising=False,
        )  # fmt: skip
        first = made.describe(scan, lesions)
        # the paper's global view is the whole volume: one window for all, then six focal views
        assert sum(windows) == 1 + 6
        assert made.describe(make_scan(3), lesions) == first
        assert sum(meddler.sizes) == 6  # an equal scan read anew is the same scan
        assert made.describe(make_scan(4), lesions) != first
        assert sum(meddler.sizes) == 12


def test_ct_features_are_shared_within_a_window_alone(checkpoint: Checkpoint) -> None:
    scan, lesions = make_scan(6, shape=TALL_SHAPE), make_lesions(8, 6, TALL_SHAPE)
    scan.pet.values[-1, 10:14, 10:14] = 9  # hot to the top: nothing is cut off as above the head
    study = prepare(scan, PETAR_RELEASE, torch.device("cpu"))
    vision = checkpoint.network.config.vision
    windows = {
        views_of(study, lesion.segment.mask, PETAR_RELEASE, vision).window for lesion in lesions
    }
    assert len(windows) > 3
    expected = one_by_one(checkpoint, scan, lesions)
    with petar(checkpoint, batch_size=8) as made:
        assert made.describe(scan, lesions) == expected
        assert len(made._writer.ct_features) == len(windows)


def test_a_result_depends_on_all_it_is_made_of(checkpoint: Checkpoint) -> None:
    scan, (lesion,) = make_scan(5), make_lesions(1)
    assert scan.ct is not None
    other_ct = replace(scan, ct=replace(scan.ct, values=scan.ct.values + 1))
    moved_ct = replace(
        scan, ct=replace(scan.ct, grid=replace(scan.ct.grid, affine=scan.ct.grid.affine * 1.01))
    )
    with petar(checkpoint, ct_of_air=True) as made:
        made.describe(scan, [lesion])
        for changed in (other_ct, moved_ct, replace(scan, ct=None)):
            kept = len(made._results)
            made.describe(changed, [lesion])
            assert len(made._results) == kept + 1
        made.describe(replace(scan), [lesion])
        assert len(made._results) == 4


def test_words_that_are_kept_have_the_warnings_of_the_scan_they_are_asked_for(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions = make_lesions(2)
    trained, unknown = make_scan(6), make_scan(6, tracer=None)  # the same voxels
    with petar(checkpoint, allow_untrained_tracers=True, max_new_tokens=3) as made:
        meddler = Meddler(monkeypatch, made)
        for scan, said in ((unknown, True), (trained, False), (unknown, True)):
            for answer in made.describe(scan, lesions):
                assert isinstance(answer, Description)
                assert ("untrained-tracer" in answer.warnings) is said
                assert answer.warnings.count("truncated") == 1
        assert sum(meddler.sizes) == 2


def test_studies_described_at_once_get_the_words_of_one_by_one(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = [(make_scan(10 + n), make_lesions(count, n)) for n, count in enumerate((1, 3, 6, 9))]
    expected = [one_by_one(checkpoint, scan, lesions) for scan, lesions in studies]
    with petar(checkpoint, batch_size=8) as made, ThreadPoolExecutor(4) as pool:
        meddler = Meddler(monkeypatch, made)
        answers = list(pool.map(lambda study: made.describe(*study), studies))
    assert answers == expected
    assert sum(meddler.sizes) == 19
    assert len(meddler.sizes) <= 8  # they did share batches


def test_out_of_memory_halves_and_goes_on(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lesions = make_scan(20), make_lesions(8)
    expected = one_by_one(checkpoint, scan, lesions)
    with petar(checkpoint, batch_size=8) as made:
        meddler = Meddler(monkeypatch, made)
        meddler.fits = 2
        assert made.describe(scan, lesions) == expected
        assert max(meddler.sizes) == 8
        assert made.batches.limit <= 2
        meddler.fits = 0
        assert codes(made.describe(make_scan(21), lesions[:3])) == ["out-of-memory"] * 3
        meddler.fits = 1
        assert codes(made.describe(make_scan(22), lesions[:3])) == [None] * 3


def test_out_of_memory_in_the_language_model_too(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lesions = make_scan(23), make_lesions(4)
    expected = one_by_one(checkpoint, scan, lesions)
    forward = checkpoint.network.language.model.forward

    def short(**given: Any) -> Any:
        inputs = given.get("inputs_embeds")
        if inputs is not None and len(inputs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(**given)

    monkeypatch.setattr(checkpoint.network.language.model, "forward", short, raising=False)
    for fixed in (False, True):
        with petar(checkpoint, has_fixed_cache=fixed, caches=NOTHING_KEPT) as made:
            assert made.describe(scan, lesions) == expected


def test_a_poisonous_lesion_fails_alone(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lesions = make_scan(24), make_lesions(7)
    expected = one_by_one(checkpoint, scan, lesions)
    study = prepare(scan, PETAR_RELEASE, torch.device("cpu"))
    vision = checkpoint.network.config.vision
    poison = views_of(study, lesions[4].segment.mask, PETAR_RELEASE, vision).views.focal_mask[0]
    with petar(checkpoint, batch_size=7) as made:
        Meddler(monkeypatch, made).poison = poison
        answers = made.describe(scan, lesions)
        assert codes(answers) == [None] * 4 + ["model-fault"] + [None] * 2
        expected[4] = answers[4]
        assert answers == expected


def test_weights_that_give_no_number_give_no_words(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with petar(checkpoint) as made:
        network = made._writer.network
        original = network.visual_tokens

        def broken(views: Any, ct_global: Tensor | None = None) -> Tensor:
            visual = original(views, ct_global)
            visual[0, 3, 3] = float("nan")
            return visual

        monkeypatch.setattr(network, "visual_tokens", broken, raising=False)
        answers = made.describe(make_scan(25), make_lesions(3))
    assert codes(answers) == ["not-finite", None, None]


def test_a_deadline_is_kept(checkpoint: Checkpoint) -> None:
    with petar(checkpoint, deadline_s=0.0) as made:
        assert codes(made.describe(make_scan(26), make_lesions(3))) == ["deadline"] * 3
    with petar(checkpoint, deadline_s=None) as made:
        assert codes(made.describe(make_scan(26), make_lesions(1))) == [None]


def test_stopping_does_not_wait_for_the_words_and_blames_no_lesion(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = replace(checkpoint, stop_ids=frozenset())
    steps, go_on = [], threading.Event()
    forward = checkpoint.network.language.model.forward

    def counted(**given: Any) -> Any:
        steps.append(1)
        if len(steps) == 5:
            go_on.set()
        return forward(**given)

    monkeypatch.setattr(checkpoint.network.language.model, "forward", counted, raising=False)
    made = Petar(endless, options=replace(QUICK, max_new_tokens=3000))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(made.describe, make_scan(27), make_lesions(3))  # one batch
        assert go_on.wait(30)
        made.stop()
        assert len(steps) < 1500
        with pytest.raises(ModelFault, match="stopped"):  # and no Unable: it is tried again
            answer.result(20)
    with pytest.raises(ModelFault):
        made.describe(make_scan(27), make_lesions(1))


def test_what_is_not_chosen_is_left_to_the_device() -> None:
    on_cpu = settled(Options(), torch.device("cpu"))
    on_gpu = settled(Options(), torch.device("cuda"))
    assert (on_cpu.batch_size, on_cpu.has_fixed_cache) == (4, False)
    assert (on_gpu.batch_size, on_gpu.has_fixed_cache) == (32, True)
    chosen = Options(batch_size=3, has_fixed_cache=False)
    assert settled(chosen, torch.device("cuda")) == chosen


def test_words_that_are_cut_off_say_so(checkpoint: Checkpoint) -> None:
    endless = replace(checkpoint, stop_ids=frozenset())
    with petar(endless) as made:
        (answer,) = made.describe(make_scan(28), make_lesions(1))
    assert isinstance(answer, Description)
    assert "truncated" in answer.warnings


def test_a_made_model_says_its_sentence_and_stops(tmp_path: Path) -> None:
    says = "moderate focal uptake in the left lung"
    made_of = load_checkpoint(make_checkpoint(tmp_path / "toy", says=says))
    with petar(made_of, max_new_tokens=60) as made:
        (answer,) = made.describe(make_scan(29), make_lesions(1))
    assert isinstance(answer, Description)
    assert answer.text == says
    assert "truncated" not in answer.warnings
    silent = replace(made_of, stop_ids=frozenset(range(100_000)))
    with petar(silent) as made:
        assert codes(made.describe(make_scan(29), make_lesions(1))) == ["empty-text"]


def test_it_says_who_it_is(checkpoint: Checkpoint) -> None:
    with petar(checkpoint, PAPER, prompt="What is this?") as made:
        who = made.identity
    assert (who.name, who.version) == (checkpoint.name, checkpoint.version)
    assert who.weights_sha256 == checkpoint.weights_sha256
    assert (who.device, who.dtype, who.profile) == ("cpu", "float32", "paper")
    assert who.prompt == "What is this?"


def test_the_prompt_changes_the_words(checkpoint: Checkpoint) -> None:
    scan, lesions = make_scan(30), make_lesions(4)
    with petar(checkpoint) as one, petar(checkpoint, prompt="liver liver") as other:
        assert one.describe(scan, lesions) != other.describe(scan, lesions)
