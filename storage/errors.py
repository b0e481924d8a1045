"""Why bytes are not kept.

StorageError
  Unkeepable   not an object we can keep: unreadable, a malformed UID, a truncated element
  Mismatch     the sender's command and the dataset disagree about class or instance
  StorageFull  no space now; another try may work (retryable)
  Exhausted    no memory or no process is left now (retryable)
  DiskFault    the disk failed otherwise: an I/O error, read-only, no permission (retryable)
  IndexFault   the database cannot be opened, is locked or damaged (retryable where locked)
"""

from typing import ClassVar, Final

REBUILD: Final = "stop the node and run `pacsnode reindex`: it rebuilds the index from the files"


class StorageError(Exception):
    """Base of everything the storage raises on purpose."""

    retryable: ClassVar[bool] = False


class Unkeepable(StorageError):
    """The bytes are not an object that can be kept; says which attribute and why."""


class Mismatch(Unkeepable):
    """The C-STORE command and the dataset name another SOP class or instance (PS3.7 9.1.1.1)."""


class StorageFull(StorageError):
    """The disk, the quota or the configured reserve is exhausted."""

    retryable = True


class Exhausted(StorageError):
    """No memory or no process is left to judge the object with; another try may work."""

    retryable = True


class DiskFault(StorageError):
    """The disk did not do what was asked, for another reason than space; says which."""

    retryable = True


class IndexFault(StorageError):
    """The index database cannot be used; the message says what to do."""

    retryable = True
