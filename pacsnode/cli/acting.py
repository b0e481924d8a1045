"""retry, requeue, cancel, accept, verify, reject: what a person may do to a study."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacsnode.cli.application import AsJson, Config, Home, console, fail, print_json, settings_from
from pacsnode.cli.looking import line_fields, node_archive

if TYPE_CHECKING:
    from pacsnode.access import Person
    from pacsnode.acting import Actions
    from pacsnode.settings import Settings
    from storage.archive import Archive
    from storage.records import Decision

StudyUid = Annotated[str, typer.Argument(metavar="STUDY_UID")]
MaskUid = Annotated[
    str | None,
    typer.Argument(
        metavar="[MASK_UID]",
        help="SOP Instance UID of its SEG or RTSTRUCT; needless if it has one.",
    ),
]
SrUid = Annotated[
    str, typer.Argument(metavar="SR_UID", help="SOP Instance UID of the report, as `why` tells it.")
]
Reason = Annotated[str, typer.Option(help="Why: it goes into the journal.")]
ReasonTold = Annotated[str, typer.Option(help="Why: it goes into the journal and the document.")]
As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="Who asks; by default this account.", show_default=False
    ),
]
Observer = Annotated[
    str,
    typer.Option("--as", metavar="NAME", help="Who judges, `Family^Given`: the document names it."),
]


def retry(
    study_uid: StudyUid,
    mask_uid: MaskUid = None,
    config: Config = None,
    home: Home = None,
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Try now what failed, was refused, waits for its next try or was cancelled."""
    by = _person(name)
    with _asked(config, home, as_json) as asked:
        mask = _mask(asked.archive, study_uid, mask_uid)
        asked.act("retry", by, study_uid, mask, lambda actions: actions.retry(study_uid, mask, by))


def requeue(
    study_uid: StudyUid,
    config: Config = None,
    home: Home = None,
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Look at every mask of a study anew, with the settings and the model of today."""
    by = _person(name)
    with _asked(config, home, as_json) as asked:
        asked.act("requeue", by, study_uid, None, lambda actions: actions.requeue(study_uid, by))


def cancel(
    study_uid: StudyUid,
    reason: Reason,
    mask_uid: MaskUid = None,
    config: Config = None,
    home: Home = None,
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Make and send nothing more for a mask, until it is retried."""
    by = _person(name)
    with _asked(config, home, as_json) as asked:
        mask = _mask(asked.archive, study_uid, mask_uid)
        asked.act(
            "cancel", by, study_uid, mask,
            lambda actions: actions.cancel(study_uid, mask, by, reason), reason,
        )  # fmt: skip


def accept(
    study_uid: StudyUid,
    reason: Reason,
    mask_uid: MaskUid = None,
    config: Config = None,
    home: Home = None,
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Send a report that is held for review."""
    by = _person(name)
    with _asked(config, home, as_json) as asked:
        mask = _mask(asked.archive, study_uid, mask_uid)
        asked.act(
            "accept", by, study_uid, mask,
            lambda actions: actions.accept(study_uid, mask, by, reason), reason,
        )  # fmt: skip


def verify(
    sr_uid: SrUid,
    reason: ReasonTold,
    name: Observer,
    config: Config = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Vouch for a report: a new, VERIFIED one names you and goes to the destinations."""
    by = _person(name)
    with _asked(config, home, as_json) as asked:
        study = _study_of(asked.archive, sr_uid)
        asked.act(
            "verify", by, study, sr_uid, lambda actions: actions.verify(sr_uid, by, reason), reason
        )


def reject(
    sr_uid: SrUid,
    reason: ReasonTold,
    name: Observer,
    finding: Annotated[
        list[str] | None,
        typer.Option(
            help="Reject this finding alone: its tracking UID, its name (`Lesion 3`) or the number "
            "of its segment; may be given more than once."
        ),
    ] = None,
    config: Config = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Reject a report, or findings of it: a note, or a report without them, is sent."""
    by = _person(name)
    with _asked(config, home, as_json) as asked:
        study = _study_of(asked.archive, sr_uid)
        asked.act(
            "reject", by, study, sr_uid,
            lambda actions: actions.reject(sr_uid, by, reason, finding or None), reason,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asked:
    """Acts on an archive; the audit log and the terminal are told."""

    archive: "Archive"
    settings: "Settings"
    as_json: bool

    def act(
        self,
        action: str,
        by: "Person",
        study: str | None,
        uid: str | None,
        act: "Callable[[Actions], Decision]",
        reason: str = "",
    ) -> None:
        """Do it to the object `uid` of the study. Raises CannotAct."""
        from pacsnode.access.audit import open_audit
        from pacsnode.acting import Actions, audited

        actions = Actions(self.archive, self.settings)
        written = audited(
            lambda: act(actions), open_audit(self.settings), action, by, study=study,
            objects=() if uid is None else (uid,), reason=reason,
        )  # fmt: skip
        if self.as_json:
            print_json(line_fields(written))
            return
        for sentence in written.reasons:
            console.print(sentence, soft_wrap=True)
        console.print(
            f"Written down for mask {written.mask_instance_uid}: the worker does it, now if it "
            "runs.",
            soft_wrap=True,
        )


@contextmanager
def _asked(config: Path | None, home: Path | None, as_json: bool) -> Iterator[_Asked]:
    with node_archive(config, home) as archive:
        yield _Asked(archive, settings_from(config, home), as_json)


def _study_of(archive: "Archive", sr_uid: str) -> str | None:
    report = archive.instance(sr_uid)
    return None if report is None else report.study_instance_uid


def _mask(archive: "Archive", study_uid: str, mask_uid: str | None) -> str:
    """The mask that is meant; where none is named, the one that something is decided about."""
    if mask_uid is not None:
        return mask_uid
    lines = archive.decisions(study_uid)
    last = {line.mask_instance_uid: line.state for line in lines if line.mask_instance_uid}
    work = [mask for mask, state in last.items() if state not in ("context", "superseded")]
    if len(work) != 1:
        told = ", ".join(work) or "none"
        fail(f"Study {study_uid} has {len(work)} masks to act on: name one of {told}")
    return work[0]


def _person(name: str | None) -> "Person":
    from pacsnode.access import ROLES, Person

    told = name if name is not None else _account()
    if not told.strip():
        fail("--as names nobody")
    return Person(told.strip(), ROLES, "loopback")


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no account of that number: a container, say
        return "local"
