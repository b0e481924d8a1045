"""PETAR as a describer: words for lesions, from several threads at once."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace
from functools import cached_property, partial
from types import TracebackType

import torch

from engine.finding import Description, ModelIdentity, Unable
from engine.lesion import Lesion
from engine.petar.admission import reason_against_lesion, reason_against_scan, trained_tracer
from engine.petar.batching import Batches, is_out_of_memory
from engine.petar.blanking import blanked, without
from engine.petar.checkpoint import Checkpoint
from engine.petar.config import PETAR_RELEASE, Profile
from engine.petar.focus import PreparedStudy, lesion_views, prepare
from engine.petar.keeping import Shelf, digest_of_mask, digest_of_scan
from engine.petar.options import Options, settled
from engine.petar.writing import Seen, Writer, as_type
from engine.volume import Scan


class Petar:
    """Describes lesions with a checkpoint.

    Callers' threads prepare studies and cut views; one thread of its own runs the network on
    batches of lesions of all studies in flight. `stop` ends that thread.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        profile: Profile = PETAR_RELEASE,
        options: Options | None = None,
    ) -> None:
        self.options = settled(options or Options(), checkpoint.device)
        self._profile = profile
        prompt = self.options.prompt or profile.prompt
        self._writer = Writer(checkpoint, prompt, self.options)
        self._device, self._dtype = checkpoint.device, checkpoint.dtype
        self._vision = checkpoint.network.config.vision
        who = checkpoint.identity(profile=profile.name, prompt=prompt)
        self.identity: ModelIdentity = without(who, self.options.blank)
        caches = self.options.caches
        self._studies: Shelf[PreparedStudy] = Shelf(
            caches.studies, lambda study: study.pet.nbytes + study.ct.nbytes
        )
        self._results: Shelf[Description] = Shelf(caches.results, _size_of_description)
        self.batches: Batches[Seen, Description] = Batches(
            lambda batch: self._writer.write(batch, lambda: self.batches.is_stopping),
            limit=self.options.batch_size or 1,
            gather_s=self.options.gather_s,
            make_room=self._make_room,
            is_alive=self._writer.is_alive,
        )

    def __enter__(self) -> "Petar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the model's thread; whoever waits for words gets ModelFault."""
        self.batches.stop()

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
        """Raw words for each lesion, or why there are none. Raises ModelFault."""
        against = reason_against_scan(scan, self.options)
        if against is not None:
            return [against] * len(lesions)
        study = _Study(scan, self._is_keeping, self._prepared)
        answers = [self._answer_at_once(study, lesion) for lesion in lesions]
        keys = {n: self._key(study, lesions[n]) for n, known in enumerate(answers) if known is None}
        with self.batches.announced(len(keys)) as hand_in:
            waiting = {n: hand_in(partial(self._seen, study, lesions[n])) for n in keys}
        for n, future in waiting.items():
            answers[n] = answer = future.result()
            if isinstance(answer, Description):
                self._results.put(keys[n], answer)
        said = study.warnings(self.options)
        return [_warned(answer, said) for answer in answers if answer is not None]

    def _answer_at_once(self, study: "_Study", lesion: Lesion) -> Description | Unable | None:
        return reason_against_lesion(lesion) or self._results.get(self._key(study, lesion))

    @property
    def _is_keeping(self) -> bool:
        caches = self.options.caches
        return any(getattr(caches, field.name) for field in fields(caches))

    def _key(self, study: "_Study", lesion: Lesion) -> Hashable:
        """All that the words for a lesion depend on."""
        if not self._results.limit_bytes:
            return None
        who, options = self.identity, self.options
        how = (options.max_new_tokens, options.min_new_tokens, options.ct_of_air, options.blank)
        model = (who.weights_sha256, who.profile, who.prompt, who.dtype, who.device)
        return (study.digest, digest_of_mask(lesion.segment.mask), *model, *how)

    def _seen(self, study: "_Study", lesion: Lesion) -> Seen:
        """The views of a lesion, in the network's type on its device. Raises Unseeable."""
        with torch.inference_mode():
            found = lesion_views(lesion.segment.mask, self._profile, self._vision, study.prepared)
            views = blanked(found.views, self.options.blank)
            views = as_type(views, self._device, self._dtype)
        return Seen(views, (study.digest, found.from_the_top, found.window), found.warnings)

    def _prepared(self, study: "_Study", from_the_top: bool) -> PreparedStudy:
        return self._studies.get_or_make(
            (study.digest, from_the_top), lambda: self._prepare(study.scan, from_the_top)
        )

    def _prepare(self, scan: Scan, from_the_top: bool) -> PreparedStudy:
        ct_of_air = self.options.ct_of_air
        with torch.inference_mode():
            return prepare(
                scan, self._profile, self._device, ct_of_air=ct_of_air, from_the_top=from_the_top
            )

    def _make_room(self) -> None:
        self._studies.clear()
        self._writer.make_room()


class _Study:
    """A scan during one call: its digest and its preparations are made once, when first needed."""

    def __init__(
        self, scan: Scan, is_keeping: bool, prepare: Callable[["_Study", bool], PreparedStudy]
    ) -> None:
        self.scan = scan
        self._is_keeping = is_keeping
        self._prepare = prepare
        self._prepared: dict[bool, PreparedStudy | Exception] = {}

    @cached_property
    def digest(self) -> str:
        return digest_of_scan(self.scan) if self._is_keeping else f"unnamed {id(self)}"

    def prepared(self, from_the_top: bool) -> PreparedStudy:
        """Raises for every lesion what preparing raised for the first, but for want of memory."""
        if from_the_top not in self._prepared:
            try:
                self._prepared[from_the_top] = self._prepare(self, from_the_top)
            except Exception as exc:
                if is_out_of_memory(exc):  # there may be more the next time
                    raise
                self._prepared[from_the_top] = exc.with_traceback(None)
        prepared = self._prepared[from_the_top]
        if isinstance(prepared, Exception):
            raise prepared
        return prepared

    def warnings(self, options: Options) -> tuple[str, ...]:
        said = []
        if self.scan.ct is None:
            said.append("ct-of-air")
        if options.allow_untrained_tracers and trained_tracer(self.scan.acquisition) is None:
            said.append("untrained-tracer")
        return tuple(said)


def _warned(answer: Description | Unable, said: tuple[str, ...]) -> Description | Unable:
    """The answer with what is said of the scan: words are kept without it, by voxels alone."""
    if isinstance(answer, Unable):
        return answer
    return replace(answer, warnings=(*said, *answer.warnings))


def _size_of_description(description: Description) -> int:
    return 512 + 4 * len(description.text)  # with its key and the objects around it
