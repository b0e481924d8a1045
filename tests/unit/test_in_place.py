"""Files that stay where they are: read and never written, found again when they moved."""

from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from storage.archive import Archive
from storage.errors import StorageError
from tests.encoded import encoded, part10_bytes
from tests.makers import make_pet

SLICES = make_pet()
BODIES = [encoded(one) for one in SLICES]


def test_in_place_files_stay_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for number, one in enumerate(SLICES):
        (folder / f"{number}").write_bytes(part10_bytes(one) if number % 2 else BODIES[number])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    with Archive.open_in_place(tmp_path / "index") as archive:
        outcomes = [archive.register(path).outcome for path in sorted(folder.iterdir())]
        assert outcomes == ["new"] * 8
        assert [archive.register(path).outcome for path in sorted(folder.iterdir())] == ["same"] * 8
        study = archive.study(SLICES[0].StudyInstanceUID)
        assert study is not None
        (series,) = study.series
        assert {one.path for one in series.instances} == set(folder.iterdir())
        with pytest.raises(StorageError):
            archive.keep(BODIES[0], transfer_syntax_uid=ExplicitVRLittleEndian)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    assert sorted(path.suffix for path in (tmp_path / "index").iterdir()) != []
    assert not (tmp_path / "index" / "objects").exists()


def test_a_file_that_moved_is_found_where_it_is_now(tmp_path: Path) -> None:
    old, new = tmp_path / "old.dcm", tmp_path / "new.dcm"
    old.write_bytes(part10_bytes(SLICES[0]))
    with Archive.open_in_place(tmp_path / "index") as archive:
        archive.register(old)
        old.rename(new)
        assert archive.register(new).outcome == "same"
        found = archive.instance(SLICES[0].SOPInstanceUID)
        assert found is not None
        assert found.path == new
