"""Named places where a test may end or hold the process, to prove that nothing is lost there."""

import os
import signal
import time
from pathlib import Path

# The only place that reads the variable: a folder whose files are named after armed points.
_FOLDER = os.environ.get("PACSNODE_TEST_FAILPOINT")


def reach(name: str) -> None:
    """Pass here; die of SIGKILL as often as the file of this name has lines; or, where it says
    `hold`, write `held` into it and stay until it is gone.
    """
    if _FOLDER is None:
        return
    armed = Path(_FOLDER) / name
    try:
        lines = armed.read_text("ascii").splitlines()
    except FileNotFoundError:
        return
    if lines in (["hold"], ["held"]):
        armed.write_text("held\n", "ascii")
        while armed.exists():
            time.sleep(0.01)
        return
    if len(lines) > 1:
        armed.write_text("\n".join(lines[1:]) + "\n", "ascii")
    else:
        armed.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
