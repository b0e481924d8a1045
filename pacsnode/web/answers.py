"""What every answer has: DICOM JSON (PS3.18 annex F), URLs of resources, refusals in words."""

import json
import math
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pacsnode.web.media import DICOM_JSON
from pacsnode.web.refusal import BAD_REQUEST, Refusal
from storage.header import is_uid, said

ROOT: Final = "/dicom-web"


def dicom_json(content: Any, status: int = 200) -> Response:
    """A dataset, or a list of them."""
    return Response(encoded(content), status, media_type=DICOM_JSON)


def encoded(content: Any) -> bytes:
    """JSON in UTF-8; PS3.18 F.2.2: a number that is none becomes the string that says so."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return "NaN" if math.isnan(content) else ("inf" if content > 0 else "-inf")
    return content


def refused(refusal: Refusal) -> Response:
    """A status and one sentence."""
    return JSONResponse(
        {"status": refusal.status, "reason": str(refusal)}, refusal.status, dict(refusal.headers)
    )


def root_url(request: Request) -> str:
    """The address of all resources, as the requester reached us."""
    url = request.url
    name = url.hostname or "localhost"
    # some clients leave the port out of their Host header
    port = url.port or request.scope["server"][1]
    return f"{url.scheme}://{f'[{name}]' if ':' in name else name}:{port}{ROOT}"


def study_url(
    request: Request, study: str, series: str | None = None, instance: str | None = None
) -> str:
    """The address of a study, a series or an instance."""
    path = f"/studies/{study}"
    if series is not None:
        path += f"/series/{series}"
    if instance is not None:
        path += f"/instances/{instance}"
    return root_url(request) + path


def uid_of(request: Request, name: str) -> str | None:
    """A UID of the path, None where the resource has none. Raises Refusal (400)."""
    stated = request.path_params.get(name)
    if stated is not None and not is_uid(stated):
        raise Refusal(BAD_REQUEST, f"The {name} of the path holds {said(stated)}")
    return stated
