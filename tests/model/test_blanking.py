"""Blanked views: what they are, and that a describer's words and name follow them."""

from pathlib import Path

import pytest
import torch

from engine.errors import ModelFault
from engine.finding import Description
from engine.petar.blanking import blanked
from engine.petar.checkpoint import load_checkpoint
from engine.petar.config import PAPER
from engine.petar.describe import Petar
from engine.petar.model import Views
from engine.petar.options import Options
from tests.model.checkpoints import make_checkpoint
from tests.model.scans import make_lesions, make_scan


@pytest.mark.parametrize(
    ("blank", "zero"),
    [
        ((), set()),
        (("focal",), {"focal_pet", "focal_ct", "focal_mask"}),
        (("mask", "ct"), {"mask", "focal_mask", "ct", "focal_ct"}),
    ],
)
def test_the_named_views_are_zero_and_no_other(blank: tuple[str, ...], zero: set[str]) -> None:
    views = blanked(Views(*(torch.ones(1, 1, 2, 2, 2) for _ in range(6))), blank)
    assert {name for name in Views.__slots__ if not getattr(views, name).any()} == zero


def test_a_describer_with_a_view_blanked_is_another_describer(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(make_checkpoint(tmp_path / "toy"))
    scan, lesions = make_scan(), make_lesions(2)
    said = {}
    for blank in ((), ("focal",), ("mask",)):
        options = Options(max_new_tokens=12, blank=blank)
        with Petar(checkpoint, PAPER, options) as petar:
            answers = petar.describe(scan, lesions)
            said[petar.identity.name] = [a.text for a in answers if isinstance(a, Description)]
    assert list(said) == ["toy", "toy-without-focal", "toy-without-mask"]
    assert len({tuple(words) for words in said.values()}) == 3


def test_an_unknown_view_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(make_checkpoint(tmp_path / "toy"))
    with pytest.raises(ModelFault, match="'fokal' is none of focal, mask, ct"):
        Petar(checkpoint, PAPER, Options(blank=("fokal",)))
