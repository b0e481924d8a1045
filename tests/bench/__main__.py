"""python -m tests.bench: a few figures in about two minutes, all on loopback.

The C-STORE rate stands beside Orthanc's of the same run where it is installed; figures of one
machine and minute compare, others do not.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pynetdicom import AE
from rich.console import Console
from rich.table import Table

from pacsnode.demo.peers import dcmtk_storescu
from pacsnode.replay.run import Request, replay
from pacsnode.settings import read_settings
from tests.makers import make_ct, make_pet, make_seg, save
from tests.peers import LOOPBACK, Orthanc, free_port

OBJECTS, ASSOCIATIONS, CASES = 300, 4, 4


def main() -> None:
    """Measure, and print as it goes."""
    table = Table("what", "figure", title=f"{os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as place:
        for what, figure in figures(Path(place)):
            table.add_row(what, figure)
            Console(stderr=True).print(f"{what}: {figure}")
    Console().print(table)


def figures(place: Path) -> Iterator[tuple[str, str]]:
    """Every figure with its name."""
    for command in ("--help", "version", "check"):
        began = [seconds(lambda: pacsnode(command)) for _ in range(3)]  # noqa: B023
        yield f"pacsnode {command}", f"{min(began):.2f} s"
    shares = make_objects(place / "objects")
    with node(place / "home") as (port, first_echo_s):
        yield "serve: to the first C-ECHO", f"{first_echo_s:.2f} s"
        if dcmtk_storescu() is None:
            yield "C-STORE", "storescu is not installed"
        else:
            yield from rates(shares, port, place / "orthanc")
    for workers in (1, 2):
        took = replayed(place / "cases", place / f"out{workers}", workers)
        yield f"replay, {workers} worker(s)", f"{took / CASES:.2f} s a case"


def rates(shares: Sequence[Sequence[Path]], port: int, place: Path) -> Iterator[tuple[str, str]]:
    """How fast a node takes objects, and Orthanc in the same minute."""
    megabytes = sum(path.stat().st_size for share in shares for path in share) / 1e6
    ours = OBJECTS / send(shares, port, "PACSNODE")
    yield "C-STORE, durable", f"{ours:.0f} objects/s, {ours * megabytes / OBJECTS:.0f} MB/s"
    again = OBJECTS / send(shares, port, "PACSNODE")
    yield "C-STORE, the same again", f"{again:.0f} objects/s"
    if shutil.which("Orthanc") or Path("/usr/sbin/Orthanc").is_file():
        with Orthanc(place) as orthanc:
            theirs = OBJECTS / send(shares, orthanc.port, orthanc.ae_title)
        yield "C-STORE, Orthanc", f"{theirs:.0f} objects/s"
        yield "C-STORE, ours / Orthanc's", f"{ours / theirs:.2f}"


def seconds(act: Callable[[], object]) -> float:
    """Wall-clock seconds of an act."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def pacsnode(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pacsnode", *arguments], check=True, stdout=subprocess.DEVNULL
    )


def make_objects(folder: Path) -> list[list[Path]]:
    """CT slices of 512 x 512, half a megabyte each, dealt out to the associations."""
    noise = np.random.default_rng(1).integers(-1000, 2000, (OBJECTS, 512, 512))
    paths = save(make_ct(noise.astype(float)), folder)
    return [paths[start::ASSOCIATIONS] for start in range(ASSOCIATIONS)]


@contextmanager
def node(home: Path) -> Iterator[tuple[int, float]]:
    """A node of its own process; gives its port and the seconds to the first C-ECHO."""
    port = free_port()
    command = [sys.executable, "-m", "pacsnode", "serve", "--home", home, "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env=os.environ | {"PACSNODE_LOG_LEVEL": "error"}
    )
    try:
        while not echoes(port):
            if process.poll() is not None or time.monotonic() - began > 60:
                raise RuntimeError("the node did not start")
            time.sleep(0.01)
        yield port, time.monotonic() - began
    finally:
        process.terminate()
        process.wait(30)


def echoes(port: int) -> bool:
    """Whether a C-ECHO is answered with success."""
    entity = AE(ae_title="BENCH")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate(LOOPBACK, port, ae_title="PACSNODE")
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return bool(answer) and answer.Status == 0x0000


def send(shares: Sequence[Sequence[Path]], port: int, ae_title: str) -> float:
    """Seconds to store all shares, each over an association of its own at the same time."""
    program = str(dcmtk_storescu())

    def store(share: Sequence[Path]) -> None:
        subprocess.run(
            [program, "-aec", ae_title, LOOPBACK, str(port), *map(str, share)],
            check=True, stdout=subprocess.DEVNULL, env=os.environ | {"TCP_NODELAY": "1"},
        )  # fmt: skip

    with ThreadPoolExecutor(ASSOCIATIONS) as pool:
        return seconds(lambda: list(pool.map(store, shares)))


def replayed(cases: Path, out: Path, workers: int) -> float:
    """Seconds to replay made cases of 120 PET and 120 CT slices with ten lesions each."""
    if not cases.exists():
        for number in range(CASES):
            make_case(cases / str(number), f"case {number}")
    request = Request((cases,), out, read_settings(None), workers=workers)
    return seconds(lambda: replay(request))


def make_case(folder: Path, name: str) -> None:
    """One study with ten lesions along the middle of a PET."""
    values = np.random.default_rng(2).uniform(500, 1500, (120, 128, 128))
    masks = {}
    for number in range(10):
        mask = np.zeros(values.shape, bool)
        mask[10 * number + 5 : 10 * number + 10, 60:66, 60:66] = True
        values[mask] = 20000 + number
        masks[f"Lesion {number}"] = mask
    pet = make_pet(values, study=name, series=f"{name} pet", frame_of_reference=name)
    density = np.zeros((120, 128, 128))
    ct = make_ct(density, study=name, series=f"{name} ct", frame_of_reference=name)
    save([*pet, *ct, make_seg(masks, pet, series=f"{name} seg")], folder)


if __name__ == "__main__":
    main()
