"""Texts to coded sites and sides; the table of sites against pydicom's copy of the standard."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from engine.codes import BILATERAL, LEFT, RIGHT
from engine.grounding.cues import Standing, standing_of
from engine.grounding.site_table import NODE_WORDS, is_within, site_coded, table
from engine.grounding.sites import Located, site_of
from engine.grounding.terms import mentions_of, words_of
from tests.conftest import ROOT

SIDES = {None: None, "R": RIGHT, "L": LEFT, "B": BILATERAL}
FOUND = [
    ("Hypermetabolic right upper lobe pulmonary nodule.", "upper lobe of lung", "R"),
    ("Nodule in the upper lobe of the left lung", "upper lobe of lung", "L"),
    ("Right lung, upper lobe: focal uptake", "upper lobe of lung", "R"),
    ("RUL nodule", "right upper lobe", "R"),
    ("Lingular consolidation", "lingula", "L"),
    ("Right middle lobe nodule", "right middle lobe", "R"),
    ("Uptake in C6", "C6 vertebra", None),
    ("Lytic lesion of the T9 vertebral body", "T9 vertebra", None),
    ("Third lumbar vertebra", "L3 vertebra", None),
    ("L4-L5 uptake", "lumbar spine", None),
    ("L4/5", "lumbar spine", None),
    ("T4\u20138 vertebral bodies", "thoracic spine", None),
    ("L5-S1", "lumbosacral spine", None),
    ("S1 lesion", "sacrum", None),
    ("Left 7th rib lesion", "rib", "L"),
    ("Osseous lesion in the right acetabulum", "acetabulum", "R"),
    ("Bone lesion, left iliac crest", "ilium", "L"),
    ("Pelvic bone lesion in the left ischium", "ischium", "L"),
    ("Right hilar hypermetabolic lymph node", "hilar LN", "R"),
    ("Lymph node, left axilla", "axillary LN", "L"),
    ("Hypermetabolic node in the left groin", "inguinal LN", "L"),
    ("Enlarged nodes along the right external iliac vessels", "external iliac LN", "R"),
    ("Right axillary FDG-avid 1.2 cm lymphadenopathy", "axillary LN", "R"),
    ("Left axillary soft tissue", "axilla", "L"),
    ("Left cervical level II lymph node", "level II LN", "L"),
    ("Level 2/3 nodes on the right", "cervical LN", "R"),
    ("Levels IIA, IIB and III lymph nodes on the left", "cervical LN", "L"),
    ("Levels IIA and IIB node", "level II LN", None),
    ("Station 4R node", "station 4 LN", "R"),
    ("2L node", "station 2 LN", "L"),
    ("Right hilar and mediastinal lymph nodes", "thoracic LN", "R"),
    ("AP window adenopathy", "station 5 LN", None),
    ("Portacaval LN", "hepatic LN", None),
    ("Right paratracheal, station 4R", "station 4 LN", "R"),
    ("Left supraclavicular and axillary lymph nodes", "supraclavicular LN", "L"),
    ("Left obturator, intensely avid node", "obturator LN", "L"),
    ("Left lower paratracheal station 4L node", "station 4 LN", "L"),
    ("Lower paratracheal, station 4R", "station 4 LN", "R"),
    # the side is said in short, of the whole, or in another sentence
    ("Rt. lung nodule", "lung", "R"),
    ("R lung nodule", "lung", "R"),
    ("R. lung nodule", "lung", "R"),
    ("R. Lung nodule", "lung", "R"),
    ("Nodule in the L upper lobe", "upper lobe of lung", "L"),
    ("L. hilar node", "hilar LN", "L"),
    ("Lung nodule seen in the right hemithorax", "lung", "R"),
    ("Pulmonary nodule. It lies on the right.", "lung", "R"),
    ("Pulmonary nodule. SUV is high. Left-sided.", "lung", "L"),
    ("Pulmonary nodule. The left kidney is clear.", "lung", None),
    ("Lung nodule. It lies on the right, none on the left.", "lung", None),
    ("L4 lesion. L upper lobe is clear.", "L4 vertebra", None),
    # a place without a word for a node is a place, with the code of its region
    ("Right paratracheal focus", "paratracheal space", "R"),
    ("Presacral soft tissue", "presacral space", None),
    ("Right hilar mass", "hilum of lung", "R"),
    ("Mass along the left pelvic sidewall", "pelvis", "L"),
    ("Liver lesion in segment VIII", "liver segment VIII", None),
    ("Hepatic segments V and VI", "liver", None),
    ("Left hepatic lobe lesion", "liver", None),  # the liver is one organ: no side to code
    ("Left lobe of the thyroid gland", "thyroid", "L"),
    ("Bilateral hilar lymph nodes", "hilar LN", "B"),
    ("Left and right hilar nodes", "hilar LN", "B"),
    ("Right greater than left hilar adenopathy", "hilar LN", "B"),
    ("Soft tissue nodule in the left breast", "breast", "L"),
    ("Femoral neck uptake on the right", "femur", "R"),
    ("Cervical cancer", "cervix uteri", None),
    ("Oesophageal uptake", "esophagus", None),
    ("Caecal uptake", "cecum", None),
    ("Right hemithorax uptake", "chest", "R"),
    ("Uptake in the abdomen", "abdomen", None),
    ("Hypermetabolic lymph node", "lymph node", None),
    ("Intense uptake in the chest. The lesion is in the right adrenal.", "adrenal gland", "R"),
]  # fmt: skip
OTHERS_NAMED = [
    ("Right upper lobe nodule adjacent to the mediastinum", "upper lobe of lung", "R"),
    ("Right upper lobe nodule adjacent to the left atrium", "upper lobe of lung", "R"),
    ("Adjacent to the liver, a right adrenal nodule", "adrenal gland", "R"),
    ("Uptake greater than liver in the right lung", "lung", "R"),
    ("Uptake greater than that in the liver, in the right lung", "lung", "R"),
    ("Uptake above liver background in the left adrenal", "adrenal gland", "L"),
    ("More intense than mediastinal blood pool: left tonsil", "palatine tonsil", "L"),
    ("No uptake in the liver, spleen or kidneys. Left adrenal nodule.", "adrenal gland", "L"),
    ("Focus posterior to the heart in the distal esophagus", "esophagus", None),
    ("Mass in the pancreatic head abutting the duodenum", "pancreas", None),
    ("Nodule at the level of T7 in the left lung", "lung", "L"),
    ("Right 5th rib uptake, level of T7", "rib", "R"),
    ("Right inguinal node, not in the femur", "inguinal LN", "R"),
    ("Cutaneous lesion over the left scapula", "skin", None),
    ("Mass centered in the right hilum extending into the mediastinum", "hilum of lung", "R"),
    ("Bulky retroperitoneal lymphadenopathy encasing the aorta", "retroperitoneal LN", None),
    ("No CT correlate for the left inguinal focus", "inguinal region", "L"),
    ("Similar in intensity to the liver, a left lung nodule", "lung", "L"),
]
NOT_A_SITE = [
    "Hypermetabolic focus with SUV max of 6.3",
    "No uptake above mediastinal blood pool.",
    "Uptake greater than in the liver",
    "No abnormal uptake in the liver.",
    "",
    "...",
]
TOTALSEGMENTATOR = {
    "spleen": "spleen", "kidney_right": "kidney", "gallbladder": "gallbladder", "liver": "liver",
    "stomach": "stomach", "pancreas": "pancreas", "adrenal_gland_left": "adrenal gland",
    "lung_upper_lobe_left": "upper lobe of lung", "lung_middle_lobe_right": "right middle lobe",
    "lung_lower_lobe_right": "lower lobe of lung", "esophagus": "esophagus", "trachea": "trachea",
    "thyroid_gland": "thyroid", "small_bowel": "small intestine", "duodenum": "duodenum",
    "colon": "colon", "urinary_bladder": "urinary bladder", "prostate": "prostate",
    "kidney_cyst_left": "kidney", "sacrum": "sacrum", "vertebrae_S1": "sacrum",
    "vertebrae_L5": "L5 vertebra", "vertebrae_T12": "T12 vertebra", "vertebrae_C1": "C1 vertebra",
    "heart": "heart", "aorta": "aorta", "pulmonary_vein": "pulmonary vein",
    "brachiocephalic_trunk": "brachiocephalic trunk", "subclavian_artery_right":
    "subclavian artery", "common_carotid_artery_left": "carotid artery",
    "superior_vena_cava": "superior vena cava", "inferior_vena_cava": "inferior vena cava",
    "portal_vein_and_splenic_vein": "splenic vein", "iliac_artery_left": "iliac artery",
    "iliac_vena_right": "iliac vein", "humerus_left": "humerus", "scapula_right": "scapula",
    "clavicula_left": "clavicle", "femur_left": "femur", "spinal_cord": "spinal cord",
    "gluteus_maximus_left": "buttock", "autochthon_left": None, "brain": "brain",
    "skull": "skull", "rib_left_7": "rib", "rib_right_12": "rib", "sternum": "sternum",
    "costal_cartilages": "rib",
}  # fmt: skip


@pytest.mark.parametrize(("text", "name", "side"), FOUND + OTHERS_NAMED)
def test_a_sentence_names_its_site_and_side(text: str, name: str, side: str | None) -> None:
    located = site_of(text)
    assert (located.name, located.laterality) == (name, SIDES[side])
    site = table()[name]
    assert (located.site, located.region) == (site.code, site.region)
    assert located.organ_group == site.organ_group
    assert located.term is not None
    assert located.term in text


@pytest.mark.parametrize("text", NOT_A_SITE)
def test_what_is_only_compared_or_denied_is_no_site(text: str) -> None:
    assert site_of(text) == Located()


def test_what_is_only_near_tells_the_region() -> None:
    located = site_of("Focus adjacent to the liver")
    assert (located.site, located.name) == (table()["abdomen"].code, "abdomen")
    assert located.organ_group is None


def test_a_side_without_a_site_is_kept() -> None:
    assert site_of("Left-sided intense focus") == Located(laterality=LEFT)
    assert site_of("A left focus, a right focus") == Located()


@pytest.mark.parametrize(("label", "name"), TOTALSEGMENTATOR.items())
def test_labels_of_totalsegmentator_are_sites(label: str, name: str | None) -> None:
    located = site_of(label)
    assert located.name == name
    if name is not None and table()[name].side == "yes" and ("left" in label or "right" in label):
        assert located.laterality == (LEFT if "left" in label else RIGHT)


# the table


def _standard() -> dict[str, set[str]]:
    meanings: dict[str, set[str]] = {}
    for keyword in codes.SCT.dir():
        known = getattr(codes.SCT, keyword)
        if isinstance(known, Code):
            meanings.setdefault(known.value, set()).add(known.meaning.casefold())
    return meanings


def test_every_code_means_what_the_standard_says() -> None:
    known = _standard()
    assert len(table()) > 250
    for site in table().values():
        assert site.code.scheme_designator == "SCT"
        assert site.code.value in known, site.name
        assert len(site.code.meaning) <= 64
    ours = {site.name: site.code.meaning.casefold() for site in table().values()}
    other = {n: m for n, m in ours.items() if m not in known[table()[n].code.value]}
    # pydicom keeps one meaning for a keyword; for these that of SNOMED or of another CID
    assert all(m.split()[-1] in n.casefold() or n in _MEANT for n, m in other.items()), other


_MEANT = {
    "lingula", "right upper lobe", "left upper lobe", "cervix uteri", "urinary bladder",
}  # fmt: skip


def test_every_vertebra_has_the_code_of_cid_7602() -> None:
    vertebrae = [name for name in table() if name.endswith(" vertebra")]
    assert len(vertebrae) == 7 + 12 + 5
    known = {getattr(codes.cid7602, keyword) for keyword in codes.cid7602.dir()}
    for name in vertebrae:
        assert table()[name].code in known
        assert table()[name].code.meaning == name
        assert site_of(f"Lesion in {name.split()[0]}.").name == name


def test_wholes_and_nodes_of_the_table_exist_and_make_no_circle() -> None:
    for site in table().values():
        assert is_within(site, site)
        seen = {site.name}
        while site.part_of is not None:
            site = table()[site.part_of]
            assert site.name not in seen
            seen.add(site.name)
    assert all(site.node is None or site.node in table() for site in table().values())


def test_every_synonym_finds_its_own_site() -> None:
    wrong = []
    for site in table().values():
        for synonym in site.synonyms:
            found = site_of(f"Focal uptake in the {synonym}").name
            if found != site.name:
                wrong.append((synonym, found, site.name))
    assert wrong == []


def test_no_synonym_belongs_to_two_sites() -> None:
    owners: dict[str, str] = {}
    for site in table().values():
        for synonym in set(site.synonyms):
            assert owners.setdefault(synonym, site.name) == site.name, synonym


def test_codes_of_older_objects_are_found() -> None:
    liver = site_coded(Code("T-62000", "SRT", "Liver"))
    assert liver is not None
    assert liver.name == "liver"
    assert site_coded(Code("1", "99OTHER", "Thing")) is None


@pytest.mark.parametrize(
    ("text", "standings"),
    [
        ("Liver", ["subject"]),
        ("adjacent to the liver and right kidney", ["near", "near"]),
        ("adjacent to the liver with uptake in the kidney", ["near", "subject"]),
        ("no uptake in the liver but in the kidney", ["denied", "subject"]),
        ("without uptake, liver", ["subject"]),
        ("uptake exceeding that of the liver", ["compared"]),
        ("liver background", ["compared"]),
    ],
)
def test_standing(text: str, standings: list[str]) -> None:
    words = words_of(text)
    found = [standing_of(one, words).value for one in mentions_of(words)]
    assert found == standings
    assert {Standing(value) for value in found} <= set(Standing)


# properties

SYNONYMS = sorted({synonym for site in table().values() for synonym in site.synonyms})
PIECES = st.sampled_from(
    SYNONYMS
    + list(NODE_WORDS)
    + ["left", "right", "bilateral", "and", "no", "than", "adjacent to", "in the", ",", ".", "-"]
    + ["level", "II", "4R", "SUV max of 6.3", "uptake"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12), st.booleans())
def test_whatever_is_found_stands_in_the_text(pieces: list[str], is_upper: bool) -> None:
    text = " ".join(pieces)
    located = site_of(text.upper() if is_upper else text)
    if located.term is not None:
        assert located.term in (text.upper() if is_upper else text)
        assert located.site is not None
    if located.name is not None:
        site = table()[located.name]
        assert located.site == site.code
        if site.side == "no":
            assert located.laterality is None
    assert located.laterality is None or located.laterality in (LEFT, RIGHT, BILATERAL)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    located = site_of(text)
    assert located.term is None or located.term in text


@given(st.sampled_from(["left", "right"]), st.sampled_from(sorted(table())), st.booleans())
def test_the_side_beside_a_site_is_its_side(side: str, name: str, is_before: bool) -> None:
    site = table()[name]
    synonym = site.synonyms[0]
    text = f"{side} {synonym} uptake" if is_before else f"uptake in {synonym} on the {side}"
    located = site_of(text)
    if site.side == "yes":
        assert located.laterality == (LEFT if side == "left" else RIGHT)


def test_the_table_reaches_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "engine/grounding/sites.csv" in zipfile.ZipFile(wheel).namelist()
