"""A model is asked on this machine alone, and believed where the sentence bears it out."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from engine.cohort.pairs_endpoint import Endpoint, EndpointNotAllowed
from engine.cohort.pairs_sentences import Said
from engine.errors import ModelFault

SENTENCE = "Left node SUV max 4.1 (slice 80), right node SUV max 5.2 (slice 82), was SUV max 9.9."
LEFT = {"suv_max": "4.1", "slice": "80", "part": "Left node SUV max 4.1 (slice 80)"}
pytestmark = pytest.mark.wire


@contextmanager
def serving(content: Any, status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat endpoint on loopback that always says the same, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked.append({"path": self.path, **json.loads(self.rfile.read(length))})
            reply = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://203.0.113.9/v1/chat/completions")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_answer_is_read_whatever_stands_around_it() -> None:
    right = {"suv_max": 5.2, "slice": 82, "part": "right node SUV max 5.2 (slice 82)"}
    with serving(f"Here you are:\n```json\n{json.dumps([LEFT, right])}\n```") as (url, asked):
        told = Endpoint(url, "local")(SENTENCE)
    assert told == (
        Said("Left node SUV max 4.1 (slice 80)", 4.1, (80, 80)),
        Said("right node SUV max 5.2 (slice 82)", 5.2, (82, 82)),
    )
    assert asked[0]["path"] == "/v1/chat/completions"
    assert asked[0]["messages"][-1] == {"role": "user", "content": SENTENCE}
    assert (asked[0]["temperature"], asked[0]["model"]) == (0, "local")


@pytest.mark.parametrize(
    "told",
    [
        {**LEFT, "suv_max": "4.2"},  # not in the words
        {**LEFT, "suv_max": "4"},  # a piece of a number
        {**LEFT, "slice": "82"},  # of the other lesion
        {**LEFT, "part": "A left node, SUV max 4.1, slice 80"},  # not the sentence's words
        {**LEFT, "suv_max": "9.9", "slice": "82", "part": SENTENCE},  # an earlier examination
        {**LEFT, "slice": "eighty"},
        {"suv_max": "4.1"},
        "SUV 4.1",
    ],
)
def test_what_the_sentence_does_not_say_is_not_believed(told: Any) -> None:
    sentence = SENTENCE.replace("was SUV max", "previously SUV max")
    if isinstance(told, dict) and told.get("part") == SENTENCE:
        told = {**told, "part": sentence}
    with serving(json.dumps([told])) as (url, _):
        assert Endpoint(url, "local")(sentence) == ()


@pytest.mark.parametrize("content", ["no lesion", "[1, 2", '{"suv_max": 4.1}', ""])
def test_an_answer_that_is_no_list_is_none(content: str) -> None:
    with serving(content) as (url, _):
        assert Endpoint(url, "local")(SENTENCE) == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.0.4:8000/v1", "https://api.example.org/v1", "http://127.0.0.1.example.org",
        "file:///etc/passwd", "127.0.0.1:8000", "http://0.0.0.0:8000", "http://localhost@203.0.113.9",
    ],
)  # fmt: skip
def test_reports_stay_on_this_machine(url: str) -> None:
    with pytest.raises(EndpointNotAllowed):
        Endpoint(url, "local")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://localhost:1", "http://[::1]:1"])
def test_loopback_is_allowed(url: str) -> None:
    assert Endpoint(url, "local").url == url


def test_remote_is_allowed_by_name_alone() -> None:
    assert Endpoint("https://llm.example.org/v1", "m", allow_remote=True).model == "m"


def test_a_redirect_takes_no_report_elsewhere() -> None:
    moved = serving("[]", status=302)
    with moved as (url, asked), pytest.raises(ModelFault, match="HTTPError"):
        Endpoint(url, "local")(SENTENCE)
    assert len(asked) == 1


def test_no_proxy_sees_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    with serving(json.dumps([LEFT])) as (url, _):
        assert len(Endpoint(url, "local")(SENTENCE)) == 1


def test_silence_is_a_fault() -> None:
    with serving("[]", status=500) as (url, _), pytest.raises(ModelFault, match="no answer"):
        Endpoint(url, "local")(SENTENCE)
