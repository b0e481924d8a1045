"""What can be wrong in the node.

NodeError
  BadSettings       the settings cannot be used; exit code 2
  DeliveryFailed    a destination did not take an object now; another try may work (retryable)
  DeliveryRejected  a destination refused for good; parked, with the fix named
"""

from typing import ClassVar


class NodeError(Exception):
    """Base of everything the node raises on purpose."""

    retryable: ClassVar[bool] = False


class BadSettings(NodeError):
    """The settings cannot be used; the message names the key and what it may be."""


class DeliveryFailed(NodeError):
    """A destination did not take an object; another try may work."""

    retryable = True


class DeliveryRejected(NodeError):
    """A destination refused for good; `fix` says what a person should change."""

    def __init__(self, sentence: str, *, fix: str) -> None:
        super().__init__(sentence)
        self.fix = fix
