"""Numbers of other organs, of other lesions, of limits and of the past are taken out."""

import pytest

from engine.grounding.numbers import grounded_numbers
from engine.grounding.sites import site_of
from tests.unit.grammar import MEASURED

UNVERIFIED, OTHER, PRIOR = "unverified-number", "other-lesion-removed", "prior-number-removed"
REFUSED = [
    # a length that would be read as the distance of what it stands behind
    ("Focus 2 cm from the T9 vertebra: 3 cm.", "Focus away from the T9 vertebra.", UNVERIFIED),
    ("Focus away from the T9 vertebra 3 cm.", "Focus away from the T9 vertebra.", UNVERIFIED),
    # a reference
    ("SUVmax 6.3 (liver: SUVmean 2.2)", "SUVmax 9.8", UNVERIFIED),
    ("Liver: SUVmean 2.2", "", UNVERIFIED),
    ("Liver: SUV 2.2. Lesion: SUV 6.3.", "Lesion: SUV 9.8.", UNVERIFIED),
    ("The liver has an SUV of 2.2", "", UNVERIFIED),
    ("Blood pool activity measures SUV 2.2", "", UNVERIFIED),
    ("Background SUV is 1.2.", "", UNVERIFIED),
    ("Lesion SUVmax 6.3, liver has SUVmean 2.2.", "Lesion SUVmax 9.8.", UNVERIFIED),
    ("Liver SUVmean 2.2, lesion SUVmax 6.3.", "Lesion SUVmax 9.8.", UNVERIFIED),
    ("greater than blood pool, which has SUVmean of 2.2", "greater than blood pool", UNVERIFIED),
    ("Uptake exceeds the liver, which has an SUV of 2.", "Uptake exceeds the liver.", UNVERIFIED),
    ("Node, SUVmean 2.2 in the blood pool.", "Node.", UNVERIFIED),
    ("Node, SUV 2.2 for the liver.", "Node.", UNVERIFIED),
    ("The spleen measures 14 cm.", "", UNVERIFIED),
    # made of an uptake, or a limit to it
    ("SUV ratio of 3.2", "", UNVERIFIED),
    ("SUV difference of 3.2", "", UNVERIFIED),
    ("delta SUV 3.2", "", UNVERIFIED),
    ("\u0394SUV 3.2", "", UNVERIFIED),
    ("Node, increase in SUV of 3.2", "Node", UNVERIFIED),
    ("SUV > 2.5 considered malignant", "", UNVERIFIED),
    ("Uptake with SUV greater than 2.5 is considered abnormal.", "Uptake.", UNVERIFIED),
    ("SUV of 2.5 as threshold", "", UNVERIFIED),
    ("Node, contoured with SUV 4 as the cutoff.", "Node, contoured.", UNVERIFIED),
    ("segmented at SUV 4.0", "segmented", UNVERIFIED),
    ("Any uptake with SUV > 2.5.", "Any uptake.", UNVERIFIED),
    # of another kind than an image's number
    ("SUVmax on delayed images 8.2", "SUVmax on delayed images", UNVERIFIED),
    ("SUVmax in this slice 6.3", "SUVmax in this slice", UNVERIFIED),
    ("SUVmax in this slice 6", "SUVmax in this slice", UNVERIFIED),
    ("SUV max on the attenuation-corrected images: 6.3",
     "SUV max on the attenuation-corrected images", UNVERIFIED),
    ("Node on image 6.3.", "Node.", UNVERIFIED),
    # another lesion
    ("Mass with a 4 mm satellite nodule", "Mass with a satellite nodule", OTHER),
    ("nodule adjacent to the 4 cm mass with SUV 10", "nodule adjacent to the mass", OTHER),
    ("posterior to a 3 cm cyst", "posterior to a cyst", OTHER),
    ("the second nodule has SUV 2.2", "the second nodule", OTHER),
    ("other nodule SUV 2.2", "other nodule", OTHER),
    ("Another 5 mm nodule in the lung.", "Another nodule in the lung.", OTHER),
    ("Mass with a satellite nodule, SUV 8.2.", "Mass with a satellite nodule.", OTHER),
    ("Nodule next to the mass (SUV 10).", "Nodule next to the mass.", OTHER),
    ("There is a second nodule in the lung. It measures 8 mm.",
     "There is a second nodule in the lung.", OTHER),
    ("Nodule abutting a 4 cm mass, which has SUV 12.", "Nodule abutting a mass.", OTHER),
    # what the lesion is compared with
    ("Left lung nodule less avid than the right hilar node with SUV 4.",
     "Left lung nodule less avid than the right hilar node.", OTHER),
    ("Left lung nodule less avid than the node at T9, which has SUV 4.",
     "Left lung nodule less avid than the node at T9.", OTHER),
    ("Focus with uptake greater than normal bone marrow (SUVmax 2.0).",
     "Focus with uptake greater than normal bone marrow.", UNVERIFIED),
    ("Left adrenal nodule with uptake less than the right adrenal gland (SUV 3.0).",
     "Left adrenal nodule with uptake less than the right adrenal gland.", UNVERIFIED),
    ("Nodule smaller than the 4 cm right mass.", "Nodule smaller than the right mass.", OTHER),
    # a sentence of another site
    ("Nodule in the lung. For comparison, the kidney has an SUV of 2.1.",
     "Nodule in the lung.", UNVERIFIED),
    ("Nodule in the lung. Heart SUV 8.", "Nodule in the lung.", UNVERIFIED),
    ("Lesion at T9. Heart: SUV 8, 12 cm.", "Lesion at T9.", UNVERIFIED),
    ("Nodule in the lung. The adjacent lung has SUV 0.6.", "Nodule in the lung.", UNVERIFIED),
    # the past
    ("SUV max was 8.2 and is now 5.1.", "SUV max is now 9.8.", PRIOR),
    ("was 1.5 cm, now 1.2 cm", "Now 3.1 cm", PRIOR),
    ("The node measured 15 mm and now measures 12 mm.", "The node now measures 3.1 cm.", PRIOR),
    ("previous level 2 node SUV 3", "previous level 2 node", PRIOR),
    ("prior station 4R SUV 3", "prior station 4R", PRIOR),
    ("Node, prior left axillary node SUV 3.", "Node.", PRIOR),
    ("SUVmax 8,2 (prev. 9,4).", "SUVmax 9.8.", PRIOR),
    ("SUV max 6.3, prev 8.", "SUV max 9.8.", PRIOR),
    ("SUV used to be 8.2.", "SUV.", PRIOR),
    ("Size was 12 mm and has decreased to 8 mm.", "Size has decreased to 3.1 cm.", PRIOR),
    ("SUV max 6.3 vs 4.1 in the contralateral node.", "SUV max 9.8.", UNVERIFIED),
    ("SUV went from 8.2 to 5.1.", "SUV went to 9.8.", PRIOR),
]  # fmt: skip

COMPARED = [
    ("Intense uptake with SUV max of 6.3 compared with 2.1 in the liver.",
     "Intense uptake with SUV max of 9.8."),
    ("Focus, SUV max of 6.3 compared to 2.1 in the bladder.", "Focus, SUV max of 9.8."),
    ("Focus with SUV 6.3 versus 2.1 liver.", "Focus with SUV 9.8."),
    ("Focus with SUV 6.3 versus 2.1 right kidney.", "Focus with SUV 9.8."),
    ("Focus, SUV 6.3 vs. 2.1 for blood pool, 3 cm.", "Focus, SUV 9.8, 3.1 cm."),
    ("SUV 6.3 compared to 2.1 in the liver and 1.5 in the spleen.", "SUV 9.8."),
    ("SUV max 6.3 compared with 4.1 at T9.", "SUV max 9.8 compared with T9."),
]  # fmt: skip
OWN = [
    ("Lesion in the liver has SUV max of 6.3.", "Lesion in the liver has SUV max of 9.8."),
    ("Focus in the liver with SUVmax 6.3.", "Focus in the liver with SUVmax 9.8."),
    ("The liver lesion measures 3 cm, SUV 6.", "The liver lesion measures 3.1 cm, SUV 9.8."),
    ("Liver: 3 cm lesion in segment 8.", "Liver: 3.1 cm lesion in segment 8."),
    ("Intense uptake above liver, SUV max 6.3.", "Intense uptake above liver, SUV max 9.8."),
    ("SUVmax of 6.3 in the liver.", "SUVmax of 9.8 in the liver."),
    ("Increase in SUV max to 6.3", "Increase in SUV max to 9.8"),
    ("Increased SUV max of 6.3", "Increased SUV max of 9.8"),
    ("Node with SUV greater than 6.", "Node with SUV 9.8."),
    ("Uptake greater than 6.3 SUV.", "Uptake 9.8 SUV."),
    ("Node larger than 2 cm with SUV 6.", "Node 3.1 cm with SUV 9.8."),
    ("More than mild uptake in the right lung with SUV 4.",
     "More than mild uptake in the right lung with SUV 9.8."),
    ("Hilar nodes, right greater than left hilar nodes with SUV 4.",
     "Hilar nodes, right greater than left hilar nodes with SUV 9.8."),
    ("The nodule smaller than the mass has SUV 4.",
     "The nodule smaller than the mass has SUV 9.8."),
    ("Kidney SUV 4.", "Kidney SUV 9.8."),
    ("Focus in the left lung. Left upper lobe SUV 4.",
     "Focus in the left lung. Left upper lobe SUV 9.8."),
    ("Uptake in the chest. Heart SUV 4.", "Uptake in the chest. Heart SUV 9.8."),
    ("Nodule in the lung. The heart uptake has SUV 4.",
     "Nodule in the lung. The heart uptake has SUV 9.8."),
    ("SUV max on axial slice 86 is 4.2.", "SUV max on axial slice 57 is 9.8."),
    ("SUV elevated, axial slice 86.", "SUV elevated, axial slice 57."),
    ("Mass, SUV 8.2, with a satellite nodule.", "Mass, SUV 9.8, with a satellite nodule."),
    ("No additional nodules. SUV max 6.3.", "No additional nodules. SUV max 9.8."),
    ("Nodule near the carina with SUV 6.3.", "Nodule near the carina with SUV 9.8."),
    ("Node adjacent to the aorta, 2 cm.", "Node adjacent to the aorta, 3.1 cm."),
    ("Node away from the T9 vertebra, 3 cm.", "Node away from the T9 vertebra, 3.1 cm."),
    ("Second lumbar vertebra lesion, SUV 4.", "Second lumbar vertebra lesion, SUV 9.8."),
    ("Previously treated node has SUV 6.3.", "Previously treated node has SUV 9.8."),
    ("long axis 10 mm short axis 8 mm", "long axis 3.1 cm short axis 2.4 cm"),
    ("short axis 8 mm long axis 10 mm", "short axis 2.4 cm long axis 3.1 cm"),
    ("craniocaudal 12 mm short axis 8 mm", "craniocaudal 2.9 cm short axis 2.4 cm"),
    ("Node 10 mm long axis 8 mm short axis", "Node 3.1 cm long axis 2.4 cm short axis"),
    ("Node 9 mm short axis 14 mm long axis", "Node 2.4 cm short axis 3.1 cm long axis"),
    ("measuring 10 mm short axis 8 mm", "measuring 3.1 cm short axis 2.4 cm"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected", "flag"), REFUSED, ids=[one[0] for one in REFUSED])
def test_numbers_of_another_subject_are_taken_out(raw: str, expected: str, flag: str) -> None:
    text, spans, flags = grounded_numbers(raw, MEASURED)
    assert text == expected
    assert flag in flags
    assert any(span.action == "removed" for span in spans)
    assert grounded_numbers(text, MEASURED)[0] == text


@pytest.mark.parametrize(("raw", "expected"), OWN, ids=[raw for raw, _ in OWN])
def test_numbers_of_the_lesion_itself_are_measured_ones(raw: str, expected: str) -> None:
    text, _, flags = grounded_numbers(raw, MEASURED)
    assert text == expected
    assert flags == ()
    assert grounded_numbers(text, MEASURED)[0] == text


def test_an_axis_that_is_said_twice_and_differs_is_none() -> None:
    text, _, flags = grounded_numbers("short axis 8 mm in greatest dimension", MEASURED)
    assert text == "short axis in greatest dimension"
    assert flags == (UNVERIFIED,)


@pytest.mark.parametrize(("raw", "expected"), COMPARED, ids=[raw for raw, _ in COMPARED])
def test_the_place_of_what_a_lesion_is_compared_with_is_not_the_lesions(
    raw: str, expected: str
) -> None:
    text, _, flags = grounded_numbers(raw, MEASURED)
    assert text == expected
    assert set(flags) == {UNVERIFIED}
    assert site_of(text).site is None
    assert grounded_numbers(text, MEASURED)[0] == text
