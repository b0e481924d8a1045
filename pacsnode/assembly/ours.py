"""Our own documents coming back: recognised, kept, and never taken for work."""

from pacsnode.assembly.attributes import text
from storage.records import Instance

NAME = "pacsnode"  # Manufacturer and Manufacturer's Model Name of every document we write
UID_ROOT = "2.25."  # and the root of the UIDs that we derive (PS3.5 B.2)


def is_ours(instance: Instance) -> bool:
    """Whether this node, or another one like it, wrote the object."""
    return (
        instance.sop_instance_uid.startswith(UID_ROOT)
        and text(instance.attributes, "Manufacturer") == NAME
        and text(instance.attributes, "ManufacturerModelName") == NAME
    )
