"""The way in as a real browser goes it: the form, and an issuer on another site."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import find_peer
from tests.issuer import CLIENT, Issuer
from tests.wire.visitor import WORDS, House, house, users

pytestmark = [pytest.mark.wire, pytest.mark.slow]


class OfAnotherSite(Issuer):
    """An issuer that a browser takes for another site than 127.0.0.1."""

    @property
    def url(self) -> str:
        return super().url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home: Path = tmp_path_factory.mktemp("browser")
    person = {"preferred_username": "anna", "groups": ["staff"]}
    secret = home / "secret"
    secret.write_text("the client's own")
    with OfAnotherSite(person=person) as issuer:
        oidc = {
            "issuer": issuer.url, "client_id": CLIENT, "roles": {"read": ["staff"]},
            "secret_file": secret,
        }  # fmt: skip
        with house(home, users=users(), oidc=oidc) as told:
            yield told


def test_a_browser_goes_in_and_out_both_ways(gated: House) -> None:
    from playwright.sync_api import sync_playwright

    program = find_peer("chromium")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 380, "height": 700})
        said: list[Any] = []
        page.on("console", lambda message: said.append(f"{message.text} {message.location['url']}"))
        page.on("pageerror", lambda error: said.append(str(error)))

        page.goto(f"{gated.url}/login?next=/api/who")
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        page.fill("#name", "reader")
        page.fill("#password", WORDS["reader"])
        page.click("button")
        page.wait_for_url(f"{gated.url}/api/who")
        assert '"name":"reader"' in page.inner_text("body")
        page.goto(f"{gated.url}/login")
        page.click("button")  # out
        page.wait_for_selector("#password")  # a click does not wait for the page it leads to

        page.goto(f"{gated.url}/login?next=/api/who")
        page.click("text=Log in with localhost")
        page.wait_for_url("**/api/who", timeout=20_000)  # the Strict cookie came along
        assert '"name":"anna"' in page.inner_text("body")
        assert [text for text in said if "favicon" not in text] == []
        browser.close()
