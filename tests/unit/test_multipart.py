"""multipart/related in pieces of any size."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacsnode.web.multipart import MOST_HEADER_BYTES, Begin, End, Splitter, Writer
from pacsnode.web.refusal import Refusal

BOUNDARY = "b0undary"
CONTENT = st.one_of(
    st.binary(max_size=200),
    # what nearly is a boundary
    st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b0undar", b"\r\n--", b"y", b"x"])).map(
        b"".join
    ),
).filter(lambda content: b"\r\n--b0undary" not in b"\r\n" + content)


def split(
    body: bytes, cuts: list[int], most_parts: int = 100
) -> list[tuple[dict[str, str], bytes]]:
    splitter = Splitter(BOUNDARY, most_parts)
    parts: list[tuple[dict[str, str], bytes]] = []
    ended = 0
    at = 0
    for cut in [*sorted(cuts), len(body)]:
        for event in splitter.feed(body[at:cut]):
            if isinstance(event, Begin):
                parts.append((dict(event.headers), b""))
            elif isinstance(event, End):
                ended += 1
            else:
                parts[-1] = parts[-1][0], parts[-1][1] + event
        at = max(at, cut)
    splitter.close()
    assert ended == len(parts)
    return parts


def body_of(parts: list[bytes], before: bytes = b"", padding: bytes = b"") -> bytes:
    opening = b"--b0undary" + padding + b"\r\nContent-Type: application/dicom\r\n\r\n"
    lead = before + b"\r\n" if before else b""
    return lead + b"\r\n".join(opening + part for part in parts) + b"\r\n--b0undary--"


@settings(deadline=None)
@given(st.lists(CONTENT, min_size=1, max_size=5), st.lists(st.integers(0, 600), max_size=20))
def test_parts_come_out_as_they_went_in_however_the_body_is_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    body = body_of(parts)
    told = split(body, [cut for cut in cuts if cut <= len(body)])
    assert told == [({"content-type": "application/dicom"}, part) for part in parts]


@settings(deadline=None)
@given(st.lists(CONTENT, min_size=1, max_size=3))
def test_byte_by_byte_is_as_good_as_at_once(parts: list[bytes]) -> None:
    body = body_of(parts, before=b"a preamble", padding=b" \t")
    assert split(body, list(range(len(body)))) == split(body, [])


@settings(deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_are_split_or_refused(body: bytes, cuts: list[int]) -> None:
    with suppress(Refusal):
        split(body, [cut for cut in cuts if cut <= len(body)])


@settings(deadline=None)
@given(st.lists(CONTENT, min_size=1, max_size=3), st.data())
def test_every_prefix_is_refused(parts: list[bytes], data: st.DataObject) -> None:
    body = body_of(parts)
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Refusal, match="ends before its last boundary"):
        split(body[:end], [])


@settings(deadline=None)
@given(st.lists(CONTENT, max_size=4))
def test_what_is_written_can_be_split(parts: list[bytes]) -> None:
    writer = Writer("application/dicom")
    body = b"".join(writer.body(("text/plain", [part]) for part in parts))
    splitter = Splitter(writer.content_type.rpartition("=")[2])
    events = list(splitter.feed(body))
    splitter.close()
    assert b"".join(event for event in events if isinstance(event, bytes)) == b"".join(parts)
    assert sum(isinstance(event, Begin) for event in events) == len(parts)


def test_a_part_without_headers_and_an_epilogue() -> None:
    told = split(b"--b0undary\r\n\r\nx\r\n--b0undary--\r\nwhatever follows", [])
    assert told == [({}, b"x")]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"--b0undaryX\r\n\r\nx", 400, "behind a boundary"),
        (b"--b0undary\r\nno colon\r\n\r\nx", 400, "without a colon"),
        (b"--b0undary\r\nA: " + b"x" * MOST_HEADER_BYTES + b"\r\n\r\n", 400, "bytes of headers"),
        (b"--b0undary\r\nA: " + b"x" * MOST_HEADER_BYTES, 400, "bytes of headers"),
        (b"x" * 70000, 400, "does not begin with its boundary"),
        (b"--b0undary\r\n\r\nx\r\n" * 101 + b"--b0undary--", 413, "more than 100 parts"),
    ],
)
def test_what_is_refused(body: bytes, status: int, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refusal:
        split(body, [])
    assert refusal.value.status == status


@pytest.mark.parametrize("boundary", ["", "x" * 201, "a\r\nb", "ends in a space ", "ü"])
def test_a_boundary_that_is_none(boundary: str) -> None:
    with pytest.raises(Refusal, match="boundary is none"):
        Splitter(boundary)
