"""A reader study, from the form that hides who wrote what to the figures of its answers."""

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.cohort.dataset import write_example
from engine.errors import Unreadable
from engine.evaluating.evaluation import evaluate
from engine.evaluating.reader_form import form_of
from engine.evaluating.reader_items import (
    RUBRICS,
    SIDES,
    Key,
    make_key,
    read_key,
    read_lesions,
    write_key,
)
from engine.evaluating.reader_scores import (
    Reading,
    read_answers,
    scored,
    scores_markdown,
    spearman,
)
from engine.evaluating.tables import write_lesions
from pacsnode.cli import app
from tests.unit.judged import Same, examples

WORDS = "Intense FDG uptake in a right hilar <b>node</b>, SUVmax 9.1."


@pytest.fixture
def lesions(tmp_path: Path) -> Path:
    """The lesions.csv of a describer that says one thing of ten lesions."""
    path = tmp_path / "lesions.csv"
    write_lesions([evaluate(Same(WORDS), examples(5))], path)
    return path


@pytest.fixture
def key(lesions: Path) -> Key:
    return make_key(*read_lesions(lesions), pairs=8, seed=4)


def answers(key: Key, reader: str, path: Path, **changed: Any) -> Path:
    """A reader who gives the model 4, the reference 2, and prefers the model, all through."""
    told = []
    for item in key.items:
        scores = {side: 4 if side == item.model_is else 2 for side in SIDES}
        told.append(
            {"item": item.item, "preferred": item.model_is, "remark": ""}
            | {side: dict.fromkeys(RUBRICS, scores[side]) for side in SIDES}
        )
    told[0] |= changed
    path.write_text(json.dumps({"study": key.study, "reader": reader, "answers": told}), "utf-8")
    return path


def test_the_same_seed_draws_the_same_study_and_another_another(lesions: Path) -> None:
    name, rows = read_lesions(lesions)
    assert name == "same 1"
    assert make_key(name, rows, 8, 4) == make_key(name, rows, 8, 4)
    other = make_key(name, rows, 8, 5)
    assert [one.lesion_id for one in other.items] != [
        one.lesion_id for one in make_key(name, rows, 8, 4).items
    ]
    assert other.study != make_key(name, rows, 8, 4).study
    assert len(make_key(name, rows, 116, 4).items) == 10


def test_neither_side_is_the_models_more_often(key: Key) -> None:
    assert [one.model_is for one in key.items].count("A") == 4


def test_numbers_are_hidden_from_readers_on_both_sides(key: Key) -> None:
    for item in key.items:
        assert "[#]" in item.text
        assert not re.search(r"\d", item.reference + item.text)


def test_a_lesion_that_the_dataset_lacks_is_an_error(key: Key) -> None:
    lacking = {(one.study_id, one.lesion_id) for one in key.items if one.study_id == "study-4"}
    assert lacking
    with pytest.raises(Unreadable, match=f"{len(lacking)} of 8 lesions.*study-4/lesion-"):
        form_of(key, examples(4))


class Form(HTMLParser):
    """What a browser would make of the form."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_form_is_blind_and_needs_no_network(key: Key) -> None:
    text = form_of(key, examples(5))
    form = Form()
    form.feed(text)
    without_images = re.sub(r'src="data:image/png;base64,[^"]*"', "", text)
    assert not re.search(r"https?:|src=|href=|//[a-z]", without_images)
    for item in key.items:
        for secret in (item.study_id, item.lesion_id):
            assert secret not in without_images
    assert key.describer not in without_images
    assert not re.search(r"\b(?:reference|model)\b", " ".join(form.words))
    assert ("b", {}) not in form.tags  # what a describer says is never markup
    images = [attributes["src"] for tag, attributes in form.tags if tag == "img"]
    assert len(images) == 8
    assert all(source and source.startswith("data:image/png;base64,") for source in images)


def test_the_form_asks_the_three_rubrics_of_both_texts_and_a_preference(key: Key) -> None:
    form = Form()
    form.feed(form_of(key, examples(5)))
    asked = {a["name"]: 0 for tag, a in form.tags if tag == "input" and a.get("type") == "radio"}
    first = key.items[0].item
    names = {f"{first}-{side}-{rubric}" for side in SIDES for rubric in RUBRICS}
    assert names | {f"{first}-preferred"} == {one for one in asked if one and one.startswith(first)}
    shown = "".join(form.words)
    assert shown.index(key.items[0].shown("A")) < shown.rindex(key.items[0].shown("B"))


def test_answers_are_unblinded_and_counted(key: Key, tmp_path: Path) -> None:
    write_key(key, tmp_path / "key.json")
    assert read_key(tmp_path / "key.json") == key
    paths = [answers(key, "r1", tmp_path / "1.json"),
             answers(key, "r2", tmp_path / "2.json", preferred="tie")]  # fmt: skip
    scores = scored(key, *read_answers(key, paths))
    assert (scores.readers, scores.items, scores.readings) == (2, 8, 16)
    assert scores.rubrics["model"] == dict.fromkeys(RUBRICS, (4.0, 0.0))
    assert scores.rubrics["reference"] == dict.fromkeys(RUBRICS, (2.0, 0.0))
    assert scores.preferred == {"model": 15, "tie": 1, "reference": 0}
    assert scores.spearman["ROUGE-L"] is None  # all scores alike: nothing to rank
    said = scores_markdown(scores, key.describer)
    assert "| anatomy | 4.00 ± 0.00 | 2.00 ± 0.00 |" in said
    assert "GREEN 0.592" in said


def test_an_unfinished_item_is_left_out_and_told(key: Key, tmp_path: Path) -> None:
    whole = dict.fromkeys(RUBRICS, 3)
    path = answers(key, "r1", tmp_path / "1.json", A=whole | {"utility": None})
    scores = scored(key, *read_answers(key, [path]))
    assert (scores.readings, scores.unfinished) == (7, 1)
    with pytest.raises(Unreadable, match="No item"):
        scored(key, [])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"item": "elsewhere"}, "does not have"),
        ({"preferred": "C"}, "preferred is 'C'"),
        ({"A": dict.fromkeys(RUBRICS, 6)}, "anatomy is 6"),
        ({"B": dict.fromkeys(RUBRICS, "5")}, "anatomy is '5'"),
    ],
)
def test_answers_that_the_form_cannot_give_are_refused(
    key: Key, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(Unreadable, match=said):
        read_answers(key, [answers(key, "r1", tmp_path / "1.json", **changed)])


def test_answers_of_another_study_or_given_twice_are_refused(
    key: Key, lesions: Path, tmp_path: Path
) -> None:
    path = answers(key, "r1", tmp_path / "1.json")
    with pytest.raises(Unreadable, match="in another file already"):
        read_answers(key, [path, path])
    other = make_key(*read_lesions(lesions), pairs=8, seed=5)
    with pytest.raises(Unreadable, match="no answers to the reader study"):
        read_answers(other, [path])
    path.write_text("{", "utf-8")
    with pytest.raises(Unreadable, match=r"1\.json is no JSON"):
        read_answers(key, [path])


def test_metrics_that_follow_the_readers_correlate(key: Key) -> None:
    metric = [one.scores["ROUGE-L"] for one in key.items]
    assert len(set(metric)) == 2
    readings = [
        Reading("r", one.item, dict.fromkeys(RUBRICS, 5 if one.scores["ROUGE-L"] > 0.5 else 1),
                dict.fromkeys(RUBRICS, 3), "tie")
        for one in key.items
    ]  # fmt: skip
    assert scored(key, readings).spearman["ROUGE-L"] == pytest.approx(1)


def test_spearman_equals_ranks_by_hand() -> None:
    # squared rank differences 0, 1, 1, 0, 0: 1 - 6 * 2 / (5 * 24)
    assert spearman([1, 2, 3, 4, 5], [1, 3, 2, 4, 5]) == pytest.approx(0.9)
    assert spearman([1, 2], [1, 2]) is None
    rng = random.Random(1)
    values = [rng.random() for _ in range(20)]
    assert spearman(values, [-one for one in values]) == pytest.approx(-1)


def test_files_that_are_something_else_are_refused(lesions: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(Unreadable, match=r"no lesions\.csv"):
        read_lesions(other)
    with pytest.raises(Unreadable, match="no describer 'x'"):
        read_lesions(lesions, "x")
    told = [evaluate(Same(), examples(1)), evaluate(Same(None), examples(1))]
    write_lesions(told[:1], other)
    other.write_text(
        other.read_text("utf-8") + lesions.read_text("utf-8").split("\n", 1)[1].replace("same", "b")
    )
    with pytest.raises(Unreadable, match="several describers"):
        read_lesions(other)
    write_lesions(told[1:], other)
    with pytest.raises(Unreadable, match="No lesion has both"):
        make_key(*read_lesions(other), pairs=1, seed=1)
    (tmp_path / "key.json").write_text("[]", "utf-8")
    with pytest.raises(Unreadable, match="no key"):
        read_key(tmp_path / "key.json")


def test_the_commands_make_a_form_and_read_answers(lesions: Path, tmp_path: Path) -> None:
    dataset, out = tmp_path / "made", tmp_path / "study"
    for example in examples(5):
        write_example(dataset, example)
    call = ["reader-study", "make", str(dataset), "--lesions", str(lesions), "--out", str(out)]
    made = CliRunner().invoke(app, [*call, "--pairs", "6", "--seed", "2"])
    assert made.exit_code == 0, made.output
    key = read_key(out / "key.json")
    assert (out / "form.html").read_text("utf-8").count("data:image/png") == 6
    path = answers(key, "r1", tmp_path / "1.json")
    told = CliRunner().invoke(
        app, ["reader-study", "read", str(out / "key.json"), str(path), "--json"]
    )
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["preferred"] == {"model": 6, "tie": 0, "reference": 0}
