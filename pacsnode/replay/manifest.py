"""run.json: what a replay was given, what it ran with, and what became of everything."""

import json
import platform
from collections import Counter
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pacsnode.replay.run import Outcome

# what a number, a decoded pixel or a document depends on
PACKAGES = (
    "pacsnode", "pydicom", "highdicom", "numpy", "scipy", "SimpleITK", "torch", "transformers",
)  # fmt: skip


def write_manifest(path: Path, outcome: "Outcome") -> None:
    """Write run.json whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(manifest_of(outcome), indent=2) + "\n", "utf-8")
    part.rename(path)


def manifest_of(outcome: "Outcome") -> dict[str, Any]:
    """Everything run.json says, as plain values."""
    request, plan = outcome.request, outcome.plan
    states = Counter[str](result.outcome for result in outcome.results)
    states.update(case.state for case in plan.not_planned)
    return {
        "started_at": outcome.started_at.isoformat(),
        "seconds": outcome.seconds,
        "stopped": outcome.stopped,
        "versions": _versions(),
        "inputs": [str(path) for path in request.inputs],
        "out": str(request.out),
        "shard": f"{request.shard[0]}/{request.shard[1]}",
        "workers": request.workers,
        "model": None if outcome.model is None else asdict(outcome.model),
        "settings": request.settings.model_dump(
            mode="json", include={"assembly", "measure", "describe", "report"}
        ),
        "files": {
            "found": sum(outcome.files.counts.values()),
            **dict(sorted(outcome.files.counts.items())),
            "not_read": [asdict(file) for file in outcome.files.not_read],
            "set_aside": [asdict(file) for file in outcome.files.set_aside],
        },
        "cases": {
            "found": len(plan.ready) + len(plan.not_planned),
            **{state: states.get(state, 0) for state in ("reported", "refused", "failed")},
            "context": states.get("context", 0),
            "superseded": states.get("superseded", 0),
            "not_reached": len(plan.ready) - len(outcome.results),
            "done_before": outcome.resumed,
            "of_other_shards": plan.of_other_shards,
        },
        "findings": {"path": request.findings.name, "rows": outcome.rows},
        "reports": [
            {
                "input_path": result.input_path,
                "study_instance_uid": result.study_instance_uid,
                "mask_sop_instance_uid": result.mask_instance_uid,
                "sr": result.sr,
                "seg": result.seg,
                "words": result.words,
                "seconds": result.seconds,
            }
            for result in outcome.results
            if result.outcome == "reported"
        ],
        "refusals": _not_reported(outcome, "refused"),
        "failures": _not_reported(outcome, "failed"),
        "context": _not_reported(outcome, "context"),
        "superseded": _not_reported(outcome, "superseded"),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _not_reported(outcome: "Outcome", state: str) -> list[dict[str, Any]]:
    planned = [
        (case.input_path, case.study_instance_uid, case.mask_instance_uid, case.code,
         list(case.reasons))
        for case in outcome.plan.not_planned
        if case.state == state
    ]  # fmt: skip
    tried = [
        (result.input_path, result.study_instance_uid, result.mask_instance_uid, result.code,
         [result.sentence])
        for result in outcome.results
        if result.outcome == state
    ]  # fmt: skip
    names = ("input_path", "study_instance_uid", "mask_sop_instance_uid", "code", "reasons")
    return [dict(zip(names, case, strict=True)) for case in (*planned, *tried)]
