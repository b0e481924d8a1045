"""Which other objects of a study mark organs in the space of a mask: a model's words meet them."""

from collections.abc import Sequence

from pacsnode.assembly.kinds import SEGMENTATION_CLASSES
from pacsnode.assembly.ours import is_ours
from pacsnode.assembly.roles import roles_of
from pacsnode.settings import Assembly, Settings
from storage.records import Instance, Series


def label_maps_of(
    mask: Instance, pet: Series | None, masks: Sequence[Instance], settings: Settings
) -> tuple[Instance, ...]:
    """SEGs of the mask's study with no lesion in them, in the PET's frame of reference.

    None for the template, whose words are measured. Nothing waits for them: one that comes after
    the report was made changes nothing.
    """
    if settings.describe.describer == "template" or pet is None:
        return ()
    found = (
        other
        for other in masks
        if other.study_instance_uid == mask.study_instance_uid
        and other.sop_instance_uid != mask.sop_instance_uid
        and other.frame_of_reference_uid == pet.frame_of_reference_uid
        and _marks_no_lesion(other, settings.assembly)
    )
    return tuple(sorted(found, key=lambda one: one.sop_instance_uid))


def _marks_no_lesion(mask: Instance, rules: Assembly) -> bool:
    if mask.sop_class_uid not in SEGMENTATION_CLASSES or is_ours(mask):
        return False
    roles = roles_of(mask, rules.role_rules)
    return bool(roles) and not any(role.is_lesion for role in roles)
