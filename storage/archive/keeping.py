"""How an object comes to be kept: judged against what is there, durable as a file, then a row."""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from storage.archive.patients import PatientDigests
from storage.catalog import Catalog, Entry
from storage.comparison import Encoded, compare
from storage.errors import DiskFault, IndexFault, Mismatch, Unkeepable
from storage.files import (
    Objects,
    Receipt,
    disk_errors,
    part10_header,
    read_part10,
    read_receipt,
)
from storage.header import Header, read_header, said
from storage.records import Instance, Kept, Outcome, Reference, Standing

LOG: Final = logging.getLogger("storage.archive")
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class _Arrival:
    header: Header
    sha256: str
    dataset: bytes
    size_bytes: int
    calling_ae: str | None
    received_at: datetime
    path: Path | None  # where it is read in place, or lies already


class _Verdict(NamedTuple):
    outcome: Outcome
    standing: Standing
    remark: str | None


class Keeper:
    """Takes objects in, one at a time for each SOP Instance UID."""

    def __init__(self, root: Path, catalog: Catalog, objects: Objects, patients: PatientDigests):
        self._root = root
        self._catalog = catalog
        self._objects = objects
        self._patients = patients
        self._turns = _Turns()

    def keep(
        self,
        dataset: bytes,
        transfer_syntax_uid: str,
        calling_ae: str | None,
        expected: Reference | None,
        judge: Callable[[Header], None],
    ) -> Kept:
        """An encoded dataset as it was sent."""
        header = read_header(dataset, transfer_syntax_uid)
        judge(header)
        if expected is not None:
            _match(expected, header)
        now = datetime.now(UTC)
        digest = hashlib.sha256(dataset).hexdigest()
        sender = _ae_title(calling_ae)
        arrival = _Arrival(header, digest, dataset, len(dataset), sender, now, None)
        with self._turns.of(header.sop_instance_uid):
            return self._settle(arrival, durable=False)

    def register(self, path: Path) -> Kept:
        """A file that stays where it is."""
        arrival = _read(path, calling_ae=None, received_at=datetime.now(UTC))
        with self._turns.of(arrival.header.sop_instance_uid):
            return self._settle(arrival, durable=True)

    def adopt(self, sha256: str) -> Kept:
        """A file of ours that no row names: as its own receipt says. Raises Unkeepable."""
        path = self._root / self._objects.path_of(sha256)
        with disk_errors():
            receipt = read_receipt(path.read_bytes())
            changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if receipt is None:
            receipt = Receipt(changed_at, None, "kept", None)
        arrival = _read(path, receipt.calling_ae, receipt.received_at)
        if arrival.sha256 != sha256:
            raise Unkeepable(f"The file {sha256}.dcm is damaged: its bytes have another digest")
        with self._turns.of(arrival.header.sop_instance_uid):
            if receipt.standing != "kept":
                return self._as_told(arrival, receipt)
            return self._settle(arrival, durable=True)

    def _as_told(self, arrival: _Arrival, receipt: Receipt) -> Kept:
        # judged when it came, against a first that may since be gone: the verdict stands
        outcome: Outcome = "quarantined" if receipt.standing == "quarantined" else "header-differs"
        verdict = _Verdict(outcome, receipt.standing, receipt.remark)
        instance = self._instance(arrival, verdict)
        in_the_way = self._catalog.add(_entry(instance, arrival.header))
        return Kept("same", in_the_way) if in_the_way else Kept(outcome, instance)

    def _settle(self, arrival: _Arrival, *, durable: bool) -> Kept:
        for _ in range(TRIES):
            first = None
            for known in self._catalog.known(arrival.sha256, arrival.header.sop_instance_uid):
                if known.sha256 == arrival.sha256:
                    return Kept("same", self._made_sure(known, arrival))
                first = known
            verdict = self._judge(first, arrival)
            if verdict.outcome == "same-pixels" and first is not None:
                self._withdraw(arrival)
                return Kept("same-pixels", first)
            instance = self._instance(arrival, verdict)
            if not durable or (verdict.standing != "kept" and self._is_ours(instance.path)):
                self._write(instance, arrival.dataset)
                durable = True
            in_the_way = self._catalog.add(_entry(instance, arrival.header))
            if in_the_way is None or _is_the_same_arrival(in_the_way, instance):
                return Kept(verdict.outcome, instance)
            # another process committed this UID meanwhile: look again, at what it committed
            if in_the_way.sha256 == arrival.sha256 and self._is_ours(in_the_way.path):
                self._write(in_the_way, arrival.dataset)  # our receipt replaced the one it tells
                return Kept("same", in_the_way)
            durable = False if self._is_ours(instance.path) else durable
        raise IndexFault("Other processes keep committing the same SOP Instance UID; try again")

    def _judge(self, first: Instance | None, arrival: _Arrival) -> _Verdict:
        if first is None:
            return _Verdict("new", "kept", None)
        difference = self._whose(first, arrival.header)
        if difference is None:
            ours = _undamaged(first)
            if ours is None:
                difference = "the first cannot be read to compare with"
            else:
                theirs = Encoded(arrival.dataset, 0, arrival.header.transfer_syntax_uid)
                likeness, remark = compare(ours, theirs)
                if likeness == "same":
                    return _Verdict("same-pixels", "kept", None)
                if likeness == "header-differs":
                    return _Verdict("header-differs", "header-differs", remark)
                difference = remark
        return _Verdict("quarantined", "quarantined", difference)

    def _whose(self, first: Instance, header: Header) -> str | None:
        """Whether the second claims to be of another study, patient or kind."""
        if header.study_instance_uid != first.study_instance_uid:
            return "it names another study than the first"
        if header.sop_class_uid != first.sop_class_uid:
            return "it is of another SOP class than the first"
        for before, now in (
            (first.patient_id_digest, self._patients.of_id(header.patient)),
            (first.patient_name_digest, self._patients.of_name(header.patient)),
        ):
            if before is not None and now is not None and before != now:
                return "it names another patient than the first"
        return None

    def _instance(self, arrival: _Arrival, verdict: _Verdict) -> Instance:
        header = arrival.header
        return Instance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            series_instance_uid=header.series_instance_uid,
            study_instance_uid=header.study_instance_uid,
            modality=header.modality,
            frame_of_reference_uid=header.frame_of_reference_uid,
            transfer_syntax_uid=header.transfer_syntax_uid,
            references=header.references,
            path=arrival.path or self._root / self._objects.path_of(arrival.sha256),
            size_bytes=arrival.size_bytes,
            sha256=arrival.sha256,
            calling_ae=arrival.calling_ae,
            received_at=arrival.received_at,
            standing=verdict.standing,
            patient_id_digest=self._patients.of_id(header.patient),
            patient_name_digest=self._patients.of_name(header.patient),
            attributes=header.attributes,
            remark=verdict.remark,
            referenced_series=header.referenced_series,
            extent_lps_mm=header.extent_lps_mm,
        )

    def _write(self, instance: Instance, dataset: bytes) -> None:
        receipt = Receipt(
            instance.received_at, instance.calling_ae, instance.standing, instance.remark
        )
        meta = part10_header(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax_uid,
            receipt,
        )
        self._objects.write(instance.sha256, meta, dataset)

    def _made_sure(self, known: Instance, arrival: _Arrival) -> Instance:
        """The known object, its bytes put back where the disk lost or changed them."""
        if _undamaged(known) is not None:
            return known
        if arrival.path is not None and not self._is_ours(known.path):
            self._catalog.move(known.sha256, arrival.path)
            return replace(known, path=arrival.path)
        self._write(known, arrival.dataset)
        LOG.warning("object-repaired", extra={"fields": {"sha256": known.sha256}})
        return known

    def _withdraw(self, arrival: _Arrival) -> None:
        # a file that lost a race, or an orphan: the first says all that it says
        if arrival.path is None or self._is_ours(arrival.path):
            self._objects.remove(self._objects.path_of(arrival.sha256))

    def _is_ours(self, path: Path) -> bool:
        return path.is_relative_to(self._root / "objects")


def _entry(instance: Instance, header: Header) -> Entry:
    return Entry(instance, header.is_image, header.queried)


def _undamaged(kept: Instance) -> Encoded | None:
    """The file of a kept object, if its bytes are still those that were acknowledged."""
    try:
        encoded, part10 = read_part10(kept.path)
    except (Unkeepable, DiskFault):
        return None
    dataset = memoryview(encoded)[part10.dataset_start :]
    if hashlib.sha256(dataset).hexdigest() != kept.sha256:
        return None
    return Encoded(encoded, part10.dataset_start, kept.transfer_syntax_uid)


def _read(path: Path, calling_ae: str | None, received_at: datetime) -> _Arrival:
    encoded, part10 = read_part10(path)
    dataset = encoded[part10.dataset_start :]
    header = read_header(dataset, part10.transfer_syntax_uid)
    digest = hashlib.sha256(dataset).hexdigest()
    return _Arrival(header, digest, dataset, len(dataset), calling_ae, received_at, path)


def _ae_title(text: str | None) -> str | None:
    """As group 0002 can hold it: the row and the file must tell the same."""
    if text is None:
        return None
    return text.encode("ascii", "replace")[:16].decode("ascii").strip() or None


def _match(expected: Reference, header: Header) -> None:
    for keyword, commanded, stated in (
        ("SOPClassUID", expected.sop_class_uid, header.sop_class_uid),
        ("SOPInstanceUID", expected.sop_instance_uid, header.sop_instance_uid),
    ):
        if commanded is not None and commanded != stated:
            raise Mismatch(f"The command names {keyword} {said(commanded)}, the dataset {stated}")


def _is_the_same_arrival(row: Instance, instance: Instance) -> bool:
    """Whether another process adopted our own file before we could commit its row."""
    return row.sha256 == instance.sha256 and row.received_at == instance.received_at


class _Turns:
    """One lock for each name in use, and none for the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        with self._lock:
            turn, count = self._waiting.get(name, (threading.Lock(), 0))
            self._waiting[name] = turn, count + 1
        try:
            with turn:
                yield
        finally:
            with self._lock:
                turn, count = self._waiting.pop(name)
                if count > 1:
                    self._waiting[name] = turn, count - 1
