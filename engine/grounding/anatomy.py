"""What the words claim of a place, against where the mask lies; flags, never edits."""

from collections.abc import Sequence

from engine.grounding.sites import Located
from engine.lesion import Lesion
from engine.volume import Scan


def flags_of(
    text: str, located: Located, lesion: Lesion, scan: Scan, context: Sequence[Lesion]
) -> tuple[str, ...]:
    """Kebab-case flags for conflicts of `text` with the mask; none where nothing can be judged."""
    return ()
