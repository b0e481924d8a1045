"""The journal folded into numbers, readiness, and names that strangers may not multiply."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pacsnode.intake import acceptance
from pacsnode.jobs.bookmark import BOOKMARK, Bookmark
from pacsnode.jobs.model_status import ModelStatus, write_model_status
from pacsnode.monitoring.folding import OUTCOMES
from pacsnode.monitoring.readiness import Readiness
from pacsnode.monitoring.table import METRICS, SUFFIXES
from pacsnode.monitoring.telling import Monitor, Node
from pacsnode.settings import Settings
from pacsnode.tallies import MOST_STRANGERS, FewNames, Tallies
from pacsnode.web import storing
from storage.archive import Archive
from storage.archive.door import INDEX_FILE
from storage.records import CaseState, Decision
from tests.encoded import encoded
from tests.makers import make_ct

ROOT = Path(__file__).resolve().parents[2]
CT = make_ct(study="folded")
STUDY = str(CT[0].StudyInstanceUID)
PACS = {"destinations": ["pacs"], "sr": "1.2.9"}


class Worker:
    """A worker as the node knows it."""

    pid: int | None = 4711
    started_at_s = 0.0
    starts = 1


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


def settings_in(home: Path, **more: Any) -> Settings:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "192.0.2.1", "port": 104}
    return Settings(home=home, destinations=[pacs], **more)


def numbers(archive: Archive, home: Path) -> Mapping[tuple[str, ...], float]:
    """Every sample by name and label values, read afresh as a new process would."""
    text, _ = Monitor(archive, settings_in(home), Node.alone()).text("")
    return samples(text)


def samples(text: bytes) -> Mapping[tuple[str, ...], float]:
    """By name and label values, these in the alphabetical order of the labels."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def write(
    archive: Archive,
    state: str,
    code: str,
    ago_s: float = 0,
    mask: str | None = "1.2.3",
    **facts: Any,
) -> None:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    archive.write_down(Decision(STUDY, mask, cast(CaseState, state), code, (), at, facts))


def test_what_is_known_beforehand_is_told_from_zero_on(archive: Archive, tmp_path: Path) -> None:
    """An increase from nothing to one is none to Prometheus."""
    told = numbers(archive, tmp_path)
    for door, reasons in (("dimse", acceptance.REASONS), ("stow", storing.REASONS)):
        for reason in reasons.values():
            assert told["pacsnode_refusals_total", door, reason] == 0
    for outcome in OUTCOMES.values():
        assert told["pacsnode_deliveries_total", "pacs", outcome] == 0
    for how in ("released", "aborted"):
        assert told["pacsnode_associations_ended_total", how] == 0
    page = (ROOT / "docs" / "reference" / "monitoring.md").read_text("utf-8")
    row = next(line for line in page.splitlines() if "`pacsnode_associations_refused_" in line)
    for reason in re.findall(r"`([a-z-]+)`", row):
        assert told["pacsnode_associations_refused_total", reason] == 0


def test_a_stage_is_as_old_as_its_oldest_mask_has_been_in_it(
    archive: Archive, tmp_path: Path
) -> None:
    write(archive, "waiting", "no-pet", 500, mask="1.2.4")
    write(archive, "waiting", "not-quiet", 300, mask="1.2.4")  # another reason, the same stage
    write(archive, "waiting", "no-pet", 90)
    write(archive, "ready", "ready", 60, seed="a")
    told = numbers(archive, tmp_path)
    assert told["pacsnode_queue_age_seconds", "waiting"] == pytest.approx(500, abs=5)
    assert told["pacsnode_queue_age_seconds", "ready"] == pytest.approx(60, abs=5)
    assert told["pacsnode_queue_age_seconds", "running"] == 0
    assert told["pacsnode_queue_length", "waiting"] == 1
    assert told["pacsnode_masks", "not-quiet", "waiting"] == 1
    assert ("pacsnode_masks", "no-pet", "waiting") not in told


def test_objects_that_no_worker_looks_at_grow_old(archive: Archive, tmp_path: Path) -> None:
    for one in CT[:2]:
        archive.keep(encoded(one), transfer_syntax_uid="1.2.840.10008.1.2.1")
    time.sleep(0.2)
    assert numbers(archive, tmp_path)["pacsnode_queue_age_seconds", "arrived"] >= 0.2
    cursor, _ = archive.changed_since(0)
    Bookmark(tmp_path / BOOKMARK, archive.root / INDEX_FILE).write(0, looked=cursor)
    assert numbers(archive, tmp_path)["pacsnode_queue_age_seconds", "arrived"] == 0


def test_a_study_is_stuck_that_failed_or_waits_without_explanation(
    archive: Archive, tmp_path: Path
) -> None:
    write(archive, "failed", "defect", mask=None)
    assert numbers(archive, tmp_path)["pacsnode_studies_stuck", "failed"] == 1
    write(archive, "running", "running", 4000)
    told = numbers(archive, tmp_path)
    assert told["pacsnode_studies_stuck", "failed"] == 0  # it could be looked at after all
    assert told["pacsnode_studies_stuck", "running"] == 1
    write(archive, "refused", "no-pet")
    told = numbers(archive, tmp_path)
    assert told["pacsnode_studies_stuck", "running"] == 0
    assert told["pacsnode_masks", "no-pet", "refused"] == 1


def test_a_fault_of_a_study_counts_until_one_of_its_masks_has_a_line(
    archive: Archive, tmp_path: Path
) -> None:
    write(archive, "failed", "defect", mask=None)
    assert numbers(archive, tmp_path)["pacsnode_masks", "defect", "failed"] == 1
    write(archive, "waiting", "waiting")
    assert numbers(archive, tmp_path).get(("pacsnode_masks", "defect", "failed"), 0) == 0
    write(archive, "failed", "defect", mask=None)
    assert numbers(archive, tmp_path)["pacsnode_masks", "defect", "failed"] == 1


def test_a_repeated_line_counts_once(archive: Archive, tmp_path: Path) -> None:
    """News of an earlier report is followed by the line that the mask stands at."""
    write(archive, "ready", "ready", 9, seed="a")
    write(archive, "reported", "reported", 8, seed="a", lesions=2, elapsed_s=1.5, **PACS)
    write(archive, "reported", "delivery-postponed", 7, seed="a", destination="pacs", **PACS)
    write(archive, "reported", "reported", 6, seed="b", lesions=3, elapsed_s=2.5, **PACS)
    told = numbers(archive, tmp_path)
    assert told["pacsnode_deliveries_waiting", "pacs"] == 2
    write(archive, "reported", "delivered-to", 5, seed="a", destination="pacs", **PACS)
    write(archive, "reported", "reported", 5, seed="b", lesions=3, elapsed_s=2.5, **PACS)
    write(archive, "failed", "delivery-parked", 4, seed="b", destination="pacs", **PACS)
    told = numbers(archive, tmp_path)
    assert told["pacsnode_reports_total",] == 2
    assert told["pacsnode_lesions_described_total",] == 5
    assert told["pacsnode_reporting_seconds_total",] == 4.0
    for outcome in ("delivered", "postponed", "parked"):
        assert told["pacsnode_deliveries_total", "pacs", outcome] == 1
    assert told["pacsnode_deliveries_waiting", "pacs"] == 0
    assert told["pacsnode_studies_stuck", "failed"] == 1


def test_what_a_person_holds_or_cancels_waits_for_nothing_of_ours(
    archive: Archive, tmp_path: Path
) -> None:
    two = {"destinations": ["pacs", "cloud"], "sr": "1.2.9"}
    write(archive, "reported", "reported", 4000, seed="a", **two)
    told = numbers(archive, tmp_path)
    assert told["pacsnode_queue_length", "delivering"] == 2
    assert told["pacsnode_studies_stuck", "delivering"] == 1
    assert told["pacsnode_queue_age_seconds", "delivering"] == pytest.approx(4000, abs=5)
    write(archive, "reported", "delivery-held", 3000, seed="a", destination="cloud", **two)
    assert ("pacsnode_deliveries_waiting", "cloud") not in numbers(archive, tmp_path)
    write(archive, "cancelled", "cancelled", 2000)
    told = numbers(archive, tmp_path)
    assert told["pacsnode_queue_length", "delivering"] == 0
    assert told["pacsnode_studies_stuck", "delivering"] == 0
    assert told["pacsnode_deliveries_total", "cloud", "held"] == 1


def test_a_report_that_waits_again_after_a_cancellation_is_counted_again(
    archive: Archive, tmp_path: Path
) -> None:
    def waiting() -> float:
        return numbers(archive, tmp_path).get(("pacsnode_deliveries_waiting", "pacs"), 0)

    def postponed(ago_s: float) -> None:
        told = {"seed": "a", "destination": "pacs", **PACS}
        write(archive, "reported", "delivery-postponed", ago_s, **told)

    write(archive, "reported", "reported", 4000, seed="a", **PACS)
    postponed(3900)
    assert waiting() == 1
    write(archive, "cancelled", "cancelled", 3000)
    assert waiting() == 0
    write(archive, "reported", "retry-asked", 2000, seed="a", **PACS)
    postponed(1000)
    assert waiting() == 1


def test_latency_is_counted_from_the_last_object_before_the_report(
    archive: Archive, tmp_path: Path
) -> None:
    monitor = Monitor(archive, settings_in(tmp_path), Node.alone(), lasts_s=0)
    one, late, ours = (encoded(each) for each in CT[:3])
    syntax = "1.2.840.10008.1.2.1"
    archive.keep(one, transfer_syntax_uid=syntax)
    time.sleep(0.3)
    archive.keep(ours, transfer_syntax_uid=syntax, calling_ae="PACSNODE")
    write(archive, "ready", "ready", seed="a")
    archive.keep(late, transfer_syntax_uid=syntax)
    write(archive, "reported", "reported", seed="a", **PACS)
    write(archive, "reported", "delivered-to", seed="a", destination="pacs", **PACS)
    told = samples(monitor.text("")[0])
    assert told["pacsnode_report_latency_seconds_count", "pacs"] == 1
    assert 0.3 <= told["pacsnode_report_latency_seconds_sum", "pacs"] < 5
    # what was delivered before this process began is no observation of its own
    later = numbers(archive, tmp_path)
    assert ("pacsnode_report_latency_seconds_count", "pacs") not in later
    assert later["pacsnode_deliveries_total", "pacs", "delivered"] == 1


def test_a_journal_is_read_in_pieces_and_told_once_it_is_whole(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(30):
        write(archive, "refused", "no-pet", mask=f"1.2.{n}")
    monkeypatch.setattr("pacsnode.monitoring.folding.AT_ONCE", 10)
    monkeypatch.setattr("pacsnode.monitoring.telling.READS_FOR_S", -1.0)
    monitor = Monitor(archive, settings_in(tmp_path), Node.alone(), lasts_s=0)
    for _ in range(3):
        told = samples(monitor.text("")[0])
        assert told["pacsnode_journal_read",] == 0
        assert ("pacsnode_masks", "no-pet", "refused") not in told
    assert samples(monitor.text("")[0])["pacsnode_masks", "no-pet", "refused"] == 30


def test_strangers_may_invent_only_so_many_names() -> None:
    tallies = Tallies(["SCANNER"])
    for n in range(MOST_STRANGERS + 20):
        tallies.association_accepted(f"STRANGER{n}")
    tallies.association_accepted("SCANNER")
    told = tallies.all("associations_accepted")
    assert len(told) == MOST_STRANGERS + 2
    assert told["other",] == 20
    assert told["SCANNER",] == 1
    assert FewNames().of('A"B\n\u00e9') == 'A"B??'


def readiness(archive: Archive, settings: Settings, worker: Worker) -> Mapping[str, str | None]:
    """The reasons of the checks that failed."""
    checks = Readiness(archive, settings, worker, lambda: True).checks()
    return {one.name: one.reason for one in checks if not one.passed}


def test_readiness_names_what_is_missing(archive: Archive, tmp_path: Path) -> None:
    worker = Worker()
    settings = settings_in(tmp_path)
    assert readiness(archive, settings, worker).keys() == {"worker"}  # it has not begun
    Bookmark(tmp_path / BOOKMARK, archive.root / INDEX_FILE).write(0, looked=0)
    assert readiness(archive, settings, worker) == {}
    worker.started_at_s = time.time() + 60
    assert "has not begun" in str(readiness(archive, settings, worker)["worker"])
    worker.pid = None
    assert "does not run" in str(readiness(archive, settings, worker)["worker"])


def test_readiness_tells_for_an_hour_that_the_worker_was_started_anew(
    archive: Archive, tmp_path: Path
) -> None:
    worker, settings = Worker(), settings_in(tmp_path)
    Bookmark(tmp_path / BOOKMARK, archive.root / INDEX_FILE).write(0, looked=0)
    reasons = []
    for starts, ago_s in ((1, 60), (3, 60), (3, 3700)):
        worker.starts, worker.started_at_s = starts, time.time() - ago_s
        checks = Readiness(archive, settings, worker, lambda: True).checks()
        assert all(one.passed for one in checks)
        reasons += [one.reason for one in checks if one.name == "worker"]
    assert reasons[0] is reasons[2] is None
    assert "started anew" in str(reasons[1])
    assert "start 3 since" in str(reasons[1])


def test_readiness_tells_of_a_worker_that_hangs_and_of_a_full_disk(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "archive", reserve_bytes=1 << 60) as archive:
        path = tmp_path / BOOKMARK
        Bookmark(path, archive.root / INDEX_FILE).write(0, looked=0)
        os.utime(path, (time.time() - 500,) * 2)
        reasons = readiness(archive, settings_in(tmp_path), Worker())
        assert "no sign of life" in str(reasons["worker"])
        assert "reserve" in str(reasons["archive"])
        assert list((archive.root / "incoming").iterdir()) == []


def test_readiness_tells_why_a_model_cannot_run(archive: Archive, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, describe={"describer": "petar", "model": tmp_path})
    Bookmark(tmp_path / BOOKMARK, archive.root / INDEX_FILE).write(0, looked=0)
    assert "not loaded" in str(readiness(archive, settings, Worker())["model"])
    write_model_status(tmp_path, ModelStatus("waiting", "petar", "the folder is empty"))
    assert "the folder is empty" in str(readiness(archive, settings, Worker())["model"])
    write_model_status(tmp_path, ModelStatus("ready", "petar", None, "4b", "ab" * 32))
    assert readiness(archive, settings, Worker()) == {}
    text, _ = Monitor(archive, settings, Node.alone()).text("")
    assert re.search(rb'pacsnode_model_info{.*weights="abababababab".*} 1.0', text)


def test_every_metric_is_documented_with_its_labels_and_source() -> None:
    page = (ROOT / "docs" / "reference" / "monitoring.md").read_text("utf-8")
    for metric in METRICS:
        shown = metric.name + SUFFIXES[metric.kind][0].replace("_bucket", "")
        row = next((line for line in page.splitlines() if line.startswith(f"| `{shown}`")), None)
        assert row is not None, f"{shown} is not in docs/reference/monitoring.md"
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1:3] == [", ".join(metric.labels), metric.source], shown
