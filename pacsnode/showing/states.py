"""Where a mask or a study stands, in a word that a person knows and a sentence that explains it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from storage.catalog.overview import LastLine

Tone = Literal["quiet", "busy", "good", "warn", "bad"]
Group = Literal["attention", "progress", "delivered", "other"]


@dataclass(frozen=True, slots=True)
class State:
    """`key` is stable; `tone` says how it is coloured, `group` under which filter it is found."""

    key: str
    label: str
    tone: Tone
    group: Group
    sentence: str


def _known(*states: State) -> Mapping[str, State]:
    return MappingProxyType({state.key: state for state in states})


# the most urgent first: a study stands where the most urgent of its masks stands
STATES: Final = _known(
    State("failed", "Failed", "bad", "attention", "Given up: a person has to look."),
    State("parked", "Delivery refused", "bad", "attention",
          "A destination will not take the report."),
    State("refused", "Refused", "bad", "attention", "No report can be made of what is here."),
    State("held", "To review", "warn", "attention",
          "The report is made and waits for a person to accept it."),
    State("stands", "Report stands", "warn", "attention",
          "What came later would have the mask refused; the report stands."),
    State("running", "Measuring", "busy", "progress", "The report is being made."),
    State("ready", "Queued", "busy", "progress", "Everything is here; the report is next."),
    State("postponed", "Postponed", "warn", "progress", "A try did not work; the next is due."),
    State("undelivered", "Delivery waits", "warn", "progress",
          "A destination did not take the report now; it is tried again."),
    State("arriving", "Arriving", "busy", "progress", "Objects are still coming."),
    State("waiting", "Waiting", "busy", "progress", "Something is still missing."),
    State("reported", "Reported", "busy", "progress",
          "The report is made and on its way to the destinations."),
    State("kept", "Reported", "good", "delivered",
          "The report is made and kept; no destination is set."),
    State("delivered", "Delivered", "good", "delivered", "Every destination has the report."),
    State("rejected", "Rejected", "quiet", "other", "A person rejected the report."),
    State("shadowed", "In the shadow", "good", "delivered",
          "The report is made and kept; the mode of its destinations is shadow."),
    State("cancelled", "Cancelled", "quiet", "other", "A person stopped it."),
    State("context", "Context only", "quiet", "other", "No segment of the mask is a lesion."),
    State("superseded", "Superseded", "quiet", "other", "A later version is reported instead."),
    State("images", "No mask yet", "quiet", "other",
          "A SEG or RTSTRUCT starts a report; none has come."),
)  # fmt: skip
GROUPS: Final[Mapping[Group, str]] = MappingProxyType(
    {
        "attention": "Needs attention",
        "progress": "In progress",
        "delivered": "Delivered",
        "other": "Other",
    }
)

_BY_CODE: Final = MappingProxyType(
    {
        "delivery-parked": "parked",
        "report-postponed": "postponed",
        "delivery-postponed": "undelivered",
        "delivery-held": "held",
        "delivery-shadowed": "shadowed",
    }
)


def state_of(line: LastLine) -> State:
    """Where a mask stands by its last line."""
    if line.code in _BY_CODE:
        return STATES[_BY_CODE[line.code]]
    if line.state == "reported" and line.destinations == 0:
        return STATES["kept"]
    if line.now is not None:
        return STATES["stands"]
    return STATES.get(line.state) or State(line.state, line.state, "quiet", "other", "")


def state_of_study(lines: Iterable[LastLine], *, is_arriving: bool) -> State:
    """Where a study stands by the last lines on its masks."""
    keys = {state_of(line).key for line in lines}
    if is_arriving and keys <= {"waiting", "context", "superseded"}:
        keys.add("arriving")
    return next((state for key, state in STATES.items() if key in keys), STATES["images"])
