"""Settings: what wins, what is refused in which words, and that every key is documented."""

import json
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pacsnode.addresses import Destination, WebDestination
from pacsnode.errors import BadSettings
from pacsnode.settings import Settings, known_keys, parse_destination, read_settings
from tests.conftest import ROOT

DOCUMENTED = ROOT / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        plain = variable.upper()
        if plain.startswith("PACSNODE_") and not plain.startswith("PACSNODE_TEST_"):
            monkeypatch.delenv(variable)


def written(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_options_win_over_variables_and_variables_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, 'home = "/a"\n[listen]\nport = 1\nae_title = "FILE"\n')
    assert read_settings(config).listen.port == 1
    monkeypatch.setenv("PACSNODE_LISTEN__PORT", "2")
    monkeypatch.setenv("PACSNODE_HOME", "/b")
    settings = read_settings(config)
    assert (settings.listen.port, settings.listen.ae_title) == (2, "FILE")
    assert settings.home == Path("/b")
    settings = read_settings(config, {"listen": {"port": 3}, "home": "/c"})
    assert (settings.listen.port, settings.listen.ae_title) == (3, "FILE")
    assert settings.home == Path("/c")


def test_a_variable_holds_a_list_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACSNODE_LISTEN__PEERS", '[{"ae_title": "SCANNER", "address": "10.0.0.7"}]')
    (peer,) = read_settings(None).listen.peers
    assert (peer.ae_title, peer.address) == ("SCANNER", "10.0.0.7")
    monkeypatch.setenv("PACSNODE_LISTEN__PEERS", "SCANNER")
    with pytest.raises(BadSettings, match="must be JSON"):
        read_settings(None)


def test_settings_made_in_code_do_not_look_at_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PACSNODE_LISTEN__PORT", "2")
    assert Settings().listen.port == 11112


BY_URL = "[[destinations]]\nname = 'x'\nurl = 'https://pacs.example'\n"
TWO_OF_ONE_NAME = """
destinations = [
    {name = "PACS", ae_title = "A", host = "a.example", port = 104},
    {name = "PACS ", ae_title = "B", host = "b.example", port = 104},
]
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[listn]\nport = 1", "Unknown setting 'listn'; the nearest known one is 'listen'"),
        ("[listen]\nprot = 1", "'listen.prot'; the nearest known one is 'listen.port'"),
        ("[[destinations]]\nnme = 'x'", "the nearest known one is 'destinations.name'"),
        ("[[listen.peers]]\nae_titel = 'x'", "the nearest known one is 'listen.peers.ae_title'"),
        ("[listen]\nport = 'high'", "Setting 'listen.port'"),
        ("[listen]\nport = 65536", "Setting 'listen.port'"),
        ("[listen]\nae_title = 'SEVENTEENLETTERSX'", "Setting 'listen.ae_title'"),
        ("[listen]\nae_title = 'BACK\\SLASH'", "Setting 'listen.ae_title'"),
        ("[assembly]\npet_preference = ['(']", "not a regular expression"),
        ("[describe]\ndescriber = 'petar'", "needs the folder of its `model`"),
        ("[describe]\ndescriber = 'oracle'", "Setting 'describe.describer'"),
        ("[describe]\nmodle = '/m'", "the nearest known one is 'describe.model'"),
        ("[[destinations]]\nname = ' '\nhost = 'h'\nport = 1", "Setting 'destinations.name'"),
        ("[[destinations]]\nname = 'x'\nurl = 'ftp://h'", "url': Value error, not an http"),
        ("[[destinations]]\nname = 'x'\nurl = 'https://u:pw@h'", "secret_env or secret_file"),
        ("[[destinations]]\nname = 'x'\nurl = 'https://h/?a=b'", "has no ? and no #"),
        ("[[destinations]]\nname = 'x'\nurl = 'https://h:x'", "Setting 'destinations.url'"),
        ("[[destinations]]\nname = 'x'\nurl = 'https://h/ a'", "no space"),
        ("[[destinations]]\nname = 'x'\nurl = 'https://h'\nport = 1", "and so no port"),
        ("[[destinations]]\nname = 'x'\nurl = 'https://h'\ntoken = 'x'", "'destinations.token'"),
        (f"{BY_URL}user = 'u'", "a user needs a password"),
        (f"{BY_URL}secret_env = 'A'\nsecret_file = '/b'", "not in both"),
        (f"{BY_URL}secret_env = 'PACSNODE_KEY'", "not one of PACSNODE_*"),
        (f"{BY_URL.replace('https', 'http')}secret_env = 'A'", "in clear: use https://"),
        (TWO_OF_ONE_NAME, "Setting 'destinations': Value error, two are called 'PACS'"),
        ("listen = 3", "Setting 'listen'"),
        ("[web]\naddress = '0.0.0.0'", "Setting 'web': Value error, 0.0.0.0 is open"),
        ("[web]\naddress = 'pacs.example.org'", "without a login only loopback is served"),
        ("[listen", "is not valid TOML"),
    ],
)  # fmt: skip
def test_what_a_file_may_not_say_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadSettings) as refusal:
        read_settings(written(tmp_path, text))
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "variable",
    ["PACSNODE_LISTN__PORT", "PACSNODE_LISTEN__PROT", "pacsnode_listn__port", "Pacsnode_Listn"],
)
def test_unknown_variables_are_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(BadSettings, match="nearest known one is 'listen"):
        read_settings(None)


def test_variables_count_in_lower_case_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("pacsnode_listen__port", "2")
    monkeypatch.setenv("pacsnode_test_data", "/somewhere")
    assert read_settings(None).listen.port == 2


def test_the_key_of_an_endpoint_is_a_secret_and_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACSNODE_ENDPOINT_KEY", "canary")
    assert "canary" not in repr(read_settings(None))
    assert "`PACSNODE_ENDPOINT_KEY`" in DOCUMENTED.read_text()
    monkeypatch.setenv("PACSNODE_ENDPOINT_KEYS", "canary")
    with pytest.raises(BadSettings, match="PACSNODE_ENDPOINT_KEYS") as refusal:
        read_settings(None)
    assert "canary" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="Cannot read the settings file"):
        read_settings(tmp_path / "absent.toml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings(None).listen.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("PACS@pacs.example:104", ("PACS", "pacs.example", 104)),
        ("MY PACS@10.0.0.1:11112", ("MY PACS", "10.0.0.1", 11112)),
        ("PACS@[::1]:104", ("PACS", "::1", 104)),
    ],
)
def test_a_destination_is_typed_as_title_host_port(text: str, parts: tuple[str, str, int]) -> None:
    destination = parse_destination(text)
    assert (destination.ae_title, destination.host, destination.port) == parts


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h",
        "https://",
        "https://h:0x/",
        "PACS",
        "PACS@host",
        "@host:104",
        "PACS@host:0",
        "P@h:70000",
    ],
)
def test_a_malformed_destination_is_refused(text: str) -> None:
    with pytest.raises(BadSettings):
        parse_destination(text)


@pytest.mark.parametrize("text", ["https://pacs.example/dicom-web/", "http://[::1]:8042/dicom-web"])
def test_a_destination_may_be_the_url_of_a_dicomweb_service(text: str) -> None:
    destination = parse_destination(text)
    assert isinstance(destination, WebDestination)
    assert (destination.name, destination.url) == (text, text.rstrip("/"))


def test_a_destination_of_either_kind_outlives_the_way_to_the_worker(tmp_path: Path) -> None:
    told = f"{BY_URL}secret_file = '/run/secret'\n[[destinations]]\nname = 'y'\n"
    config = written(tmp_path, told + "ae_title = 'Y'\nhost = 'h'\nport = 104\n")
    settings = read_settings(config)
    assert [type(one) for one in settings.destinations] == [WebDestination, Destination]
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_secret_may_go_over_http_within_one_machine(host: str) -> None:
    told = {"name": "x", "url": f"http://{host}:8042", "secret_env": "A"}
    assert Settings(destinations=[told]).destinations


# the page


def table_rows(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """One row of the settings page for every key that holds a value."""
    for name, field in model.model_fields.items():
        inner = _models(field.annotation)
        if not inner or get_origin(field.annotation) is tuple:
            yield (
                f"| `{prefix}{name}` | {_type(field.annotation)} | {_default(field.default)} | "
                + (f"{field.description} |")
            )
        for section in inner:
            yield from table_rows(section, f"{prefix}{name}.")


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        inner = get_args(annotation)[0]
        if get_origin(inner) is Literal:
            return f"list of {_type(inner)}"
        return "list of tables" if _models(annotation) else "list of text"
    if get_origin(annotation) is Annotated and "file" in annotation.__metadata__:
        return "file"
    if get_origin(annotation) in (Union, types.UnionType):
        return _type(get_args(annotation)[0])
    if get_args(annotation):
        return _type(get_args(annotation)[0])
    names = {bool: "yes or no", int: "whole number", float: "number", str: "text", Path: "folder"}
    return names[annotation]


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_page_documents_every_key_as_the_code_has_it() -> None:
    page = DOCUMENTED.read_text().splitlines()
    assert [row for row in table_rows() if row not in page] == []
    documented = {line.split("`")[1] for line in page if line.startswith("| `")}
    assert documented <= set(known_keys())


def test_every_key_says_what_it_means() -> None:
    assert not [row for row in table_rows() if "| None |" in row]
