"""PET headers without pixels worth speaking of, mutated one attribute at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import Dataset

from engine.acquisition import PetAcquisition, SuvConversion, SuvRefusal
from engine.measuring.suv import suv_conversion
from engine.reading.attributes import Attributes
from engine.reading.pet_header import pet_acquisition
from tests.makers import make_pet

Change = Callable[[Dataset], None]


def acquisition(
    change: Change | None = None,
    *,
    slices: int = 2,
    dose: dict[str, Any] | None = None,
    **keywords: Any,
) -> PetAcquisition:
    """Of a made series: 70 kg, 368.08 MBq F-18 FDG at 09:00, scan at 10:00 on 2024-01-02, START."""
    made = make_pet(np.ones((slices, 2, 2)), **keywords)
    for dataset in made:
        item = next(iter(dataset.RadiopharmaceuticalInformationSequence), Dataset())
        for keyword, value in (dose or {}).items():
            if value is None:
                if keyword in item:
                    delattr(item, keyword)
            else:
                setattr(item, keyword, value)
        if change is not None:
            change(dataset)
    return pet_acquisition([Attributes((dataset,)) for dataset in made])


def converted(*args: Any, **keywords: Any) -> SuvConversion:
    outcome = suv_conversion(acquisition(*args, **keywords))
    assert isinstance(outcome, SuvConversion), outcome
    return outcome


def refused(*args: Any, **keywords: Any) -> SuvRefusal:
    outcome = suv_conversion(acquisition(*args, **keywords))
    assert isinstance(outcome, SuvRefusal), outcome
    return outcome
