"""The form of a reader study: one HTML file that needs no network and does not know the answer."""

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from string import Template

from matplotlib.figure import Figure

from engine.cohort.dataset import Example
from engine.errors import Unreadable
from engine.evaluating.reader_items import RUBRICS, SIDES, Item, Key
from engine.evaluating.worst import draw_view
from engine.report.page import PAPER
from engine.report.views import VIEWS

QUESTIONS = {
    "anatomy": "Is the place right: organ, part of it, side?",
    "interpretation": "Is the uptake read rightly: how intense, and what it stands for?",
    "utility": "Could it go into a report as it is?",
}
ENDS = ("1 wrong or useless", "5 right or ready to use")


def form_of(key: Key, examples: Iterable[Example]) -> str:
    """The form, with the images of each lesion. Raises Unreadable where `examples` lacks one."""
    pictures = _pictures(key, examples)
    items = "\n".join(
        _item(number, item, pictures[item.study_id, item.lesion_id])
        for number, item in enumerate(key.items, 1)
    )
    return _PAGE.substitute(study=escape(key.study), count=len(key.items), items=items,
                            low=ENDS[0], high=ENDS[1])  # fmt: skip


def _pictures(key: Key, examples: Iterable[Example]) -> Mapping[tuple[str, str], str]:
    wanted = {(item.study_id, item.lesion_id) for item in key.items}
    found = {}
    for example in examples:
        name = example.record.study_id, example.record.lesion_id
        if name in wanted:
            found[name] = _png(example)
            if len(found) == len(wanted):
                break
    lacking = sorted(wanted - found.keys())
    if lacking:
        raise Unreadable(
            f"{len(lacking)} of {len(wanted)} lesions of the study are not in the dataset, such as "
            f"{'/'.join(lacking[0])}: give the dataset that was evaluated"
        )
    return found


def _png(example: Example) -> str:
    figure = Figure(figsize=(5.2, 4.0), facecolor=PAPER, layout="constrained")
    for axes, view in zip(figure.subplots(1, 2), VIEWS, strict=True):
        draw_view(axes, example, view)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=110, facecolor=PAPER)
    return base64.b64encode(written.getvalue()).decode("ascii")


def _item(number: int, item: Item, picture: str) -> str:
    image = (
        '<img alt="PET, coronal and sagittal, the lesion outlined" '
        f'src="data:image/png;base64,{picture}">'
    )
    texts = "".join(_text(item, side) for side in SIDES)
    choices = "".join(
        _radio(f"{item.item}-preferred", value, label)
        for value, label in (("A", "A"), ("tie", "no difference"), ("B", "B"))
    )
    return (
        f'<section data-item="{item.item}"><h2>{number}</h2><div class="pair">{image}'
        f'<div>{texts}<fieldset><legend>Preferred</legend>{choices}</fieldset>'
        f'<label>Remark <input data-remark></label></div></div></section>'
    )  # fmt: skip


def _text(item: Item, side: str) -> str:
    rubrics = "".join(
        f'<fieldset title="{escape(QUESTIONS[rubric])}"><legend>{rubric}</legend>'
        + "".join(_radio(f"{item.item}-{side}-{rubric}", str(n), str(n)) for n in range(1, 6))
        + "</fieldset>"
        for rubric in RUBRICS
    )
    return (
        f'<article><h3>{side}</h3><p class="said">{escape(item.shown(side))}</p>{rubrics}</article>'
    )


def _radio(name: str, value: str, label: str) -> str:
    return f'<label><input type="radio" name="{name}" value="{value}">{label}</label>'


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Reader study $study</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body{font:16px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:1150px;margin:2rem auto;
padding:0 1rem}
section{border-top:1px solid #d5dae0;padding:1rem 0}.pair{display:flex;gap:1.5rem}
.pair>div{flex:1}img{max-width:46%;align-self:flex-start}.said{background:#f4f6f8;padding:.6rem}
fieldset{display:inline-block;border:0;padding:0 1rem 0 0;margin:0}legend{color:#6b7480;
font-size:.85rem}label{margin-right:.5rem}button{font:inherit;padding:.5rem 1rem}
#left{color:#d7263d}
</style></head><body>
<h1>Reader study</h1>
<p>$count lesions, each with two findings, A and B. Numbers are hidden as [#]. Give each finding a
score for anatomy, interpretation and utility ($low, $high), and say which you prefer. The order is
by chance. Answers stay in this browser until you save them as a file.</p>
<p><label>Your code (not your name) <input id="reader" required></label></p>
$items
<p><button id="save">Save answers</button> <span id="left" role="status"></span></p>
<script>
const study = "$study", rubrics = ["anatomy", "interpretation", "utility"];
const key = "reader-study-" + study, value = (name) =>
  (document.querySelector(`input[name="$${name}"]:checked`) || {}).value || null;
function answers() {
  return [...document.querySelectorAll("section")].map((one) => {
    const item = one.dataset.item, told = {item, preferred: value(item + "-preferred"),
      remark: one.querySelector("[data-remark]").value};
    for (const side of ["A", "B"]) {
      told[side] = {};
      for (const r of rubrics) {
        const v = value(`$${item}-$${side}-$${r}`);
        told[side][r] = v === null ? null : Number(v);
      }
    }
    return told;
  });
}
const reader = document.getElementById("reader");
const isWhole = (a) => a.preferred &&
  ["A", "B"].every((s) => rubrics.every((r) => a[s][r] !== null));
function keep() {
  try { localStorage.setItem(key, JSON.stringify({reader: reader.value, answers: answers()})); }
  catch (e) { /* a browser that keeps nothing */ }
}
function restore() {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(key)); } catch (e) { return; }
  if (!kept) return;
  reader.value = kept.reader;
  const tick = (name, v) => {
    const box = document.querySelector(`input[name="$${name}"][value="$${v}"]`);
    if (box) box.checked = true;
  };
  for (const a of kept.answers) {
    tick(a.item + "-preferred", a.preferred);
    for (const s of ["A", "B"]) for (const r of rubrics) tick(`$${a.item}-$${s}-$${r}`, a[s][r]);
    const one = document.querySelector(`section[data-item="$${a.item}"] [data-remark]`);
    if (one) one.value = a.remark;
  }
}
document.body.addEventListener("input", keep);
document.getElementById("save").onclick = () => {
  const all = answers(), open = all.filter((a) => !isWhole(a)).length;
  document.getElementById("left").textContent = !reader.value ? "Your code is missing." :
    open ? `$${open} not finished; saved as they are.` : "Saved.";
  if (!reader.value) return;
  const file = new Blob([JSON.stringify({study, reader: reader.value, answers: all}, null, 1)],
    {type: "application/json"});
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `answers-$${study}-$${reader.value.replace(/[^A-Za-z0-9_-]/g, "_")}.json`;
  link.click();
};
restore();
</script></body></html>
""")
