"""What is done from a page: a form posts one action and comes back to the study."""

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pacsnode.access import needs
from pacsnode.access.guard import person_of
from pacsnode.errors import CannotAct
from pacsnode.web.deeds import Deed, Doing, Told
from pacsnode.web.page.pages import Pages

SEE_OTHER = 303
CONFLICT = 409


def form_of(deed: Deed, doing: Doing, pages: Pages) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that a form of this action posts to."""

    @needs(deed.role)
    async def answer(request: Request) -> Response:
        person = person_of(request)
        assert person is not None  # noqa: S101  needs() saw to it
        async with request.form(max_files=0, max_fields=200) as form:
            told = Told(
                str(form.get("reason", "")),
                tuple(str(value) for value in form.getlist("finding")),
                str(form.get("observer", "")),
            )
        path: dict[str, str] = request.path_params
        try:
            await run_in_threadpool(doing.perform, deed, path, person, told)
        except CannotAct as exc:
            return await run_in_threadpool(
                pages.study_page, request, status=CONFLICT, problem=str(exc)
            )
        return RedirectResponse(f"/studies/{path['study']}?done={deed.name}", SEE_OTHER)

    return answer
