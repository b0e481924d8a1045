"""No question to a model hub, for as long as a block runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


@contextmanager
def offline() -> Iterator[None]:
    """Hub libraries, imported before or within the block, ask nothing; all is as before after it.

    They read the environment once, when they are imported, into a constant: both are set.
    """
    # by the environment that it is in: what it reads now is what is put back
    constants: Any = (
        import_module("huggingface_hub.constants") if find_spec("huggingface_hub") else None
    )
    was_offline = constants is not None and constants.HF_HUB_OFFLINE
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
    if constants is not None:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        if constants is not None:
            constants.HF_HUB_OFFLINE = was_offline
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
