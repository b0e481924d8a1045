"""Decompression of packed single-bit frames, which no decoder we know of does; bounded in size."""

import struct
import zlib


def inflate(fragment: bytes, length: int) -> bytes:
    """Deflated Image Frame Compression (PS3.5 A.4.13): one raw deflate stream a frame."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(fragment, length)


def expand_rle(fragment: bytes, length: int) -> bytes:
    """RLE Lossless (PS3.5 annex G) of frames whose packed bytes are one segment."""
    segments, offset = struct.unpack_from("<2I", fragment)
    if segments != 1 or not 64 <= offset <= len(fragment):
        raise ValueError(f"an RLE frame of {segments} segments")
    return _pack_bits(fragment[offset:], length)


def _pack_bits(packed: bytes, length: int) -> bytes:
    expanded = bytearray()
    at = 0
    while at < len(packed) and len(expanded) < length:
        control = packed[at]
        if control < 128:
            expanded += packed[at + 1 : at + control + 2]
            at += control + 2
        else:
            if control > 128:
                expanded += packed[at + 1 : at + 2] * (257 - control)
            at += 2 if control > 128 else 1
    return bytes(expanded)
