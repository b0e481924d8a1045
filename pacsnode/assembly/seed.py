"""What a report's UIDs derive from: one seed for one set of inputs, words, settings and numbers."""

import hashlib
import json

from engine.finding import ModelIdentity
from engine.measuring import MEASUREMENT_VERSION
from pacsnode.settings import Settings


def report_seed(inputs_sha256: str, identity: ModelIdentity, settings: Settings) -> str:
    """The seed (hex) of everything that one report is made of.

    The live node and replay derive every UID from it, so that the same mask, images, describer,
    settings and definitions of the measurements give the same documents, and a change in any of
    them gives new ones. Where a model ran (device, dtype) does not count: it is who wrote, not
    where. Settings that do not reach the document (ports, peers, destinations) do not count.
    """
    ingredients = {
        "inputs": inputs_sha256,
        "describer": [identity.name, identity.version, identity.weights_sha256],
        "measure": settings.measure.model_dump(mode="json"),
        "report": settings.report.model_dump(mode="json"),
        "measurement_version": MEASUREMENT_VERSION,
    }
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
