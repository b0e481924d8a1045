"""A replay from its inputs to its outputs."""

import fcntl
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine.finding import ModelIdentity
from pacsnode.errors import BadSettings
from pacsnode.jobs.describers import writes_with_a_model
from pacsnode.replay.cases import CaseResult, Ledger, Order, write_findings
from pacsnode.replay.manifest import write_manifest
from pacsnode.replay.planning import Plan, plan_cases
from pacsnode.replay.reporting import report_one
from pacsnode.replay.sources import FAULTS, NotRead, Source, files_of
from pacsnode.replay.workers import run_all
from pacsnode.settings import Settings
from storage.archive import Archive
from storage.archive.door import INDEX_FILE
from storage.errors import DiskFault, Unkeepable

if TYPE_CHECKING:
    from pacsnode.replay.model_process import ModelProcess

Progress = Callable[[str, int, int | None], None]  # what is done, how many so far, of how many


@dataclass(frozen=True, slots=True)
class Request:
    """What to replay. `shard` is (I, N), I counted from 1."""

    inputs: tuple[Path, ...]
    out: Path
    settings: Settings
    workers: int | None = None  # None: one a processor, or as many as share the model
    shard: tuple[int, int] = (1, 1)

    @property
    def suffix(self) -> str:
        """What tells this shard's files from those of the others in one output folder."""
        return "" if self.shard[1] == 1 else f".{self.shard[0]}-of-{self.shard[1]}"

    @property
    def index(self) -> Path:
        return self.out / f"index{self.suffix}"

    @property
    def findings(self) -> Path:
        return self.out / f"findings{self.suffix}.csv"

    @property
    def manifest(self) -> Path:
        return self.out / f"run{self.suffix}.json"


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that is in the index, but not the first of its UID; `reason` is its outcome."""

    origin: str
    reason: str


@dataclass(slots=True)
class Files:
    """What became of every file among the inputs."""

    counts: dict[str, int] = field(default_factory=dict)
    not_read: list[NotRead] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    origins: dict[Path, str] = field(default_factory=dict)

    def count(self, outcome: str) -> None:
        """Count one more file with this outcome."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def pass_over(self, file: NotRead) -> None:
        """Count a file that is not in the index."""
        self.count(file.kind)
        self.not_read.append(file)


@dataclass(slots=True)
class Outcome:
    """All that run.json says of a replay."""

    request: Request
    started_at: datetime
    files: Files = field(default_factory=Files)
    plan: Plan = field(default_factory=Plan)
    results: list[CaseResult] = field(default_factory=list)
    resumed: int = 0
    rows: int = 0
    model: ModelIdentity | None = None
    seconds: float = 0.0
    stopped: bool = False

    @property
    def failed(self) -> bool:
        """Whether anything went wrong; a refusal is a result, not a failure."""
        return (
            self.stopped
            or any(result.outcome == "failed" for result in self.results)
            or any(file.kind in FAULTS for file in self.files.not_read)
        )


def replay(request: Request, progress: Progress = lambda *_: None) -> Outcome:
    """Find every case in the inputs, report each, write findings.csv and run.json.

    Ctrl-C ends it early with what is done so far; the same request then goes on from there.
    """
    began = time.monotonic()
    outcome = Outcome(request, datetime.now(UTC))
    request.out.mkdir(parents=True, exist_ok=True)
    with _alone(request):
        _fill(outcome, progress)
        outcome.seconds = time.monotonic() - began
        write_manifest(request.manifest, outcome)
    return outcome


def _fill(outcome: Outcome, progress: Progress) -> None:
    request = outcome.request
    try:
        progress("loading the model", 0, None)
        with closing(_writer(request)) as writer:
            outcome.model = writer.start()
            outcome.plan = _register_and_plan(request, outcome.files, outcome.model, progress)
            _report_all(request, outcome, writer, progress)
    except KeyboardInterrupt:
        outcome.stopped = True
    with request.findings.open("w", encoding="utf-8", newline="") as stream:
        outcome.rows = write_findings(stream, outcome.results)


@contextmanager
def _alone(request: Request) -> Iterator[None]:
    """Keep a second run of the same shard out of the folder. Raises BadSettings."""
    with (request.out / f".lock{request.suffix}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BadSettings(f"Another replay is writing to {request.out}") from exc
        yield


def _writer(request: Request) -> "ModelProcess | TemplateProcesses":
    told = request.settings.describe
    if not writes_with_a_model(told):
        return TemplateProcesses(request.workers or os.cpu_count() or 1)
    from pacsnode.replay.model_process import ModelProcess  # only a model needs it

    return ModelProcess(told, request.workers or told.cases_at_once)


class TemplateProcesses:
    """Processes that report by the template, a case at a time each."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def start(self) -> ModelIdentity:
        """Nothing to load; gives the template's identity."""
        from engine.describing.template import Template

        return Template.identity

    def run_all(
        self, orders: Sequence[Order], stop: threading.Event
    ) -> "queue.Queue[tuple[Order, CaseResult] | None]":
        """Start on `orders`; results come through the queue, at its end None."""
        return run_all(orders, report_one, workers=self._workers, stop=stop)

    def close(self) -> None:
        """Its processes end with their cases."""


def _register_and_plan(
    request: Request, files: Files, model: ModelIdentity, progress: Progress
) -> Plan:
    _forget_index(request.index)
    with Archive.open_in_place(request.index) as archive:
        for number, source in enumerate(files_of(request.inputs, request.out), start=1):
            progress("reading headers", number, None)
            if isinstance(source, NotRead):
                files.pass_over(source)
            else:
                _register(source, archive, files)
        return plan_cases(
            archive, request.settings, request.out, request.shard, files.origins, model,
            lambda done, total: progress("pairing", done, total),
        )  # fmt: skip


def _register(source: Source, archive: Archive, files: Files) -> None:
    try:
        kept = archive.register(source.path)
    except Unkeepable as exc:
        files.pass_over(NotRead(source.origin, "unreadable", str(exc)))
        return
    except DiskFault as exc:
        files.pass_over(NotRead(source.origin, "disk-fault", str(exc)))
        return
    files.count(kept.outcome)
    files.origins.setdefault(source.path, source.origin)
    if kept.outcome in ("header-differs", "quarantined"):
        files.set_aside.append(SetAside(source.origin, kept.outcome))


def _forget_index(index: Path) -> None:
    """The index says where files lie now: it is made anew from them, never trusted from before."""
    if index.exists() and not (index / INDEX_FILE).is_file():
        raise BadSettings(f"{index} is there and is no index of ours: choose another --out")
    shutil.rmtree(index, ignore_errors=True)


def _report_all(
    request: Request,
    outcome: Outcome,
    writer: "ModelProcess | TemplateProcesses",
    progress: Progress,
) -> None:
    orders = list(outcome.plan.ready)
    while orders:
        _report_each(orders, Ledger(request.out), outcome, writer, progress)
        # a later version of a mask that cannot be used takes the place of none
        refused = {one.mask_instance_uid for one in outcome.results if one.outcome == "refused"}
        orders = outcome.plan.release(refused)


def _report_each(
    orders: Sequence[Order],
    ledger: Ledger,
    outcome: Outcome,
    writer: "ModelProcess | TemplateProcesses",
    progress: Progress,
) -> None:
    total = len(outcome.plan.ready)
    left = []
    for order in orders:
        done = ledger.read(order)
        if done is None:
            left.append(order)
        else:
            outcome.results.append(done)
            outcome.resumed += 1
    progress("reporting", len(outcome.results), total)
    with closing(_run(left, writer)) as pairs:
        for order, result in pairs:
            ledger.write(order, result)
            outcome.results.append(result)
            progress("reporting", len(outcome.results), total)


def _run(
    orders: Sequence[Order], writer: "ModelProcess | TemplateProcesses"
) -> Generator[tuple[Order, CaseResult], None, None]:
    """Results as they come; closed early, cases under way are dropped and their processes end."""
    if not orders:
        return
    stop = threading.Event()
    done = writer.run_all(orders, stop)
    try:
        while (pair := done.get()) is not None:
            yield pair
    except BaseException:
        stop.set()
        while done.get() is not None:
            pass
        raise
