"""A language model behind an OpenAI-compatible endpoint, asked for what rules cannot settle.

Reports hold patient data: off unless an address is given, on this machine alone unless allowed,
past every proxy, and never after a redirect. What the model says counts only where the sentence
says it.
"""

import ipaddress
import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from engine.cohort.pairs_sentences import Said
from engine.errors import ModelFault, UnusableCase
from engine.grounding.priors import cue_before

MOST_BYTES = 1_000_000
INSTRUCTION = (
    "You read one sentence of a PET/CT report. List every lesion of the present examination for"
    " which the sentence states a SUVmax and an axial slice (or image) number. Leave out earlier"
    " examinations, reference organs, means and thresholds. Answer with JSON alone: a list of"
    ' objects {"suv_max": "as written", "slice": "as written", "part": "the words of the sentence'
    ' about this lesion, copied exactly"}. Answer [] if there is none.'
)


class EndpointNotAllowed(UnusableCase):
    """The address of an endpoint is not one that reports may be sent to."""

    code = "endpoint-not-allowed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model listens, `http://127.0.0.1:8000/v1`. Raises EndpointNotAllowed."""

    url: str
    model: str
    allow_remote: bool = False
    api_key: str | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointNotAllowed("The address of an endpoint begins with http:// or https://")
        if not self.allow_remote and not _is_this_machine(parts.hostname):
            raise EndpointNotAllowed(
                f"Reports hold patient data and {parts.hostname} is not this machine;"
                " allow remote endpoints to send them there"
            )

    def __call__(self, sentence: str) -> Sequence[Said]:
        """The lesions of a sentence. Raises ModelFault when the endpoint does not answer."""
        return tuple(_borne_out(_listed(self._answer(sentence)), sentence))

    def _answer(self, sentence: str) -> str:
        asked = {
            "model": self.model,
            "temperature": 0,
            "seed": 0,
            "messages": [
                {"role": "system", "content": INSTRUCTION},
                {"role": "user", "content": sentence},
            ],
        }
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(  # noqa: S310 - http and https alone: __post_init__
            self.url.rstrip("/") + "/chat/completions", json.dumps(asked).encode(), headers
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        try:
            with opener.open(request, timeout=self.timeout_s) as reply:
                told = json.loads(reply.read(MOST_BYTES))
            return str(told["choices"][0]["message"]["content"])
        except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as exc:
            raise ModelFault(f"The endpoint gave no answer: {type(exc).__name__}") from exc


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: HTTPMessage, newurl: str,
    ) -> None:  # fmt: skip
        return None  # the 3xx becomes an error


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listed(answer: str) -> list[Any]:
    """The list in an answer, whatever stands around it; [] where there is none."""
    found = re.search(r"\[.*\]", answer, re.S)
    try:
        told = json.loads(found[0]) if found else []
    except ValueError:
        return []
    return told if isinstance(told, list) else []


def _borne_out(told: Sequence[Any], sentence: str) -> Iterator[Said]:
    """Lesions whose words stand in the sentence, and whose numbers stand in those words."""
    for one in told:
        if not isinstance(one, dict):
            continue
        suv, place, part = (str(one.get(key, "")).strip() for key in ("suv_max", "slice", "part"))
        if not part or part not in sentence or not re.fullmatch(r"\d+(?:[.,]\d+)?", suv):
            continue
        if not re.fullmatch(r"\d{1,5}", place) or suv == place:
            continue
        places = [_number_at(number, part) for number in (suv, place)]
        if None in places or any(cue_before(part[:at]) is not None for at in places):
            continue
        yield Said(part, float(suv.replace(",", ".")), (int(place), int(place)))


def _number_at(number: str, text: str) -> int | None:
    found = re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)", text)
    return found.start() if found else None
