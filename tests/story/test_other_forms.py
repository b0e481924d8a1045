"""A destination without our report class: what it gets, what is kept, what the journal tells."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage

from engine.report.plain_forms import form_uid
from tests.peers import Receiver
from tests.story.small import predecessors, settings_for, site, small_study

pytestmark = [pytest.mark.slow, pytest.mark.wire]


def test_each_destination_gets_the_form_it_takes_and_a_revision_names_what_it_got(
    tmp_path: Path,
) -> None:
    study = small_study("forms")
    with (
        Receiver(ae_title="NEW") as new,
        Receiver(ae_title="OLD", sop_class_uids=[ComprehensiveSRStorage]) as old,
        Receiver(ae_title="OLDEST", sop_class_uids=[BasicTextSRStorage]) as oldest,
    ):
        settings = settings_for(tmp_path, new, old, oldest, quiet_s=0.3)
        with site(settings) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: here.state(study) == "delivered", what="the first report")
            here.send(study.pet[-1:])
            here.work_until(lambda: len(new.arrived) == 2, what="the revision")
            here.work_until(lambda: here.state(study) == "delivered", what="its delivery")
            lines = here.lines(study)
            first, revision = (one.sop_instance_uid for one in new.arrived)
            kept = {
                form: here.archive.instance(form_uid(revision, form))
                for form in ("comprehensive", "text")
            }
            mine = {one.sop_instance_uid for one in here.archive.reports_of(study.mask_uid)}
    for receiver, form in ((old, "comprehensive"), (oldest, "text")):
        got = [dcmread(BytesIO(one.encoded), force=True) for one in receiver.arrived]
        assert [one.SOPInstanceUID for one in got] == [form_uid(first, form),
                                                       form_uid(revision, form)]  # fmt: skip
        assert predecessors(got[0]) == [first]
        assert predecessors(got[1]) == [revision, form_uid(first, form)]
        archived = kept[form]
        assert archived is not None
        assert archived.path.read_bytes().endswith(receiver.arrived[-1].encoded)
        told = next(
            line for line in reversed(lines)
            if line.code == "delivered-to" and line.facts["destination"] == receiver.ae_title
        )  # fmt: skip
        (answer,) = told.facts["answers"]
        assert answer["instead_of"] == revision
        assert answer["sop_instance_uid"] == form_uid(revision, form)
        assert "takes no Comprehensive 3D SR" in " ".join(told.reasons)
    # what stands in for a report is never taken for one
    assert predecessors(dcmread(BytesIO(new.arrived[1].encoded), force=True)) == [first]
    assert form_uid(revision, "text") in mine


def test_without_a_fallback_the_report_is_parked_with_what_to_enable(tmp_path: Path) -> None:
    study = small_study("no form")
    with Receiver(ae_title="OLD", sop_class_uids=[ComprehensiveSRStorage]) as old:
        settings = settings_for(tmp_path, old, quiet_s=0.3)
        (there,) = settings.destinations
        strict = there.model_copy(update={"fallback": ()})
        with site(settings.model_copy(update={"destinations": (strict,)})) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "failed", what="the refusal")
            last = here.lines(study)[-1]
    assert old.arrived == []
    assert "Enable storage of Comprehensive 3D SR" in " ".join(last.reasons)
