"""What a batch asks, and what its answers weigh."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from engine.cohort.said import grade_in
from engine.training.lesson import (
    IGNORED,
    Asked,
    Lesson,
    attention_for,
    products_in,
    visual_tokens,
)  # fmt: skip
from engine.training.questions import Bundle, bundle_of
from engine.training.recipe import Fact, Products, Recipe
from engine.training.run import Training
from engine.training.studies import Studies, studies_to_learn
from tests.model.schools import make_school, recipe_of, stage_of

MIXED = stage_of(asks={"lesions": 0.25, "regions": 0.75}, asks_facts=["site", "uptake"])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    torch.set_num_threads(1)
    return recipe_of(make_school(tmp_path_factory.mktemp("school"), train=6), stage=[MIXED])


@pytest.fixture(scope="module")
def training(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return Training(recipe, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def studies(recipe: Recipe) -> Studies:
    return studies_to_learn(recipe)


def bundle(
    training: Training, studies: Studies, number: int, facts: tuple[Fact, ...] = ()
) -> Bundle:
    recipe, stage = training.recipe, training.recipe.stage[0]
    vision = training.student.network.config.vision
    rng = np.random.default_rng(number)
    study = studies.study(number)
    return bundle_of(study, recipe, vision, stage.asks, 6, rng, facts=facts)


def test_a_lesion_is_asked_for_facts_on_the_same_views(
    training: Training, studies: Studies
) -> None:
    asked = bundle(training, studies, 1, ("site", "uptake"))
    batch = training.writer.batch([(asked, at) for at in range(len(asked))])
    assert asked.asks.count("lesions") == 1
    assert len(batch.seen.focal) == len(asked)  # views: one of each example
    assert len(batch.asked.ids) == len(asked) + 2
    more = [at for at in range(len(asked)) if (batch.asked.of == at).sum() == 3]
    assert [asked.asks[at] for at in more] == ["lesions"]
    facts, sentence = asked.facts[more[0]], asked.answers[more[0]]
    assert facts["site"] in sentence  # the school's sentences name it
    assert facts["uptake"] == grade_in(sentence)
    assert list(bundle(training, studies, 1, ("uptake",)).facts[more[0]]) == ["uptake"]
    assert not any(bundle(training, studies, 1).facts)


def test_a_kind_of_question_weighs_by_its_number_not_by_its_words(
    training: Training, studies: Studies
) -> None:
    asked = bundle(training, studies, 2, ("site", "uptake"))
    batch = training.writer.batch([(asked, at) for at in range(len(asked))])
    lesson = Lesson(training.student.network).eval()
    with torch.no_grad():
        found = float(lesson(batch.seen.on(torch.device("cpu")), batch.asked))
        by_kind = list(_means(lesson, batch.seen.on(torch.device("cpu")), batch.asked))
    total = sum(rows for rows, _, _ in by_kind)
    assert len(by_kind) == 4
    assert found == pytest.approx(sum(rows * mean for rows, mean, _ in by_kind) / total, rel=1e-5)
    tokens = sum(count for _, _, count in by_kind)
    flat = sum(mean * count for _, mean, count in by_kind) / tokens
    assert found != pytest.approx(flat, rel=1e-3)  # else the test could not tell


def _means(lesson: Lesson, seen: object, asked: Asked) -> Iterator[tuple[int, float, int]]:
    """Questions, mean loss of a token and tokens of each kind, row by row."""
    visual = visual_tokens(lesson.network, seen)[asked.of]  # type: ignore[arg-type]
    language = lesson.network.language
    words = language.get_input_embeddings()(asked.ids)
    spliced = torch.cat([words[:, :1], visual, words[:, 1 + visual.shape[1] :]], dim=1)
    logits = language(inputs_embeds=spliced).logits
    for kind in asked.kind.unique():
        rows = torch.nonzero(asked.kind == kind).flatten()
        losses = [
            F.cross_entropy(logits[row, at], asked.targets[row, at])
            for row in rows
            for at in torch.nonzero(asked.targets[row] != IGNORED).flatten()
        ]
        yield len(rows), float(torch.stack(losses).mean()), len(losses)


def test_a_piece_is_a_part_of_its_region_no_larger_than_a_lesion(
    recipe: Recipe, training: Training, studies: Studies
) -> None:
    vision = training.student.network.config.vision
    shown = {}
    for pieces in (0.0, 1.0):
        data = recipe.data.model_copy(update={"pieces": pieces})
        told = recipe.model_copy(update={"data": data})
        rng = np.random.default_rng(5)
        shown[pieces] = [
            bundle_of(studies.study(at), told, vision, {"regions": 1.0}, 6, rng) for at in range(4)
        ]
    whole, parts = (sum(float(one.masks[:, 0].sum()) for one in shown[p]) for p in (0.0, 1.0))
    assert 0 < parts < 0.9 * whole
    for one in shown[1.0]:
        assert set(one.answers) <= set(studies.study(0).region_names.values())
        assert one.masks[:, 1].flatten(1).any(dim=1).all()  # nothing is asked of an empty mask


def test_products_are_as_asked_and_as_before_afterwards() -> None:
    before = torch.get_float32_matmul_precision()
    with products_in("float32"):
        assert torch.get_float32_matmul_precision() == before
    with products_in("bf16"):
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("precision", "products", "fused"),
    [("no", "float32", True), ("no", "bf16", False), ("bf16", "float32", False)],
)
def test_attention_is_plain_where_its_products_are_bf16(
    precision: str, products: Products, fused: bool
) -> None:
    with attention_for(torch.device("cpu"), precision, products):
        assert torch.backends.cuda.flash_sdp_enabled() is fused
    assert torch.backends.cuda.flash_sdp_enabled()


def test_an_example_without_its_focal_views_keeps_the_others(
    training: Training, studies: Studies
) -> None:
    asked = bundle(training, studies, 1)
    seen = training.writer.batch([(asked, at) for at in range(3)]).seen
    assert seen.focal[1].any()
    assert seen.masks[1, 1].any()
    dropped = seen.without_focal(torch.tensor([False, True, False]))
    assert not dropped.focal[1].any()
    assert not dropped.masks[1, 1].any()
    for at in (0, 2):
        assert torch.equal(dropped.focal[at], seen.focal[at])
        assert torch.equal(dropped.masks[at], seen.masks[at])
    assert torch.equal(dropped.masks[:, 0], seen.masks[:, 0])
    assert torch.equal(dropped.whole, seen.whole)


def test_focal_views_are_dropped_as_often_as_asked(recipe: Recipe, training: Training) -> None:
    told = training._dropped(recipe.stage[0].model_copy(update={"drops_focal": 0.3}), 20_000)
    assert float(told.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert not training._dropped(recipe.stage[0], 20_000).any()
