"""The form of a UID (PS3.5 section 9.1), checked before a UID touches anything."""

import re
from typing import Final

from storage.errors import Unkeepable

LONGEST: Final = 64
# leading zeros of a component are against 9.1 but occur in the wild, and are harmless here:
# no path, query or command is ever made of a peer's UID
_FORM: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+", re.ASCII)


def is_uid(text: str) -> bool:
    """Digits in components joined by single dots, at most 64 characters."""
    return len(text) <= LONGEST and _FORM.fullmatch(text) is not None


def said(text: str) -> str:
    """The UID, or of any other text its length alone: it may be a patient's name."""
    return text if is_uid(text) else f"{len(text)} characters that are no UID"


def checked_uid(text: str, keyword: str) -> str:
    """The UID itself. Raises Unkeepable where it is absent or malformed."""
    if not text:
        raise Unkeepable(f"{keyword} is absent or empty")
    if not is_uid(text):
        raise Unkeepable(f"{keyword} holds {said(text)}")
    return text
