"""QIDO-RS: what is found by which key, what each result says, and in which pages."""

import io
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset
from sqlalchemy import insert, select

import storage
from storage import tables
from storage.archive import Archive, reindex
from storage.schema import open_database
from storage.tables import writing
from tests.encoded import encoded, part10_bytes
from tests.makers import make_ct, make_pet, make_seg
from tests.wire.browser import Site, serving

pytestmark = pytest.mark.wire

EXPLICIT = "1.2.840.10008.1.2.1"
BLOCK = np.zeros((8, 32, 32), bool)
BLOCK[2:5, 10:20, 10:20] = True


def _step(dataset: Dataset) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "STEP-1", "REQ-1"
    dataset.RequestAttributesSequence = [item]
    dataset.PerformedProcedureStepStartDate = "20240102"
    dataset.PerformedProcedureStepStartTime = "101500"
    return dataset


DOE = {
    "PatientName": "Doe^Jane", "PatientID": "P-1", "PatientBirthDate": "19500101",
    "PatientSex": "F", "StudyDate": "20240102", "StudyTime": "101530.5", "AccessionNumber": "A_1",
    "ReferringPhysicianName": "House^Gregory", "StudyID": "S1", "StudyDescription": "PET/CT",
}  # fmt: skip
ROE = DOE | {
    "PatientName": "Müller^Jörg=山田^太郎", "PatientID": "p-1", "StudyDate": "20230615",
    "StudyTime": "235959", "AccessionNumber": "AX1", "SpecificCharacterSet": "ISO_IR 192",
}  # fmt: skip
PET = make_pet(study="doe", **DOE)
CT = [_step(one) for one in make_ct(study="doe", **DOE)]
SEG = make_seg({"lesion": BLOCK}, PET)
OTHER = make_pet(study="roe", series="roe", frame_of_reference="roe", **ROE)[:3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("qido")
    with Archive.open(home / "archive") as archive, serving(archive, home) as told:
        assert told.store([part10_bytes(one) for one in (*PET, *CT, SEG, *OTHER)]).status == 200
        yield told


def studies(site: Site, query: str) -> list[str]:
    answer = site.ask(f"/studies?{query}")
    assert answer.status == 200, answer.body
    names = {PET[0].StudyInstanceUID: "doe", OTHER[0].StudyInstanceUID: "roe"}
    return [names[one["0020000D"]["Value"][0]] for one in answer.json()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["doe", "roe"]),
        ("PatientName=Doe^Jane", ["doe"]),
        ("PatientName=doe^JANE", ["doe"]),
        ("PatientName=D?e*", ["doe"]),
        ("PatientName=m%C3%BCller*", ["roe"]),
        ("PatientName=%E5%B1%B1%E7%94%B0*", ["roe"]),
        ("00100010=*an*", ["doe"]),
        ("PatientName=Doe", []),
        ("PatientID=P-1", ["doe"]),
        ("PatientID=p-?", ["roe"]),
        ("PatientID=%25", []),
        ("PatientID=P_1", []),
        ("AccessionNumber=A_1", ["doe"]),
        ("AccessionNumber=A?1", ["doe", "roe"]),
        ("AccessionNumber='%20OR%201=1", []),
        ("ReferringPhysicianName=house*", ["doe", "roe"]),
        ("StudyID=S1", ["doe", "roe"]),
        ("StudyDate=20240102", ["doe"]),
        ("StudyDate=20230101-20231231", ["roe"]),
        ("StudyDate=20230616-", ["doe"]),
        ("StudyDate=-20240102", ["doe", "roe"]),
        ("StudyTime=1015", ["doe"]),
        ("StudyTime=10-12", ["doe"]),
        ("StudyTime=235959-", ["roe"]),
        ("ModalitiesInStudy=CT", ["doe"]),
        ("ModalitiesInStudy=PT", ["doe", "roe"]),
        ("ModalitiesInStudy=S*", ["doe"]),
        (f"StudyInstanceUID={PET[0].StudyInstanceUID},1.2", ["doe"]),
        (f"StudyInstanceUID={PET[0].StudyInstanceUID},{OTHER[0].StudyInstanceUID}", ["doe", "roe"]),
        ("PatientID=P-1&StudyDate=20230615", []),
        ("limit=1", ["doe"]),
        ("limit=1&offset=1", ["roe"]),
        ("offset=2", []),
        ("_=cachebuster", ["doe", "roe"]),
    ],
)
def test_studies_are_found_by_every_key(site: Site, query: str, found: list[str]) -> None:
    assert studies(site, query) == found


def test_a_study_says_what_the_standard_wants(site: Site) -> None:
    (told,) = DICOMwebClient(site.url).search_for_studies(search_filters={"PatientID": "P-1"})
    study = Dataset.from_json(told)
    for keyword, value in DOE.items():
        assert str(study[keyword].value) == value
    assert set(study.ModalitiesInStudy) == {"PT", "CT", "SEG"}
    assert study.NumberOfStudyRelatedSeries == 3
    assert study.NumberOfStudyRelatedInstances == len(PET) + len(CT) + 1
    assert study.InstanceAvailability == "ONLINE"
    assert site.ask(study.RetrieveURL.partition("/dicom-web")[2] + "/metadata").status == 200
    names = site.ask("/studies?PatientID=p-1").json()[0]["00100010"]
    assert names == {
        "vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg", "Ideographic": "山田^太郎"}],
    }  # fmt: skip


def test_dicomweb_client_searches_series_and_instances(site: Site) -> None:
    client = DICOMwebClient(site.url)
    study = str(PET[0].StudyInstanceUID)
    found = client.search_for_series(study)
    assert {one["00080060"]["Value"][0] for one in found} == {"PT", "CT", "SEG"}
    (ct,) = client.search_for_series(study, search_filters={"Modality": "CT"})
    assert ct["00201209"]["Value"] == [len(CT)]
    assert ct["00400275"]["Value"] == [
        {
            "00401001": {"vr": "SH", "Value": ["REQ-1"]},
            "00400009": {"vr": "SH", "Value": ["STEP-1"]},
        }
    ]
    assert len(client.search_for_series()) == 4
    series = str(PET[0].SeriesInstanceUID)
    instances = client.search_for_instances(study, series)
    assert [one["00080018"]["Value"][0] for one in instances] == [o.SOPInstanceUID for o in PET]
    assert instances[0]["00280010"]["Value"] == [32]
    assert "00080060" not in instances[0]
    everywhere = client.search_for_instances(search_filters={"SOPInstanceUID": SEG.SOPInstanceUID})
    assert len(everywhere) == 1
    assert everywhere[0]["00100020"]["Value"] == ["P-1"]
    assert everywhere[0]["00080060"]["Value"] == ["SEG"]
    assert len(client.search_for_instances(study)) == len(PET) + len(CT) + 1
    assert len(client.search_for_instances(study, get_remaining=True, limit=5)) == 17
    assert client.search_for_instances("1.2.3") == []


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("Modality=PT", 2),
        ("SeriesNumber=x", 400),
        (f"SeriesInstanceUID={PET[0].SeriesInstanceUID}", 1),
        ("PerformedProcedureStepStartDate=20240101-20240103", 1),
        ("PerformedProcedureStepStartTime=10-11", 1),
        ("RequestAttributesSequence.ScheduledProcedureStepID=STEP-?", 1),
        ("00400275.00401001=REQ-1", 1),
        ("RequestedProcedureID=REQ-2", 0),
        ("PatientName=doe*&Modality=SEG", 1),
        ("InstanceNumber=1", 400),
    ],
)
def test_series_are_found_by_every_key(site: Site, query: str, count: int) -> None:
    answer = site.ask(f"/series?{query}")
    if count == 400:
        assert answer.status == 400
    else:
        assert len(answer.json()) == count


def test_instances_are_found_by_every_key(site: Site) -> None:
    path = f"/studies/{PET[0].StudyInstanceUID}/instances"
    for query, count in (
        (f"SOPClassUID={SEG.SOPClassUID}", 1),
        (f"SOPInstanceUID={PET[0].SOPInstanceUID},{PET[1].SOPInstanceUID}", 2),
        (f"InstanceNumber={PET[2].InstanceNumber}&Modality=PT", 1),
        ("InstanceNumber=999", 0),
    ):
        answer = site.ask(f"{path}?{query}")
        assert len(answer.json()) == count, query


def test_fields_are_included_by_name_tag_or_all(site: Site) -> None:
    path = f"/studies/{PET[0].StudyInstanceUID}/series/{PET[0].SeriesInstanceUID}/instances"
    (plain, named, everything) = (
        site.ask(f"{path}?limit=1{more}").json()[0]
        for more in ("", "&includefield=ImagePositionPatient,00080060", "&includefield=all")
    )
    assert "00200032" not in plain
    assert named["00200032"]["Value"] == [float(x) for x in PET[0].ImagePositionPatient]
    assert named["00080060"]["Value"] == ["PT"]
    assert plain.keys() < named.keys() < everything.keys()
    assert everything["00541001"]["Value"] == ["BQML"]
    series = site.ask(f"/studies/{PET[0].StudyInstanceUID}/series?includefield=PatientID").json()
    assert {one["00100020"]["Value"][0] for one in series} == {"P-1"}


def test_what_is_not_supported_is_warned_of(site: Site) -> None:
    answer = site.ask("/studies?fuzzymatching=true&PatientName=Doe*")
    assert answer.headers["warning"].startswith('299 pacsnode "The fuzzymatching parameter is not')
    assert "warning" not in site.ask("/studies?fuzzymatching=false&limit=1").headers
    assert site.ask("/studies", "application/dicom+xml").status == 406
    assert site.ask("/studies", 'multipart/related; type="application/dicom+xml"').status == 406
    assert site.ask("/studies?PatientComments=x").status == 400
    assert site.ask("/studies/Canary/series").status == 400


def test_a_query_leaves_no_word_in_the_log(site: Site, written_log: io.StringIO) -> None:
    site.ask("/studies?PatientName=Canary^Yellow")
    site.ask("/studies?StudyDate=Canary")
    site.ask("/nothing?PatientName=Canary")
    assert "anary" not in written_log.getvalue()


def test_ten_thousand_instances_are_searched_at_once(archive: Archive, tmp_path: Path) -> None:
    """Rows alone: the files are no part of a query."""
    one = archive.keep(encoded(PET[0]), transfer_syntax_uid=EXPLICIT).instance
    database = open_database(archive.root / "index.sqlite")
    with writing(database) as connection:
        first = connection.execute(select(tables.instances)).mappings().one()
        plain = {name: value for name, value in first.items() if name != "id"}
        for number in range(40):
            study, its = {"study_instance_uid": f"2.25.1{number}"}, f"2.25.2{number}"
            connection.execute(insert(tables.studies).values(**study, patient_name=f"Roe^{number}"))
            connection.execute(insert(tables.series).values(**study, series_instance_uid=its))
        rows = [
            plain
            | {
                "sha256": f"x{number}", "sop_instance_uid": f"2.25.9{number}",
                "study_instance_uid": f"2.25.1{number // 250}",
                "series_instance_uid": f"2.25.2{number // 250}",
            }
            for number in range(10_000)
        ]  # fmt: skip
        connection.execute(insert(tables.instances), rows)
    database.dispose()
    assert one.sha256 == plain["sha256"]
    with serving(archive, tmp_path) as site:
        took = {}
        for path, count in (
            ("/studies?PatientName=Roe*", 40),
            ("/studies/2.25.13/series/2.25.23/instances", 250),
        ):
            times = []
            for _ in range(5):
                began = time.monotonic()
                assert len(site.ask(path).json()) == count
                times.append(time.monotonic() - began)
            took[path] = min(times)
        assert max(took.values()) < 1, took
        most = site.ask("/instances")
        assert len(most.json()) == 10_000
        assert "Additional results can be requested" in most.headers["warning"]


def test_an_index_from_before_is_searched_and_reindex_fills_it(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    with Archive.open(root) as archive:
        for one in (*PET, *CT):
            archive.keep(encoded(one), transfer_syntax_uid=EXPLICIT)
    _downgrade(root, "0001")

    def told() -> dict[str, Any]:
        with Archive.open(root) as archive, serving(archive, tmp_path) as site:
            (study,) = site.ask("/studies?StudyDate=20240102").json()
            series = site.ask(f"/studies/{PET[0].StudyInstanceUID}/series?Modality=CT").json()
            return study | series[0]

    before = told()
    assert before["00201206"]["Value"] == [2]
    assert "Value" not in before["00100010"]
    reindex(root)
    assert told()["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]


def _downgrade(root: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    database = open_database(root / "index.sqlite")
    with writing(database) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    database.dispose()


def test_what_the_first_object_leaves_open_a_later_one_tells(
    archive: Archive, tmp_path: Path
) -> None:
    first, second, third = (deepcopy(one) for one in PET[:3])
    del first.PatientName
    third.PatientName = "Roe^Richard"
    for one in (first, second, third):
        archive.keep(encoded(one), transfer_syntax_uid=EXPLICIT)
    with serving(archive, tmp_path) as site:
        (study,) = site.ask("/studies").json()
    assert study["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
