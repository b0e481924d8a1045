"""retry, requeue, cancel, accept, verify, reject: what a person may do to a study."""

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacsnode.cli.application import AsJson, Config, Home, console, fail, print_json, settings_from
from pacsnode.cli.looking import line_fields, node_archive

if TYPE_CHECKING:
    from pacsnode.access import Person
    from pacsnode.acting import Actions
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
    _act(
        config, home, as_json,
        lambda actions, archive: actions.retry(
            study_uid, _mask(archive, study_uid, mask_uid), _person(name)
        ),
    )  # fmt: skip


def requeue(
    study_uid: StudyUid,
    config: Config = None,
    home: Home = None,
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Look at every mask of a study anew, with the settings and the model of today."""
    _act(config, home, as_json, lambda actions, _: actions.requeue(study_uid, _person(name)))


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
    _act(
        config, home, as_json,
        lambda actions, archive: actions.cancel(
            study_uid, _mask(archive, study_uid, mask_uid), _person(name), reason
        ),
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
    _act(
        config, home, as_json,
        lambda actions, archive: actions.accept(
            study_uid, _mask(archive, study_uid, mask_uid), _person(name), reason
        ),
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
    _act(
        config, home, as_json, lambda actions, _: actions.verify(sr_uid, _person(name), reason)
    )  # fmt: skip


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
    _act(
        config, home, as_json,
        lambda actions, _: actions.reject(sr_uid, _person(name), reason, finding or None),
    )  # fmt: skip


def _act(
    config: Path | None,
    home: Path | None,
    as_json: bool,
    act: "Callable[[Actions, Archive], Decision]",
) -> None:
    from pacsnode.acting import Actions

    with node_archive(config, home) as archive:
        written = act(Actions(archive, settings_from(config, home)), archive)
    if as_json:
        print_json(line_fields(written))
        return
    for reason in written.reasons:
        console.print(reason, soft_wrap=True)
    console.print(
        f"Written down for mask {written.mask_instance_uid}: the worker does it, now if it runs.",
        soft_wrap=True,
    )


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
