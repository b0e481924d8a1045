"""One try to bring documents to a destination."""

from typing import Literal

from pacsnode.delivery.cstore import send
from pacsnode.errors import DeliveryFailed, DeliveryRejected
from pacsnode.jobs.desk import Desk
from pacsnode.jobs.failpoints import reach
from pacsnode.jobs.orders import DeliveryOrder, Sent
from storage.errors import StorageError


def bring(order: DeliveryOrder, desk: Desk) -> Sent:
    """Send the documents in their order; never raises.

    Sending again what was sent before is harmless: the same bytes under the same UID.
    """
    destination = desk.destination(order["destination"])
    if destination is None:
        fix = "Name it again in the settings and restart the node."
        return _sent("parked", "The destination is no longer in the settings.", fix)
    reach("sending")
    try:
        paths = []
        for uid in order["documents"]:
            instance = desk.archive.instance(uid)
            if instance is None:
                fix = "Rebuild the index with `pacsnode reindex` and restart the node."
                return _sent("parked", f"The archive does not hold the document {uid}.", fix)
            paths.append(instance.path)
        send(paths, destination, desk.settings.listen.ae_title)
    except DeliveryRejected as exc:
        return _sent("parked", str(exc), f"To fix: {exc.fix}")
    except (DeliveryFailed, StorageError) as exc:
        return _sent("again", str(exc))
    except Exception as exc:  # noqa: BLE001 the delivery step: a study is never lost to a defect
        return _sent("again", f"The program failed while sending: {type(exc).__name__}.")
    reach("sent")
    return _sent("delivered")


def _sent(outcome: Literal["delivered", "again", "parked"], *reasons: str) -> Sent:
    return Sent(outcome=outcome, reasons=list(reasons))
