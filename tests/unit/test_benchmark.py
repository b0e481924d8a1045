"""The benchmark measures what can be measured without the tools of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench import __main__ as bench


def test_without_storescu_only_the_rows_of_c_store_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def node(_: Path) -> Iterator[tuple[int, float]]:
        yield 0, 0.5

    monkeypatch.setattr(bench, "pacsnode", lambda *_: None)
    monkeypatch.setattr(bench, "OBJECTS", 4)
    monkeypatch.setattr(bench, "CASES", 1)
    monkeypatch.setattr(bench, "node", node)
    monkeypatch.setattr(bench, "dcmtk_storescu", lambda: None)
    told = dict(bench.figures(tmp_path))
    assert told["C-STORE"] == "storescu is not installed"
    assert [what for what in told if what.startswith("C-STORE")] == ["C-STORE"]
    assert told["serve: to the first C-ECHO"] == "0.50 s"
    assert told["replay, 1 worker(s)"].endswith("s a case")
    assert told["replay, 2 worker(s)"].endswith("s a case")
