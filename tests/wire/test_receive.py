"""Objects that real senders send are kept as they came; bad ones get their status, no more."""

import gc
import io
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AllStoragePresentationContexts

from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive
from storage.errors import IndexFault, StorageFull
from storage.records import Kept
from tests.peers import echoscu, encoded_dataset, storescu
from tests.wire.node import Node, identity, listening
from tests.wire.sender import Sender

pytestmark = pytest.mark.wire

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = str(ImplicitVRLittleEndian)

REAL = {
    "pet, jpeg lossless": "pet_single/GE_DiscoveryST_BQML_jpegll_GEprivate.dcm",
    "pet": "quadra_headers/quadra_pet/0.dcm",
    "ct": "quadra_headers/quadra_ct/0.dcm",
    "rtstruct": "rtstruct_variety/rt.dcm",
    "seg, binary": "seg_variety/seg_image_ct_binary.dcm",
    "seg, fractional": "seg_variety/seg_image_ct_true_fractional.dcm",
    "seg, label map": "seg_variety/dcmqi_LABELMAP_noppv.dcm",
    "seg, rle": "seg_variety/liver_rle.dcm",
    "sr, highdicom": "sr_other_tools/highdicom_sr_document.dcm",
    "sr, dcmqi": "sr_other_tools/dcmqi_ct_liver/sr-tid1500-ct-liver-example.dcm",
}


def test_dcmtk_gets_its_echo(node: Node) -> None:
    assert echoscu(node.port).returncode == 0


def test_objects_of_every_kind_are_kept_byte_for_byte(node: Node, data: Path) -> None:
    for name in REAL.values():
        path = data / name
        sop_class, instance, _ = identity(path)
        with node.sender(path) as sender:
            assert sender.store(encoded_dataset(path)[0], sop_class, instance) == 0, name
    assert node.on_disk() == {encoded_dataset(data / name)[0] for name in REAL.values()}
    for path in (data / name for name in REAL.values()):
        _, instance, syntax = identity(path)
        kept = node.archive.instance(instance)
        assert kept is not None
        assert (kept.transfer_syntax_uid, kept.calling_ae) == (syntax, "SENDER")
        assert kept.path.read_bytes()[:128] == bytes(128)


def test_storescu_sends_each_kind_with_success(node: Node, data: Path) -> None:
    by_options = {("-R",): [], ("-R", "-xs"): [], ("-R", "-xr"): []}  # type: ignore[var-annotated]
    for kind, name in REAL.items():
        options = {"pet, jpeg lossless": ("-R", "-xs"), "seg, rle": ("-R", "-xr")}.get(
            kind, ("-R",)
        )
        if kind != "seg, label map":  # DCMTK 3.6.7 does not know the class
            by_options[options].append(data / name)
    for options, paths in by_options.items():
        sent = storescu(node.port, paths, options=options)
        assert sent.returncode == 0, sent.stderr[-600:]
    assert node.archive.counts()["kept"] == len(REAL) - 1


def test_a_series_spread_over_associations_arrives_whole(node: Node, data: Path) -> None:
    slices = sorted((data / "ibsi_sts" / "STS_003" / "CT").iterdir())[:48]
    assert slices
    parts = [slices[start::4] for start in range(4)]

    def send(paths: list[Path]) -> subprocess.CompletedProcess[str]:
        return storescu(node.port, paths, options=["-R", "-nh"])

    with ThreadPoolExecutor(4) as pool:
        assert [sent.returncode for sent in pool.map(send, parts)] == [0] * 4
    study = node.archive.study(str(dcmread(slices[0]).StudyInstanceUID))
    assert study is not None
    assert sorted(len(series.instances) for series in study.series) == [len(slices)]
    # everything again, by all four at once: nothing new
    with ThreadPoolExecutor(4) as pool:
        assert [sent.returncode for sent in pool.map(send, [slices] * 4)] == [0] * 4
    assert node.archive.counts()["kept"] == len(slices)


def test_every_syntax_is_accepted_where_it_is_the_first_choice(node: Node) -> None:
    syntaxes = [
        ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless,
        JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless,
        JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K,
    ]  # fmt: skip
    contexts = {2 * n + 1: (CT, [syntax]) for n, syntax in enumerate(syntaxes)}
    with Sender(node.port, contexts) as sender:
        assert [sender.accepted.get(context) for context in contexts] == syntaxes


def test_the_senders_preference_rules_and_deflated_is_refused(node: Node) -> None:
    proposed = {
        1: (CT, [JPEGLSLossless, ExplicitVRLittleEndian]),
        3: (CT, [DeflatedExplicitVRLittleEndian]),
        5: ("1.2.840.10008.5.1.4.1.2.2.1", [IMPLICIT]),
        7: ("1.3.12.2.1107.5.9.1", [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian]),
    }
    with Sender(node.port, proposed) as sender:
        assert sender.accepted[1] == JPEGLSLossless
        assert sender.results[3] == 4  # transfer syntaxes not supported (PS3.8 table 9-18)
        assert sender.results[5] == 3  # abstract syntax not supported
        assert sender.accepted[7] == ExplicitVRLittleEndian


def test_a_proposal_of_128_contexts_is_accepted_whole(node: Node) -> None:
    every = (str(context.abstract_syntax) for context in AllStoragePresentationContexts)
    images = [sop_class for sop_class in every if sop_class.startswith("1.2.840.10008.5.1.4.1.1.")]
    taken = [sop_class for sop_class in images if ".1.1.20" not in sop_class][:127]
    assert len(taken) == 127
    with Sender(
        node.port, {2 * n + 1: (sop_class, [IMPLICIT]) for n, sop_class in enumerate(taken)}
    ) as sender:
        assert len(sender.accepted) == 128


def test_a_private_class_is_kept_or_rejected_as_set(archive: Archive, data: Path) -> None:
    source = dcmread(data / REAL["ct"])
    source.SOPClassUID = "1.3.12.2.1107.5.9.1"
    source.SOPInstanceUID = "2.25.77"
    source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
    path = archive.root.parent / "private.dcm"
    source.save_as(path)
    encoded, syntax = encoded_dataset(path)
    with listening(archive) as node, node.sender(path) as sender:
        assert sender.store(encoded, source.SOPClassUID, "2.25.77") == 0
    with (
        listening(archive, other_objects="reject") as node,
        Sender(node.port, {1: (source.SOPClassUID, [syntax]), 3: (CT, [syntax])}) as sender,
    ):
        assert sender.results == {1: 3, 3: 0, 255: 0}


# what is wrong


def test_command_and_dataset_must_name_the_same_object(node: Node, data: Path) -> None:
    path = data / REAL["ct"]
    sop_class, instance, _ = identity(path)
    encoded, syntax = encoded_dataset(path)
    pet = "1.2.840.10008.5.1.4.1.1.128"
    with Sender(node.port, {1: (sop_class, [syntax]), 3: (pet, [syntax])}) as sender:
        assert sender.store(encoded, sop_class, instance + ".1") == 0xA900
        assert sender.store(encoded, pet, instance, context=3) == 0xA900
        assert node.on_disk() == set()
        assert sender.store(encoded, sop_class, instance) == 0
    assert node.on_disk() == {encoded}


def test_an_object_comes_in_the_context_of_its_class(archive: Archive, data: Path) -> None:
    """What `other_objects = reject` refuses cannot come in another class's context."""
    path = data / "seg_variety/seg_image_ct_binary.dcm"
    sop_class, instance, syntax = identity(path)
    encoded, _ = encoded_dataset(path)
    other = "1.2.840.10008.5.1.4.1.1.66.1"  # a registration
    disguised = encoded.replace(sop_class.encode(), other.encode(), 1)
    with (
        listening(archive, other_objects="reject") as node,
        Sender(node.port, {1: (CT, [syntax]), 3: (sop_class, [syntax])}) as sender,
    ):
        assert sender.store(encoded, sop_class, instance, context=1) == 0xA900
        assert sender.store(disguised, other, instance, context=1) == 0xA900
        assert node.on_disk() == set()
        assert sender.store(encoded, sop_class, instance, context=3) == 0


# such a command is a warning to pydicom; in tests, warnings are errors
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_uid_with_leading_zeros_is_taken_as_the_archive_takes_it(
    node: Node, data: Path, written_log: io.StringIO
) -> None:
    path = data / REAL["ct"]
    sop_class, instance, _ = identity(path)
    odd = instance[: -len(".0123")] + ".0123"
    encoded = encoded_dataset(path)[0].replace(instance.encode(), odd.encode())
    with node.sender(path) as sender:
        assert sender.store(encoded, sop_class, odd) == 0
        assert sender.store(encoded[:-1000], sop_class, odd) == 0xC000
    assert node.archive.instance(odd) is not None
    (refused,) = (
        line for line in map(json.loads, written_log.getvalue().splitlines())
        if line["event"] == "instance-refused"
    )  # fmt: skip
    assert refused["sop_instance_uid"] == odd


def test_every_malformed_file_gets_a_status_and_the_association_lives(
    node: Node, data: Path
) -> None:
    good = data / REAL["ct"]
    sop_class, instance, syntax = identity(good)
    statuses: dict[str, int] = {}
    contexts = {
        1: (CT, [IMPLICIT]), 3: (CT, [str(ExplicitVRLittleEndian)]), 5: (sop_class, [syntax]),
    }  # fmt: skip
    malformed = sorted((data / "malformed").rglob("*.dcm"))
    assert len(malformed) == 111
    with Sender(node.port, contexts) as sender:
        for path in malformed:
            encoded, named = roughly(path)
            statuses[path.name] = sender.store(encoded, CT, named, 3)
            statuses[path.name + " as implicit"] = sender.store(encoded, CT, named, 1)
        assert sender.echo() == 0
        assert sender.store(encoded_dataset(good)[0], sop_class, instance, 5) == 0
    assert echoscu(node.port).returncode == 0
    assert set(statuses.values()) <= {0x0000, 0xA900, 0xC000}
    assert set(statuses.values()) >= {0x0000, 0xC000}
    assert sum(node.archive.counts()[what] for what in ("kept", "header-differs", "quarantined"))


def roughly(path: Path) -> tuple[bytes, str]:
    """What a careless sender makes of a malformed file: its dataset, and a UID to call it by."""
    stored = path.read_bytes()
    try:
        encoded, _ = encoded_dataset(path)
        named = str(dcmread(path, force=True, stop_before_pixels=True).SOPInstanceUID)
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on these
        return stored, "1.2.3"
    is_uid = 0 < len(named) <= 64 and named.isascii()
    return encoded, named if is_uid else "1.2.3"


def test_storescu_survives_sending_the_malformed_files(node: Node, data: Path) -> None:
    sent = storescu(node.port, [data / "malformed"], options=["-R", "-nh"])
    assert "Releasing Association" in sent.stdout + sent.stderr
    assert echoscu(node.port).returncode == 0


class Failing:
    """An archive that fails as told, then keeps."""

    def __init__(self, archive: Archive, *errors: Exception) -> None:
        self.archive = archive
        self.errors = list(errors)

    def keep(self, *args: object, **kwargs: object) -> Kept:
        if self.errors:
            raise self.errors.pop(0)
        return self.archive.keep(*args, **kwargs)  # type: ignore[arg-type]


def test_a_full_disk_is_said_as_such_and_passes(archive: Archive, data: Path) -> None:
    path = data / REAL["ct"]
    sop_class, instance, _ = identity(path)
    encoded, _ = encoded_dataset(path)
    failing = Failing(
        archive, StorageFull("no space"), IndexFault("locked"), ZeroDivisionError("a bug")
    )
    with listening(failing) as node, node.sender(path) as sender:
        assert sender.store(encoded, sop_class, instance) == 0xA700
        assert sender.store(encoded, sop_class, instance) == 0xA700
        assert sender.store(encoded, sop_class, instance) == 0xC000
        assert archive.instance(instance) is None
        assert sender.store(encoded, sop_class, instance) == 0
    assert archive.instance(instance) is not None


def test_below_the_reserve_nothing_is_taken(tmp_path: Path, data: Path) -> None:
    path = data / REAL["ct"]
    sop_class, instance, _ = identity(path)
    with (
        Archive.open(tmp_path / "full", reserve_bytes=1 << 60) as archive,
        listening(archive) as node,
        node.sender(path) as sender,
    ):
        assert sender.store(encoded_dataset(path)[0], sop_class, instance) == 0xA700
        assert sender.echo() == 0
        assert node.on_disk() == set()


@pytest.mark.parametrize("how", ["abort", "close"])
def test_an_abort_in_mid_object_keeps_what_came_before_and_nothing_partial(
    how: str, node: Node, data: Path
) -> None:
    first, second = data / REAL["ct"], data / "quadra_headers/quadra_ct/1.dcm"
    encoded, _ = encoded_dataset(second)
    for stop_after in (0, 1, 1000, len(encoded) // 2, len(encoded) - 1):
        sender = node.sender(first)
        sop_class, instance, _ = identity(first)
        assert sender.store(encoded_dataset(first)[0], sop_class, instance) == 0
        sender.begin_store(encoded, *identity(second)[:2], stop_after=stop_after)
        if how == "abort":
            sender.abort()
        else:
            sender.connection.close()
    assert echoscu(node.port).returncode == 0
    assert node.on_disk() == {encoded_dataset(first)[0]}
    assert list((node.archive.root / "incoming").iterdir()) == []


def test_threads_stand_still_for_garbage_once_a_minute(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(archive, Listen(port=0))
    listener.start()
    try:
        server = listener._server
        assert server is not None
        collected: list[None] = []
        monkeypatch.setattr(gc, "collect", lambda: collected.append(None))
        server._collected_s = time.monotonic()
        for _ in range(1000):  # a hundred seconds of looks
            server.service_actions()
        assert not collected
        server._collected_s -= 61
        for _ in range(1000):
            server.service_actions()
        assert len(collected) == 1
    finally:
        listener.stop(grace_s=1)
