"""`/conformance`: the statement as a page."""

import base64
import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pacsnode.web.statement.blocks import STYLE, as_html
from pacsnode.web.statement.whole import statement

CONFORMANCE: Final = "/conformance"
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"


def _page(_: Request) -> Response:
    return HTMLResponse(as_html(statement()), headers={"Content-Security-Policy": POLICY})


CONFORMANCE_PAGE: Final = Route(CONFORMANCE, _page, methods=["GET"])
