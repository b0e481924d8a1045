"""Stored values bit for bit in every transfer syntax; nothing a peer sends brings us down."""

import base64
import os
import resource
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from engine.errors import EngineError, Unreadable
from engine.reading import decoding
from engine.reading.pixels import pixel_format, stored_planes
from engine.reading.slices import read_stack
from tests.conftest import find_peer
from tests.makers import make_pet, save

J, I = np.mgrid[0:12, 0:16]  # noqa: E741 - rows and columns
FORMULA = (7 * I * I + 131 * J) % 4096 - 1024

# FORMULA as int16, encoded reversibly by OpenJPH 0.26.3; our own decoders cannot encode HTJ2K.
HTJ2K_CODESTREAM = base64.b64decode(
    "/0//UQApQAAAAAAQAAAADAAAAAAAAAAAAAAAEAAAAAwAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB"
    "/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAKgAAf+TwAAlzwGHdAAA"
    "wAATQAATAAb9Aod0AML4Awd0AMAAFTAABMDffMMTTwFCtADJ5AAiNADAABaUAAFW977vjRs+fd73hs8M/mIIsbcATDLJ"
    "JJPAQgG+tgDAAC6mAAFpgO1u27ZtQwMlZbvbtm3b0EBJ2e62bds2NFBS/gztfrL52v1lwisbMb4ABAkICAgICAj++gxg"
    "e/Yxgey6AP/Z"
)


def image(**attributes: object) -> Dataset:
    """One PET slice that stores FORMULA."""
    made = make_pet(np.ones((1, 12, 16)), RescaleSlope="1", **attributes)[0]
    made.PixelData = FORMULA.astype("<i2").tobytes()
    return made


def stored(paths: list[Path]) -> np.ndarray:
    stack = read_stack(paths)
    planes = dict(stored_planes(stack))
    return np.stack([planes[k] for k in range(len(stack.slices))])


def refusal_of(paths: list[Path]) -> Unreadable:
    with pytest.raises(Unreadable) as refusal:
        stored(paths)
    return refusal.value


def write(dataset: Dataset, folder: Path, syntax: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    path = folder / "image.dcm"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return [path]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, None])
def test_native_little_endian(tmp_path: Path, syntax: str | None) -> None:
    made = image()
    paths = write(made, tmp_path, syntax or made.file_meta.TransferSyntaxUID)
    assert np.array_equal(stored(paths)[0], FORMULA)


def test_native_big_endian(tmp_path: Path) -> None:
    source = save(image(), tmp_path)[0]
    big = tmp_path / "big.dcm"
    subprocess.run([find_peer("dcmconv"), "+tb", source, big], check=True)
    assert dcmread(big).file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    assert np.array_equal(stored([big])[0], FORMULA)


@pytest.mark.parametrize(
    ("program", "options", "syntax"),
    [
        ("dcmcrle", [], RLELossless),
        ("dcmcjpeg", ["+e1"], JPEGLosslessSV1),
        ("dcmcjpls", [], JPEGLSLossless),
    ],
)
def test_compressed_by_dcmtk(tmp_path: Path, program: str, options: list[str], syntax: str) -> None:
    rng = np.random.default_rng(7)
    values = rng.uniform(0, 9000, (4, 24, 20))
    made = make_pet(values)
    packed = []
    for path in save(made, tmp_path / "native"):
        packed.append(tmp_path / path.name)
        subprocess.run([find_peer(program), *options, path, packed[-1]], check=True)
    assert dcmread(packed[0]).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(stored(packed), [each.pixel_array for each in made])


def test_jpeg_2000(tmp_path: Path) -> None:
    made = make_pet(np.random.default_rng(3).uniform(0, 9000, (1, 64, 80)))[0]
    native = made.pixel_array
    made.compress(JPEG2000Lossless, generate_instance_uid=False)
    assert np.array_equal(stored(save(made, tmp_path))[0], native)


def test_htj2k(tmp_path: Path) -> None:
    made = image()
    made.PixelData = encapsulate([HTJ2K_CODESTREAM])
    made["PixelData"].VR = "OB"
    assert np.array_equal(stored(write(made, tmp_path, HTJ2KLossless))[0], FORMULA)


def test_real_jpeg_lossless_as_dcmtk_decodes_it(data: Path, tmp_path: Path) -> None:
    source = data / "pet_single" / "GE_DiscoveryST_BQML_jpegll_GEprivate.dcm"
    native = tmp_path / "native.dcm"
    subprocess.run([find_peer("dcmdjpeg"), source, native], check=True)
    assert np.array_equal(stored([source])[0], dcmread(native).pixel_array)


def test_frames_of_a_compressed_multi_frame_file(tmp_path: Path) -> None:
    from highdicom.legacy import LegacyConvertedEnhancedPETImage

    made = make_pet(np.random.default_rng(1).uniform(0, 100, (3, 8, 9)), PixelRepresentation=0)
    converted = LegacyConvertedEnhancedPETImage(
        made[::-1], series_instance_uid="2.25.1", series_number=1, sop_instance_uid="2.25.2",
        instance_number=1, transfer_syntax_uid=JPEGLSLossless,
    )  # fmt: skip
    paths = save(converted, tmp_path)
    assert dcmread(paths[0]).file_meta.TransferSyntaxUID == JPEGLSLossless
    assert np.array_equal(stored(paths), [each.pixel_array for each in made])


@pytest.mark.parametrize(("is_signed", "shift"), [(0, 0), (1, 0), (0, 4), (1, 4)])
def test_unused_bits_are_not_values(tmp_path: Path, is_signed: int, shift: int) -> None:
    """Twelve bits of sixteen; older objects keep overlays in the rest (PS3.5 8.1.1)."""
    twelve = (FORMULA + (0 if is_signed else 1024)).astype(np.int32)
    cells = ((twelve & 0xFFF) << shift) | (0x1 << shift >> 1) | (0x5000 if shift == 0 else 0)
    made = image(BitsStored=12, HighBit=11 + shift, PixelRepresentation=is_signed)
    made.PixelData = cells.astype("<u2").tobytes()
    wrapped = (twelve + 2048) % 4096 - 2048 if is_signed else twelve
    assert np.array_equal(stored(save(made, tmp_path))[0], wrapped)


@pytest.mark.parametrize("stated_bits", [8, 32])
def test_other_cell_sizes(tmp_path: Path, stated_bits: int) -> None:
    values = FORMULA % 256 if stated_bits == 8 else FORMULA * 100_000
    made = image(
        BitsAllocated=stated_bits, BitsStored=stated_bits, HighBit=stated_bits - 1,
        PixelRepresentation=0 if stated_bits == 8 else 1,
    )  # fmt: skip
    made.PixelData = values.astype("<u1" if stated_bits == 8 else "<i4").tobytes()
    assert np.array_equal(stored(save(made, tmp_path))[0], values)


@pytest.mark.parametrize("lost", [1, 2, 100, 384])
def test_a_file_cut_short(tmp_path: Path, lost: int) -> None:
    paths = save(image(), tmp_path)
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-lost])
    refusal = refusal_of(paths)
    assert refusal.code == "truncated-pixel-data"
    assert str(dcmread(paths[0], stop_before_pixels=True).SOPInstanceUID) in str(refusal)


def test_no_beginning_of_a_file_passes_for_the_whole(tmp_path: Path) -> None:
    path = save(image(), tmp_path)[0]
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 11), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(EngineError):
            stored([path])


@pytest.mark.parametrize("lost", [8, 9, 150])  # from the Sequence Delimitation Item backwards
def test_no_beginning_of_a_compressed_file_passes_for_the_whole(tmp_path: Path, lost: int) -> None:
    made = image()
    made.PixelData = encapsulate([HTJ2K_CODESTREAM])
    made["PixelData"].VR = "OB"
    paths = write(made, tmp_path, HTJ2KLossless)
    paths[0].write_bytes(paths[0].read_bytes()[:-lost])
    assert refusal_of(paths).code == "undecodable"


def test_fewer_pixels_than_the_size_says(tmp_path: Path) -> None:
    assert refusal_of(save(image(Rows=13), tmp_path)).code == "truncated-pixel-data"


def test_twice_the_pixels_the_size_says(tmp_path: Path) -> None:
    made = image()
    made.PixelData = made.PixelData * 2
    assert refusal_of(save(made, tmp_path)).code == "overlong-pixel-data"


def test_padding_is_accepted(tmp_path: Path) -> None:
    made = image()
    made.PixelData = made.PixelData + b"\0\0"
    assert np.array_equal(stored(save(made, tmp_path))[0], FORMULA)


def test_no_pixel_data(tmp_path: Path) -> None:
    made = image()
    del made.PixelData
    assert refusal_of(save(made, tmp_path)).code == "no-pixel-data"


@pytest.mark.parametrize(
    ("code", "attributes"),
    [
        ("not-monochrome", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        ("not-monochrome", {"PhotometricInterpretation": "PALETTE COLOR"}),
        ("bad-pixel-format", {"BitsAllocated": 12}),
        ("bad-pixel-format", {"BitsStored": 17}),
        ("bad-pixel-format", {"HighBit": 10}),
        ("bad-pixel-format", {"BitsStored": 0}),
    ],
)
def test_pixels_we_do_not_read(tmp_path: Path, code: str, attributes: dict[str, object]) -> None:
    assert refusal_of(save(image(**attributes), tmp_path)).code == code


def test_a_transfer_syntax_we_do_not_read(tmp_path: Path) -> None:
    made = image()
    made.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    made["PixelData"].VR = "OB"
    refusal = refusal_of(write(made, tmp_path, JPEGBaseline8Bit))
    assert refusal.code == "unknown-transfer-syntax"


def test_a_deflated_dataset_is_refused_unopened(tmp_path: Path) -> None:
    """300 MB of nothing in 300 KB."""
    made = image()
    made.ImageComments = "0" * 1000
    paths = write(made, tmp_path, DeflatedExplicitVRLittleEndian)
    assert refusal_of(paths).code == "deflated-dataset"


def test_a_bomb_stays_in_the_child(tmp_path: Path) -> None:
    """An RLE frame of 16 pixels that unpacks to 80 MB: it gives 16 pixels or none."""
    plane = bytes([129, 0]) * 300_000  # 128 zeros each
    header = np.array([2, 64, 64 + len(plane)] + [0] * 13, "<u4").tobytes()
    made = image(Rows=4, Columns=4)
    made.PixelData = encapsulate([header + plane + plane])
    made["PixelData"].VR = "OB"
    paths = write(made, tmp_path, RLELossless)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        assert stored(paths).tolist() == np.zeros((1, 4, 4)).tolist()
    except Unreadable as refusal:
        assert refusal.code == "undecodable"  # noqa: PT017 - either will do
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 32 * 1024


def test_a_child_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_BASE_MEMORY_BYTES", 320 * 2**20)
    plane = bytes([129, 0]) * 900_000
    header = np.array([2, 64, 64 + len(plane)] + [0] * 13, "<u4").tobytes()
    made = image(Rows=4, Columns=4)
    made.PixelData = encapsulate([header + plane + plane])
    made["PixelData"].VR = "OB"
    assert refusal_of(write(made, tmp_path, RLELossless)).code == "undecodable"


@pytest.mark.parametrize("syntax", [HTJ2KLossless, JPEGLosslessSV1, JPEGLSLossless])
def test_a_size_within_the_frame_that_is_not_the_stated_one(tmp_path: Path, syntax: str) -> None:
    """As many pixels, the other way round: decoders would reshape them in silence."""
    made = image()
    if syntax == HTJ2KLossless:
        made.PixelData = encapsulate([HTJ2K_CODESTREAM])
        made["PixelData"].VR = "OB"
        paths = write(made, tmp_path, syntax)
    else:
        program = "dcmcjpls" if syntax == JPEGLSLossless else "dcmcjpeg"
        paths = [tmp_path / "packed.dcm"]
        native = save(made, tmp_path / "native")[0]
        subprocess.run([find_peer(program), native, paths[0]], check=True)
    lying = dcmread(paths[0])
    assert np.array_equal(stored(paths)[0], FORMULA)
    lying.Rows, lying.Columns = 16, 12
    lying.save_as(paths[0])
    refusal = refusal_of(paths)
    assert refusal.code == "undecodable"
    assert "ValueError" in str(refusal)


def test_rubbish_for_every_decoder(tmp_path: Path) -> None:
    rubbish = np.random.default_rng(11).bytes(400)
    for syntax in (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless):
        made = image()
        made.PixelData = encapsulate([rubbish])
        made["PixelData"].VR = "OB"
        refusal = refusal_of(write(made, tmp_path, syntax))
        assert refusal.code == "undecodable", syntax


def test_a_huge_size_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    made = image()
    made.Rows = made.Columns = 32000
    made.PixelData = encapsulate([HTJ2K_CODESTREAM])
    made["PixelData"].VR = "OB"
    began = time.monotonic()
    assert refusal_of(write(made, tmp_path, HTJ2KLossless)).code == "undecodable"
    assert time.monotonic() - began < 20


def _child(tmp_path: Path, body: str) -> Path:
    program = tmp_path / "child.py"
    program.write_text(f"import os, signal, sys, time\n{body}\n")
    return program


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("time.sleep(60)", "too long"),
        ("sys.exit(0)", "stopped early"),
        ("sys.stderr.write('MemoryError'); sys.exit(1)", "MemoryError"),
        ("sys.stdout.buffer.write(bytes(100_000))", "stopped early"),
    ],
)
def test_a_decoder_that_dies_hangs_or_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    """Decoders cannot be made to crash on demand, so other programs stand in for them."""
    made = image()
    made.compress(RLELossless, generate_instance_uid=False)
    paths = save(made, tmp_path / "image")
    monkeypatch.setattr(decoding, "_CHILD", _child(tmp_path, body))
    monkeypatch.setattr(decoding, "_SECONDS", 1.0)
    refusal = refusal_of(paths)
    assert refusal.code == "undecodable"
    assert why in str(refusal)


def test_the_file_that_fails_is_named_among_many(tmp_path: Path) -> None:
    made = make_pet(np.random.default_rng(2).uniform(0, 9, (4, 8, 8)))
    for each in made:
        each.compress(RLELossless, generate_instance_uid=False)
    made[2].PixelData = encapsulate([b"\0" * 70])
    assert made[2].SOPInstanceUID in str(refusal_of(save(made, tmp_path)))


def test_a_series_larger_than_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_pet(np.random.default_rng(2).uniform(0, 9, (5, 8, 8)))
    native = np.stack([each.pixel_array for each in made])
    for each in made:
        each.compress(RLELossless, generate_instance_uid=False)
    monkeypatch.setattr(decoding, "_BATCH_BYTES", 2 * 128)
    assert np.array_equal(stored(save(made, tmp_path)), native)


def test_the_child_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACSNODE_CANARY", "sings")
    body = "sys.stderr.write(' '.join(os.environ)); sys.exit(1)"
    monkeypatch.setattr(decoding, "_CHILD", _child(tmp_path, body))
    made = image()
    made.compress(RLELossless, generate_instance_uid=False)
    refusal = refusal_of(save(made, tmp_path / "image"))
    assert "OMP_NUM_THREADS" in str(refusal)
    assert "PACSNODE" not in str(refusal)
    assert os.environ["PACSNODE_CANARY"] == "sings"


def test_the_format_is_what_the_header_says(tmp_path: Path) -> None:
    stack = read_stack(save(image(), tmp_path))
    form = pixel_format(stack.slices[0].instance)
    assert (form.shape, form.frame_bytes, form.dtype().str) == ((1, 12, 16), 384, "<i2")
