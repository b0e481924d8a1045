"""Assessment: what became of one mask object, and why."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from storage.records import Decision, Instance, Series


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """Whether a mask object can be reported now, from what, and the reasons in sentences.

    `code` is stable and kebab-case (docs/reference/assembly.md lists every one). `inputs_sha256`
    is stated when ready: the same inputs give the same digest, whatever order they came in.
    """

    state: Literal["context", "waiting", "ready", "refused"]
    code: str
    reasons: tuple[str, ...]
    pet: Series | None = None
    ct: Series | None = None
    lesion_numbers: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()
    inputs_sha256: str | None = None

    def decision(self, mask: Instance, decided_at: datetime) -> Decision:
        """The line of the journal that says so; `decided_at` is aware, UTC."""
        facts = {
            "pet_series_instance_uid": self.pet.series_instance_uid if self.pet else None,
            "ct_series_instance_uid": self.ct.series_instance_uid if self.ct else None,
            "lesion_numbers": list(self.lesion_numbers),
            "flags": list(self.flags),
            "inputs_sha256": self.inputs_sha256,
        }
        return Decision(
            study_instance_uid=mask.study_instance_uid,
            mask_instance_uid=mask.sop_instance_uid,
            state=self.state,
            code=self.code,
            reasons=self.reasons,
            decided_at=decided_at,
            facts=MappingProxyType(facts),
        )


def digest_inputs(
    mask: Instance, pet: Series, ct: Series | None, lesion_numbers: Sequence[int]
) -> str:
    """Digest what a report is made from: every instance's own digest, and which segments count."""
    lines = [f"mask {mask.sha256}"]
    lines += sorted(f"pet {instance.sha256}" for instance in pet.instances)
    lines += sorted(f"ct {instance.sha256}" for instance in (ct.instances if ct else ()))
    lines.append("lesions " + ",".join(str(number) for number in sorted(lesion_numbers)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
