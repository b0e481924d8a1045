"""What people are shown, out of an archive and its journal."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydicom import DataElement, Dataset
from typer.testing import CliRunner

from pacsnode.cli import app
from pacsnode.settings import Settings
from pacsnode.showing.destinations import destinations_shown
from pacsnode.showing.in_force import HIDDEN, settings_shown
from pacsnode.showing.in_force import _said as said
from pacsnode.showing.quarantine import WITHHELD, one_quarantined, quarantine_shown
from pacsnode.showing.states import STATES, state_of_study
from pacsnode.showing.studies import study_shown
from pacsnode.showing.worklist import Asked, Worklists, readable_name
from storage.archive import Archive
from storage.catalog.overview import LastLine
from storage.records import CaseState, Decision
from tests.makers import make_ct, make_pet, make_seg, save

LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


def keep(archive: Archive, *datasets: Dataset) -> None:
    for path in save(datasets, archive.root.parent / "sent"):
        archive.keep_file(path, "SCANNER")


def decide(
    archive: Archive,
    study: str,
    mask: str | None,
    state: CaseState,
    code: str,
    *reasons: str,
    **facts: Any,
) -> None:
    archive.write_down(Decision(study, mask, state, code, reasons, datetime.now(UTC), facts))


def pet_of(name: str, patient: str, **attributes: Any) -> Dataset:
    return make_pet(study=name, series=f"pet {name}", PatientName=patient, **attributes)[0]


def test_the_worklist_finds_by_name_id_accession_and_date(archive: Archive) -> None:
    keep(
        archive,
        pet_of("one", "Müller^Anna", PatientID="A-1", AccessionNumber="77", StudyDate="20240105"),
        pet_of("two", "Meier^Bert", PatientID="B.2", AccessionNumber="78", StudyDate="20240301"),
    )
    lists = Worklists(archive, quiet_s=60)

    def names(**asked: Any) -> list[str]:
        return [one.patient_name for one in lists.page(Asked(**asked)).entries]

    assert names() == ["Meier, Bert", "Müller, Anna"]  # what came last is first
    assert names(search="anna, müLLER") == ["Müller, Anna"]
    assert names(search="b.2") == ["Meier, Bert"]
    assert names(search="b_2") == names(search="%") == []
    assert names(search="78") == ["Meier, Bert"]
    assert names(since=date(2024, 1, 6)) == ["Meier, Bert"]
    assert names(until=date(2024, 1, 5)) == ["Müller, Anna"]


def test_the_worklist_says_where_studies_stand_and_follows_the_journal(archive: Archive) -> None:
    one = pet_of("one", "A")
    keep(archive, one, pet_of("two", "B"))
    lists, study = Worklists(archive, quiet_s=60), str(one.StudyInstanceUID)
    assert [each.state.key for each in lists.page(Asked()).entries] == ["arriving", "arriving"]
    assert [each.state.key for each in lists.page(Asked(), LATER).entries] == ["images", "images"]
    decide(archive, study, "1.2", "delivered", "delivered")
    decide(archive, study, "1.3", "refused", "no-pet", "There is no PET.")
    page = lists.page(Asked(group="attention"), LATER)
    assert [each.study_instance_uid for each in page.entries] == [study]
    assert page.counts == {"all": 2, "attention": 1, "progress": 0, "delivered": 0, "other": 1}
    decide(archive, study, "1.3", "delivered", "delivered")
    assert lists.page(Asked(), LATER).counts["delivered"] == 1


def test_a_fault_of_a_study_is_over_once_one_of_its_masks_has_a_later_line(
    archive: Archive,
) -> None:
    one = pet_of("one", "A")
    keep(archive, one)
    home, study = archive.root.parent, str(one.StudyInstanceUID)

    def told() -> tuple[str, str, int, list[Any]]:
        ran = CliRunner().invoke(app, ["status", "--home", str(home), "--json"])
        status = json.loads(ran.stdout)
        page = Worklists(archive, quiet_s=60).page(Asked(), LATER)
        shown = study_shown(archive, study, 60, LATER)
        assert shown is not None
        attention = page.counts["attention"]
        return page.entries[0].state.key, shown.state.key, attention, status["attention"]

    decide(archive, study, "1.2", "waiting", "waiting")
    decide(archive, study, None, "failed", "defect", "The program failed.")
    *keys, attention, lines = told()
    assert (keys, attention, len(lines)) == (["failed", "failed"], 1, 1)
    decide(archive, study, "1.2", "ready", "ready")
    decide(archive, study, "1.2", "reported", "reported")
    decide(archive, study, "1.2", "delivered", "delivered")
    assert told() == ("delivered", "delivered", 0, [])
    decide(archive, study, None, "failed", "defect", "The program failed.")
    assert told()[0] == "failed"


def test_a_page_past_the_last_is_the_last(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacsnode.showing.worklist.ROWS", 2)
    keep(archive, *(pet_of(f"s{n}", f"P{n}") for n in range(3)))
    lists = Worklists(archive, quiet_s=60)
    assert [one.patient_name for one in lists.page(Asked(page=9)).entries] == ["P0"]
    assert lists.page(Asked(page=9)).page == lists.page(Asked()).pages == 2


def test_an_archive_that_got_nothing_is_told_from_a_search_without_results(
    archive: Archive,
) -> None:
    lists = Worklists(archive, quiet_s=60)
    assert lists.page(Asked()).is_empty
    assert not lists.page(Asked(search="x")).is_empty


def test_every_state_of_the_journal_has_its_word() -> None:
    for state in ("waiting", "ready", "running", "reported", "delivered", "refused", "failed",
                  "context", "superseded"):  # fmt: skip
        assert state_of_study([LastLine(state, state, None)], is_arriving=False) is STATES[state]
    parked = LastLine("failed", "delivery-parked", None)
    assert state_of_study([parked], is_arriving=True).key == "parked"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Doe^Jane^M", "Doe, Jane M"),
        ("DOE", "DOE"),
        ("^Jane", "Jane"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"),
        ("=山田^太郎", "山田, 太郎"),
        ("", ""),
    ],
)
def test_names_as_people_write_them(stored: str, shown: str) -> None:
    assert readable_name(stored) == shown


def test_a_study_tells_what_came_by_its_part_and_no_patient(archive: Archive) -> None:
    pet = make_pet(PatientName="Secret^Name", PatientID="SECRET", SeriesDescription="WB PET")
    ct = make_ct()
    lesion = make_pet()
    seg = make_seg({"Lesion": _block(lesion)}, pet)
    keep(archive, *ct, *pet, seg)
    study, mask = str(pet[0].StudyInstanceUID), str(seg.SOPInstanceUID)
    decide(archive, study, mask, "ready", "ready", "PET series 1 it is.", seed="s", flags=["no-ct"])
    facts = {"seed": "s", "documents": ["2.25.9"], "sr": "2.25.9", "destinations": ["pacs", "ai"]}
    decide(archive, study, mask, "reported", "reported", "Made.", **facts)
    decide(archive, study, mask, "reported", "delivery-postponed", "Busy.", **facts,
           destination="pacs")  # fmt: skip
    shown = study_shown(archive, study, 60)
    assert shown is not None
    assert [(one.part, one.objects) for one in shown.series] == [
        ("PET", len(pet)), ("CT", len(ct)), ("Mask", 1),
    ]  # fmt: skip
    assert shown.series[0].description == "WB PET"
    (told,) = shown.masks
    assert (told.kind, told.state.key, told.pairing) == (
        "SEG", "undelivered", ("PET series 1 it is.",),
    )  # fmt: skip
    assert [(one.destination, one.outcome) for one in told.deliveries] == [
        ("pacs", "postponed"), ("ai", "due"),
    ]  # fmt: skip
    assert [one.code for one in shown.timeline] == ["delivery-postponed", "reported", "ready"]
    assert "secret" not in repr(shown).lower()


def test_a_study_nobody_knows(archive: Archive) -> None:
    assert study_shown(archive, "1.2.3", 60) is None


def test_quarantine_has_both_versions_and_names_no_patient(archive: Archive) -> None:
    first, second = make_ct()[0], make_ct()[0]
    second.PixelData = bytes(len(second.PixelData))
    second.KVP, second.PatientName = "140", "Other^Secret"
    keep(archive, first, second)
    (listed,) = quarantine_shown(archive)
    assert listed.differences == ()
    shown = one_quarantined(archive, listed.second.sha256)
    assert shown is not None
    assert shown.first is not None
    assert shown.first.sha256 != shown.second.sha256
    told = {one.keyword: (one.first, one.second) for one in shown.differences}
    assert told["KVP"][1] == "140"
    assert told["PatientName"] == (WITHHELD, WITHHELD)
    assert "PixelData" not in told
    assert "Secret" not in repr(shown)
    assert one_quarantined(archive, "f" * 64) is None


def test_quarantine_shows_no_text_that_somebody_typed(archive: Archive) -> None:
    def version(what: str, sex: str) -> Dataset:
        changed = make_pet(PatientSex=sex)[0]
        changed.ImageComments = changed.AdmissionID = changed.StationName = f"Canary {what}"
        changed.private_block(0x0011, "ACME", create=True).add_new(1, "LO", f"Canary {what}")
        changed.SeriesTime, changed.ImageType = f"1000{what}", ["ORIGINAL", "PRIMARY", f"T{what}"]
        changed[0x00111002] = DataElement(0x00111002, "CS", f"CANARY {what}")
        changed[0x00081010].VR = "CS"  # as its sender says; PS3.6 has SH
        changed.PixelData = what.encode() * len(changed.PixelData[::2])
        return changed

    keep(archive, version("01", "F"))
    keep(archive, version("02", "M"))
    (shown,) = quarantine_shown(archive)
    whole = one_quarantined(archive, shown.second.sha256)
    assert whole is not None
    assert "canary" not in repr(whole).lower()
    told = {one.keyword: (one.first, one.second) for one in whole.differences}
    for keyword in ("ImageComments", "AdmissionID", "StationName", "private attribute"):
        assert told[keyword] == (WITHHELD, WITHHELD)
    assert told["PatientSex"] == (WITHHELD, WITHHELD)
    assert told["SeriesTime"] == ("100001", "100002")
    assert "T02" in told["ImageType"][1]


def test_a_destination_tells_its_last_success_and_why_it_last_failed(archive: Archive) -> None:
    settings = Settings(
        home=archive.root,
        destinations=[
            {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 104},
            {"name": "cloud", "url": "https://cloud.example.org/dicom-web"},
        ],
    )
    pacs, cloud = destinations_shown(archive, settings)
    assert (pacs.state, pacs.way, cloud.way) == ("unused", "C-STORE", "STOW-RS")
    decide(archive, "1", "2", "reported", "delivery-postponed", "It is busy.", destination="pacs")
    (pacs, _) = destinations_shown(archive, settings)
    assert (pacs.state, pacs.last_failure_reasons) == ("failing", ("It is busy.",))
    decide(archive, "1", "2", "reported", "delivered-to", destination="pacs")
    decide(archive, "1", "2", "failed", "delivery-parked", "No.", destination="cloud")
    assert [one.state for one in destinations_shown(archive, settings)] == ["ok", "refusing"]


def test_settings_in_force_hide_secrets_and_mark_what_was_set(tmp_path: Path) -> None:
    cloud = {"name": "c", "url": "https://c.example.org", "secret_env": "CLOUD_TOKEN"}
    told = settings_shown(Settings(home=tmp_path, assembly={"quiet_s": 5}, destinations=[cloud]))
    by_key = {one.key: one for section in told for one in section.settings}
    quiet = by_key["assembly.quiet_s"]
    assert (quiet.value, quiet.is_default) == ("5.0", False)
    assert by_key["listen.port"].is_default
    assert by_key["destinations[1].secret_env"].value == "CLOUD_TOKEN"
    assert by_key["home"].value == str(tmp_path)
    for key, value in (
        ("users[1].password", "x"),
        ("a.token", SecretStr("x")),
        ("a.scrypt_hash", "x"),
    ):
        assert said(key, value) == HIDDEN


def _block(pet: list[Dataset]) -> Any:
    import numpy as np

    marked = np.zeros((len(pet), pet[0].Rows, pet[0].Columns), bool)
    marked[2:4, 5:9, 5:9] = True
    return marked
