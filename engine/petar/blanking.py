"""Views that are all zero: what the network says without its focal views, its masks or its CT."""

from dataclasses import replace

from torch import zeros_like

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
