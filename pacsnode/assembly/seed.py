"""What a report's UIDs derive from: one seed for one set of inputs, words, settings and numbers."""

import hashlib
import json
from collections.abc import Sequence

from engine.finding import ModelIdentity
from engine.measuring import MEASUREMENT_VERSION
from pacsnode.settings import Settings
from storage.records import Instance

# what of [describe] a model's words depend on; its profile and prompt are in its identity
_OF_A_MODEL = {"max_new_tokens", "ct_of_air", "allow_untrained_tracers"}


def report_seed(
    inputs_sha256: str,
    identity: ModelIdentity,
    settings: Settings,
    label_maps: Sequence[Instance] = (),
) -> str:
    """The seed (hex) of everything that one report is made of.

    The live node and replay derive every UID from it, so that the same mask, images, describer,
    settings and definitions of the measurements give the same documents, and a change in any of
    them gives new ones. A model's device and dtype count: its words may differ by them. Settings
    that do not reach the document (ports, peers, destinations) do not count.
    """
    ingredients = {
        "inputs": inputs_sha256,
        "describer": [identity.name, identity.version, identity.weights_sha256],
        "measure": settings.measure.model_dump(mode="json"),
        "report": settings.report.model_dump(mode="json"),
        "measurement_version": MEASUREMENT_VERSION,
    }
    if identity.weights_sha256 is not None:
        ingredients["model"] = {
            "ran": [identity.device, identity.dtype, identity.profile, identity.prompt],
            "told": settings.describe.model_dump(mode="json", include=_OF_A_MODEL),
            "label_maps": sorted(one.sha256 for one in label_maps),
        }
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
