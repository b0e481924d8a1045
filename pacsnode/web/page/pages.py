"""What each page shows: one method a page, its parts included."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, get_args
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pacsnode.access import needs
from pacsnode.settings import Settings
from pacsnode.showing.destinations import destinations_shown
from pacsnode.showing.in_force import HIDDEN, NOT_SET, settings_shown
from pacsnode.showing.projection import NoPicture, Projections
from pacsnode.showing.quarantine import one_quarantined, quarantine_shown
from pacsnode.showing.reports import readable
from pacsnode.showing.states import GROUPS, Group
from pacsnode.showing.studies import StudyShown, study_shown
from pacsnode.showing.worklist import Asked, Worklist, Worklists
from pacsnode.web.answers import root_url
from pacsnode.web.deeds import DEEDS
from pacsnode.web.page.templating import Templates, digest, is_part
from storage.archive import Archive
from storage.header import is_uid
from storage.records import Instance

COLUMNS: Final = (
    ("suv_max", "SUVmax", ""),
    ("suv_peak", "SUVpeak", ""),
    ("suv_mean", "SUVmean", ""),
    ("volume_cm3", "Volume", "cm³"),
    ("total_lesion_glycolysis_g", "TLG", "g"),
    ("long_axis_mm", "Long", "cm"),
    ("short_axis_mm", "Short", "cm"),
)
TONES: Final[Mapping[str, str]] = {
    "delivered": "good", "ok": "good", "postponed": "warn", "failing": "warn", "refused": "bad",
    "refusing": "bad", "due": "busy", "unused": "quiet", "held": "warn", "shadowed": "quiet",
    "stopped": "quiet",
}  # fmt: skip
OUTCOMES: Final[Mapping[str, str]] = {
    "delivered": "Delivered", "ok": "Working", "postponed": "Tried again", "failing": "Failing",
    "refused": "Refused", "refusing": "Refuses", "due": "Due", "unused": "Not used yet",
    "held": "Held for review", "shadowed": "In the shadow", "stopped": "Not sent",
}  # fmt: skip
# where a button is offered; whether it can be done is decided by who does it
MAY: Final[Mapping[str, frozenset[str]]] = {
    "retry": frozenset(
        {"failed", "parked", "refused", "postponed", "undelivered", "cancelled", "waiting"}
    ),
    "cancel": frozenset(
        {
            "waiting",
            "ready",
            "postponed",
            "undelivered",
            "reported",
            "held",
            "failed",
            "parked",
            "refused",
        }
    ),
}
PARTS: Final = ("live", "reports", "trail")
DONE: Final[Mapping[str, str]] = {deed.name: deed.done for deed in DEEDS}


class Pages:
    """Everything that is looked at; nothing here changes anything."""

    def __init__(
        self, archive: Archive, settings: Settings, worklists: Worklists, templates: Templates
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._worklists = worklists
        self._templates = templates
        self._projections = Projections(
            archive, settings.home, settings.measure.fractional_threshold
        )

    @needs("read")
    def worklist(self, request: Request) -> Response:
        """`/`"""
        asked = _asked(request.query_params)
        worklist = self._worklists.page(asked)
        told: dict[str, Any] = {
            "worklist": worklist,
            "asked": asked,
            "groups": ((None, "All"), *GROUPS.items()),
            "query": _Query(asked),
        }
        if worklist.is_empty:
            told["first"] = self._first(request)
        template = "first_run.html" if worklist.is_empty else "worklist_part.html"
        if is_part(request):
            if _was_first(request, worklist):
                return Response(status_code=204, headers={"HX-Refresh": "true"})
            return self._templates.part(request, template, **told)
        seen = self._templates.seen(request, template, **told)
        return self._templates.page(request, "worklist.html", **told, seen=seen)

    @needs("read")
    def study(self, request: Request) -> Response:
        """`/studies/{study}`"""
        return self.study_page(request, done=DONE.get(request.query_params.get("done", "")))

    def study_page(
        self, request: Request, *, status: int = 200, problem: str | None = None,
        done: str | None = None,
    ) -> Response:  # fmt: skip
        """The page of a study, or a part of it."""
        told = self._told_of_study(self._study(request))
        part = request.query_params.get("part")
        if is_part(request) and part in PARTS:
            return self._part_of_study(request, part, told)
        seen = {name: self._seen(request, name, told) for name in PARTS}
        return self._templates.page(
            request, "study.html", status, **told, seen=seen, problem=problem, done=done
        )

    @needs("read")
    def projection(self, request: Request) -> Response:
        """`/studies/{study}/reports/{sr}/projection.png`"""
        try:
            picture = self._projections.picture(self._report(request))
        except NoPicture as exc:
            raise HTTPException(404, str(exc)) from exc
        return Response(picture, media_type="image/png")

    @needs("read")
    def pdf(self, request: Request) -> Response:
        """`/studies/{study}/reports/{sr}/pictures.pdf`"""
        sr = self._report(request)
        try:
            drawn = self._projections.pdf(sr)
        except NoPicture as exc:
            raise HTTPException(404, str(exc)) from exc
        named = {"Content-Disposition": f'attachment; filename="{sr.sop_instance_uid}.pdf"'}
        return Response(drawn, media_type="application/pdf", headers=named)

    def _report(self, request: Request) -> Instance:
        uid = request.path_params["sr"]
        sr = self._archive.instance(uid) if is_uid(uid) else None
        if (
            sr is None
            or readable(sr) is None
            or sr.study_instance_uid != request.path_params["study"]
        ):
            raise HTTPException(404, "No such report is kept in this study.")
        return sr

    @needs("read")
    def quarantine(self, request: Request) -> Response:
        """`/quarantine`"""
        objects = quarantine_shown(self._archive)
        return self._templates.page(request, "quarantine.html", objects=objects)

    @needs("read")
    def quarantined(self, request: Request) -> Response:
        """`/quarantine/{sha256}`"""
        found = one_quarantined(self._archive, request.path_params["sha256"])
        if found is None:
            raise HTTPException(404, "No such object is set apart.")
        return self._templates.page(request, "quarantined.html", object=found)

    @needs("read")
    def destinations(self, request: Request) -> Response:
        """`/destinations`"""
        told: dict[str, Any] = {
            "destinations": destinations_shown(self._archive, self._settings),
            "tones": TONES,
            "outcomes": OUTCOMES,
        }
        if is_part(request):
            return self._templates.part(request, "destinations.html", **told)
        seen = self._templates.seen(request, "destinations.html", **told)
        return self._templates.page(request, "destinations.html", **told, seen=seen)

    @needs("read")
    def settings(self, request: Request) -> Response:
        """`/settings`"""
        sections = settings_shown(self._settings)
        faint = (HIDDEN, NOT_SET)
        return self._templates.page(request, "settings.html", sections=sections, faint=faint)

    def _study(self, request: Request) -> StudyShown:
        uid = request.path_params["study"]
        quiet_s = self._settings.assembly.quiet_s
        found = study_shown(self._archive, uid, quiet_s) if is_uid(uid) else None
        if found is None:
            raise HTTPException(404, "Nothing is known of such a study.")
        return found

    def _told_of_study(self, study: StudyShown) -> dict[str, Any]:
        return {
            "study": study,
            "columns": COLUMNS,
            "tones": TONES,
            "outcomes": OUTCOMES,
            "may": MAY,
            "ohif": self._ohif(study),
        }

    def _ohif(self, study: StudyShown) -> str | None:
        if getattr(self._settings.web, "ohif", None) is None:
            return None
        return f"/ohif/viewer?{urlencode({'StudyInstanceUIDs': study.study_instance_uid})}"

    def _seen(self, request: Request, part: str, told: Mapping[str, Any]) -> str:
        html = self._templates.html(
            request, f"study_{part}.html", **told, seen=dict.fromkeys(PARTS)
        )
        return digest(html)

    def _part_of_study(self, request: Request, part: str, told: Mapping[str, Any]) -> Response:
        now = self._seen(request, part, told)
        if request.query_params.get("seen") == now:
            return Response(status_code=204)
        seen = dict.fromkeys(PARTS, now)
        return HTMLResponse(self._templates.html(request, f"study_{part}.html", **told, seen=seen))

    def _first(self, request: Request) -> Mapping[str, Any]:
        listen = self._settings.listen
        peers = [one.ae_title for one in listen.peers]
        return {
            "ae_title": listen.ae_title,
            "port": listen.port,
            "host": request.url.hostname or "localhost",
            "who": ", ".join(peers)
            or "this machine alone: name your scanner and workstation under [[listen.peers]]",
            "dicom_web": f"{root_url(request)}/studies",
            "destinations": [one.name for one in self._settings.destinations],
        }


class _Query:
    """The worklist's own query string with some of its parts changed."""

    def __init__(self, asked: Asked) -> None:
        self._asked = {
            "group": asked.group, "q": asked.search, "since": asked.since, "until": asked.until,
            "page": asked.page,
        }  # fmt: skip

    def __call__(self, **changed: Any) -> str:
        told = self._asked | changed
        if told["page"] == 1:
            del told["page"]
        return urlencode({name: value for name, value in told.items() if value})


def _was_first(request: Request, worklist: Worklist) -> bool:
    """Whether the page still says that nothing has come."""
    return "first" in request.query_params and not worklist.is_empty


def _asked(parameters: Mapping[str, str]) -> Asked:
    group = parameters.get("group")
    page = parameters.get("page", "1")
    return Asked(
        search=parameters.get("q", "").strip()[:200],
        since=_date(parameters.get("since")),
        until=_date(parameters.get("until")),
        group=group if group in get_args(Group) else None,  # type: ignore[arg-type]
        page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
    )


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
