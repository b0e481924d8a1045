"""What a status of C-STORE, or a failure reason of STOW-RS, asks for: a person, or another try.

The codes are the same (PS3.4 table B.2-1, PS3.7 annex C, PS3.18 table I.2-2).
"""

ALREADY_THERE = 0x0111  # our UIDs are derived: what has this UID is what we sent before
ATTRIBUTE_LIST_WARNING = 0x0107
CLASS_REFUSED = frozenset({0x0118, 0x0122})  # another class may be taken

NEEDS_A_PERSON = {
    0x0105: "no such attribute", 0x0106: "an attribute value it calls invalid",
    0x0117: "a SOP Instance UID it calls invalid", 0x0118: "no such SOP class",
    0x0119: "a class or instance that conflict", 0x0120: "a missing attribute",
    0x0121: "a missing attribute value", 0x0122: "a SOP class it does not support",
    0x0124: "that we are not authorised", 0x0211: "an operation it does not know",
    0x0212: "an argument it calls mistyped", 0xC122: "a transfer syntax it does not support",
}  # fmt: skip

ASK_ITS_LOG = (
    "Look in the destination's log for this SOP Instance UID; it refuses the object itself"
)


def needs_a_person(status: int) -> str | None:
    """What it means where only a person can help; None where another try may."""
    meaning = NEEDS_A_PERSON.get(status)
    if meaning is None and status >> 8 == 0xA9:
        meaning = "that the object does not match its SOP class"
    elif meaning is None and status >> 12 == 0xC:
        meaning = "that it cannot understand the object"
    return meaning
