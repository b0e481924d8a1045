"""Whether a mask object can be reported now: context, waiting, ready or refused, and why."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from pacsnode.assembly.assessment import Assessment, digest_inputs
from pacsnode.assembly.choice import Choice
from pacsnode.assembly.kinds import MASK_CLASSES, SEGMENTATION_CLASSES, is_ct, is_pet
from pacsnode.assembly.ours import is_ours
from pacsnode.assembly.pairing import Pairing, pair
from pacsnode.assembly.ranking import named
from pacsnode.assembly.roles import SegmentRole, roles_of
from pacsnode.assembly.stack import is_whole, stack_of, stated_slices
from pacsnode.settings import Assembly
from storage.records import Instance, Series


def assess(
    mask: Instance, candidates: Sequence[Series], *, quiet: bool, rules: Assembly
) -> Assessment:
    """Say what can be done with a mask object, given every series that could belong to it.

    `quiet`: nothing has come for `rules.quiet_s`, or nothing more can (a replay). Before that a
    case is ready only when nothing that may still come would change its inputs, and nothing is
    refused; afterwards the answer depends on what came, never on the order it came in.
    """
    if mask.sop_class_uid not in MASK_CLASSES:
        return Assessment("context", "not-a-mask", ("It is neither a SEG nor an RTSTRUCT.",))
    if is_ours(mask):
        return Assessment("context", "own-document", ("pacsnode wrote it: it is no work.",))
    roles = roles_of(mask, rules.role_rules)
    lesions = tuple(role.number for role in roles if role.is_lesion)
    if not lesions:
        return Assessment("context", "no-lesion", _roles_told(mask, roles))
    pairing = pair(mask, candidates, rules)
    pending = [] if quiet else list(_pending(pairing, candidates, rules))
    if pending:
        return _waiting(pairing, lesions, pending)
    if pairing.refusal is not None:
        return _assessment(pairing, lesions, pairing.refusal.code, pairing.refusal.reasons)
    return _assessment(pairing, lesions, "ready", (*_roles_told(mask, roles), *pairing.reasons))


def _pending(
    pairing: Pairing, candidates: Sequence[Series], rules: Assembly
) -> Iterator[tuple[str, str]]:
    """What may still come and change the inputs: (code, sentence)."""
    absent = _absent(pairing, candidates)
    if absent:
        yield "waiting-for-references", f"It waits for {absent}, which the mask refers to."
    if pairing.pet.series is None:
        yield "waiting-for-pet", "It waits for a PET that can be used."
    elif pairing.refusal is not None:
        yield "waiting-for-images", "It waits for images that would make its PET and CT usable."
    elif pairing.ct.series is None:
        yield "waiting-for-ct", "It waits for a CT that can be used."
    else:
        settled = _is_settled(pairing.mask, candidates, rules)
        for choice in (pairing.pet, pairing.ct):
            yield from _unproven(choice, settled)


def _absent(pairing: Pairing, candidates: Sequence[Series]) -> str:
    here = {series.series_instance_uid for series in candidates}
    series = len(pairing.references.series_uids - here)
    objects = len(pairing.references.missing_uids)
    parts = [f"{objects} image{'s' * (objects > 1)}"] if objects else []
    parts += [f"{series} series"] if series else []
    return " and ".join(parts)


def _unproven(choice: Choice, settled: bool) -> Iterator[tuple[str, str]]:
    if choice.series is None:
        return
    stated = stated_slices(choice.series)
    whole = is_whole(choice.series, stack_of(choice.series))
    if not whole and stated is not None:
        sentence = f"{named(choice.series)} is incomplete: its headers state {stated} slices."
        yield "waiting-for-slices", sentence
    if not whole and stated is None and not settled:
        sentence = f"{named(choice.series)} may be incomplete: its headers state no number."
        yield "waiting-for-slices", sentence
    if not choice.is_named and not settled:
        sentence = f"Nothing points to {named(choice.series)} by name: a better one may still come."
        yield "waiting-for-quiet", sentence


def _is_settled(mask: Instance, candidates: Sequence[Series], rules: Assembly) -> bool:
    # images that had lain here, quiet, when the mask came: the scan was over long before
    latest = max(
        one.received_at
        for series in candidates
        if is_pet(series) or is_ct(series)
        for one in series.instances
    )
    return mask.received_at - latest >= timedelta(seconds=rules.quiet_s)


def _waiting(
    pairing: Pairing, lesions: tuple[int, ...], pending: Sequence[tuple[str, str]]
) -> Assessment:
    awaited = tuple(sentence for _, sentence in pending)
    if pairing.refusal is not None:
        prospect = f"If nothing more comes it will be refused: {pairing.refusal.code}."
        awaited += (prospect, *pairing.refusal.reasons)
    else:
        awaited += ("If nothing more comes:", *pairing.reasons)
    return Assessment(
        "waiting", pending[0][0], awaited, pairing.pet.series, pairing.ct.series, lesions,
        pairing.flags,
    )  # fmt: skip


def _assessment(
    pairing: Pairing, lesions: tuple[int, ...], code: str, reasons: tuple[str, ...]
) -> Assessment:
    pet, ct = pairing.pet.series, pairing.ct.series
    if code != "ready" or pet is None:
        return Assessment("refused", code, reasons, pet, ct, lesions, pairing.flags)
    digest = digest_inputs(pairing.mask, pet, ct, lesions)
    return Assessment("ready", code, reasons, pet, ct, lesions, pairing.flags, digest)


def _roles_told(mask: Instance, roles: Sequence[SegmentRole]) -> tuple[str, ...]:
    """One sentence for each reason: which segments are lesions or context because of it."""
    if not roles:
        return ("It holds no segment and no ROI.",)
    grouped: dict[tuple[bool, str], list[int]] = {}
    for role in roles:
        grouped.setdefault((not role.is_lesion, role.reason), []).append(role.number)
    noun = "Segment" if mask.sop_class_uid in SEGMENTATION_CLASSES else "ROI"
    sentences = []
    for (is_context, reason), numbers in sorted(grouped.items()):
        what = "context" if is_context else "lesion"
        listed = ", ".join(str(number) for number in numbers)
        many = "s" if len(numbers) > 1 else ""
        sentences.append(f"{noun}{many} {listed} ({what}): {reason}.")
    return tuple(sentences)
