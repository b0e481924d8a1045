"""Examples to a batch of tensors, and a batch to its loss: on the answer and its end alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerFast

from engine.petar.model import PetarNetwork, Views
from engine.petar.tokenizing import PLACEHOLDER, prompt_ids
from engine.training.questions import Bundle
from engine.training.recipe import Products, Question

IGNORED = -100  # the target of a token that is not learnt


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Views of B examples over w global windows; pairs are PET, CT and global, focal mask."""

    whole: Tensor  # (w, 2, z, y, x)
    window: Tensor  # (B,)
    focal: Tensor  # (B, 2, z, y, x)
    masks: Tensor  # (B, 2, z, y, x)

    def on(self, device: torch.device) -> "Seen":
        whole, window, focal, masks = (
            getattr(self, one.name).to(device, non_blocking=True) for one in fields(self)
        )
        return Seen(whole.float(), window, focal.float(), masks.float())

    def without_focal(self, of: Tensor) -> "Seen":
        """The focal views of some examples, `of` (B,) bool, blank as where a network has none."""
        focal, masks = self.focal.clone(), self.masks.clone()
        focal[of], masks[of, 1] = 0, 0
        return Seen(self.whole, self.window, focal, masks)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """R questions and their answers about B examples, those of one kind together.

    `ids` is BOS, placeholders, prompt, answer, stop, filled up; `targets` follows it by one.
    """

    ids: Tensor  # (R, T)
    targets: Tensor  # (R, T)
    of: Tensor  # (R,) the example
    kind: Tensor  # (R,) a number for each kind of question

    def on(self, device: torch.device) -> "Asked":
        return Asked(*(getattr(self, one.name).to(device) for one in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What is seen of B examples, and what is to be learnt of it."""

    seen: Seen
    asked: Asked


def seen_of(picked: Sequence[tuple[Bundle, int]]) -> Seen:
    """The views of some examples; each global window once."""
    rows: dict[tuple[int, int], int] = {}
    whole, window = [], []
    for bundle, at in picked:
        key = (id(bundle), bundle.window[at])
        if key not in rows:
            rows[key] = len(rows)
            whole.append(bundle.whole[bundle.window[at]])
        window.append(rows[key])
    with torch.autocast("cpu", enabled=False):  # it refuses to stack what is kept as float16
        return Seen(
            torch.stack(whole),
            torch.tensor(window),
            torch.stack([bundle.focal[at] for bundle, at in picked]),
            torch.stack([bundle.masks[at] for bundle, at in picked]),
        )


class Writer:
    """Questions and answers to ids, each spelt once."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        prompts: Mapping[Question, str],
        visual_tokens: int,
        stop: int,
        max_length: int,
    ) -> None:
        self._tokenizer, self._stop, self._most = tokenizer, stop, max_length
        self.prompts = {ask: prompt_ids(tokenizer, text, visual_tokens)
                        for ask, text in prompts.items()}  # fmt: skip
        self._texts = dict(prompts)
        self._spelt: dict[tuple[Question, str], list[int]] = {}

    def answer(self, ask: Question, text: str) -> list[int]:
        """The ids that follow the prompt, the stop token last."""
        if (ask, text) not in self._spelt:
            front = self._ids(PLACEHOLDER + self._texts[ask])
            whole = self._ids(f"{PLACEHOLDER}{self._texts[ask]} {text}")
            if whole[: len(front)] != front:
                raise ValueError("The tokenizer joins the prompt and the answer")
            room = self._most - len(self.prompts[ask]) - 1
            self._spelt[ask, text] = [*whole[len(front) :][:room], self._stop]
        return self._spelt[ask, text]

    def batch(self, picked: Sequence[tuple[Bundle, int]]) -> Batch:
        """Examples with what is to be learnt of them, filled up to the longest."""
        asked = list(_questions(picked))
        rows = [(self.prompts[ask], self.answer(ask, text)) for ask, text, _ in asked]
        length = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.full((len(rows), length), self._stop)
        targets = torch.full((len(rows), length), IGNORED)
        for row, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor([*prompt, *answer])
            targets[row, len(prompt) - 1 : end - 1] = torch.tensor(answer)
        kinds = list(self.prompts)
        kind = torch.tensor([kinds.index(ask) for ask, _, _ in asked])
        of = torch.tensor([example for _, _, example in asked])
        return Batch(seen_of(picked), Asked(ids, targets, of, kind))

    def _ids(self, text: str) -> list[int]:
        return [int(i) for i in self._tokenizer(text).input_ids]


def _questions(picked: Sequence[tuple[Bundle, int]]) -> Iterator[tuple[Question, str, int]]:
    """What is asked, the answer, and of which example."""
    for example, (bundle, at) in enumerate(picked):
        yield bundle.asks[at], bundle.answers[at], example
        for fact, answer in bundle.facts[at].items():
            yield fact, answer, example


class Lesson(nn.Module):
    """The network, and how far it is from the answers."""

    def __init__(self, network: PetarNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, seen: Seen, asked: Asked) -> Tensor:
        """Cross-entropy of the answers: the mean of a kind's tokens, kinds by their questions.

        So a name of three tokens counts as much as a sentence of fifty.
        """
        visual = visual_tokens(self.network, seen)[asked.of]
        language = self.network.language
        words = language.get_input_embeddings()(asked.ids).to(visual.dtype)
        spliced = torch.cat([words[:, :1], visual, words[:, 1 + visual.shape[1] :]], dim=1)
        hidden = language.model(inputs_embeds=spliced, use_cache=False).last_hidden_state
        learnt = asked.targets != IGNORED  # what fills up lies behind: nothing that counts sees it
        logits = language.lm_head(hidden[learnt])
        losses = F.cross_entropy(logits.float(), asked.targets[learnt], reduction="none")
        kinds = asked.kind[:, None].expand_as(learnt)[learnt]
        rows = torch.bincount(asked.kind).to(losses)
        tokens = torch.bincount(kinds).to(losses)
        return (losses * (rows / tokens / rows.sum())[kinds]).sum()


def attention_for(
    device: torch.device, precision: str, products: Products
) -> AbstractContextManager[None]:
    """The attention to learn with: torch's own choice, but plain products where they are bf16's.

    What torch fuses on a CPU is slow on the way back, and knows nothing of `products`.
    """
    if device.type == "cpu" and "bf16" in (precision, products):
        plain: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
        return plain
    return nullcontext()


@contextmanager
def products_in(products: Products) -> Iterator[None]:
    """Multiply float32 matrices so, where the processor knows how; sums stay float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if products == "bf16" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def visual_tokens(network: PetarNetwork, seen: Seen) -> Tensor:
    """(B, V, D); the CT of a window is encoded once for all its examples."""
    ct = network.pooled_ct(seen.whole[:, 1:2])[seen.window]
    whole = seen.whole[seen.window]
    views = Views(
        whole[:, 0:1], whole[:, 1:2], seen.masks[:, 0:1],
        seen.focal[:, 0:1], seen.focal[:, 1:2], seen.masks[:, 1:2],
    )  # fmt: skip
    return network.visual_tokens(views, ct)
