"""A built OHIF's folder under /ohif/: what comes out of it, what is put right, what never comes."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from pacsnode.access import Person
from pacsnode.access.audit import Audit
from pacsnode.errors import BadSettings
from pacsnode.settings import Settings
from pacsnode.web.application import application
from pacsnode.web.ohif import placed, viewer_routes
from storage.archive import Archive
from tests.peers import LOOPBACK
from tests.wire.browser import Answer, Site, serving

pytestmark = pytest.mark.wire

INDEX = (
    '<!doctype html><html><head><script>window.PUBLIC_URL="/"</script>'
    '<link rel="icon" href="/assets/favicon.ico"><a href="//elsewhere"></a>'
    '<script defer src="/app.bundle.1.js"></script></head><body></body></html>'
)
BUNDLE = '__webpack_require__.p = "/";\nimport("/dicom-microscopy-viewer/a.min.js"); fetch("/");'
STYLE = "@font-face { src: url(/a.woff2) } b { background: url(data:image/png;base64,AA==) }"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a build leaves it, beside a file that is nobody's business."""
    top = tmp_path_factory.mktemp("built")
    (top / "secret.js").write_text("secret")
    folder = top / "dist"
    (folder / "assets").mkdir(parents=True)
    for name, content in {
        "index.html": INDEX, "app.bundle.1.js": BUNDLE, "app.bundle.css": STYLE,
        "chunk.js": f"// {'large ' * 900}",
        "app-config.js": "window.config = 'of the folder'", "manifest.json": '{"src": "/assets/a"}',
        "decode.wasm": "\0asm", "_redirects": "/* /index.html 200",
        "assets/favicon.ico": "icon", "assets/logo.svg": "<svg/>",
    }.items():  # fmt: skip
        (folder / name).write_text(content)
    (folder / "out.js").symlink_to(top / "secret.js")
    (folder / "up").symlink_to(top)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, build: Path) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("web")
    with Archive.open(home / "archive") as archive, serving(archive, home, ohif=build) as told:
        yield told


def asked(site: Site, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request, its path sent as it is."""
    connection = HTTPConnection(LOOPBACK, site.port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, told, answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.bundle.1.js", "text/javascript; charset=utf-8"),
        ("app.bundle.css", "text/css; charset=utf-8"),
        ("decode.wasm", "application/wasm"),
        ("assets/favicon.ico", "image/x-icon"),
        ("assets/logo.svg", "image/svg+xml"),
        ("manifest.json", "application/json"),
        ("_redirects", "application/octet-stream"),
    ],
)
def test_files_come_as_what_they_are(site: Site, name: str, kind: str) -> None:
    answer = asked(site, f"/ohif/{name}")
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_paths_of_a_site_s_root_are_put_below_ours(site: Site) -> None:
    page = asked(site, "/ohif/").body.decode()
    assert 'PUBLIC_URL="/ohif/"' in page
    assert 'href="/ohif/assets/favicon.ico"' in page
    assert 'src="/ohif/app.bundle.1.js"' in page
    assert 'href="//elsewhere"' in page
    bundle = asked(site, "/ohif/app.bundle.1.js").body.decode()
    assert '__webpack_require__.p = "/ohif/";' in bundle
    assert 'import("/ohif/dicom-microscopy-viewer/a.min.js"); fetch("/");' in bundle
    style = asked(site, "/ohif/app.bundle.css").body.decode()
    assert style == STYLE.replace("(/a.", "(/ohif/a.")
    assert asked(site, "/ohif/manifest.json").body == b'{"src": "/ohif/assets/a"}'
    assert asked(site, "/ohif/decode.wasm").body == b"\0asm"


def test_a_browser_that_can_gets_scripts_compressed(site: Site) -> None:
    plain = asked(site, "/ohif/chunk.js")
    small = asked(site, "/ohif/chunk.js", **{"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in small.headers["vary"].lower()
    assert len(small.body) < len(plain.body) / 10
    assert gzip.decompress(small.body) == plain.body
    for told in (plain, small):
        again = asked(site, "/ohif/chunk.js", **{"If-None-Match": told.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("suffix", [".html", ".js", ".css", ".json"])
def test_a_build_for_our_place_is_left_as_it_is(suffix: str) -> None:
    once = placed((INDEX + BUNDLE + STYLE).encode(), suffix)
    assert placed(once, suffix) == once


@pytest.mark.parametrize("path", ["", "viewer?StudyInstanceUIDs=1.2.3", "viewer/dicomweb", "x.y"])
def test_addresses_of_its_own_router_get_its_page(site: Site, path: str) -> None:
    answer = asked(site, f"/ohif/{path}")
    assert answer.body == asked(site, "/ohif/index.html").body
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_the_address_without_a_slash_leads_there(site: Site) -> None:
    answer = asked(site, "/ohif")
    assert (answer.status, answer.headers["location"]) == (308, "/ohif/")


def test_its_configuration_is_ours_and_names_this_origin_alone(site: Site) -> None:
    told = asked(site, "/ohif/app-config.js").body.decode()
    assert "routerBasename: '/ohif'" in told
    assert "Root: `${window.location.origin}/dicom-web`" in told
    assert not re.search("https?:", told)


def test_the_page_may_run_its_own_scripts_and_no_others(site: Site) -> None:
    answer = asked(site, "/ohif/viewer")
    policy = answer.headers["content-security-policy"]
    inline = b'window.PUBLIC_URL="/ohif/"'
    digest = base64.b64encode(hashlib.sha256(inline).digest()).decode()
    assert inline in answer.body
    assert f"script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob: 'sha256-{digest}';" in policy
    assert "connect-src 'self' blob: data:" in policy
    assert "http" not in policy
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    elsewhere = asked(site, "/dicom-web/studies").headers
    assert elsewhere["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "cross-origin-embedder-policy" not in elsewhere


@pytest.mark.parametrize(
    "path",
    [
        "../secret.js", "%2e%2e/secret.js", "..%2fsecret.js", "assets/../../secret.js", "out.js",
        "up/secret.js", "/etc/hosts.js", "%00.js", "gone.js", "assets\\..\\..\\secret.js",
    ],
)  # fmt: skip
def test_nothing_comes_from_outside_the_folder(site: Site, path: str) -> None:
    answer = asked(site, f"/ohif/{path}")
    assert answer.status == 404
    assert b"secret" not in answer.body


@pytest.mark.parametrize("path", ["%2e%2e/%2e%2e/etc/passwd", "up", "assets", "%C2%80"])
def test_what_is_no_file_is_the_page(site: Site, path: str) -> None:
    assert asked(site, f"/ohif/{path}").body == asked(site, "/ohif/").body


def test_a_file_that_became_a_link_is_gone(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in ("index.html", "a.js"):
        (folder / name).write_text("1")
    (tmp_path / "secret.js").write_text("secret")
    with serving(archive, tmp_path, ohif=folder) as site:
        assert asked(site, "/ohif/a.js").status == 200
        (folder / "a.js").unlink()
        (folder / "a.js").symlink_to(tmp_path / "secret.js")
        assert asked(site, "/ohif/a.js").status == 404


def test_an_unchanged_file_is_not_sent_again(site: Site) -> None:
    first = asked(site, "/ohif/app.bundle.1.js")
    again = asked(site, "/ohif/app.bundle.1.js", **{"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    head = asked(site, "/ohif/app.bundle.1.js", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(first.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_changed_there(site: Site, method: str) -> None:
    assert asked(site, "/ohif/app.bundle.1.js", method).status in {403, 405}


def test_a_folder_without_a_build_is_bad_settings(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"'web\.ohif' names .*no index\.html"):
        application(archive, Settings(home=tmp_path, web={"port": 0, "ohif": tmp_path}))


def test_without_the_setting_there_is_none(archive: Archive, tmp_path: Path) -> None:
    with serving(archive, tmp_path) as site:
        assert asked(site, "/ohif/").status == 404


def test_who_has_no_role_gets_nothing_of_it(build: Path) -> None:
    nobody = Person("somebody", frozenset(), "oidc")
    for route in viewer_routes(build):
        assert isinstance(route, Route)
        scope = {"type": "http", "method": "GET", "path": route.path, "path_params": {"path": ""},
                 "audit": Audit()}  # fmt: skip
        with pytest.raises(HTTPException, match="'read'"):
            route.endpoint(Request({**scope, "headers": [], "person": nobody}))
