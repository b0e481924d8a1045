"""OHIF, built elsewhere, served from a folder: same origin as DICOMweb, and nothing from outside.

A build knows the address it is served under: what is published assumes the root of a site. Its
own public path, and what its page and styles name, is put under `/ohif/` as it is read.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pacsnode.access import needs
from pacsnode.errors import BadSettings

OHIF_ROOT: Final = "/ohif"
PAGE: Final = "index.html"
CONFIG: Final = "app-config.js"
TEXT: Final = frozenset({".css", ".html", ".js", ".json", ".mjs"})
KINDS: Final = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".ico": "image/x-icon",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".jsonc": "application/json",
        ".map": "application/json",
        ".mjs": "text/javascript; charset=utf-8",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".woff2": "font/woff2",
    }
)
OF_OLDER_MEDIA: Final = "application/octet-stream"
# the chunk loader's public path, in every bundle that loads others (webpack, rspack)
PUBLIC_PATH: Final = re.compile(rb'(\.p ?= ?")/(?="[;,)}])')
PAGE_PATHS: Final = re.compile(rb'((?:href|src|content|PUBLIC_URL) ?= ?")/(?!/|ohif/)')
STYLE_PATHS: Final = re.compile(rb"(url\([\"']?)/(?!/|ohif/)")
NAMED_PATHS: Final = re.compile(rb"([\"'(])/(?=(?:assets|dicom-microscopy-viewer)/)")
INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
HEADERS: Final = MappingProxyType(
    {
        "Cache-Control": "no-cache",  # kept, and asked about: no patient is in it
        "Cross-Origin-Embedder-Policy": "require-corp",  # with the next one, its threads share
        "Cross-Origin-Opener-Policy": "same-origin",  # memory
    }
)


class Viewer:
    """Answers every address below `/ohif` from one folder.

    What the folder holds is listed once, links left out: an address is looked up, never joined.
    """

    def __init__(self, folder: Path) -> None:
        """Raises BadSettings where the folder holds no build of OHIF."""
        self._files = dict(_listed(folder))
        if PAGE not in self._files:
            raise BadSettings(
                f"'web.ohif' names {folder}, which has no {PAGE}: name the folder of a built OHIF, "
                "such as package/dist of npm's @ohif/app"
            )
        self._config = resources.files(__package__).joinpath("ohif_config.js").read_bytes()

    def answer(self, request: Request) -> Response:
        """A file of the build, or its page for the addresses that its own router knows."""
        name = str(request.path_params["path"])
        suffix = PurePosixPath(name).suffix.lower()
        if name not in self._files and suffix in KINDS:
            raise HTTPException(404, "OHIF's folder has no such file")
        if name == CONFIG:
            return _told(request, self._config, ".js")
        if name not in self._files:
            name, suffix = PAGE, ".html"
        return _told(request, self._read(name, suffix), suffix)

    def _read(self, name: str, suffix: str) -> bytes:
        try:
            with open(self._files[name], "rb", opener=_no_link) as file:
                content = file.read()
        except OSError as exc:
            raise HTTPException(404, "A file of OHIF's folder is gone: start again") from exc
        return placed(content, suffix) if suffix in TEXT else content


def viewer_routes(folder: Path | None) -> list[BaseRoute]:
    """What answers below `/ohif`; nothing without a folder. Raises BadSettings."""
    if folder is None:
        return []
    viewer, may_look = Viewer(folder), needs("read")
    # a first visit loads 17 MB of scripts; the fastest level already makes 4 of them
    compressed = Middleware(GZipMiddleware, minimum_size=1000, compresslevel=1)
    return [
        Route(OHIF_ROOT, may_look(_to_viewer), methods=["GET"]),
        Route(
            f"{OHIF_ROOT}/{{path:path}}", may_look(viewer.answer), methods=["GET"],
            middleware=[compressed],
        ),
    ]  # fmt: skip


def _to_viewer(_: Request) -> Response:
    """The address without its slash."""
    return RedirectResponse(f"{OHIF_ROOT}/", 308)


def placed(content: bytes, suffix: str) -> bytes:
    """A file of a build for the root of a site, as it reads under `/ohif/`."""
    under = rb"\g<1>" + OHIF_ROOT.encode() + b"/"
    if suffix == ".html":
        content = PAGE_PATHS.sub(under, content)
    elif suffix == ".css":
        content = STYLE_PATHS.sub(under, content)
    elif suffix in {".js", ".mjs"}:
        content = PUBLIC_PATH.sub(under, content)
    return NAMED_PATHS.sub(under, content)


def _listed(folder: Path) -> Iterator[tuple[str, Path]]:
    top = os.path.realpath(folder)
    for where, _, names in os.walk(top):
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(top).as_posix(), path


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _told(request: Request, content: bytes, suffix: str) -> Response:
    tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    # weak: compressed and not, it is the same script
    headers = {**HEADERS, "ETag": f"W/{tag}", "Content-Security-Policy": _policy(content, suffix)}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=KINDS.get(suffix, OF_OLDER_MEDIA), headers=headers)


def _policy(content: bytes, suffix: str) -> str:
    """What OHIF may: its own scripts, workers and WebAssembly; nothing from another origin."""
    inline = INLINE.findall(content) if suffix == ".html" else []
    digests = (base64.b64encode(hashlib.sha256(one).digest()).decode() for one in inline)
    named = "".join(f" 'sha256-{digest}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'none'",
            # its reader of SEGs (ndarray) writes functions as it runs
            f"script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob:{named}",
            "worker-src 'self' blob:",
            "style-src 'self' 'unsafe-inline'",  # its components write style elements
            "img-src 'self' blob: data:",
            "font-src 'self' data:",
            "connect-src 'self' blob: data:",
            "media-src 'self' blob:",
            "object-src 'self' blob:",  # encapsulated PDF
            "frame-src 'self' blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
