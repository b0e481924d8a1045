"""One seed for one report: what counts changes it, what does not count leaves it."""

from dataclasses import replace

import pytest

import pacsnode.assembly.seed
from engine.finding import ModelIdentity
from pacsnode.assembly.seed import report_seed
from pacsnode.settings import Settings

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
