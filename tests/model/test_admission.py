"""Which scans and lesions the model is not asked about, and what is said instead."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydicom.sr.coding import Code

from engine.acquisition import SuvRefusal
from engine.finding import Description, Unable
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from engine.petar.config import PETAR_RELEASE
from engine.petar.focus import prepare
from engine.petar.options import CacheLimits
from tests.model.checkpoints import make_checkpoint
from tests.model.describing import Meddler, codes, petar
from tests.model.scans import PET_SHAPE, lesion_of, make_lesions, make_scan


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.set_num_threads(1)
    return load_checkpoint(make_checkpoint(tmp_path_factory.mktemp("toy"), seed=3))


def test_without_suv_nothing_is_run(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = replace(make_scan(31), suv=SuvRefusal("no-dose", "The dose is not stated."))
    with petar(checkpoint) as made:
        meddler = Meddler(monkeypatch, made)
        answers = made.describe(refused, make_lesions(2))
    assert codes(answers) == ["suv-refused"] * 2
    assert "The dose is not stated." in answers[0].sentence  # type: ignore[union-attr]
    assert meddler.sizes == []


def test_without_a_ct_only_where_air_is_allowed(checkpoint: Checkpoint) -> None:
    scan = replace(make_scan(32), ct=None)
    with petar(checkpoint) as made:
        assert codes(made.describe(scan, make_lesions(2))) == ["no-ct"] * 2
    with petar(checkpoint, ct_of_air=True) as made:
        (answer,) = made.describe(scan, make_lesions(1))
        with_ct = made.describe(make_scan(32), make_lesions(1))[0]
    assert isinstance(answer, Description)
    assert "ct-of-air" in answer.warnings
    assert isinstance(with_ct, Description)
    assert "ct-of-air" not in with_ct.warnings


SODIUM_FLUORIDE = Code("129501009", "SCT", "Sodium fluoride F^18^")


@pytest.mark.parametrize(
    ("tracer", "name", "is_trained"),
    [
        (Code("35321007", "SCT", "Fluorodeoxyglucose F^18^"), None, True),
        (Code("C-B1031", "SRT", "Fluorodeoxyglucose F^18^"), "FDG", True),
        (Code("724025002", "SCT", "Dotatate Ga^68^"), None, True),
        (Code("457000009", "SCT", "Fluciclovine F^18^"), "Axumin", True),
        (Code("C116352", "NCIt", "Piflufolastat F^18^"), None, True),
        (Code("X1", "99LOCAL", "DOTATATE Cu-64"), None, True),
        (Code("X2", "99LOCAL", "18F-DCFPyL"), None, True),
        (Code("35321007", "SCT", "Fluorodeoxyglucose F^18^"), "Solution", True),
        (None, "FDG -- fluorodeoxyglucose", True),
        (None, "18F-FDG", True),
        (None, "F18 FDG", True),
        (None, "2-[18F]fluoro-2-deoxy-D-glucose", True),
        (None, "Ga-68 DOTA-TATE", True),
        (None, "Detectnet", True),
        (None, "18F-FACBC", True),
        (None, "PYLARIFY", True),
        (SODIUM_FLUORIDE, None, False),
        (SODIUM_FLUORIDE, "FDG", False),
        (Code("35321007", "SCT", "Fluorodeoxyglucose F^18^"), "Ga-68 DOTATATE", False),
        (Code("126758", "DCM", "PSMA-1007 F^18^"), None, False),
        (Code("781259000", "SCT", "Lutetium^177^ DOTATATE"), None, False),
        (None, "68Ga-DOTATOC", False),
        (None, "Lu-177 DOTATATE", False),
        (None, "FDGal", False),
        (None, "FDG and DOTATATE", False),
        (None, "Solution", False),
        (None, None, False),
    ],
)
def test_only_tracers_it_was_trained_on(
    checkpoint: Checkpoint, tracer: Code | None, name: str | None, is_trained: bool
) -> None:
    scan = make_scan(33, tracer=tracer, tracer_name=name)
    with petar(checkpoint, max_new_tokens=1) as made:
        code = codes(made.describe(scan, make_lesions(1)))[0]
    assert (code != "untrained-tracer") is is_trained


def test_another_tracer_where_it_is_allowed(checkpoint: Checkpoint) -> None:
    scan = make_scan(34, tracer=SODIUM_FLUORIDE)
    with petar(checkpoint, allow_untrained_tracers=True) as made:
        (answer,) = made.describe(scan, make_lesions(1))
    assert isinstance(answer, Description)
    assert "untrained-tracer" in answer.warnings


def test_each_lesion_that_cannot_be_seen_says_why_and_the_others_go_on(
    checkpoint: Checkpoint,
) -> None:
    nothing = np.zeros(PET_SHAPE, bool)
    scan, (good, other) = make_scan(35), make_lesions(2)
    lesions = [
        good,
        lesion_of(nothing),
        lesion_of(nothing, flags=("below-pet-resolution",)),
        lesion_of(good.segment.mask.voxels, role="context"),
        lesion_of(np.zeros((3, 3, 3), bool)),
        other,
    ]
    with petar(checkpoint) as made:
        answers = made.describe(scan, lesions)
        assert codes(answers)[:4] == [
            None,
            "mask-empty-on-pet-grid",
            "below-pet-resolution",
            "context",
        ]
        assert isinstance(answers[4], Unable)  # a mask on another grid
        assert answers[5] == made.describe(scan, [other])[0]
        assert made.describe(scan, []) == []


@pytest.mark.parametrize(
    ("failure", "code", "tries"),
    [
        (ValueError("damaged"), "model-fault", 1),
        (MemoryError(), "out-of-memory", 10),  # twice a lesion: there may be room by then
    ],
)
def test_a_study_that_cannot_be_prepared_is_tried_once_unless_memory_was_short(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    code: str,
    tries: int,
) -> None:
    tried = []

    def fail(*given: object, **named: object) -> None:
        tried.append(1)
        raise failure

    monkeypatch.setattr("engine.petar.describe.prepare", fail)
    with petar(checkpoint) as made:
        assert codes(made.describe(make_scan(36), make_lesions(5))) == [code] * 5
    assert len(tried) == tries


def test_memory_for_what_is_kept_has_a_limit(checkpoint: Checkpoint) -> None:
    scan = make_scan(37)
    study = prepare(scan, PETAR_RELEASE, torch.device("cpu"))
    size = study.pet.nbytes + study.ct.nbytes
    with petar(checkpoint, caches=CacheLimits(studies=2 * size + 1, results=1200)) as made:
        for seed in range(5):
            made.describe(make_scan(37 + seed), make_lesions(2, seed))
            assert made._studies.used_bytes <= 2 * size + 1
            assert made._results.used_bytes <= 1200
        assert len(made._studies) == 2
        assert len(made._results) == 2
