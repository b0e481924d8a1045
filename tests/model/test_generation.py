"""Decoding: fixed lanes equal growing ones, rows leave for a reason, and nothing else changes."""

import copy

import pytest
import torch
from torch import Tensor

from engine.petar.config import PetarConfig, VisionConfig
from engine.petar.generation import Decoded, decode, generate
from engine.petar.lanes import Fixed
from engine.petar.model import PetarNetwork

VISION = VisionConfig((16, 64, 64), (4, 16, 16), width=64, depth=1, mlp_width=96, heads=1)
LANGUAGE = {
    "vocab_size": 120, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 2, "sliding_window": 2047,
}  # fmt: skip
PROMPT = [1, *[3] * 8, 17, 25, 31]
STOPS = frozenset(range(100, 120))  # many, so that rows leave at different steps
MOST = 24


@pytest.fixture(scope="module")
def network() -> PetarNetwork:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    made = PetarNetwork(PetarConfig(VISION, 2, False, LANGUAGE)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.2)
    return made


@pytest.fixture(scope="module")
def visual() -> Tensor:
    torch.manual_seed(6)
    return torch.randn(11, 8, 64)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 11])
def test_a_fixed_lane_gives_the_tokens_of_a_growing_one(
    network: PetarNetwork, visual: Tensor, rows: int
) -> None:
    lane = Fixed(network.language, 11, len(PROMPT) + MOST)
    growing = decode(network, visual[:rows], PROMPT, STOPS, MOST)
    for _ in range(2):  # what the first batch left in the buffers is not seen by the second
        assert decode(network, visual[:rows], PROMPT, STOPS, MOST, lane=lane) == growing
    if rows == 11:
        assert len({len(row.tokens) for row in growing}) > 2  # rows did leave at different steps
        assert {row.ending for row in growing} == {"stop", "length"}


def test_a_fixed_lane_runs_on_fewer_rows_when_half_have_left(
    network: PetarNetwork, visual: Tensor
) -> None:
    lane = Fixed(network.language, 8, len(PROMPT) + MOST)
    lane.begin(network.spliced(visual[:8], PROMPT))
    widths = []
    for staying in ([0, 1, 2, 4, 6], [0, 2, 3, 4], [1, 3], [1]):
        lane.keep(staying)
        widths.append(lane.width)
        assert lane.step(torch.full((len(staying),), 9)).shape == (len(staying), 120)
    assert widths == [8, 4, 2, 1]


def test_a_fixed_lane_refuses_what_it_cannot_hold(network: PetarNetwork, visual: Tensor) -> None:
    lane = Fixed(network.language, 2, 16)
    with pytest.raises(ValueError, match="exceed"):
        lane.begin(network.spliced(visual[:3], PROMPT))


@pytest.mark.parametrize("fixed", [False, True])
def test_a_row_leaves_for_one_reason(network: PetarNetwork, visual: Tensor, fixed: bool) -> None:
    lane = Fixed(network.language, 4, len(PROMPT) + MOST) if fixed else None
    rows = visual[:4].clone()
    rows[1, 0, 0] = float("nan")
    decoded = decode(
        network, rows, PROMPT, frozenset(), MOST, overdue=lambda row: row == 2, lane=lane
    )
    full = decode(network, visual[:4], PROMPT, frozenset(), MOST)
    assert decoded == [
        full[0], Decoded([], "not-finite"), Decoded(full[2].tokens[:1], "overdue"), full[3]
    ]  # fmt: skip
    assert [row.ending for row in full] == ["length"] * 4
    assert [len(row.tokens) for row in full] == [MOST] * 4


def test_forced_tokens_go_past_the_stop(network: PetarNetwork, visual: Tensor) -> None:
    free = generate(network, visual, PROMPT, STOPS, 40)
    forced = generate(network, visual, PROMPT, STOPS, 40, min_new_tokens=40)
    assert {len(row) for row in forced} == {40}
    assert all(row == long[: len(row)] for row, long in zip(free, forced, strict=True))
    assert not any(token in STOPS for row in forced for token in row)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("rows", [1, 3, 11])
def test_graphs_of_a_fixed_lane_on_a_gpu_give_the_tokens_of_a_growing_one(
    network: PetarNetwork, visual: Tensor, rows: int
) -> None:
    there, seen = copy.deepcopy(network).to("cuda"), visual[:rows].to("cuda")
    lane = Fixed(there.language, 11, len(PROMPT) + MOST)
    growing = decode(there, seen, PROMPT, STOPS, MOST)
    for _ in range(2):  # captured by the first batch, replayed on other keys by the second
        assert decode(there, seen, PROMPT, STOPS, MOST, lane=lane) == growing
        flipped = decode(there, seen.flip(0), PROMPT, STOPS, MOST, lane=lane)
        assert flipped == growing[::-1]
    assert lane.graphs
    assert None not in lane.graphs.values()  # a step that no graph replays would prove nothing
    if rows == 11:
        assert len(lane.graphs) > 2  # of 11 rows, and of fewer as rows leave
