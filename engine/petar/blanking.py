"""Views that are all zero: what the network says without its focal views, its masks or its CT."""

from dataclasses import replace

from torch import zeros_like

from engine.errors import ModelFault
from engine.finding import ModelIdentity
from engine.petar.model import Views

BLANKS = {
    "focal": ("focal_pet", "focal_ct", "focal_mask"),
    "mask": ("mask", "focal_mask"),
    "ct": ("ct", "focal_ct"),
}


def blanked(views: Views, blank: tuple[str, ...]) -> Views:
    """The views with those of each name in BLANKS at zero."""
    names = {name for each in blank for name in BLANKS[each]}
    return replace(views, **{name: zeros_like(getattr(views, name)) for name in names})


def without(identity: ModelIdentity, blank: tuple[str, ...]) -> ModelIdentity:
    """Who writes with these views blanked. Raises ModelFault for a name that is not of BLANKS."""
    if not blank:
        return identity
    for name in blank:
        if name not in BLANKS:
            raise ModelFault(f"{name!r} is none of {', '.join(BLANKS)}", code="no-such-view")
    return replace(identity, name=f"{identity.name}-without-{'-'.join(sorted(set(blank)))}")
