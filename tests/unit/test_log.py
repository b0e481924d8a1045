"""The log says UIDs and never a patient, in one line, whoever speaks."""

import ast
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode import log
from tests.conftest import ROOT

CANARY = "CANARY^PATIENT"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    names = ("", "pacsnode", "py.warnings", "pydicom", "pynetdicom")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    hook = threading.excepthook
    yield
    logging.captureWarnings(False)
    threading.excepthook = hook
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)
    log.event("instance-kept", sop_instance_uid="1.2.3", outcome="new", size_bytes=4)
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info", "event": "instance-kept", "sop_instance_uid": "1.2.3", "outcome": "new",
        "size_bytes": 4,
    }  # fmt: skip


def test_a_field_that_is_not_listed_is_named_but_its_value_is_dropped() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)
    log.event("instance-kept", patient_name=CANARY)
    (line,) = lines(stream)
    assert line["left_out"] == ["patient_name"]
    assert CANARY not in stream.getvalue()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=800))
def test_no_text_of_a_peer_breaks_the_line(text: str) -> None:
    for stream in (io.StringIO(), Terminal()):
        log.set_up(stream=stream)
        log.event("caller-refused", calling_ae=text)
        written = stream.getvalue()
        assert written.count("\n") == 1
        assert written.isascii()
        assert written[:-1].isprintable()


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    log.set_up(stream=stream)
    log.event("caller-refused", calling_ae="MY SCANNER", address="10.0.0.7")
    assert stream.getvalue().endswith(' caller-refused calling_ae="MY SCANNER" address=10.0.0.7\n')


@pytest.mark.parametrize(
    "name", ["pydicom", "sqlalchemy.engine", "dbos", "pynetdicom.events", "pynetdicom.association"]
)
def test_text_of_libraries_that_see_datasets_is_not_written(name: str) -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)
    logging.getLogger(name).warning("Invalid value for VR PN: %r", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        logging.getLogger(name).exception(error)
    logging.getLogger(name).info("chatter")
    assert CANARY not in stream.getvalue()
    said, failed = lines(stream)
    assert said["logger"] == name
    assert said["where"].startswith("test_log:")
    assert failed["error"] == "ValueError"
    assert failed["where"].startswith("test_log.py:")


def test_pynetdicom_may_speak_of_connections() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)
    logging.getLogger("pynetdicom.dul").error("Connection closed")
    assert lines(stream)[0]["reason"] == "Connection closed"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_warnings_do_not_quote_values(level: str) -> None:
    stream = io.StringIO()
    log.set_up(level, stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"Invalid value {CANARY}", stacklevel=1)
    assert CANARY not in stream.getvalue()
    assert bool(stream.getvalue()) == (level == "debug")


def test_an_error_as_a_field_is_its_kind_alone() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)
    log.event("instance-fault", error=ValueError(CANARY), reasons=[CANARY[:6], KeyError(CANARY)])
    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert line["reasons"] == ["CANARY", "KeyError"]


def test_a_thread_that_dies_says_so_without_its_text() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)

    def die() -> None:
        raise RuntimeError(CANARY)

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert (line["event"], line["error"]) == ("thread-ended", "RuntimeError")
    assert CANARY not in stream.getvalue()


def test_less_serious_events_are_left_out() -> None:
    stream = io.StringIO()
    log.set_up("warning", stream=stream)
    log.event("instance-kept")
    assert stream.getvalue() == ""


def test_every_event_in_the_code_uses_listed_fields() -> None:
    used: dict[str, set[str]] = {}
    for path in sorted((ROOT / "pacsnode").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("log.event", "event"):
                names = {keyword.arg for keyword in node.keywords if keyword.arg}
                used[f"{path.name}:{node.lineno}"] = names - log.FIELDS - {"level"}
    assert used
    assert {place: names for place, names in used.items() if names} == {}
