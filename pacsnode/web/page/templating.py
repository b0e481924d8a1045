"""Templates: how records become HTML, and what every page has."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from engine.report.style import installed_version
from pacsnode.access.guard import csrf_token, person_of

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
STATIC: Final = Path(__file__).parents[1] / "static"
NAV: Final = (
    ("/", "Worklist"),
    ("/quarantine", "Quarantine"),
    ("/destinations", "Destinations"),
    ("/settings", "Settings"),
    ("/api", "API"),
)
TITLES: Final[Mapping[int, str]] = {
    401: "Log in first",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not possible here",
    409: "That cannot be done now",
    500: "A fault of ours",
    503: "Not now",
}
NOTHING_NEW: Final = 204  # htmx leaves what is shown as it is


class Templates:
    """One environment for all pages; threads may share one."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "short": _short,
            "exact": _exact,
            "words": _words,
            "digest": digest,
        }
        self._environment.globals |= {"nav": NAV, "version": installed_version()}

    def html(self, request: Request, template: str, **told: Any) -> str:
        """A template with what every page has."""
        given = {
            "here": request.url.path,
            "person": person_of(request),
            "csrf": csrf_token(request) if "csrf" in request.scope else "",
            "zone": datetime.now(UTC).astimezone().tzname(),
        }
        return self._environment.get_template(template).render(given | told)

    def page(
        self,
        request: Request,
        template: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **told: Any,
    ) -> Response:
        """A template as an answer."""
        return HTMLResponse(self.html(request, template, **told), status, dict(headers or {}))

    def sorry(
        self, request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A status and its sentence."""
        title = TITLES.get(status, "That did not work")
        return self.page(request, "sorry.html", status, headers, title=title, sentence=sentence)

    def part(self, request: Request, template: str, **told: Any) -> Response:
        """A part of a page that asks for itself again and again: nothing where nothing is new."""
        html = self.html(request, template, **told, seen="")
        now = digest(html)
        if request.query_params.get("seen") == now:
            return Response(status_code=NOTHING_NEW)
        return HTMLResponse(self.html(request, template, **told, seen=now))

    def seen(self, request: Request, template: str, **told: Any) -> str:
        """What a part has to name so that it is told what is new since."""
        return digest(self.html(request, template, **told, seen=""))


class Files(StaticFiles):
    """Files that come with the program: no patient is in them, so that a browser may keep them."""

    def file_response(self, *arguments: object, **named: object) -> Response:
        """With what lets a browser ask whether the file is still the same."""
        answer = super().file_response(*arguments, **named)  # type: ignore[arg-type]
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def digest(html: str) -> str:
    """Short: it tells one state of a part from the next, and guards nothing."""
    return hashlib.sha256(html.encode()).hexdigest()[:16]


def is_part(request: Request) -> bool:
    """Whether htmx asks for a part; a page it restores from the history is wanted whole."""
    asked = request.headers
    return asked.get("hx-request") == "true" and "hx-history-restore-request" not in asked


def _short(moment: datetime) -> str:
    local, today = moment.astimezone(), datetime.now(UTC).astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%d %b %H:%M}" if local.year == today.year else f"{local:%d %b %Y}"


def _exact(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _words(code: str) -> str:
    return code.replace("-", " ")
