"""Why a request is not answered with what it asked for: a status of PS3.18 8.5 and a sentence."""

from collections.abc import Mapping
from types import MappingProxyType

from pacsnode.errors import NodeError

BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA, UNAVAILABLE = (
    400, 404, 406, 408, 413, 415, 503,
)  # fmt: skip


class Refusal(NodeError):
    """The sentence names parameters and UIDs, never the values that a patient could be told by."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers
