"""The raw words of a model, in a file beside the archive's objects."""

import hashlib
import json
import os
from pathlib import Path

from engine.pipeline import Documents, raw_words_of
from storage.files import disk_errors, sync_folder

WORDS = "words"


def words_path(root: Path, sr_sha256: str) -> Path:
    """Where the raw words of an SR lie: named by the digest of the SR's dataset."""
    return root / WORDS / f"{sr_sha256}.json"


def keep_raw_words(documents: Documents, document: bytes, root: Path) -> None:
    """Make the raw words durable before `document`, the encoded SR. Raises StorageError."""
    told = raw_words_of(documents)
    if told is None:
        return
    path = words_path(root, hashlib.sha256(document).hexdigest())
    draft = path.with_suffix(".part")
    with disk_errors():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(told, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        sync_folder(path.parent)
