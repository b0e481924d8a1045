"""The page as people see it: a made study from arriving to delivered, and what they do to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue

import pytest
from playwright.sync_api import Browser, Page, expect
from pydicom import Dataset

from pacsnode.settings import Settings
from pacsnode.web.server import WebServer
from tests.makers import make_ct
from tests.page_browser import (
    DESK,
    PHONE,
    browsing,
    find_axe,
    grave_violations,
    is_wider_than_its_window,
    picture_for_the_guide,
)
from tests.peers import Receiver
from tests.story.small import Site, SmallStudy, reports_at, settings_for, site, small_study
from tests.story.torso import LESIONS, torso
from tests.wire.visitor import WORDS, users

pytestmark = [pytest.mark.slow, pytest.mark.wire]

FINDINGS = ".findings tbody tr:not(.context)"
LIVE_MS = 45_000  # two processes share two cores with other tests


@dataclass
class House:
    """A node in this process: an open page, one that asks who comes, and a study to send."""

    here: Site
    receiver: Receiver
    reviewed: Receiver  # what it gets, a person accepts first
    study: SmallStudy
    open_url: str
    gated_url: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("page")
    with Receiver() as receiver, Receiver(ae_title="REVIEWED") as reviewed:
        settings = settings_for(folder / "home", receiver, reviewed, quiet_s=3.0, web={"port": 0})
        first, second = settings.destinations
        both = (first, second.model_copy(update={"mode": "review"}))
        settings = settings.model_copy(update={"destinations": both})
        gated = Settings(**{**dict(settings), "web": {"port": 0, "users": users()}})
        with _at_work(settings) as here:
            servers = [WebServer(here.archive, told) for told in (settings, gated)]
            for server in servers:
                server.start()
            try:
                urls = [server.url.removesuffix("/dicom-web") for server in servers]
                yield House(here, receiver, reviewed, torso("page"), *urls)
            finally:
                for server in servers:
                    server.stop(grace_s=2)


@contextmanager
def _at_work(settings: Settings) -> Iterator[Site]:
    """A node and its worker in a thread: the loop of Playwright's own is in this one."""
    ready: Queue[Site] = Queue()
    stopping = threading.Event()

    def work() -> None:
        with site(settings) as here:
            ready.put(here)
            while not stopping.wait(0.1):
                here.worker.turn()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield ready.get(timeout=60)
    finally:
        stopping.set()
        thread.join(timeout=60)


@pytest.fixture(scope="module")
def page(browser: Browser, house: House) -> Iterator[Page]:
    """The page without logins, watched for what a browser complains of."""
    opened = browser.new_page(viewport=DESK, base_url=house.open_url)
    opened.set_default_timeout(LIVE_MS)
    expect.set_options(timeout=LIVE_MS)
    complaints: list[str] = []
    opened.on(
        "console", lambda said: complaints.append(said.text) if "Policy" in said.text else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    opened.close()
    assert complaints == []


def test_a_study_goes_from_arriving_to_delivered_before_the_eyes(page: Page, house: House) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Nothing has come yet")).to_be_visible()
    picture_for_the_guide(page, "first")
    images = [*house.study.pet, *house.study.ct]
    late = images[-30:]
    house.here.send(images[:-30])
    while not page.locator(".badge", has_text="Arriving").is_visible():
        assert len(late) > 1, "the page was given long enough to tell of it"
        house.here.send([late.pop()])  # it arrives for as long as nobody has looked
        page.wait_for_timeout(500)
    house.here.send(late)
    house.here.send([house.study.seg])
    expect(page.locator(".badge", has_text="To review")).to_be_visible()
    assert house.reviewed.arrived == []
    page.locator(f"[id='study-{house.study.study_uid}']").click()
    rows = page.locator(FINDINGS)
    expect(rows).to_have_count(len(LESIONS))
    _do(page, "Accept", "Looks right")
    expect(page.get_by_role("status")).to_contain_text("goes to its destinations")
    expect(page.locator("#trail li").first).to_contain_text("Delivered")
    for receiver in (house.receiver, house.reviewed):
        assert len(reports_at(receiver, house.study.study_uid)) == 1
    picture = page.locator(".projection img")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 300
    page.evaluate("scrollTo(0, 0)")
    picture_for_the_guide(page, "study", full_page=True)


def test_the_worklist_finds_as_one_types_and_filters(page: Page, house: House) -> None:
    small = small_study("one of the small")
    house.here.send(small.pet)
    page.goto("/")
    expect(page.locator("#worklist tbody tr")).to_have_count(2)
    page.get_by_label("Patient name, id or accession number").fill("no such name")
    expect(page.get_by_text("No study fits this search")).to_be_visible()
    page.get_by_label("Patient name, id or accession number").fill("phantom")
    expect(page.locator("#worklist tbody tr").first).to_be_visible()
    page.goto("/")
    expect(page.locator(".badge", has_text="No mask yet")).to_be_visible()
    picture_for_the_guide(page, "worklist")
    page.get_by_role("link", name="Delivered").click()
    expect(page.locator("#worklist tbody tr")).to_have_count(1)


def test_a_mask_is_cancelled_with_a_reason_alone_and_retried(page: Page, house: House) -> None:
    lonely = small_study("a lonely mask")
    house.here.send([lonely.seg])
    page.goto("/")
    page.locator(f"[id='study-{lonely.study_uid}']").click()
    page.locator(".act summary", has_text="Cancel").click()
    reason = page.get_by_role("textbox", name="Reason")
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert reason.evaluate("field => !field.checkValidity()")  # the browser wants one
    reason.fill("Drawn on another patient")
    page.wait_for_timeout(2500)  # the part around it has asked for itself meanwhile
    assert reason.input_value() == "Drawn on another patient"
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Nothing more is made")
    expect(page.locator("#trail")).to_contain_text("by local: Drawn on another patient")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#trail")).to_contain_text("Another try asked for by local")


def test_who_may_only_read_sees_no_buttons_and_is_refused(browser: Browser, house: House) -> None:
    opened = browser.new_page(viewport=DESK, base_url=house.gated_url)
    study = f"/studies/{_delivered(house)}"
    opened.goto(study)
    opened.get_by_label("Name").fill("reader")
    opened.get_by_label("Password").fill("wrong")
    opened.get_by_role("button", name="Log in").click()
    expect(opened.get_by_role("alert")).to_contain_text("wrong")
    picture_for_the_guide(opened, "login")
    opened.get_by_label("Password").fill(WORDS["reader"])
    opened.get_by_role("button", name="Log in").click()
    expect(opened.locator(".findings")).to_be_visible()
    assert opened.url.endswith(study)
    assert opened.locator("form:not([action='/logout'])").count() == 0
    token = opened.locator("input[name=csrf]").get_attribute("value")
    for path, role in ((f"{study}/requeue", "operate"), (f"{study}/reports/1.2/reject", "verify")):
        answer = opened.request.post(path, form={"csrf": token or "", "reason": "because"})
        assert answer.status == 403
        assert f"needs the role &#39;{role}&#39;" in answer.text()
    opened.get_by_role("button", name="Log out").click()
    expect(opened.get_by_label("Password")).to_be_visible()
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_too_wide_for_a_phone_or_has_a_grave_fault(
    browser: Browser, house: House, scheme: str
) -> None:
    axe = find_axe()
    _quarantine(house)
    (apart,) = house.here.archive.quarantined()
    opened = browser.new_page(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    pages = [
        "/", "/?group=attention", "/?q=nobody", f"/studies/{_delivered(house)}", "/studies/1.2",
        "/quarantine", f"/quarantine/{apart.sha256}", "/destinations", "/settings", "/api",
    ]  # fmt: skip
    for url in (*(house.open_url + path for path in pages), f"{house.gated_url}/login"):
        opened.goto(url)
        for summary in opened.locator("summary").all():
            summary.click()
        assert not is_wider_than_its_window(opened), url
        if scheme == "light":  # each look once, as both take their time
            opened.set_viewport_size(DESK)  # type: ignore[arg-type]
        assert grave_violations(opened, axe) == [], url
        opened.set_viewport_size(PHONE)  # type: ignore[arg-type]
    opened.goto(house.open_url)
    picture_for_the_guide(opened, f"phone-{scheme}")
    opened.close()


def test_one_finding_alone_is_rejected_and_the_rest_verified(page: Page, house: House) -> None:
    page.goto(f"/studies/{house.study.study_uid}")
    rows = page.locator(FINDINGS)
    rows.nth(1).get_by_label("Reject this one alone").check()
    _do(page, "Reject", "Lesion 2 is the ureter", "Doe^Jane")
    expect(page.get_by_role("status")).to_contain_text("rejection is being written")
    expect(rows).to_have_count(len(LESIONS) - 1)
    page.get_by_text("What the report says of itself").click()
    expect(page.locator("#reports")).to_contain_text("Findings rejected by Jane Doe")
    expect(page.locator("#trail")).to_contain_text("by Doe^Jane: Lesion 2 is the ureter")
    expect(page.locator("#live .standing .badge")).to_have_text("To review")
    _do(page, "Verify", "Read beside the PET", "Roe^Richard")
    expect(page.locator("#reports .badge")).to_have_text("Verified")
    expect(page.locator("#reports header")).to_contain_text("by Roe^Richard")
    expect(page.locator("#live .standing .badge")).to_have_text("Delivered")
    sent = [*reports_at(house.reviewed, house.study.study_uid).values()]
    assert [one.VerificationFlag for one in sent] == ["UNVERIFIED", "VERIFIED"]
    assert sent[1].VerifyingObserverSequence[0].VerifyingObserverName == "Roe^Richard"


def test_a_program_has_to_say_who_judges_as_well(page: Page, house: House) -> None:
    study = f"/api/studies/{house.study.study_uid}"
    sr = page.request.get(study).json()["masks"][0]["report"]
    headers = {"X-CSRF-Token": page.request.get("/api/person").json()["csrf"]}
    for told, said in (
        ({}, "as `observer`"), ({"observer": " "}, "as `observer`"),
        ({"observer": "Doe^" + 61 * "J"}, "longer than 64"),
        ({"observer": "Doe^Jane"}, "verified already"),
    ):  # fmt: skip
        answer = page.request.post(
            f"{study}/reports/{sr}/verify", data={"reason": "Read", **told}, headers=headers
        )
        assert answer.status == 409
        assert said in answer.json()["reason"]


def test_a_report_is_rejected_with_a_reason_by_somebody(page: Page, house: House) -> None:
    page.goto(f"/studies/{house.study.study_uid}")
    page.locator(".act summary", has_text="Reject").click()
    page.get_by_role("button", name="Reject", exact=True).click()
    offered = page.get_by_role("link", name="Download PDF").get_attribute("href")
    assert offered is not None
    for name, told in (("Your name", "Doe^Jane"), ("Reason", "Lesion 3 is the heart")):
        field = page.get_by_role("textbox", name=name)
        assert field.evaluate("field => !field.checkValidity()")
        field.fill(told)
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("rejection is being written")
    expect(page.locator("#reports .badge", has_text="Rejected")).to_be_visible()
    expect(page.locator("#trail")).to_contain_text("by Doe^Jane: Lesion 3 is the heart")
    expect(page.locator(".act summary", has_text="Verify")).to_have_count(0)
    expect(page.get_by_role("link", name="Download PDF")).to_have_count(0)
    assert page.request.get(offered).status == 404


def _do(page: Page, word: str, reason: str, observer: str | None = None) -> None:
    """Open the form of an action, fill it in, send it."""
    page.locator(".act summary", has_text=word).click()
    if observer is not None:
        page.get_by_role("textbox", name="Your name").fill(observer)
    page.get_by_role("textbox", name="Reason").fill(reason)
    page.get_by_role("button", name=word, exact=True).click()


def _delivered(house: House) -> str:
    return next(
        line.study_instance_uid for line in house.here.archive.latest_decisions(["delivered"])
    )


def _quarantine(house: House) -> None:
    """Send a CT slice twice, with other pixels the second time."""
    if not house.here.archive.quarantined():
        house.here.send([_slice()])
        other: Dataset = _slice()
        other.PixelData = bytes(len(other.PixelData))
        other.KVP = "140"
        house.here.send([other])


def _slice() -> Dataset:
    return make_ct(study="set apart")[0]
