"""Who writes the words, by the settings: the template, a model, or what stands in for it."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, Protocol

from engine.describing.template import Template
from engine.errors import EngineError, ModelFault
from engine.finding import Describer, Description, ModelIdentity, Unable
from engine.lesion import Lesion
from engine.petar.shipped import is_demonstration
from engine.volume import Scan
from pacsnode.errors import BadSettings
from pacsnode.jobs.model_status import ModelStatus
from pacsnode.settings import Describe

NO_MODEL = "no-model"
TRY_AGAIN_S = 60.0  # a folder that was refused is looked at again after so long
NOT_ALLOWED = (
    "{folder} is a demonstration trained on synthetic phantoms, not for clinical use: it writes no"
    " reports unless describe.allow_demonstration = true is set"
)
HANGS_AFTER_DEADLINES = 4  # a batch that fails is run again by halves
HANGS_AFTER_S = 60.0


class Runnable(Describer, Protocol):
    """A describer that has a thread of its own."""

    def stop(self) -> None: ...


class Absent:
    """In the place of a model that cannot run: no lesion gets words, and each is told why."""

    identity = ModelIdentity("petar", "not loaded")

    def __init__(self, sentence: str, code: str = NO_MODEL) -> None:
        self._unable = Unable(code, sentence)

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Unable]:
        """The same reason for every lesion."""
        return [self._unable] * len(lesions)


class Awaited:
    """A model that could not be loaded: who asks for it is told to wait, and it is tried again.

    Who it is, is not known before: nothing that derives from its identity can be made.
    """

    def __init__(
        self,
        load: Callable[[], Runnable],
        sentence: str,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._sentence = sentence
        self._clock_s = clock_s
        self._tried_s = clock_s()
        self._model: Runnable | None = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> ModelIdentity:
        return self._model.identity if self._model is not None else Absent.identity

    @property
    def sentence(self) -> str:
        """Why it could not be loaded."""
        return self._sentence

    @property
    def model(self) -> Runnable | None:
        """The model, once it could be loaded."""
        return self._model

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
        """Words, once the model could be loaded. Raises ModelFault until then."""
        with self._lock:
            model = self._model or self._loaded()
        return model.describe(scan, lesions)

    def try_again(self) -> None:
        """Load it on a thread of its own, where it is time to; returns at once."""
        if self._model is None and self._is_due() and not self._lock.locked():
            threading.Thread(target=self._try, daemon=True).start()

    def stop(self) -> None:
        if self._model is not None:
            self._model.stop()

    def _try(self) -> None:
        with self._lock, suppress(ModelFault):
            if self._model is None:
                self._loaded()

    def _is_due(self) -> bool:
        return self._clock_s() - self._tried_s >= TRY_AGAIN_S

    def _loaded(self) -> Runnable:
        if not self._is_due():
            raise ModelFault(self._sentence, code=NO_MODEL)
        try:
            self._model = self._load()
        except BadSettings as exc:
            self._sentence = str(exc)
            raise ModelFault(self._sentence, code=NO_MODEL) from exc
        finally:
            self._tried_s = self._clock_s()
        return self._model


@contextmanager
def describing(
    told: Describe,
    *,
    load: Callable[[Describe], Runnable] | None = None,
    may_wait: bool = False,
    say: Callable[[ModelStatus], None] = lambda _: None,
) -> Iterator[Describer]:
    """The describer that the settings name, loaded, until the block ends.

    A model that cannot be loaded is an error, unless the settings have the template speak
    meanwhile, or the caller says that reports may wait for it. A demonstration that is not allowed
    is an error in any case. Raises BadSettings.
    """
    if told.describer == "template":
        yield Template()
        return
    if not may_wait:
        _refuse_demonstration(told, say)

    def loaded() -> Runnable:
        model = (load or petar)(told)
        say(_ready(model.identity))
        return model

    model: Runnable | Awaited
    try:
        model = loaded()
    except BadSettings as exc:
        state: Literal["template", "waiting", "refused"] = "waiting" if may_wait else "refused"
        if told.when_unable == "template":
            state = "template"
        say(ModelStatus(state, told.describer, str(exc)))
        if state == "refused":
            raise
        if state == "template":
            yield Absent(str(exc))
            return
        model = Awaited(loaded, str(exc))
    try:
        yield model
    finally:
        model.stop()


def _refuse_demonstration(told: Describe, say: Callable[[ModelStatus], None]) -> None:
    """Before anything is loaded, and whoever may speak in its place. Raises BadSettings."""
    if told.model is None or told.allow_demonstration or not is_demonstration(told.model):
        return
    sentence = NOT_ALLOWED.format(folder=told.model)
    say(ModelStatus("refused", told.describer, sentence))
    raise BadSettings(sentence)


def _ready(who: ModelIdentity) -> ModelStatus:
    return ModelStatus(
        "ready", who.name, None, who.version, who.weights_sha256, who.profile, who.device, who.dtype
    )


def petar(told: Describe, blank: tuple[str, ...] = ()) -> Runnable:
    """The model, loaded: seconds to minutes. Raises BadSettings, with what is wrong in it.

    `blank` names views that are all zero to it: focal, mask, ct.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever asked of a hub
    from engine.petar.checkpoint import load_checkpoint  # loads torch and transformers
    from engine.petar.config import PETAR_RELEASE, PROFILES
    from engine.petar.describe import Petar
    from engine.petar.options import Options

    if told.model is None or not told.model.is_dir():
        raise BadSettings(f"The model folder {told.model} is not there (setting describe.model)")
    options = Options(
        batch_size=told.batch_size,
        max_new_tokens=told.max_new_tokens,
        deadline_s=told.deadline_s,
        prompt=told.prompt,
        ct_of_air=told.ct_of_air,
        allow_untrained_tracers=told.allow_untrained_tracers,
        blank=blank,
    )
    try:
        checkpoint = load_checkpoint(told.model, device=told.device, dtype=told.dtype)
        if checkpoint.is_demonstration and not told.allow_demonstration:
            raise BadSettings(NOT_ALLOWED.format(folder=told.model))
        stated = PROFILES[told.profile] if told.profile else checkpoint.profile
        return Petar(checkpoint, stated or PETAR_RELEASE, options)
    except (EngineError, OSError, MemoryError, RuntimeError) as exc:  # torch raises the last
        said = exc.strerror if isinstance(exc, OSError) else str(exc).partition("\n")[0]
        said = said or type(exc).__name__
        raise BadSettings(f"The model in {told.model} cannot serve: {said}") from exc


def writes_with_a_model(told: Describe) -> bool:
    """Whether the settings ask for a model."""
    return told.describer != "template"


def why_unknown(describer: Describer) -> str | None:
    """Why it cannot be told yet whose words reports will hold; None where it can."""
    if isinstance(describer, Awaited) and describer.model is None:
        return describer.sentence
    return None


def hangs(describer: Describer, told: Describe) -> bool:
    """Whether the model has been at one batch for so long that it will never end.

    No thread can be ended, and a hang in native code hears no deadline: only the end of the
    process helps.
    """
    model = describer.model if isinstance(describer, Awaited) else describer
    batches = getattr(model, "batches", None)
    allowed_s = HANGS_AFTER_S + HANGS_AFTER_DEADLINES * told.deadline_s
    return batches is not None and batches.busy_s > allowed_s
