"""Names of anatomy and tracers stay where they stood; invented numbers do not pass as names."""

import pytest

from engine.grounding.numbers import grounded_numbers
from engine.grounding.sites import site_of
from tests.unit.grammar import MEASURED

DISTANCES = [
    ("Nodule 2 cm from the right 7th rib, SUV max 4.",
     "Nodule away from the right 7th rib, SUV max 9.8."),
    ("Node 5 mm from the T9 vertebra.", "Node away from the T9 vertebra."),
    ("Node 2 cm from the level 2 node.", "Node away from the level 2 node."),
    ("Nodule 2 cm from segment VIII.", "Nodule away from segment VIII."),
    ("Lesion, 3 cm from levels II and III.", "Lesion, away from levels II and III."),
    ("Focus 2-3 cm from station 7.", "Focus away from station 7."),
    ("Nodule about 2 cm from the L4-L5 disc.", "Nodule away from the L4-L5 disc."),
    ("A node 3 mm away from the seventh rib.", "A node away from the seventh rib."),
    ("Nodule within 2 cm of the right 7th rib.", "Nodule near the right 7th rib."),
    ("Node lying 2 cm from station 4R, SUV 3.", "Node lying away from station 4R, SUV 9.8."),
    ("Mass 12 cm from the anal verge.", "Mass away from the anal verge."),
    ("Mass 3 cm from anterior to posterior.", "Mass from anterior to posterior."),
    ("Uptake is twice that of the 7th rib.", "Uptake is relative to that of the 7th rib."),
    ("Uptake three times that of level IIA.", "Uptake relative to that of level IIA."),
    ("Uptake is threefold that of T9.", "Uptake is relative to that of T9."),
]  # fmt: skip

QUANTITIES = [
    ("Lesion in the right 7th rib 8 by two cm.", "Lesion in the right 7th rib 3.1 x 2.4 cm."),
    ("7th rib 3-10 by [#] mm", "7th rib 3.1 x 2.4 cm"),
    ("segment 3 by [#] cm", "segment"),
    ("station 7 x two cm", "station"),
    ("level 2 to three cm node", "level node"),
    ("level 2 to 3.5", "level"),
    ("volume of 4L", "volume of 13.6 cm3"),
    ("a 4L mass", "a mass"),
    ("2L of fluid", "Fluid"),
    ("Pleural effusion of 2L.", "Pleural effusion."),
    ("7th rib 2 inches", "7th rib"),
    ("level 2 percent", "level"),
    ("rib 7 hounsfield units", "rib"),
    ("level 4 hours after injection", "level"),
    ("rib 5 years ago", "rib"),
    ("level 2 times liver", "level"),
    ("level 5-fold", "level"),
    ("level 4 minutes after injection", "level"),
    ("rib 7 degrees", "rib"),
    # a grade of uptake, or of a reader, is no level of the neck
    ("Node with uptake intensity level 4.", "Node with uptake intensity level."),
    ("Node with uptake at level 4 intensity.", "Node with uptake at level intensity."),
    ("Metastasis, confidence level 3.", "Metastasis, confidence level."),
    ("Visual level 3 uptake.", "Visual level uptake."),
    ("Avidity level 2, SUV 4.", "Avidity level, SUV 9.8."),
    ("Node measures C5 cm.", "Node."),
    ("Node of T9 mm.", "Node."),
    # numbers that are words
    ("SUV in the twenties", "SUV 9.8"),
    ("SUV in the mid-twenties", "SUV 9.8"),
    ("SUV in the teens", "SUV 9.8"),
    ("SUV in the 20s", "SUV 9.8"),
    ("SUVmax in the mid-to-high teens", "SUVmax 9.8"),
    ("SUV of double digits", "SUV of 9.8"),
    ("SUV of VIII", "SUV of 9.8"),
    ("SUVmax: XII", "SUVmax: 9.8"),
    ("SUV max, IV contrast given", "SUV max, IV contrast given"),
    ("SUV of nil", "SUV of 9.8"),
    ("SUV sixteenth", "SUV 9.8"),
    ("one-and-a-half cm", "3.1 cm"),
    ("A two-and-a-half cm mass", "A 3.1 cm mass"),
    ("SUV 3.O", "SUV 9.8"),
    ("SUV O.8", "SUV 9.8"),
    # stages
    ("T4 disease", "Disease"),
    ("clinical T2", "clinical"),
    ("Mass, stage T3.", "Mass, stage."),
    ("pathologic stage T2 tumor", "pathologic stage tumor"),
    ("T3 primary in the lung", "Primary in the lung"),
]  # fmt: skip

KEPT = [
    ("SUV max of T9 lesion: 7.3", "SUV max of T9 lesion: 9.8"),
    ("SUV max of level 2 node 7.3", "SUV max of level 2 node 9.8"),
    ("SUV max at T9: 7.3.", "SUV max at T9: 9.8."),
    ("SUV of the 7th rib lesion is 7.3", "SUV of the 7th rib lesion is 9.8"),
    ("Maximum SUV of station 4R node: 4.2.", "Maximum SUV of station 4R node: 9.8."),
    ("There is a 4 cm level 2A node.", "There is a 3.1 cm level 2A node."),
    ("A 1.2 x 1.1 cm transverse colon lesion.", "A 3.1 x 2.4 cm transverse colon lesion."),
    *((text, text) for text in (
        "T9, 10 and 11 vertebrae", "T10, 11 and 12 vertebral bodies", "Th12 vertebra",
        "T 9 vertebra", "Vertebra T 9", "S6 segment", "Segment S7", "S8 lesion",
        "zone 3 lymph node", "zones 2 and 3", "18FDG", "(18)F-FDG", "[18]F-FDG", "18-FDG avid",
        "4L/5 stations", "4L node", "Left lower paratracheal (4L) node", "Nodes at 4R and 4L",
        "level 2 or 3 node", "Intense uptake at level 2.", "Uptake level 2 node", "Uptake level 2A",
        "Moderate intensity level 3 lymph node",
        "T4 lesion", "T4 vertebra lesion", "Lesion at T4, disease elsewhere",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), [*DISTANCES, *QUANTITIES, *KEPT])
def test_names_and_quantities_are_told_apart(raw: str, expected: str) -> None:
    text, _, _ = grounded_numbers(raw, MEASURED)
    assert text == expected
    assert grounded_numbers(text, MEASURED)[0] == text


@pytest.mark.parametrize("raw", [raw for raw, _ in DISTANCES if "from" in raw or "within" in raw])
def test_a_place_that_a_lesion_is_away_from_is_not_its_site(raw: str) -> None:
    text, _, flags = grounded_numbers(raw, MEASURED)
    assert "unverified-number" in flags
    assert site_of(text).name in (None, "lymph node", "chest", "neck", "abdomen", "pelvis", "spine")
