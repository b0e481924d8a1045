"""A conversation with a DICOMweb peer (PS3.18): bounded, redirected nowhere, its secret unseen.

dicomweb-client says what is asked. What is answered is taken out of its hands: it would follow a
redirect, turn a POST into a GET on the way, and overlook failures in an answer that says 200.
"""

import json
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final, NoReturn

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import ProtocolError

from pacsnode.addresses import WebAddress
from pacsnode.errors import PeerFailed, PeerRefused

CONNECTION_TIMEOUT_S = 10.0  # to connect, and for each piece that is sent
SILENCE_TIMEOUT_S = 60.0  # for the first byte of an answer, and from one byte to the next
ANSWER_TIMEOUT_S = 300.0  # for a whole answer
LARGEST_ANSWER = 64 << 20
PIECE = 65536
TIMEOUTS_S = (CONNECTION_TIMEOUT_S, SILENCE_TIMEOUT_S)

# it warns of every call that ends in an exception, as all of ours do
logging.getLogger("retrying").setLevel(logging.ERROR)

ROOT = "Set url to the root of its DICOMweb service: the address that /studies follows"
TRY_AGAIN = frozenset({408, 421, 423, 425, 429})  # RFC 9110 15.5, RFC 6585
REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    401: (
        "does not accept our credentials, or wants some",
        "Set secret_env or secret_file (and user, for basic authentication) of this peer",
    ),
    403: ("forbids it", "Allow this account there what the node asks"),
    404: ("has no DICOMweb service there", ROOT),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer answered to one request, whatever it was."""

    status: int
    content_type: str
    body: bytes
    allows: frozenset[str]  # methods, where it names any

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def parts(self) -> list[bytes]:
        """The parts of a multipart body without their headers; any other body is one part."""
        header = Message()
        header["Content-Type"] = self.content_type
        boundary = header.get_boundary()
        if boundary is None:
            return [self.body]
        between = (b"\r\n" + self.body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
        # the first is a preamble, the last what follows the end (RFC 2046 5.1.1)
        return [part.partition(b"\r\n\r\n")[2] for part in between[1:-1]]


class Conversation:
    """Requests to one peer. They raise PeerFailed or PeerRefused where none is answered."""

    def __init__(self, peer: WebAddress, session: requests.Session) -> None:
        self._peer = peer
        self._session = session
        self._client = DICOMwebClient(
            peer.url,
            session=session,
            timeout=TIMEOUTS_S,
            chunk_size=1 << 31,  # a length is stated: not every server takes chunked requests
        )
        self._client.set_http_retry_params(retry=False)  # durable jobs try again, not threads

    def store(self, datasets: Sequence[Dataset]) -> Answer:
        """Store Transaction (PS3.18 10.5), in one request."""
        return self._answer(self._client.store_instances, datasets)

    def retrieve(self, study: str, series: str, instance: str) -> Answer:
        """Retrieve Transaction of an instance (PS3.18 10.4), in the syntax it is kept in."""
        return self._asked(self._client.retrieve_instance, study, series, instance)

    def search_series(self, study: str | None, series: str | None) -> Answer:
        """Search Transaction for the series of a study, or for one series of any."""
        return self._asked(
            self._client.search_for_series,
            study,
            fields=["StudyInstanceUID", "FrameOfReferenceUID"],
            search_filters={"SeriesInstanceUID": series} if series else None,
        )

    def search_instances(self, study: str, series: str, offset: int) -> Answer:
        """Search Transaction for the instances of a series, after the first `offset` ones."""
        return self._asked(self._client.search_for_instances, study, series, offset=offset or None)

    def search_studies(self, limit: int) -> Answer:
        """Search Transaction for studies (PS3.18 10.6)."""
        return self._asked(self._client.search_for_studies, limit=limit)

    def store_options(self) -> Answer:
        """What the studies resource allows (RFC 9110 9.3.7)."""
        url = f"{self._peer.url}/studies"
        return self._asked(self._session.options, url, timeout=TIMEOUTS_S)

    def _asked(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Answer:
        """A request that changes nothing and may be sent twice (RFC 9110 9.2.2).

        A server may close a connection that is kept just when the next request is on its way.
        """
        try:
            return self._answer(call, *arguments, **named)
        except _ClosedUnanswered:
            return self._answer(call, *arguments, **named)

    def _answer(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Answer:
        try:
            call(*arguments, **named)
        except _Answered as answered:
            return answered.answer
        except requests.RequestException as exc:
            raise _why(exc, self._peer) from exc
        raise RuntimeError("a request ended without an answer")


def by_status(
    address: str, status: int, refusals: Mapping[int, tuple[str, str]]
) -> PeerFailed | PeerRefused:
    """What a status of no success asks for: a person, with the meaning and fix, or another try."""
    said = f"{address} answers {status}"
    if 300 <= status < 400:
        return PeerRefused(f"{said}: it redirects, which is not followed", fix=ROOT)
    known = refusals.get(status) or REFUSALS.get(status)
    if known is not None:
        return PeerRefused(f"{said}: it {known[0]}", fix=known[1])
    if 400 <= status < 500 and status not in TRY_AGAIN:
        return PeerRefused(f"{said}: it refuses the request", fix="Look in its log for our request")
    return PeerFailed(said)


class _ClosedUnanswered(PeerFailed):
    pass


class _Answered(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@contextmanager
def conversation(peer: WebAddress, largest: int | None = None) -> Iterator[Conversation]:
    """Speak with a peer until the block ends; no answer may have more than `largest` bytes.

    Raises PeerFailed where another try may work, and PeerRefused, with the fix, where not.
    """
    if peer.ca_file is not None and not peer.ca_file.is_file():
        raise PeerFailed(f"{peer.url}: ca_file {peer.ca_file} cannot be read")
    with requests.Session() as session:
        session.trust_env = False  # no proxy and no .netrc that our settings do not know of
        session.verify = str(peer.ca_file) if peer.ca_file else True
        session.auth = _guarded(_credentials(peer))
        session.headers["Accept"] = "application/dicom+json"
        session.hooks["response"] = [
            lambda response, **_: _take(response, largest or LARGEST_ANSWER)
        ]
        yield Conversation(peer, session)


class _Pieces:
    """A body sent piece by piece: a socket's timeout is for all of what it is handed at once."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), PIECE):
            yield bytes(self._body[start : start + PIECE])


Guard = Callable[[requests.PreparedRequest], requests.PreparedRequest]


def _guarded(credentials: Guard) -> Guard:
    def on_request(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Host", None)  # dicomweb-client leaves out the port
        if isinstance(request.body, bytes):
            request.body = _Pieces(request.body)
        return credentials(request)

    return on_request


def _credentials(peer: WebAddress) -> Guard:
    secret = _secret(peer)
    if secret is None:
        return lambda request: request
    if peer.user is not None:
        return HTTPBasicAuth(peer.user.encode("utf-8"), secret.encode("utf-8"))

    def with_token(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {secret}"
        return request

    return with_token


def _secret(peer: WebAddress) -> str | None:
    """The password or token; its words never reach a message."""
    if peer.secret_env is not None:
        secret = os.environ.get(peer.secret_env, "").strip()
        if not secret:
            raise PeerRefused(
                f"{peer.url}: the variable {peer.secret_env} (secret_env) is not set",
                fix=f"Set {peer.secret_env} in the node's environment and restart the node",
            )
    elif peer.secret_file is not None:
        try:
            secret = peer.secret_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            said = exc.strerror if isinstance(exc, OSError) else "not text"
            raise PeerFailed(
                f"{peer.url}: secret_file {peer.secret_file} cannot be read: {said}"
            ) from exc
    else:
        return None
    if not secret.isprintable() or not (secret.isascii() or peer.user):
        raise PeerRefused(
            f"{peer.url}: its secret holds a character that no header may hold",
            fix="Write the password or token alone, in one line, where the settings point to",
        )
    return secret


def _take(response: requests.Response, largest: int) -> NoReturn:
    """Read an answer within bounds, and keep it from being followed or misread."""
    response.raw = _Bounded(response.raw, largest)
    allows = response.headers.get("Allow", "").upper().replace(" ", "").split(",")
    content_type = response.headers.get("Content-Type", "")
    with response:  # closed also where it was not read to its end
        body: bytes = response.content
    raise _Answered(Answer(response.status_code, content_type, body, frozenset(allows) - {""}))


class _Bounded:
    """The body of an answer, which ends in an error where it is too large or takes too long.

    `requests` bounds neither.
    """

    def __init__(self, raw: Any, largest: int) -> None:
        self._raw = raw
        self._largest = largest
        self._ends_s = time.monotonic() + ANSWER_TIMEOUT_S

    def stream(self, _amount: int, decode_content: bool = True) -> Iterator[bytes]:
        read = 0
        # what there is, and no wait for a full piece
        while piece := self._raw.read1(PIECE, decode_content=decode_content):
            read += len(piece)
            if read > self._largest:
                raise requests.exceptions.ContentDecodingError("too large")
            if time.monotonic() > self._ends_s:
                raise requests.exceptions.ReadTimeout("too slow")
            yield piece

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()


def _why(error: requests.RequestException, peer: WebAddress) -> PeerFailed | PeerRefused:
    """What went wrong on the way, in words of our own: the library's may quote headers."""
    if (refused := _certificate_refused(error)) is not None:
        return PeerRefused(
            f"{peer.url}: its certificate is not trusted ({refused.verify_message})",
            fix="Set ca_file to the CA certificates that vouch for it, or renew the certificate",
        )
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return PeerFailed(f"{peer.url}: no connection within {CONNECTION_TIMEOUT_S:.0f} s")
    if isinstance(error, requests.exceptions.Timeout):
        return PeerFailed(f"{peer.url}: no whole answer in time")
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return PeerFailed(f"{peer.url}: its answer is too large, or not what its headers say")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return PeerFailed(f"{peer.url}: its answer broke off")
    if isinstance(error, requests.exceptions.SSLError):
        return PeerFailed(f"{peer.url}: no TLS connection could be made")
    said = f"{peer.url}: no connection, or closed before it answered"
    broken = error.args[0] if error.args else None
    if isinstance(broken, ProtocolError) and isinstance(broken.args[-1], ConnectionError):
        return _ClosedUnanswered(said)
    return PeerFailed(said)


def _certificate_refused(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ssl.SSLCertVerificationError):
            return one
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return None
