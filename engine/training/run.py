"""A recipe, followed from its first step to its last."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from engine.petar.config import PROFILES
from engine.petar.placement import chosen_device
from engine.training.curves import Row, write_curves
from engine.training.held_out import Examiner, Scores, held_out_bundles
from engine.training.lesson import Lesson, Writer, attention_for, products_in
from engine.training.progress import Progress, forget, keep, kept, refuse_taken
from engine.training.publishing import account_of, publish
from engine.training.recipe import Question, Recipe, Stage
from engine.training.starting import Student, student_of
from engine.training.stream import Bundles, Picked, Place, Stream
from engine.training.studies import Studies, studies_to_learn
from engine.training.trained import Descent, close_stage, descent_of, open_stage

Say = Callable[[str], None]


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""


class Training:
    """One run. `should_stop` is asked after every step."""

    def __init__(
        self, recipe: Recipe, out: Path, *, say: Say = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.recipe, self.out, self._say, self._should_stop = recipe, out, say, should_stop
        self.progress = Progress()
        self._accelerator = _accelerator(recipe)
        self._device = self._accelerator.device
        if recipe.run.threads is not None:
            torch.set_num_threads(recipe.run.threads)
        self.student = student_of(recipe)
        self.student.network.to(self._device)
        self._studies: Studies = studies_to_learn(recipe)
        self.writer = _writer(recipe, self.student)
        self.held_out = held_out_bundles(recipe, self.student.network.config.vision)
        self._examiner = self._make_examiner()

    def follow(self, *, resume: bool = False) -> Progress:
        """Train, save and publish. Raises Interrupted, CannotGoOn."""
        refuse_taken(self.out, resume=resume)
        self.out.mkdir(parents=True, exist_ok=True)
        state = kept(self.out, self.recipe) if resume else None
        weights = sum(weight.numel() for weight in self.student.network.parameters())
        self._say(f"{weights:,} weights, {self._device.type}, seed {self.recipe.run.seed}")
        self.progress.stage = 0 if state is None else state[1]
        for number in range(self.progress.stage, len(self.recipe.stage)):
            self._stage(number, None if state is None else state[0])
            state = None
            is_last = number + 1 == len(self.recipe.stage)
            publish(self.student, self.out, self.recipe.run.store, self._account(is_last))
        forget(self.out)
        return self.progress

    def _stage(self, number: int, state: Path | None) -> None:
        stage, progress = self.recipe.stage[number], self.progress
        torch.manual_seed(self.recipe.run.seed + number)
        adapted = open_stage(self.student.network, stage)
        lesson = Lesson(self.student.network)
        lesson.train()
        descent = descent_of(lesson, stage)
        accelerator = self._accelerator = _accelerator(self.recipe)
        lesson, *descent.optimisers = accelerator.prepare(lesson, *descent.optimisers)
        accelerator.register_for_checkpointing(progress, *descent.schedules)
        if state is not None:
            accelerator.load_state(str(state))
            self._say(f"going on at step {progress.step}")
        trained = sum(w.numel() for w in lesson.parameters() if w.requires_grad)
        self._say(f"stage {stage.name}: {stage.steps} steps, {trained:,} weights learn")
        self._steps(stage, lesson, descent)
        close_stage(self.student.network, adapted)
        progress.stage, progress.stage_step = number + 1, 0
        if progress.place.done:  # the rest of its block was asked in this stage's way
            progress.place = Place(progress.place.block + 1)
        accelerator.free_memory()

    def _steps(self, stage: Stage, lesson: Lesson, descent: Descent) -> None:
        progress, run = self.progress, self.recipe.run
        vision = self.student.network.config.vision
        bundles = Bundles(self._studies, self.recipe, stage, vision)
        stream = Stream(bundles, stage.batch, progress.place)
        stream.skipped.update(progress.skipped)
        batches = iter(stream)
        since = time.monotonic()
        while progress.stage_step < stage.steps:
            picked, after = next(batches)
            with products_in(run.products):
                loss = self._step(stage, lesson, descent, picked)
            now = time.monotonic()
            self._count(loss, len(picked), after, stream.skipped, now - since)
            since = now
            is_last = progress.stage_step == stage.steps
            if progress.step % self.recipe.held_out.every == 0 or is_last:
                scores = self._examiner.examine(lesson, self._device, self._accelerator.autocast)
                self._tell(stage, descent, scores)
            elif progress.step % run.say_every == 0:
                self._tell(stage, descent)
            stopping = self._should_stop()
            if (progress.step % run.save_every == 0 or stopping) and not is_last:
                keep(self._accelerator, self.out, self.recipe, progress.stage)
            if stopping and not is_last:
                raise Interrupted(f"stopped at step {progress.step}")

    def _step(self, stage: Stage, lesson: Lesson, descent: Descent, picked: Picked) -> float:
        batch = self.writer.batch(picked)
        seen = batch.seen.without_focal(self._dropped(stage, len(picked))).on(self._device)
        precision, products = self._accelerator.mixed_precision, self.recipe.run.products
        with attention_for(self._device, precision, products):
            loss = lesson(seen, batch.asked.on(self._device))
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(
            [weight for weight in lesson.parameters() if weight.requires_grad], stage.clip
        )
        descent.step()
        value = float(loss.detach())
        if value != value:
            raise FloatingPointError(f"The loss is not finite at step {self.progress.step + 1}")
        return value

    def _dropped(self, stage: Stage, examples: int) -> Tensor:
        """(B,) which examples lose their focal views at this step, however a run came to it."""
        rng = np.random.default_rng([self.recipe.run.seed, 6, self.progress.step])
        return torch.from_numpy(rng.random(examples) < stage.drops_focal)

    def _count(
        self, loss: float, examples: int, after: Place, skipped: Mapping[str, int], seconds: float
    ) -> None:
        progress = self.progress
        progress.step += 1
        progress.stage_step += 1
        progress.examples += examples
        progress.seconds += seconds
        progress.place = after
        progress.skipped = dict(skipped)
        progress.loss_sum += loss
        progress.loss_count += 1

    def _tell(self, stage: Stage, descent: Descent, scores: Scores | None = None) -> None:
        progress = self.progress
        row = Row(
            stage.name, progress.step, progress.examples, progress.seconds,
            descent.rate, progress.loss_sum / max(progress.loss_count, 1),
            **asdict(scores or Scores()),
        )  # fmt: skip
        progress.rows.append(row)
        progress.loss_sum, progress.loss_count = 0.0, 0
        write_curves(self.out, progress.rows)
        self._say(_said(row, stage.steps, progress))
        if scores is not None:
            for known, words in self._examiner.last_words[:2]:
                self._say(f"    wanted: {known}\n    said:   {words}")

    def _make_examiner(self) -> Examiner:
        count = sum(map(len, self.held_out))
        self._say(f"{count} held-out questions")
        stops = frozenset(self.student.stop_ids)
        most = self.recipe.held_out.max_new_tokens
        return Examiner(self.held_out, self.writer, self.student.tokenizer, stops, most)

    def _account(self, finished: bool) -> dict[str, Any]:
        progress = self.progress
        network, run = self.student.network, self.recipe.run
        last = progress.rows[-1] if progress.rows else None
        return account_of(
            self.recipe,
            finished=finished,
            steps=progress.step,
            examples=progress.examples,
            studies=progress.place.block * run.block,
            skipped=progress.skipped,
            seconds=round(progress.seconds, 1),
            weights=sum(weight.numel() for weight in network.parameters()),
            device=self._device.type,
            threads=torch.get_num_threads(),
            precision=self._accelerator.mixed_precision,
            last=None if last is None else asdict(last),
        )


def train(
    recipe: Recipe, out: Path, *, resume: bool = False, say: Say = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Progress:  # fmt: skip
    """Follow a recipe into a folder. Raises Interrupted, CannotGoOn, UnusableCheckpoint."""
    return Training(recipe, out, say=say, should_stop=should_stop).follow(resume=resume)


def _accelerator(recipe: Recipe) -> Accelerator:
    device = chosen_device(recipe.run.device)
    precision = recipe.run.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "no"
    return Accelerator(cpu=device.type == "cpu", mixed_precision=precision)


def _writer(recipe: Recipe, student: Student) -> Writer:
    prompts: dict[Question, str] = {
        "lesions": PROFILES[recipe.model.profile].prompt,
        "regions": recipe.model.region_prompt,
        "site": recipe.model.site_prompt,
        "uptake": recipe.model.uptake_prompt,
    }
    return Writer(
        student.tokenizer, prompts, student.network.config.visual_tokens, student.stop_ids[0],
        recipe.run.max_length,
    )  # fmt: skip


def _said(row: Row, steps: int, progress: Progress) -> str:
    pace = progress.examples / max(progress.seconds, 1e-9)
    told = (
        f"{row.stage} {progress.stage_step}/{steps}  loss {row.loss:.3f}"
        f"  lr {row.learning_rate:.1e}  {row.seconds:.0f} s  {pace:.1f} examples/s"
    )
    figures = {
        "lesions": row.held_out_lesions, "regions": row.held_out_regions,
        "region exact": row.region_exact, "site": row.lesion_site, "side": row.lesion_side,
    }  # fmt: skip
    found = [f"{name} {value:.3f}" for name, value in figures.items() if value is not None]
    return f"{told}  held out: {', '.join(found)}" if found else told
