"""The codes we write are those of the standard, and stand in one file."""

import re
from functools import cache

import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from engine import codes
from engine.reading.attributes import Attributes
from engine.reading.coded import code_in
from engine.report import walk
from tests.conftest import ROOT

WRITTEN = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}
# what pydicom lacks or names by its symbol (PS3.16 CID 7460, 7462, 7150; RFC 5646)
NOT_IN_PYDICOM = {"GRAM", "MILLIMETER", "ENGLISH", "MORPHOLOGICALLY_ALTERED_STRUCTURE"}


@cache
def _meanings(designator: str) -> dict[str, set[str]]:
    scheme = getattr(dictionary, designator)
    meanings: dict[str, set[str]] = {}
    for keyword in scheme.dir():
        known = getattr(scheme, keyword)
        if isinstance(known, Code):
            meanings.setdefault(known.value, set()).add(known.meaning)
    return meanings


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_code_means_what_the_standard_says(name):
    code = WRITTEN[name]
    assert len(code.meaning) <= 64
    if code.scheme_designator == codes.PRIVATE_SCHEME:
        assert re.fullmatch(r"[a-z-]{1,16}", code.value)  # a plain Code Value, no long one
    elif name not in NOT_IN_PYDICOM and code.scheme_designator != "LN":
        assert code.meaning in _meanings(code.scheme_designator).get(code.value, set())


def test_the_procedure_is_of_cid_100():
    assert dictionary.cid100.PETUnspecifiedBodyRegion == codes.PET_PROCEDURE


def test_no_two_names_have_one_code():
    values = [(code.scheme_designator, code.value) for code in WRITTEN.values()]
    assert len(set(values)) == len(values)


def test_no_other_file_of_the_report_holds_a_code():
    rooms = [ROOT / "engine" / "report", ROOT / "engine" / "describing"]
    files = [
        *(ROOT / "engine" / "pipeline").glob("*.py"),
        *(file for room in rooms for file in room.glob("*.py")),
    ]
    assert len(files) > 10
    for file in files:
        source = file.read_text("utf-8")
        assert not re.search(r'\bCode\(\s*["\']', source), file.name
        assert not re.search(r'["\']\d{6,}["\']', source), file.name


def test_sameness_knows_the_old_scheme_and_nothing():
    assert codes.same(Code("M-01000", "SRT", "x"), codes.MORPHOLOGICALLY_ALTERED_STRUCTURE)
    assert not codes.same(None, None)
    assert not codes.same(codes.LEFT, None)
    assert not codes.same(codes.LEFT, codes.RIGHT)


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ({"CodeValue": "1", "CodingSchemeDesignator": "S", "CodeMeaning": "M"}, ("1", "S", "M")),
        ({"LongCodeValue": "1" * 17, "CodingSchemeDesignator": "S"}, ("1" * 17, "S", "1" * 17)),
        ({"URNCodeValue": "urn:a", "CodingSchemeDesignator": "S"}, ("urn:a", "S", "urn:a")),
        ({"CodeValue": "1", "CodeMeaning": "M"}, None),
        ({"CodingSchemeDesignator": "S", "CodeMeaning": "M"}, None),
        ({"CodeValue": "", "CodingSchemeDesignator": "S"}, None),
        ({}, None),
    ],
)
def test_masks_and_documents_read_a_code_alike(stated, read):
    item, holder = Dataset(), Dataset()
    for keyword, value in stated.items():
        setattr(item, keyword, value)
    holder.ConceptNameCodeSequence = holder.AnatomicRegionSequence = [item]
    from_document = walk.code_in(holder, "ConceptNameCodeSequence")
    from_mask = code_in(Attributes((holder,)), "AnatomicRegionSequence")
    for code in (from_document, from_mask):
        told = code and (code.value, code.scheme_designator, code.meaning)
        assert told == read
