"""Which instances a path names (PS3.18 10.1.1), by the catalog alone."""

from starlette.requests import Request

from pacsnode.web.answers import study_url, uid_of
from pacsnode.web.refusal import NOT_FOUND, Refusal
from storage.archive import Archive
from storage.records import Instance


def instances_of(archive: Archive, request: Request) -> tuple[Instance, ...]:
    """Of a study, a series, or one; in reading order. Raises Refusal (400, 404)."""
    study, series = uid_of(request, "study"), uid_of(request, "series")
    if study is None or "instance" in request.path_params:
        return (instance_of(archive, request),)
    if series is not None:
        found = archive.series(study, series)
    else:
        kept = archive.study(study)
        found = tuple(one for each in kept.series for one in each.instances) if kept else ()
    if not found:
        raise Refusal(NOT_FOUND, "Nothing is kept under this path")
    return found


def instance_of(archive: Archive, request: Request) -> Instance:
    """The one instance of a path. Raises Refusal (400, 404)."""
    study, series, uid = (uid_of(request, name) for name in ("study", "series", "instance"))
    found = archive.instance(uid) if uid is not None else None
    if found is None or (found.study_instance_uid, found.series_instance_uid) != (study, series):
        raise Refusal(NOT_FOUND, "No such instance is kept under this path")
    return found


def url_of(request: Request, instance: Instance) -> str:
    """Where an instance can be retrieved."""
    return study_url(
        request,
        instance.study_instance_uid,
        instance.series_instance_uid,
        instance.sop_instance_uid,
    )
