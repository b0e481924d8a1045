"""The dashboard and the alert rules ask for metrics that exist, with labels that they have."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacsnode.monitoring.table import METRICS, SUFFIXES, sample_names
from tests.conftest import find_peer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OF_PROMETHEUS = {"job", "instance", "le"}
LABELS = {
    metric.name + suffix: {*metric.labels} | OF_PROMETHEUS
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
}
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
RULES = yaml.safe_load((DEPLOY / "alerts.yaml").read_text("utf-8"))


def _queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]
    for rule in _rules():
        yield rule["alert"], rule["expr"]


def _rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("name", "query"), [*_queries()])
def test_a_query_asks_for_what_there_is(name: str, query: str) -> None:
    asked = re.findall(r"pacsnode_\w+", query)
    assert asked, name
    assert set(asked) <= sample_names()
    for metric, selectors in re.findall(r"(pacsnode_\w+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors))
        assert labels <= LABELS[metric], metric
    kept = {label for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
            for label in re.split(r",\s*", group)}  # fmt: skip
    assert kept <= set().union(*(LABELS[metric] for metric in asked))
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing)


def test_every_counter_is_asked_for_as_a_rate() -> None:
    for name, query in _queries():
        for counter in re.findall(r"pacsnode_\w+_total", query):
            assert re.search(rf"(?:rate|increase)\({counter}[^)]*\[\d+[mhd]\]\)", query), name


def test_everything_that_is_told_is_shown() -> None:
    """Whoever adds a metric says what to look at it for."""
    shown = {metric for _, query in _queries() for metric in re.findall(r"pacsnode_\w+", query)}
    unseen = {
        metric.name for metric in METRICS
        if not any(metric.name + suffix in shown for suffix in SUFFIXES[metric.kind])
    }  # fmt: skip
    assert unseen == {"pacsnode_journal_read"}


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])
        }  # fmt: skip
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_rules_have_what_prometheus_and_a_person_want() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(set(names)) == len(names)
    for rule in _rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])):
            metrics = re.findall(r"pacsnode_\w+", rule["expr"])
            assert all(label in LABELS[metric] for metric in metrics[:1]), rule["alert"]


def test_promtool_takes_every_rule_and_every_query(tmp_path: Path) -> None:
    program = find_peer("promtool")
    of_panels = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$\w+", ".*", query)}
        for number, (_, query) in enumerate(_queries())
        if not query.startswith("label_values")
    ]
    queries = tmp_path / "queries.yaml"
    queries.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": of_panels}]}))
    checked = subprocess.run(
        [program, "check", "rules", str(queries), str(DEPLOY / "alerts.yaml")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert f"{len(_rules())} rules found" in checked.stdout
