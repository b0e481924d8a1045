"""What can be wrong in the node.

NodeError
  BadSettings         the settings cannot be used; exit code 2
  Unavailable         the machine or network does not give now what the settings name (retryable)
  CannotAct           what a person asked for cannot be done where the study stands
  PeerFailed          a peer did not do its part now; another try may work (retryable)
    DeliveryFailed    a destination did not take an object now
  PeerRefused         a peer refuses for good, with the fix named
    DeliveryRejected  a destination refused for good; parked
"""

import socket
from collections.abc import Mapping, Sequence
from errno import EADDRINUSE, EADDRNOTAVAIL
from typing import ClassVar


class NodeError(Exception):
    """Base of everything the node raises on purpose."""

    retryable: ClassVar[bool] = False


class BadSettings(NodeError):
    """The settings cannot be used; the message names the key and what it may be."""


class Unavailable(NodeError):
    """An address, a port or a host name cannot be had now; time, or another, may mend it."""

    retryable = True


def cannot_bind(error: OSError, sentence: str) -> NodeError:
    """What a failed bind is: bad settings, but where the port or address may be free later."""
    may_pass = isinstance(error, socket.gaierror) or error.errno in (EADDRINUSE, EADDRNOTAVAIL)
    return (Unavailable if may_pass else BadSettings)(sentence)


class CannotAct(NodeError):
    """What a person asked for cannot be done now; the sentence says why, and what can be."""


class PeerFailed(NodeError):
    """A peer did not do its part; another try may work."""

    retryable = True


class PeerRefused(NodeError):
    """A peer refuses for good; `fix` says what a person should change."""

    def __init__(self, sentence: str, *, fix: str) -> None:
        super().__init__(sentence)
        self.fix = fix


class DeliveryFailed(PeerFailed):
    """A destination did not take an object; `answers` is what it said of each, where it did."""

    def __init__(self, sentence: str, *, answers: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(sentence)
        self.answers = answers


class DeliveryRejected(PeerRefused):
    """A destination refused for good; `answers` is what it said of each, where it did."""

    def __init__(
        self, sentence: str, *, fix: str, answers: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(sentence, fix=fix)
        self.answers = answers
