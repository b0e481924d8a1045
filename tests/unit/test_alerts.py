"""The alert rules: a healthy node raises none, and each trouble raises its own, by promtool."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, find_peer

RULES = ROOT / "deploy" / "alerts.yaml"
MINUTES = 180  # told once a minute, and looked at after that

# values in promtool's notation: start, change a minute, and for how many minutes
HEALTHY = {
    'up{job="pacsnode"}': "1+0x180",
    'pacsnode_build_info{version="0.1.0"}': "1+0x180",
    "pacsnode_ready": "1+0x180",
    "pacsnode_worker_starts_total": "1+0x180",
    "pacsnode_disk_free_bytes": "200000000000-1000000x180",
    "pacsnode_disk_reserve_bytes": "1000000000+0x180",
    'pacsnode_queue_age_seconds{stage="arrived"}': "599+0x180",
    'pacsnode_queue_age_seconds{stage="delivering"}': "3500+0x180",
    'pacsnode_studies_stuck{stage="waiting"}': "0+0x180",
    'pacsnode_deliveries_total{destination="R",outcome="parked"}': "0+0x180",
    'pacsnode_deliveries_total{destination="R",outcome="delivered"}': "0+5x180",
    'pacsnode_deliveries_waiting{destination="R"}': "1+0x180",
    'pacsnode_refusals_total{door="dimse",reason="mismatch"}': "0+0x180",
    'pacsnode_associations_refused_total{reason="unknown-caller"}': "0+0x180",
    'pacsnode_report_latency_seconds_bucket{destination="R",le="600"}': "0+5x180",
    'pacsnode_report_latency_seconds_bucket{destination="R",le="3600"}': "0+5x180",
    'pacsnode_report_latency_seconds_bucket{destination="R",le="+Inf"}': "0+5x180",
}
ONCE_LATE = "0+0x175 1+0x5"  # a counter that has gone up by one, a few minutes ago

TROUBLES: list[tuple[str, Mapping[str, str | None]]] = [
    ("PacsnodeGone", {'up{job="pacsnode"}': "0+0x180"}),
    ("PacsnodeGone", {'pacsnode_build_info{version="0.1.0"}': None}),
    ("PacsnodeNotReady", {"pacsnode_ready": "1+0x170 0+0x10"}),
    ("PacsnodeWorkerRestarts", {"pacsnode_worker_starts_total": "1+0x150 2+1x30"}),
    ("PacsnodeDiskNearlyFull", {"pacsnode_disk_free_bytes": "10500000000+0x180"}),
    ("PacsnodeDiskFullInTwoDays", {"pacsnode_disk_free_bytes": "200000000000-90000000x180"}),
    ("PacsnodeNothingLookedAt", {'pacsnode_queue_age_seconds{stage="arrived"}': "0+60x180"}),
    ("PacsnodeStudyStuck", {'pacsnode_studies_stuck{stage="waiting"}': "0+0x160 1+0x20"}),
    (
        "PacsnodeDestinationRefuses",
        {'pacsnode_deliveries_total{destination="R",outcome="parked"}': ONCE_LATE},
    ),
    ("PacsnodeDestinationDown", {'pacsnode_queue_age_seconds{stage="delivering"}': "0+60x180"}),
    (
        "PacsnodeObjectsRefused",
        {'pacsnode_refusals_total{door="dimse",reason="mismatch"}': ONCE_LATE},
    ),
    (
        "PacsnodeSendersRefused",
        {'pacsnode_associations_refused_total{reason="unknown-caller"}': ONCE_LATE},
    ),
    (
        "PacsnodeSlowReports",
        {
            'pacsnode_report_latency_seconds_bucket{destination="R",le="600"}': "0+0x180",
            'pacsnode_report_latency_seconds_bucket{destination="R",le="3600"}': "0+0x180",
        },
    ),
]


def test_no_rule_is_left_out() -> None:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"]} == {
        alert for alert, _ in TROUBLES
    }


@pytest.mark.parametrize("starts", ["1+0x180", "1+0x130 2+0x10 3+0x38"])
def test_a_node_that_works_raises_none(starts: str, tmp_path: Path) -> None:
    _judge(tmp_path, HEALTHY | {"pacsnode_worker_starts_total": starts}, firing=[])


@pytest.mark.parametrize(("alert", "trouble"), TROUBLES)
def test_each_trouble_raises_its_own_alert_alone(
    alert: str, trouble: Mapping[str, str | None], tmp_path: Path
) -> None:
    series = {name: values for name, values in {**HEALTHY, **trouble}.items() if values is not None}
    _judge(tmp_path, series, firing=[alert])


def _judge(folder: Path, series: Mapping[str, str], *, firing: list[str]) -> None:
    one: dict[str, Any] = {
        "interval": "1m",
        "input_series": [
            {"series": _of_one_node(name), "values": values} for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{MINUTES}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing
                ],
            }
        ],
    }
    told = folder / "alerts_test.yaml"
    told.write_text(yaml.safe_dump({
        "rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [one],
    }))  # fmt: skip
    judged = subprocess.run(
        [find_peer("promtool"), "test", "rules", str(told)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout + judged.stderr


def _of_one_node(series: str) -> str:
    """As Prometheus keeps what one node tells: with the address that it was asked at."""
    name, brace, labels = series.partition("{")
    return f'{name}{{instance="127.0.0.1:8042"{"," + labels if brace else "}"}'
