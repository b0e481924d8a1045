"""One seed for one report: what counts changes it, what does not count leaves it."""

from dataclasses import replace

import pytest

import pacsnode.assembly.seed
from engine.finding import ModelIdentity
from pacsnode.assembly.seed import report_seed
from pacsnode.settings import Settings
from tests.unit.assembly_records import SEG, make_instance

INPUTS = "ab" * 32
IDENTITY = ModelIdentity("template", "1")


def changed(section: str, **values: object) -> Settings:
    settings = Settings()
    return settings.model_copy(
        update={section: getattr(settings, section).model_copy(update=values)}
    )


def test_the_seed_is_the_same_for_the_same_and_hexadecimal() -> None:
    seed = report_seed(INPUTS, IDENTITY, Settings())
    assert seed == report_seed(INPUTS, IDENTITY, Settings())
    assert len(bytes.fromhex(seed)) == 32


@pytest.mark.parametrize(
    ("identity", "settings"),
    [
        (replace(IDENTITY, device="cuda", dtype="bfloat16"), Settings()),
        (IDENTITY, changed("listen", port=104)),
        (IDENTITY, changed("assembly", quiet_s=1.0)),  # the choice it leads to is in the inputs
        (IDENTITY, Settings(log_level="debug")),
    ],
)
def test_what_does_not_reach_the_document_does_not_count(
    identity: ModelIdentity, settings: Settings
) -> None:
    assert report_seed(INPUTS, identity, settings) == report_seed(INPUTS, IDENTITY, Settings())


def test_what_reaches_the_document_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [
        report_seed(INPUTS, IDENTITY, Settings()),
        report_seed("cd" * 32, IDENTITY, Settings()),
        report_seed(INPUTS, replace(IDENTITY, name="other"), Settings()),
        report_seed(INPUTS, replace(IDENTITY, version="2"), Settings()),
        report_seed(INPUTS, replace(IDENTITY, weights_sha256="00"), Settings()),
        report_seed(INPUTS, IDENTITY, changed("measure", fractional_threshold=0.4)),
        report_seed(INPUTS, IDENTITY, changed("report", series_number=77)),
    ]
    monkeypatch.setattr(pacsnode.assembly.seed, "MEASUREMENT_VERSION", "next")
    seeds.append(report_seed(INPUTS, IDENTITY, Settings()))
    assert len(set(seeds)) == len(seeds)


MODEL = ModelIdentity("petar", "1", "5e" * 32, "cpu", "float32", profile="paper", prompt="What?")


def test_how_a_model_ran_counts_for_its_words() -> None:
    seeds = [
        report_seed(INPUTS, IDENTITY, Settings()),
        report_seed(INPUTS, MODEL, Settings()),
        report_seed(INPUTS, replace(MODEL, device="cuda"), Settings()),
        report_seed(INPUTS, replace(MODEL, dtype="bfloat16"), Settings()),
        report_seed(INPUTS, replace(MODEL, profile="petar-release"), Settings()),
        report_seed(INPUTS, replace(MODEL, prompt="Where?"), Settings()),
        report_seed(INPUTS, MODEL, changed("describe", max_new_tokens=64)),
        report_seed(INPUTS, MODEL, changed("describe", ct_of_air=True)),
        report_seed(INPUTS, MODEL, changed("describe", allow_untrained_tracers=True)),
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    "values", [{"batch_size": 3}, {"deadline_s": 5.0}, {"cases_at_once": 9}, {"device": "cuda"}]
)
def test_how_fast_a_model_is_asked_does_not_count(values: dict[str, object]) -> None:
    # where it ran is in its identity, and there it counts
    seed = report_seed(INPUTS, MODEL, Settings())
    assert report_seed(INPUTS, MODEL, changed("describe", **values)) == seed


def test_what_a_models_words_are_judged_by_counts() -> None:
    here, there = make_instance(SEG, "organs"), make_instance(SEG, "bones")
    seeds = [
        report_seed(INPUTS, MODEL, Settings()),
        report_seed(INPUTS, MODEL, Settings(), [here]),
        report_seed(INPUTS, MODEL, Settings(), [here, there]),
    ]
    assert len(set(seeds)) == 3
    assert report_seed(INPUTS, MODEL, Settings(), [there, here]) == seeds[2]
    assert report_seed(INPUTS, IDENTITY, Settings(), [here]) == report_seed(
        INPUTS, IDENTITY, Settings()
    )


def test_a_models_settings_do_not_count_for_the_template() -> None:
    seed = report_seed(INPUTS, IDENTITY, Settings())
    assert report_seed(INPUTS, IDENTITY, changed("describe", ct_of_air=True)) == seed
