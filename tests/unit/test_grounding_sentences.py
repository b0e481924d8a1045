"""What grounding makes of single sentences, and of sentences as reports have them."""

import pytest

from engine.grounding.numbers import grounded_numbers
from tests.unit.grammar import MEASURED

SENTENCES = [
    # uptake
    ("Node with SUV max of 6.3.", "Node with SUV max of 9.8."),
    ("Nodule, max SUV 15.8.", "Nodule, max SUV 9.8."),
    ("Focus, SUVmax: 3.25", "Focus, SUVmax: 9.8"),
    ("SUV max measures up to 4.", "SUV max measures up to 9.8."),
    ("SUV 8-10.", "SUV 9.8."),
    ("SUV 8 to 10.", "SUV 9.8."),
    ("SUV between 8 and 10.", "SUV 9.8."),
    ("SUV greater than 6.", "SUV 9.8."),
    ("SUV 6,3.", "SUV 9.8."),
    ("SUV of six point three.", "SUV of 9.8."),
    ("A mean SUV of 3, SUVpeak 5.", "A mean SUV of 5.7, SUVpeak 8.6."),
    ("SUV max in this node is 6.3 g/mL.", "SUV max in this node is 9.8 g/mL."),
    ("A 6.3 SUV focus.", "A 9.8 SUV focus."),
    ("Node (SULmax 4.1).", "Node."),  # normalised to lean mass: not measured
    # sizes
    ("Measuring 1.2 x 1.1 cm.", "Measuring 3.1 x 2.4 cm."),
    ("Measuring 5.5 x 3.5 x 5 cm.", "Measuring 3.1 x 2.4 x 2.9 cm."),
    ("A 1.2cm node.", "A 3.1 cm node."),
    ("A 12-mm node.", "A 3.1-cm node."),
    ("An 8 mm node.", "A 3.1 cm node."),
    ("Two centimeter node.", "3.1 cm node."),
    ("Node of 12 \u00d7 11 mm.", "Node of 3.1 x 2.4 cm."),
    ("Node of 12 mm by 11 mm.", "Node of 3.1 x 2.4 cm."),
    ("1.2 cm in short axis.", "2.4 cm in short axis."),
    ("A node less than 5 mm.", "A node 3.1 cm."),
    ("Node, 9 mm short axis, 14 mm long axis.", "Node, 2.4 cm short axis, 3.1 cm long axis."),
    ("Short axis of 8 mm.", "Short axis of 2.4 cm."),
    ("Node with a craniocaudal extent of 4 cm.", "Node with a craniocaudal extent of 2.9 cm."),
    ("Craniocaudal dimension is 4 cm.", "Craniocaudal dimension is 2.9 cm."),
    ("Node, 4 cm craniocaudally.", "Node, 2.9 cm craniocaudally."),
    ("Greatest dimension of 4 cm.", "Greatest dimension of 3.1 cm."),
    ("Mass with maximum diameter of 4 cm.", "Mass with maximum diameter of 3.1 cm."),
    ("Node, 4 cm in greatest axial dimension.", "Node, 3.1 cm in greatest axial dimension."),
    ("Mass of up to 4 cm.", "Mass of up to 3.1 cm."),
    ("A 4 cm FDG-avid right hilar node.", "A 3.1 cm FDG-avid right hilar node."),
    ("Mass extending inward, measuring 4 cm.", "Mass extending inward, measuring 3.1 cm."),
    ("Mass in the left lung (4 cm), SUV 5.", "Mass in the left lung (3.1 cm), SUV 9.8."),
    ("Node in the axilla, 4 cm with SUV 5.", "Node in the axilla, 3.1 cm with SUV 9.8."),
    ("The node has grown to 4 cm.", "The node has grown to 3.1 cm."),
    ("Node, 3 x 2 cm in axial dimensions.", "Node, 3.1 x 2.4 cm in axial dimensions."),
    ("Node, 2 x 1 cm in long and short axis.", "Node, 3.1 x 2.4 cm in long and short axis."),
    ("Long axis x short axis of 2 x 1 cm.", "Long axis x short axis of 3.1 x 2.4 cm."),
    ("Mass, 4 x 3 cm, transverse colon.", "Mass, 3.1 x 2.4 cm, transverse colon."),
    ("Mass, 4 x 3 cm in the transverse colon.", "Mass, 3.1 x 2.4 cm in the transverse colon."),
    ("Node, 3 x 2 cm in the AP window.", "Node, 3.1 x 2.4 cm in the AP window."),
    ("Mass, 3 x 2 cm (AP).", "Mass, 3.1 x 2.4 cm."),
    # products of other axes than of the long and the short
    ("Mass of 4 x 2 cm in craniocaudal and transverse dimensions.", "Mass."),
    ("Node, short axis x long axis of 1.1 x 2.2 cm.", "Node."),
    ("Mass, 4 x 3 x 2 cm (craniocaudal x AP x transverse).", "Mass."),
    ("Mass, 4.2 x 3.1 cm in the sagittal plane.", "Mass."),
    ("Mass, 3.3 x 2.2 cm (AP x TR).", "Mass."),
    ("Mass, 3.3 x 2.2 cm AP by TR, SUV 4.", "Mass, SUV 9.8."),
    ("Mass with width and depth of 3.3 x 2.2 cm.", "Mass."),
    # lengths that are no size of the lesion
    ("Node 9 cm right of midline.", "Node right of midline."),
    ("Node lying 4 cm left of the aorta.", "Node lying left of the aorta."),
    ("Node 4 cm to the left of the aorta.", "Node to the left of the aorta."),
    ("Mass extends 4 cm into the mediastinum.", "Mass extends into the mediastinum."),
    ("Extends inferiorly for 4 cm.", "Extends inferiorly."),
    ("Mass displaces the trachea by 2 cm.", "Mass displaces the trachea."),
    ("Node with a width of 4 cm.", "Node."),
    ("Node, 4 cm in width.", "Node."),
    ("Node with a height of 4 cm.", "Node."),
    ("Node with a radius of 4 cm.", "Node."),
    ("Mass with a circumference of 14 cm, SUV 4.", "Mass, SUV 9.8."),
    ("Node of area 4 cm.", "Node."),
    ("Mass with a transverse diameter of 4 cm.", "Mass."),
    ("Mass with mean diameter of 4 cm.", "Mass."),
    ("Mass of 4 cm thickness.", "Mass."),
    ("Node, short axis 4 cm, 5 cm behind it.", "Node, short axis 2.4 cm, behind it."),
    ("Found at 4 cm.", "Found."),
    ("Mass (4 cm AP).", "Mass."),
    ("Mass, 4 cm (AP), SUV 4.", "Mass, SUV 9.8."),
    ("Mass of 4 cm (width, as seen on PET).", "Mass (width, as seen on PET)."),
    ("Wall thickening up to 8 mm.", "Wall thickening."),
    ("A gap of 2 cm between nodes.", "A gap between nodes."),
    ("Mass, height 4 cm, width 3 cm, depth 2 cm.", "Mass."),
    # slices
    ("Node (PET/CT axial slice 86, SUV max 6.3).", "Node (PET/CT axial slice 57, SUV max 9.8)."),
    ("Axial slices 101-104.", "Axial slices 52-61."),
    ("Image 77 of 267.", "Image 57."),
    ("Node (series 3, image 77).", "Node (image 57)."),
    ("Node on CT image 77.", "Node."),
    # volumes
    ("Volume of 3 mL.", "Volume of 13.6 cm3."),
    ("Volume of 3.", "Volume of 13.6 cm3."),
    ("Volume of 3, SUV 4.", "Volume of 13.6 cm3, SUV 9.8."),
    ("Volume of 3 liters.", "Volume of 13.6 cm3."),
    ("Volume of 3 L.", "Volume of 13.6 cm3."),
    ("Volume of 3 dL.", "Volume of 13.6 cm3."),
    ("Volume 300 microliters.", "Volume 13.6 cm3."),
    ("Volume 300 \u00b5L in the lung.", "Volume 13.6 cm3 in the lung."),
    ("Volume 3 \u3396.", "Volume 13.6 cm3."),
    ("MTV 3 cubic inches.", "MTV 13.6 cm3."),
    ("Volume of 3 m3.", "Volume of 13.6 cm3."),
    ("A 3-mL focus.", "A 13.6-cm3 focus."),
    ("An 8 liter mass.", "A 13.6 cm3 mass."),
    ("Node, SUV high, volume of 3.", "Node, SUV high, volume of 13.6 cm3."),
    ("Node with a volume of 3 gallons.", "Node."),  # in no unit that is known
    ("Node with a volume of 3 cm.", "Node."),
    ("Node with a volume of 3 cm2.", "Node."),
    ("Node with a volume of 3 g/mL.", "Node."),
    ("Node with 3 L side nodules.", "Node with side nodules."),  # left, perhaps
    ("TLG 33 g.", "TLG 78.8 g."),
    ("TLG of 33.", "TLG of 78.8 g."),
    ("TLG 33 grams and stable.", "TLG 78.8 g and stable."),
    ("TLG 300 mL.", "TLG 78.8 g."),  # SUV taken as a bare number
    ("TLG 300 SUV*mL.", "TLG 78.8 g."),
    ("TLG 300 g/mL x cm3.", "TLG 78.8 g."),
    ("Node, TLG 33 g/mL.", "Node."),
    ("Node, TLG 33 kg.", "Node."),
    ("Node, TLG 3 cm.", "Node."),
    ("Node, TLG 3 ounces.", "Node."),
    # what one scan cannot know
    ("SUV max 6.3, previously SUV max 8.2.", "SUV max 9.8."),
    ("SUV 6.3 (previously 8.2).", "SUV 9.8."),
    ("SUV decreased from 8.2 to 6.3.", "SUV decreased to 9.8."),
    ("Size decreased from 1.5 x 1.2 cm to 8 x 7 mm.", "Size decreased to 3.1 x 2.4 cm."),
    ("SUV 6.3, compared to 12.2 on the prior exam dated 3/4/2021.", "SUV 9.8."),
    ("SUV was 8.2 previously, now 6.3.", "SUV, now 9.8."),
    # other lesions, other subjects
    ("Nodes with SUV 6.3 and SUV 5.1.", "Nodes with SUV 9.8."),
    ("Node, SUV 6.3. Another node, SUV 5.1.", "Node, SUV 9.8. Another node."),
    ("Node, SUV 6.3. Its SUV of 6.3 is high.", "Node, SUV 9.8. Its SUV of 9.8 is high."),
    ("Uptake above liver SUV max 2.4.", "Uptake."),
    ("Uptake above liver (SUV max 3.1).", "Uptake above liver."),
    ("Uptake above that of the liver SUV of 2.", "Uptake."),
    ("Focus in the liver (SUV max 3.1).", "Focus in the liver (SUV max 9.8)."),
    ("Nodes, SUV 6.3 and SUV 6.3.", "Nodes, SUV 9.8."),
    ("No uptake above SUV 2.5.", "No uptake."),
    # numbers that are words
    ("Node with SUV max of one.", "Node with SUV max of 9.8."),
    ("SUV max one in the liver.", "SUV max 9.8 in the liver."),
    ("SUV max in this node is one.", "SUV max in this node is 9.8."),
    ("Node on slice one.", "Node on slice 57."),
    ("Image one shows a node.", "Image 57 shows a node."),
    ("Volume of one.", "Volume of 13.6 cm3."),
    ("TLG is one.", "TLG is 78.8 g."),
    ("Focus, Deauville score one.", "Focus, Deauville score."),
    ("Focus of grade one.", "Focus of grade."),
    ("Node, SUV of twenty-one.", "Node, SUV of 9.8."),
    ("Node of one\u00d7two point five cm.", "Node of 3.1 x 2.4 cm."),
    ("A node of 4 centimeters\u00d7five.", "A node of 3.1 x 2.4 cm."),
    ("SUV max of thirty two point five.", "SUV max of 9.8."),
    ("Highest SUV in one of the nodes.", "Highest SUV in the nodes."),  # refused, not guessed
    ("One of the nodes is avid, SUV 4.", "One of the nodes is avid, SUV 9.8."),
    ("This one is avid, one focus.", "This one is avid, one focus."),
    ("Uptake is twice that of the liver.", "Uptake."),
    ("Node with uptake twice the background, SUV 4.", "Node with uptake, SUV 9.8."),
    ("Node with SUV max twice that of the liver.", "Node."),
    ("Uptake two times that of liver.", "Uptake."),
    ("Node, SUVmax 3 x liver.", "Node."),
    ("Node, SUVmax 3 \u00d7 that of blood pool, 2 cm.", "Node, 3.1 cm."),
    ("Node with SUVmax 3x that of the liver.", "Node."),
    ("Node with SUVmax 50% of liver.", "Node."),
    ("Node with SUVmax equal to 0.5 of the liver.", "Node."),
    ("Node with SUVmax 0.5 that of the liver, 2 cm.", "Node, 3.1 cm."),
    ("Uptake 3 x liver in the left lung.", "Uptake in the left lung."),
    ("SUVmax of 6.3 of the liver lesion.", "SUVmax of 9.8 of the liver lesion."),
    ("Mass in 30% of the liver.", "Mass in the liver."),
    ("SUVmax twice.", ""),
    ("Uptake is 3 times liver uptake.", "Uptake."),
    ("Uptake threefold higher than liver.", "Uptake higher than liver."),
    ("Twofold increase in uptake.", "Increase in uptake."),
    ("A two-fold increase.", "An increase."),
    ("A tenfold or twentyfold increase.", "An increase."),
    ("Seen twice, thrice.", "Seen."),
    ("A couple of foci in the liver.", "Foci in the liver."),
    ("A couple foci.", "Foci."),
    ("Node and a pair of nodules.", "Node and nodules."),
    # names of anatomy where an uptake's number would stand
    ("Node with SUV max 5R.", "Node with SUV max."),
    ("Node, SUV of C6.", "Node, SUV."),
    ("Node, SUVmax: L4-L5.", "Node, SUVmax."),
    ("Node, SUV of station 4R.", "Node, SUV of station."),
    ("Uptake measures level 6.", "Uptake measures level."),
    ("Highest SUV in C6.", "Highest SUV in C6."),
    ("SUV max 4 at C6.", "SUV max 9.8 at C6."),
    ("A 4 SUV level 2A node.", "A 9.8 SUV level 2A node."),
    ("Uptake at level 2A.", "Uptake at level 2A."),
    ("SUV of 7th rib is 4.", "SUV of 7th rib is 9.8."),
    # nobody's
    ("Attenuation of 35 HU.", "Attenuation."),
    ("Three lesions in the liver.", "Lesions in the liver."),
    ("3 of 5 nodes are avid.", "Nodes are avid."),
    ("Involving 30% of the vertebral body.", "Involving the vertebral body."),
    ("Node, 2 cm from the carina.", "Node, away from the carina."),
    ("Stage T4 tumor.", "Stage tumor."),
    ("Stage T2N1, HER2 positive.", "Stage positive."),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), SENTENCES, ids=[raw for raw, _ in SENTENCES])
def test_sentences(raw: str, expected: str) -> None:
    assert grounded_numbers(raw, MEASURED)[0] == expected


REPORTS = [
    (
        "There is a hypermetabolic right lobe nodule measuring approximately 2.3 x 1.9 cm with"
        " SUV max of 12.4 (axial slice 118), consistent with primary malignancy.",
        "There is a hypermetabolic right lobe nodule measuring approximately 3.1 x 2.4 cm with"
        " SUV max of 9.8 (axial slice 57), consistent with primary malignancy.",
    ),
    (
        "Left supraclavicular node measures 1.4 x 1.0 cm with max SUV 8.9 (previously 1.1 x 0.8 cm"
        " with max SUV 5.2).",
        "Left supraclavicular node measures 3.1 x 2.4 cm with max SUV 9.8.",
    ),
    (
        "For example a right lower paratracheal (station 4R) node measuring 9 mm in short axis"
        " with SUV max 3.4 and a subcarinal (station 7) node with SUV max 4.1.",
        "For example a right lower paratracheal (station 4R) node measuring 2.4 cm in short axis"
        " with SUV max 9.8 and a subcarinal (station 7) node.",
    ),
    (
        "Lytic lesion in the T9 vertebral body with SUV max of 7.7, increased compared to prior"
        " where it measured 4.3.",
        "Lytic lesion in the T9 vertebral body with SUV max of 9.8, increased.",
    ),
    (
        "Interval decrease in size of the left axillary node, now 0.8 x 0.6 cm with SUV max 1.9,"
        " previously 1.6 x 1.2 cm with SUV max 7.8.",
        "Interval decrease in size of the left axillary node, now 3.1 x 2.4 cm with SUV max 9.8.",
    ),
    (
        "DCFPyL avid 5 mm perirectal node with SUV max [#] (PET/CT axial slice [#]).",
        "DCFPyL avid 3.1 cm perirectal node with SUV max 9.8 (PET/CT axial slice 57).",
    ),
    (
        "Ga-68 DOTATATE avid lesion, 1.5 cm, SUV max 22.3, levels IIA IIB and III, 7th rib.",
        "Ga-68 DOTATATE avid lesion, 3.1 cm, SUV max 9.8, levels IIA IIB and III, 7th rib.",
    ),
]


@pytest.mark.parametrize(("raw", "expected"), REPORTS)
def test_report_sentences(raw: str, expected: str) -> None:
    assert grounded_numbers(raw, MEASURED)[0] == expected


@pytest.mark.parametrize("led", ["SUV", "slice", "node", "short axis", "4 cm", "measuring", "is"])
@pytest.mark.parametrize("word", ["measured", "of", " ", ", ", "approx.", "greatest", "the", "-"])
def test_a_model_that_repeats_itself_is_read_at_once(led: str, word: str) -> None:
    text = f"{led} {f'{word} ' * 60}x one, 4 cm"
    assert " 4 cm" not in grounded_numbers(text, MEASURED)[0]
