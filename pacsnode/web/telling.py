"""What the audit log hears of DICOMweb: who searched, stored, retrieved and looked."""

import functools
import inspect
from collections import defaultdict
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from pacsnode.access.audit import Audit
from pacsnode.access.gate import address_of
from pacsnode.access.guard import person_of
from pacsnode.access.person import LOCAL
from pacsnode.web.capabilities import Resource
from pacsnode.web.query import told_name

KEPT: Final = "kept"  # where the Store transaction leaves the (study, instance) it took


class Telling:
    """Wraps the answers of resources."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def told(self, resource: Resource) -> Any:
        """The endpoint of a resource, which tells of what it answered."""
        answer = resource.answer
        if inspect.iscoroutinefunction(answer):

            @functools.wraps(answer)
            async def answer_later(request: Request) -> Response:
                response: Response = await answer(request)
                await run_in_threadpool(self._tell, resource, request, response)
                return response

            return answer_later

        @functools.wraps(answer)
        def answer_now(request: Request) -> Response:
            response: Response = answer(request)
            self._tell(resource, request, response)
            return response

        return answer_now

    def _tell(self, resource: Resource, request: Request, response: Response) -> None:
        person, address = person_of(request) or LOCAL, address_of(request)
        kind, _, what = resource.transaction.partition(" ")
        if kind == "Store":
            studies: dict[str, list[str]] = defaultdict(list)
            for study, instance in getattr(request.state, KEPT, ()):
                studies[study].append(instance)
            for study, instances in studies.items():
                self._audit.write("store", person, study=study, objects=instances, address=address)
        elif kind == "Search":
            names = dict.fromkeys(map(told_name, request.query_params))
            keys = "&".join(f"{name}=" for name in names)
            self._audit.write("query", person, query=f"{request.url.path}?{keys}", address=address)
        elif response.status_code < 400:
            action = "retrieve" if what == "Instances" else "access"
            study = request.path_params["study"]
            self._audit.write_once(action, person, study=study, address=address)
