"""Describers judged on a dataset: figures, files, mask swap, and what is refused."""

import csv
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cohort.dataset import Example, read_dataset, write_example
from engine.errors import ModelFault, UnusableCase
from engine.evaluating.asking import answers_of
from engine.evaluating.evaluation import Evaluation, evaluate, others
from engine.evaluating.learned import MetricAbsent, require
from engine.evaluating.mask_swap import mask_swap
from engine.evaluating.saving import keeping, save
from engine.evaluating.tables import markdown_of
from engine.evaluating.worst import worst_of
from engine.finding import Description, ModelIdentity, Unable
from engine.lesion import Lesion
from engine.volume import Scan
from pacsnode.cli import app
from tests.unit.judged import LESIONS, Knowing, Same, examples


def exact(evaluation: Evaluation) -> dict[str, float | None]:
    return {score.fact: score.exact for score in evaluation.facts}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "made"
    for example in examples():
        write_example(folder, example)
    return folder


def test_who_knows_everything_is_right_about_everything() -> None:
    told = evaluate(Knowing(), examples())
    assert set(exact(told).values()) == {1.0}
    assert {one.macro_f1 for one in told.facts} == {1.0}
    assert told.wording.whole["BLEU-4"] == pytest.approx(1)
    assert told.wording.whole["ROUGE-L"] == pytest.approx(1)
    assert (told.efficacy.f1, told.studies, len(told.answers), told.silent) == (1, 4, 8, 0)
    assert [one.exact for one in told.rules] == [1.0] * 6


def test_who_says_one_thing_is_right_about_the_lesions_it_fits() -> None:
    told = evaluate(Same(), examples())
    assert exact(told) == {
        "site": 0.5, "organ": 0.5, "region": 0.5, "laterality": 0.5, "uptake": 0.5,
        "interpretation": 0.5,
    }  # fmt: skip
    assert told.facts[0].macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert 0 < told.wording.whole["ROUGE-L"] < 1


def test_chance_is_what_style_alone_is_worth() -> None:
    told = evaluate(Knowing(), examples())
    shares = {score.exact for score in told.chance.facts}
    assert len(shares) == 1  # two kinds of lesions: a text fits in all its facts or in none
    assert 0 < shares.pop() < 1
    assert 0.2 < told.chance.wording["BLEU-1"] < 1
    assert "reference texts, shuffled" in markdown_of([told], "made")
    assert evaluate(Same(), examples()).chance == told.chance


def test_who_says_nothing_is_wrong_not_left_out() -> None:
    told = evaluate(Same(None), examples(1))
    assert told.silent == 2
    assert set(exact(told).values()) == {0.0}
    assert all(answer.unable and answer.unable.code == "no-model" for answer in told.answers)
    assert told.wording.whole["BLEU-1"] == 0


def test_labels_tell_a_describer_nothing() -> None:
    describer = Knowing()
    list(answers_of(describer, examples(2)))
    assert describer.labels == ["Lesion 1", "Lesion 2"] * 2


def test_a_study_is_asked_about_once_and_examples_are_read_lazily() -> None:
    taken = []

    def watched() -> object:
        for example in examples(3):
            taken.append(example.record.study_id)
            yield example

    answers = answers_of(Knowing(), watched())  # type: ignore[arg-type]
    next(answers)
    assert taken.count("study-2") == 0


def test_the_time_is_the_describers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes to read or to make the images is not its time."""
    now_s = [0.0]
    monkeypatch.setattr("engine.evaluating.evaluation.perf_counter", lambda: now_s[0])

    def read() -> Iterator[Example]:
        for example in examples(2):
            now_s[0] += 100
            yield example

    class Thinking(Knowing):
        def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
            now_s[0] += len(lesions)
            return super().describe(scan, lesions)

    assert evaluate(Thinking(), read()).elapsed_s == 4  # a second a lesion


def test_a_describer_that_loses_a_lesion_is_at_fault() -> None:
    class Forgetful(Same):
        def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description]:
            return [Description("One.")]

    with pytest.raises(ModelFault, match="described 1 of 2"):
        evaluate(Forgetful(), examples(1))


def test_an_empty_dataset_is_no_evaluation() -> None:
    with pytest.raises(UnusableCase, match="no lesion"):
        evaluate(Knowing(), [])


def test_mask_swap_is_passed_by_who_looks_at_the_mask_alone() -> None:
    told = mask_swap(Knowing(), examples(), pairs=3)
    assert (told.passed, len(told.pairs), told.share) == (3, 3, 1.0)
    assert told.pairs[0].told_apart_by == ("region", "organ", "laterality", "site")
    assert told.pairs[0].texts == (LESIONS[0][-1], LESIONS[1][-1])
    for describer in (Same(), Knowing(swapped=True), Same(None), Same("Uptake.")):
        assert mask_swap(describer, examples()).passed == 0


def test_mask_swap_asks_of_each_mask_alone_under_one_name() -> None:
    describer = Knowing()
    mask_swap(describer, examples(1))
    assert describer.labels == ["Lesion 1", "Lesion 1"]


def test_mask_swap_needs_two_places() -> None:
    with pytest.raises(UnusableCase, match="two lesions"):
        mask_swap(Knowing(), [one for one in examples() if one.record.lesion_id == "lesion-1"])


def test_worst_are_the_most_wrong() -> None:
    told = evaluate(Same(), examples(2))
    assert worst_of(told, 8) == (1, 3)
    assert worst_of(evaluate(Knowing(), examples(2)), 8) == ()


def test_all_files_are_written_and_hold_the_figures(tmp_path: Path) -> None:
    told = [evaluate(Knowing(), examples(2)), evaluate(Same(), examples(2))]
    swaps = [mask_swap(Knowing(), examples(2)), None]
    save(told, lambda: examples(2), tmp_path, "made", swaps)
    report = (tmp_path / "report.md").read_text("utf-8")
    assert "another test set" in report
    assert "0.535" in report
    assert "2 of 2 pairs" in report
    assert "| knowing 1 | 100.0 % (51.0-100.0) / 1.000 |" in report
    figures = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert figures["describers"][1]["facts"]["region"]["exact"] == 0.5
    with (tmp_path / "lesions.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 8
    assert rows[0]["wrong"] == ""
    assert rows[5]["wrong"].split()[0] == "site"
    for name in ("1-organ.png", "2-site.png", "2-region.png", "2-worst.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in report


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    class Barred(Same):
        identity = ModelIdentity("a|b", "1")

    tables: list[list[str]] = [[]]
    for line in markdown_of([evaluate(Barred(), examples(1))], "made").splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    tables = [table for table in tables if table]
    assert len(tables) == 5
    for table in tables:
        assert len({line.count("|") for line in table}) == 1, table
    assert sum("a/b 1" in line for table in tables for line in table) == 4


@pytest.mark.parametrize("count", [*range(2, 12), 100])
def test_shuffled_references_are_those_of_other_lesions(count: int) -> None:
    drawn = others(count)
    assert sorted(at for at in drawn if at is not None) == list(range(count))
    assert all(at != place for place, at in enumerate(drawn))


def test_a_single_lesion_has_no_other_reference() -> None:
    told = evaluate(Knowing(), examples(1)[:1])
    assert {score.exact for score in told.chance.facts} == {0.0}
    assert told.chance.wording["BLEU-1"] == 0


def test_learned_metrics_are_refused_without_their_folder(tmp_path: Path) -> None:
    with pytest.raises(MetricAbsent, match="none is given"):
        evaluate(Knowing(), examples(1), metrics=("BERTScore",))
    with pytest.raises(MetricAbsent, match="there is none"):
        require("RaTEScore", tmp_path)
    with pytest.raises(MetricAbsent, match="no metric 'ROUGE-9'"):
        require("ROUGE-9", tmp_path)
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "config.json").write_text("{}")
    with pytest.raises(MetricAbsent, match="green_score, which is not installed"):
        require("GREEN", tmp_path)


def test_the_command_judges_the_template_on_a_folder(dataset: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(
        app,
        ["evaluate", str(dataset), "--out", str(tmp_path / "out"), "--mask-swap", "4", "--json"],
    )
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert (figures["lesions"], figures["studies"]) == (8, 4)
    (template,) = figures["describers"]
    # neutral labels: the template cannot know a place, and says none
    assert template["facts"]["site"]["exact"] == 0
    assert template["mask_swap"] == {
        "pairs": 4, "passed": 0, "share": 0.0, "interval": template["mask_swap"]["interval"],
    }  # fmt: skip
    assert figures["rules_on_reference"]["site"]["exact"] == 1
    assert [one.record.split for one in read_dataset(dataset)] == ["test"] * 8


def test_the_command_reports_without_a_pair_to_swap(dataset: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(
        app,
        ["evaluate", str(dataset), "--out", str(tmp_path), "--mask-swap", "4", "--lesions", "1",
         "--json"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    (template,) = json.loads(told.stdout)["describers"]
    assert template["mask_swap"] == {"pairs": 0, "passed": 0, "share": None, "interval": None}
    report = (tmp_path / "report.md").read_text("utf-8")
    assert f"- template {template['describer']['version']}: - (no study holds two" in report


def test_answers_are_kept_as_they_come(tmp_path: Path) -> None:
    class Failing(Knowing):
        def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
            if scan.pet.series_instance_uid == "1.2.2":
                raise ModelFault("The third study is too much")
            return super().describe(scan, lesions)

    describer = Failing()
    with keeping(tmp_path / "out") as keep:
        with pytest.raises(ModelFault):
            evaluate(describer, examples(), keep=partial(keep, describer.identity))
        # on the disk before anything is closed
        lines = (tmp_path / "out" / "answers.jsonl").read_text("utf-8").splitlines()
    kept = [json.loads(line) for line in lines]
    assert [(one["study_id"], one["lesion_id"]) for one in kept] == [
        (f"study-{study}", f"lesion-{at}") for study in (0, 1) for at in (1, 2)
    ]
    assert [one["text"] for one in kept] == [LESIONS[0][-1], LESIONS[1][-1]] * 2
    assert {(one["describer"]["name"], one["unable"]) for one in kept} == {("knowing", None)}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--no-template"], 2, "Nothing to judge"),
        (["--split", "train"], 1, "no lesion"),
        (["--metric", "GREEN"], 1, "none is given"),
    ],
)
def test_the_command_says_why_it_cannot(
    dataset: Path, tmp_path: Path, arguments: list[str], code: int, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from pacsnode.cli import main

    monkeypatch.setattr(
        "sys.argv", ["pacsnode", "evaluate", str(dataset), "--out", str(tmp_path), *arguments]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert said in capsys.readouterr().err
