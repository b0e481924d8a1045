"""Whether an object came from a sender that a rule of the settings names."""

import re

from storage.records import Instance


def is_from(instance: Instance, pattern: str | None) -> bool:
    """Search the calling AE title, whatever its case; without a pattern, anybody's will do.

    What came from a file has no sender, and fits no pattern.
    """
    if pattern is None:
        return True
    sender = (instance.calling_ae or "").strip()
    return bool(sender) and re.search(pattern, sender, re.IGNORECASE) is not None
