"""Actions: what a person asks for, judged against where the mask stands, and written down."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pacsnode import log
from pacsnode.acting import steps
from pacsnode.acting.steps import Step
from pacsnode.errors import CannotAct
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.records import Decision

if TYPE_CHECKING:
    from pacsnode.access import Person

LONGEST_REASON: Final = 1000
TRIES: Final = 20
_DONE: Final = {
    "verified": "Verification asked for",
    "corrected": "Findings rejected",
    "rejected": "Report rejected",
}


class Actions:
    """Each action writes one line of the journal, or raises CannotAct with a sentence.

    When it returns, the line is durable; the worker acts on it. The line follows what the mask
    stood at when the action was judged: where somebody was quicker, it is judged again.
    """

    def __init__(self, archive: Archive, settings: Settings) -> None:
        self._archive = archive
        self._settings = settings

    def retry(self, study: str, mask: str, by: "Person") -> Decision:
        """Try now what failed, was refused, waits for its next try or was cancelled."""
        return self._act(study, mask, steps.retry, "Another try asked for", by)

    def requeue(self, study: str, by: "Person") -> Decision:
        """Look at every mask of a study anew, with the settings and the model of today.

        Gives the last line written: one was written for each mask.
        """
        masks = {line.mask_instance_uid for line in self._archive.decisions(study)} - {None}
        if not masks:
            raise CannotAct(f"No mask of study {study} has been looked at: nothing to requeue.")
        written = [
            self._act(study, mask, steps.requeue, "Looked at anew, as asked", by)
            for mask in sorted(filter(None, masks))
        ]
        return written[-1]

    def cancel(self, study: str, mask: str, by: "Person", reason: str) -> Decision:
        """Make and send nothing more for a mask, until `retry` or `requeue`."""
        return self._act(study, mask, steps.cancel, "Cancelled", by, _stated(reason))

    def accept(self, study: str, mask: str, by: "Person", reason: str) -> Decision:
        """Release a report that is held for review."""
        return self._act(study, mask, steps.accept, "Accepted", by, _stated(reason))

    def verify(self, sr: str, by: "Person", reason: str) -> Decision:
        """Have a report written anew as VERIFIED by a person, naming this one as predecessor."""
        return self._judge(sr, by, _stated(reason), "verified", None)

    def reject(
        self, sr: str, by: "Person", reason: str, findings: Sequence[str] | None = None
    ) -> Decision:
        """Reject a report as a whole, or those of its findings that are named.

        A finding is named by its Tracking Unique Identifier, its Tracking Identifier or the number
        of its segment.
        """
        kind = "rejected" if findings is None else "corrected"
        return self._judge(sr, by, _stated(reason), kind, findings)

    def _judge(
        self, sr: str, by: "Person", reason: str, kind: str, findings: Sequence[str] | None
    ) -> Decision:
        # only here: who merely retries does not pay for the engine
        from pacsnode.acting import judging

        report = judging.report_of(self._archive, sr)
        study, mask = judging.mask_of(self._archive, report)
        document = judging.read_report(report)
        facts = {
            "seed": secrets.token_hex(32), "judges": sr, "kind": kind, "by": by.name,
            "reason": reason,
            "findings": [] if findings is None else judging.chosen(document, findings),
        }  # fmt: skip
        is_verified = document.get("VerificationFlag") == "VERIFIED"

        def judge(lines: Sequence[Decision]) -> Step:
            step = steps.judge(lines, facts, is_verified=is_verified)
            judging.try_out(document, facts, self._settings)
            return step

        return self._act(study, mask, judge, _DONE[kind], by, reason)

    def _act(
        self,
        study: str,
        mask: str,
        judge: Callable[[Sequence[Decision]], Step],
        done: str,
        by: "Person",
        reason: str = "",
    ) -> Decision:
        for _ in range(TRIES):
            lines = self._archive.decisions(study, mask)
            if not lines:
                self._refuse_unknown(study, mask)
            step = judge(lines)
            line = _line(study, mask, step, done, by, reason)
            before = lines[-1] if lines else None
            if self._archive.write_down(line, follows=_stands_at(before)):
                log.event(
                    "asked", study_instance_uid=study, mask_sop_instance_uid=mask, code=step.code,
                    state=step.state,
                )  # fmt: skip
                return line
        raise CannotAct("The study changes too quickly to act on it: try again.")

    def _refuse_unknown(self, study: str, mask: str) -> None:
        instance = self._archive.instance(mask)
        if instance is None or instance.study_instance_uid != study:
            raise CannotAct(f"The archive holds no mask {mask} of study {study}.")


def _line(study: str, mask: str, step: Step, done: str, by: "Person", reason: str) -> Decision:
    now = datetime.now(UTC)
    asked: Mapping[str, Any] = {
        "by": by.name, "way": by.way, "reason": reason, "asked_at": now.isoformat(),
    }  # fmt: skip
    sentence = f"{done} by {by.name}{f': {reason}' if reason else '.'}"
    return Decision(study, mask, step.state, step.code, (sentence,), now, {**step.facts, **asked})


def _stands_at(seen: Decision | None) -> Callable[[Decision | None], bool]:
    return lambda last: last == seen


def _stated(reason: str) -> str:
    """A reason that says something. Raises CannotAct."""
    told = " ".join(reason.split())
    if not told:
        raise CannotAct("A reason has to be given.")
    if len(told) > LONGEST_REASON:
        raise CannotAct(f"The reason is longer than {LONGEST_REASON} characters.")
    return told
