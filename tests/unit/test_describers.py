"""Who writes the words: the template, a model, or what the settings have in its place."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from engine.describing.template import Template
from engine.errors import ModelFault
from engine.finding import Description, ModelIdentity, Unable
from pacsnode.errors import BadSettings
from pacsnode.jobs import describers
from pacsnode.jobs.describers import Absent, Awaited, describing, hangs, petar
from pacsnode.jobs.model_status import (
    ModelStatus,
    forget_model_status,
    read_model_status,
    write_model_status,
)
from pacsnode.settings import Describe

LESIONS: Any = ["first", "second"]
SCAN: Any = None
IDENTITY = ModelIdentity("toy", "1", "00" * 32, "cpu", "float32", profile="paper", prompt="What?")


class Loaded:
    """A model that says one word."""

    identity = IDENTITY

    def __init__(self) -> None:
        self.batches = SimpleNamespace(busy_s=0.0)
        self.stopped = False

    def describe(self, scan: Any, lesions: Any) -> list[Description]:
        return [Description("Word.") for _ in lesions]

    def stop(self) -> None:
        self.stopped = True


def told(**more: Any) -> Describe:
    return Describe(describer="petar", model=Path("/models/toy"), **more)


def failing(_: Describe) -> Loaded:
    raise BadSettings("The model in /models/toy cannot serve: truncated")


def test_by_default_the_template_writes() -> None:
    with describing(Describe()) as describer:
        assert isinstance(describer, Template)


def test_a_model_is_loaded_announced_and_stopped() -> None:
    said: list[ModelStatus] = []
    model = Loaded()
    with describing(told(), load=lambda _: model, say=said.append) as describer:
        assert describer is model
        assert not model.stopped
    assert model.stopped
    (status,) = said
    assert (status.state, status.name, status.weights_sha256) == ("ready", "toy", "00" * 32)
    assert status.in_words() == "toy 1, paper, on cpu float32"


def test_a_refused_model_is_a_wrong_setting() -> None:
    said: list[ModelStatus] = []
    with (
        pytest.raises(BadSettings, match="truncated"),
        describing(told(), load=failing, say=said.append),
    ):
        pytest.fail("nothing may run")
    assert [status.state for status in said] == ["refused"]


def test_the_template_may_speak_in_its_place() -> None:
    said: list[ModelStatus] = []
    settings = told(when_unable="template")
    with describing(settings, load=failing, say=said.append) as describer:
        assert isinstance(describer, Absent)
        first, second = describer.describe(SCAN, LESIONS)
    assert first == second == Unable("no-model", "The model in /models/toy cannot serve: truncated")
    assert said[0].in_words().startswith("cannot run, the template speaks instead: The model in")


def test_reports_may_wait_for_it_and_it_is_tried_again() -> None:
    now = 0.0
    tries = 0

    def load() -> Loaded:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise BadSettings("still not there")
        return Loaded()

    awaited = Awaited(load, "not there", clock_s=lambda: now)
    with pytest.raises(ModelFault, match=r"^not there$") as fault:
        awaited.describe(SCAN, LESIONS)
    assert (fault.value.code, fault.value.retryable, tries) == ("no-model", True, 0)
    assert awaited.identity.name == "petar"
    now = 61.0
    with pytest.raises(ModelFault, match="still not there"):
        awaited.describe(SCAN, LESIONS)
    now = 100.0
    with pytest.raises(ModelFault, match="still not there"):
        awaited.describe(SCAN, LESIONS)
    assert tries == 1
    now = 122.0
    assert [one.text for one in awaited.describe(SCAN, LESIONS)] == ["Word.", "Word."]
    assert awaited.identity == IDENTITY


def test_a_model_that_is_waited_for_is_announced_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[ModelStatus] = []
    answers = iter([failing, lambda _: Loaded()])
    monkeypatch.setattr(describers, "TRY_AGAIN_S", 0.0)
    with describing(
        told(), load=lambda d: next(answers)(d), say=said.append, may_wait=True
    ) as describer:
        assert [status.state for status in said] == ["waiting"]
        describer.describe(SCAN, LESIONS)
        assert [status.state for status in said] == ["waiting", "ready"]


@pytest.mark.parametrize("folder", ["absent", "empty", "file"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSettings, match=folder):
        petar(Describe(describer="petar", model=tmp_path / folder, device="cpu"))


@pytest.mark.parametrize("when_unable", ["wait", "template"])
def test_a_device_that_fails_while_the_model_is_loaded_is_met_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when_unable: Literal["wait", "template"]
) -> None:
    def load_checkpoint(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr("engine.petar.checkpoint.load_checkpoint", load_checkpoint)
    settings = Describe(describer="petar", model=tmp_path, when_unable=when_unable)
    if when_unable == "wait":
        with pytest.raises(BadSettings, match=r"CUDA error: out of memory$"), describing(settings):
            pass
        return
    with describing(settings) as describer:
        (unable,) = describer.describe(SCAN, LESIONS[:1])
        assert isinstance(unable, Unable)
        assert "CUDA error: out of memory" in unable.sentence


def test_a_batch_that_takes_for_ever_hangs() -> None:
    model = Loaded()
    settings = told(deadline_s=10)
    assert not hangs(model, settings)
    model.batches.busy_s = 99.0
    assert not hangs(model, settings)
    model.batches.busy_s = 101.0
    assert hangs(model, settings)
    assert not hangs(Template(), settings)
    awaited = Awaited(lambda: model, "not there", clock_s=iter([0.0, 61.0, 61.0]).__next__)
    assert not hangs(awaited, settings)
    awaited.describe(SCAN, LESIONS)
    assert hangs(awaited, settings)


def test_the_status_outlives_its_writer_and_no_damage_is_believed(tmp_path: Path) -> None:
    status = ModelStatus("waiting", "petar", "not there")
    assert read_model_status(tmp_path) is None
    write_model_status(tmp_path, status)
    assert read_model_status(tmp_path) == status
    assert status.in_words() == "cannot run, reports wait for it: not there"
    for damaged in ("{", "[]", json.dumps({"state": "ready"}), json.dumps({"other": 1})):
        (tmp_path / "model.json").write_text(damaged)
        assert read_model_status(tmp_path) is None
    forget_model_status(tmp_path)
    forget_model_status(tmp_path)
    assert list(tmp_path.iterdir()) == []
