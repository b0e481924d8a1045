"""Why an SUV is not stated, as an exception that never leaves `engine.measuring`."""


class Refused(Exception):
    """A stable `code` and a `sentence` that names the attribute."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def positive(value: float | None, code: str, attribute: str) -> float:
    """The value, or Refused where it is absent or not above zero."""
    if value is None:
        raise Refused(code, f"{attribute} is absent, empty or no number")
    if value <= 0:
        raise Refused(code, f"{attribute} is {value:g}, which is not above zero")
    return value
