"""What can be wrong with a case.

EngineError
  UnusableCase        the data will not become usable by trying again
    MissingQuantity   an attribute that a number needs is absent or empty
    GridMismatch      two objects do not lie in one space
    EmptySegment      a segment marks no voxel
    Unreadable        an object cannot be read or decoded
    InvalidReport     a document we built breaks a rule of its own template
  ModelFault          the describer failed; another try may work
"""

from typing import ClassVar


class EngineError(Exception):
    """Base of everything the engine raises on purpose. `code` is stable and kebab-case."""

    retryable: ClassVar[bool] = False
    code = "engine-error"

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        if code is not None:
            self.code = code


class UnusableCase(EngineError):
    """The case cannot be reported, now or later, with the data it has."""

    code = "unusable-case"


class MissingQuantity(UnusableCase):
    """An attribute that a number needs is absent or empty; `keyword` is DICOM's."""

    code = "missing-quantity"

    def __init__(self, sentence: str, *, keyword: str, code: str | None = None) -> None:
        super().__init__(sentence, code=code)
        self.keyword = keyword


class GridMismatch(UnusableCase):
    """Two objects do not lie in one frame of reference, or slices do not form one grid."""

    code = "grid-mismatch"


class EmptySegment(UnusableCase):
    """A segment marks no voxel."""

    code = "empty-segment"


class Unreadable(UnusableCase):
    """An object, or its pixels, cannot be read."""

    code = "unreadable"


class InvalidReport(UnusableCase):
    """A document we built breaks a rule; it must not leave. `problems` names each."""

    code = "invalid-report"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ModelFault(EngineError):
    """The describer failed; another try may work."""

    retryable = True
    code = "model-fault"
