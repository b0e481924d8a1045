"""The journal of a study in plain words."""

from datetime import timedelta

from pacsnode.assembly import assess
from pacsnode.assembly.arrivals import arrivals
from pacsnode.assembly.words import explain
from pacsnode.settings import Assembly
from storage.records import Decision, Instance, Study
from tests.unit.assembly_records import (
    CT,
    PET,
    START,
    candidates,
    later,
    make_images,
    make_rtstruct,
    make_seg,
)


def decide(state: str, code: str, minute: int, mask: str | None = "1.2.3.4") -> Decision:
    when = START + timedelta(minutes=minute)
    return Decision("1.2.3", mask, state, code, (f"Reason {minute}.",), when)  # type: ignore[arg-type]


def test_nothing_decided() -> None:
    first, second = explain("1.2.3", [])
    assert first == "Study 1.2.3: nothing has been decided."
    assert "no SEG or RTSTRUCT" in second
    assert explain("1.2.3", [decide("ready", "ready", 0)]) != explain("1.2.9", [])
    assert explain("1.2.9", [decide("ready", "ready", 0)])[0].startswith("Study 1.2.9: nothing")


def test_the_latest_decision_in_full_the_others_in_short() -> None:
    lines = explain(
        "1.2.3",
        [
            decide("delivered", "delivered", 9),
            decide("waiting", "waiting-for-quiet", 1),
            decide("waiting", "waiting-for-pet", -3),
            decide("waiting", "waiting-for-pet", -2),
            decide("ready", "ready", 2),
            decide("context", "no-lesion", 3, mask="1.2.3.5"),
        ],
    )
    assert lines == (
        "Study 1.2.3: 2 mask objects.",
        "",
        "Mask 1.2.3.4 has been reported, and every destination has the report, "
        "since 2026-03-01 09:09:00 UTC:",
        "  - Reason 9.",
        "  Its inputs were chosen at 2026-03-01 09:02:00 UTC:",
        "  - Reason 2.",
        "  Before that:",
        "    2026-03-01 09:02:00 UTC  ready",
        "    2026-03-01 09:01:00 UTC  waiting (waiting-for-quiet)",
        "    2026-03-01 08:57:00 UTC  waiting (waiting-for-pet), "
        "2 times until 2026-03-01 08:58:00 UTC",
        "",
        "Mask 1.2.3.5 is kept as context: nothing of it is reported as a lesion (no-lesion), "
        "since 2026-03-01 09:03:00 UTC:",
        "  - Reason 3.",
    )


def test_a_decision_about_the_study_itself() -> None:
    lines = explain("1.2.3", [decide("failed", "crashed", 0, mask=None)])
    assert lines[0] == "Study 1.2.3: 0 mask objects."
    assert lines[2].startswith("The study failed (crashed), since ")


def test_a_real_wait_tells_what_came_what_is_missing_and_what_would_be_chosen() -> None:
    pet = make_images(PET, "pet", SeriesNumber=4)
    mask = make_seg(on=pet, received_at=later(1))
    found = assess(mask, candidates(*pet[:-1]), quiet=False, rules=Assembly())
    told = "\n".join(explain("1.2.3", [found.decision(mask, START)]))
    assert "is waiting (waiting-for-references)" in told
    assert "It waits for 1 image," in told
    assert "PET series 4 (" in told
    assert "No CT has come" in told


def study_of(*instances: Instance) -> Study:
    latest = max(one.received_at for one in instances)
    return Study("1.2.3", candidates(*instances), latest)


def test_a_study_without_a_mask_says_what_came_and_what_it_waits_for() -> None:
    ct = make_images(CT, "ct", slices=3, received_at=later(70), calling_ae=None)
    pet = (
        *make_images(PET, "pet", SeriesNumber=4),
        *make_images(PET, "pet", slices=11, SeriesNumber=4, received_at=later(5))[10:],
    )
    lines = explain("1.2.3", [], arrivals(study_of(*ct, *pet)))
    assert lines == (
        "Study 1.2.3: nothing has been decided.",
        "  It waits for a mask object, which is what starts a report: no SEG or RTSTRUCT has come.",
        "",
        "What came:",
        f"  - PET series 4 ({pet[0].series_instance_uid}, 11 objects), from SENDER, "
        "2026-03-01 09:00:00 to 2026-03-01 09:00:05 UTC",
        f"  - CT series ({ct[0].series_instance_uid}, 3 objects), 2026-03-01 09:01:10 UTC",
    )


def test_a_mask_that_nothing_was_decided_about_yet_is_no_missing_mask() -> None:
    for mask in (make_seg(), make_rtstruct()):
        said = explain("1.2.3", [], arrivals(study_of(mask)))
        assert said[1].startswith("  A mask object has come")
    ours = make_seg(
        sop_instance_uid="2.25.1", Manufacturer="pacsnode", ManufacturerModelName="pacsnode"
    )
    said = explain("1.2.3", [], arrivals(study_of(ours)))
    assert "no SEG or RTSTRUCT has come" in said[1]
    assert said[-1].endswith(", a document of our own")


def test_what_came_stands_before_what_was_decided() -> None:
    pet = make_images(PET, "pet")
    lines = explain("1.2.3", [decide("ready", "ready", 0)], arrivals(study_of(*pet)))
    assert lines[:3] == ("Study 1.2.3: 1 mask object.", "", "What came:")
    assert lines[3].startswith("  - PET series (")
    assert lines[4:] == explain("1.2.3", [decide("ready", "ready", 0)])[1:]
