"""The commands that act on a study: what they write, and what they refuse."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from pacsnode.cli import app
from pacsnode.errors import CannotAct
from storage.archive import Archive
from storage.records import CaseState, Decision
from tests.audit_schema import complaints

STUDY = "1.2.3"


def _run(home: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--home", str(home)])


def _write(home: Path, states: Sequence[tuple[str, CaseState]]) -> None:
    with Archive.open(home / "archive") as archive:
        for mask, state in states:
            archive.write_down(
                Decision(STUDY, mask, state, state, ("As it is.",), datetime.now(UTC))
            )


def _last(home: Path, mask: str) -> Decision:
    with Archive.open(home / "archive", check=False) as archive:
        return archive.decisions(STUDY, mask)[-1]


def test_the_one_mask_that_something_can_be_done_about_needs_no_name(tmp_path: Path) -> None:
    _write(tmp_path, [("1.1", "context"), ("1.2", "refused"), ("1.3", "superseded")])
    done = _run(tmp_path, "retry", STUDY, "--as", "Doe^Jane")
    assert done.exit_code == 0, done.output
    assert "Another try asked for by Doe^Jane." in done.stdout
    assert (_last(tmp_path, "1.2").state, _last(tmp_path, "1.2").code) == ("waiting", "retry-asked")


def test_of_several_masks_one_has_to_be_named(tmp_path: Path) -> None:
    _write(tmp_path, [("1.1", "refused"), ("1.2", "waiting")])
    refused = _run(tmp_path, "cancel", STUDY, "--reason", "No.")
    assert refused.exit_code == 1
    assert "1.1, 1.2" in refused.stderr
    done = _run(tmp_path, "cancel", STUDY, "1.2", "--reason", "No.", "--json")
    told = json.loads(done.stdout)
    assert (told["state"], told["facts"]["reason"]) == ("cancelled", "No.")
    assert _last(tmp_path, "1.1").state == "refused"


def test_a_requeue_is_for_every_mask(tmp_path: Path) -> None:
    _write(tmp_path, [("1.1", "context"), ("1.2", "cancelled")])
    assert _run(tmp_path, "requeue", STUDY).exit_code == 0
    assert [_last(tmp_path, mask).state for mask in ("1.1", "1.2")] == ["context", "waiting"]
    assert {_last(tmp_path, mask).code for mask in ("1.1", "1.2")} == {"requeue-asked"}


@pytest.mark.parametrize("state", ["context", "superseded", "running", "ready", "delivered"])
def test_what_cannot_be_tried_again_is_refused_and_nothing_is_written(
    tmp_path: Path, state: CaseState
) -> None:
    with Archive.open(tmp_path / "archive") as archive:
        facts = {"seed": "a", "sr": "1.9", "documents": ["1.9"], "destinations": []}
        line = Decision(STUDY, "1.1", state, state, (), datetime.now(UTC), facts)
        archive.write_down(line)
    refused = _run(tmp_path, "retry", STUDY, "1.1")
    assert isinstance(refused.exception, CannotAct)
    assert _last(tmp_path, "1.1").code == state


@pytest.mark.parametrize("command", ["cancel", "accept", "verify", "reject"])
def test_a_reason_is_required(tmp_path: Path, command: str) -> None:
    wrong = _run(tmp_path, command, STUDY, *(["--as", "x"] if command in ("verify",) else []))
    assert wrong.exit_code == 2
    assert "--reason" in wrong.stderr


@pytest.mark.parametrize("command", ["verify", "reject"])
def test_who_judges_must_be_named(tmp_path: Path, command: str) -> None:
    wrong = _run(tmp_path, command, "1.9", "--reason", "Because.")
    assert wrong.exit_code == 2
    assert "--as" in wrong.stderr
    _write(tmp_path, [("1.1", "waiting")])
    nobody = _run(tmp_path, command, "1.9", "--reason", "Because.", "--as", " ")
    assert (nobody.exit_code, "names nobody" in nobody.stderr) == (1, True)
    absent = _run(tmp_path, command, "1.9", "--reason", "Because.", "--as", "Doe^Jane")
    assert "holds no report 1.9" in str(absent.exception)


def test_the_audit_log_is_told_once_of_each_action_and_of_its_refusal(tmp_path: Path) -> None:
    _write(tmp_path, [("1.2", "refused")])
    done = _run(tmp_path, "cancel", STUDY, "--reason", "No need.", "--as", "Doe^Jane")
    assert done.exit_code == 0, done.output
    _run(tmp_path, "accept", STUDY, "1.2", "--reason", "All is well.", "--as", "Doe^Jane")
    _run(tmp_path, "verify", "1.9", "--reason", "Seen.", "--as", "Doe^Jane")
    (log,) = (tmp_path / "audit").glob("*.log")
    told = [ElementTree.fromstring(line) for line in log.read_text().splitlines()]  # noqa: S314
    outcomes = [one.find("EventIdentification").get("EventOutcomeIndicator") for one in told]  # type: ignore[union-attr]
    assert outcomes == ["0", "4", "4"]
    for one, action, uid in zip(told, ("cancel", "accept", "verify"), ("1.2", "1.2", "1.9"),
                                strict=True):  # fmt: skip
        assert complaints(ElementTree.tostring(one, "unicode")) == []
        assert {each.get("UserID") for each in one.iter("ActiveParticipant")} >= {"Doe^Jane"}
        text = ElementTree.tostring(one, "unicode")
        assert f'"{action}"' in text
        assert f'"{uid}"' in text
        assert (f'"{STUDY}"' in text) is (action != "verify")
