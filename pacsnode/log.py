"""One line per event: UIDs yes, patient identity never.

What may be said is a list of field names; text of other libraries, which could quote an object's
values, is reduced to who said it, where, and the kind of error, unless that library speaks of
connections alone.
"""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

FIELDS = frozenset({
    "study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid",
    "mask_sop_instance_uid", "transfer_syntax_uid", "frame_of_reference_uid", "tracking_uid",
    "calling_ae", "called_ae", "address", "port", "destination", "source", "outcome", "standing",
    "status", "state", "code", "reason", "reasons", "fix", "error", "where", "logger", "warning",
    "sha256", "size_bytes", "count", "kept", "refused", "attempt", "elapsed_s", "wait_s",
    "workflow_id", "describer", "model", "version", "segment_number", "workers", "pid", "file",
})  # fmt: skip
LONGEST_TEXT = 500

# These modules of pynetdicom speak of sockets and PDUs alone. Others quote what a peer calls a UID.
_SPEAK_OF_CONNECTIONS = frozenset(f"pynetdicom.{module}" for module in ("ae", "dul", "transport"))
_OWN = "pacsnode"
_TELL_EVENTS = frozenset({_OWN, "storage.archive"})
_LOGGER = logging.getLogger(_OWN)


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one event; of its fields only the names in `FIELDS` are kept."""
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, name, extra={"fields": fields})


def where(error: BaseException) -> str:
    """The innermost place of an error, `file:line`, without its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return _place(trace) if trace is not None else ""


def set_up(level: str = "info", stream: TextIO | None = None) -> None:
    """Send everything that Python logs or warns through one formatter; for a command's start."""
    to = stream or sys.stderr
    written = logging.StreamHandler(to)
    written.setFormatter(ReadableLines() if to.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[written], force=True)
    _LOGGER.setLevel(level.upper())
    logging.captureWarnings(True)
    # a warning of pydicom's quotes the value it dislikes; its mere place serves developers only
    logging.getLogger("py.warnings").setLevel(
        logging.WARNING if level == "debug" else logging.ERROR
    )
    threading.excepthook = _on_thread_end


class JsonLines(logging.Formatter):
    """Each record as one JSON object; ASCII, so that no control character survives."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        return json.dumps(as_fields(record))


class ReadableLines(logging.Formatter):
    """Each record as `time level event key=value ...` for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one readable line."""
        fields = as_fields(record)
        stamp, level, name = (fields.pop(key) for key in ("time", "level", "event"))
        values = " ".join(f"{key}={_plain(value)}" for key, value in fields.items())
        return f"{stamp[11:19]} {level:7} {name} {values}".rstrip()


def as_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line may say of a record, whoever wrote it."""
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    line: dict[str, Any] = {"time": stamp, "level": record.levelname.lower()}
    if record.name in _TELL_EVENTS:
        return line | {"event": _short(record.getMessage())} | _allowed(record)
    line |= {"event": "library", "logger": record.name}
    if record.name in _SPEAK_OF_CONNECTIONS and record.exc_info is None:
        line["reason"] = _short(record.getMessage())
    line["where"] = f"{record.module}:{record.lineno}"
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        line |= {"error": type(error).__name__, "where": where(error)}
    return line


def _allowed(record: logging.LogRecord) -> dict[str, Any]:
    given: dict[str, Any] = getattr(record, "fields", {})
    kept = {name: _value(value) for name, value in given.items() if name in FIELDS}
    left_out = sorted(given.keys() - FIELDS)
    return kept | ({"left_out": left_out} if left_out else {})


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(item) for item in value]
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "..."


def _plain(value: Any) -> str:
    text = json.dumps(value)
    bare = text[1:-1]
    return bare if isinstance(value, str) and bare == value and bare and " " not in bare else text


def _place(trace: TracebackType) -> str:
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _on_thread_end(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        event(
            "thread-ended", level=logging.ERROR, error=args.exc_value, where=where(args.exc_value)
        )
