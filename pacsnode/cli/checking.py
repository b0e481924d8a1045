"""check: whether settings, disk, import names and peers are as the node needs them."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacsnode.cli.application import (
    FAILED,
    AsJson,
    Config,
    Home,
    console,
    print_json,
    settings_from,
)

if TYPE_CHECKING:
    from pacsnode.addresses import AnyDestination, AnySource, Destination, WebDestination
    from pacsnode.settings import Settings

OUR_NAMES = ("pacsnode", "engine", "storage")


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing looked at, and what to do where it is not well."""

    what: str
    well: bool
    said: str


def check(
    peer: Annotated[
        str | None,
        typer.Argument(
            metavar="[PEER]",
            help="AET@HOST:PORT or a DICOMweb URL; by default every destination and source. One of "
            "the settings is asked as they say, with its credentials.",
        ),
    ] = None,
    config: Config = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Look at settings, disk and import names, and ask a peer whether it takes our reports."""
    from pacsnode.settings import parse_destination

    settings = settings_from(config, home)
    peers = settings.destinations if peer is None else (_known(parse_destination(peer), settings),)
    results = [_settings(settings, config), _disk(settings), *_import_names()]
    results += [_peer(each, settings.listen.ae_title) for each in peers]
    results += [_source(each, settings) for each in settings.sources if peer is None]
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        for result in results:
            sign, style = ("ok  ", "green") if result.well else ("FAIL", "red")
            console.print(sign, style=style, end=" ")
            console.print(f"{result.what}: {result.said}", soft_wrap=True)
    raise typer.Exit(0 if all(result.well for result in results) else FAILED)


def _settings(settings: "Settings", config: Path | None) -> Checked:
    source = f"{config} and variables" if config else "variables and defaults"
    said = f"read from {source}; {settings.listen.ae_title} on port {settings.listen.port}, "
    said += f"{len(settings.destinations)} destinations, {len(settings.listen.peers)} peers"
    return Checked("settings", True, said)


def _disk(settings: "Settings") -> Checked:
    place = settings.home.absolute()
    while not place.exists():
        place = place.parent
    free_mb = shutil.disk_usage(place).free >> 20
    reserve_mb = settings.listen.free_space_reserve_mb
    said = f"{free_mb} MB free under {place}, {reserve_mb} MB kept in reserve"
    if free_mb <= reserve_mb:
        return Checked("disk", False, f"{said}: objects are refused until there is space")
    return Checked("disk", True, said)


def _import_names() -> Iterator[Checked]:
    """`engine` and `storage` are words that another distribution may install over ours."""
    owners = packages_distributions()
    for name in OUR_NAMES:
        others = sorted(set(owners.get(name, ())) - {"pacsnode"})
        if others:
            said = f"also installed by {', '.join(others)}: give pacsnode an environment of its own"
        else:
            said = "ours alone"
        yield Checked(f"import name {name}", not others, said)


def _known(given: "AnyDestination", settings: "Settings") -> "AnyDestination":
    """The destination of the settings at this address, which may have credentials."""
    same = (one for one in settings.destinations if one.address == given.address)
    return next(same, given)


def _peer(destination: "AnyDestination", calling_ae: str) -> Checked:
    from pacsnode.addresses import WebDestination
    from pacsnode.errors import PeerFailed, PeerRefused

    what = f"peer {destination.address}"
    try:
        if isinstance(destination, WebDestination):
            well, said = _by_web(destination)
        else:
            well, said = _by_association(destination, calling_ae)
    except PeerRefused as exc:
        return Checked(what, False, f"{exc} Fix: {exc.fix}")
    except PeerFailed as exc:
        return Checked(what, False, str(exc))
    return Checked(what, well, ", ".join(said))


def _source(source: "AnySource", settings: "Settings") -> Checked:
    from pacsnode.asking.fetching import greet
    from pacsnode.errors import PeerFailed, PeerRefused

    what = f"source {source.address}"
    try:
        greet(source, settings)
    except PeerRefused as exc:
        return Checked(what, False, f"{exc} Fix: {exc.fix}")
    except PeerFailed as exc:
        return Checked(what, False, str(exc))
    return Checked(what, True, "answers a search, and offers to retrieve")


def _by_association(destination: "Destination", calling_ae: str) -> tuple[bool, list[str]]:
    from pacsnode.delivery.cstore import probe

    found = probe(destination, calling_ae)
    echo = "no answer" if found.echo_status is None else f"0x{found.echo_status:04X}"
    takes = {
        "Comprehensive 3D SR (88.34)": found.takes_reports,
        "Segmentation": found.takes_segmentations,
    }
    said = [f"C-ECHO {echo} in {found.elapsed_s * 1000:.0f} ms"]
    said += [f"{'takes' if taken else 'does not take'} {name}" for name, taken in takes.items()]
    if not found.takes_reports and found.takes_forms:
        said.append(f"gets reports in another form instead: {found.takes_forms[0]}")
    takes_any = found.takes_reports or bool(found.takes_forms)
    return found.echo_status == 0 and takes_any, said


def _by_web(destination: "WebDestination") -> tuple[bool, list[str]]:
    from pacsnode.delivery.stow import probe

    found = probe(destination)
    said = [f"QIDO-RS {found.search_status} in {found.elapsed_s * 1000:.0f} ms"]
    if found.studies is None:
        said.append("its answer is no list of studies: is this the root of a DICOMweb service?")
    else:
        said.append("it holds studies" if found.studies else "it shows no study")
    stores = {
        True: "POST to studies is allowed",
        False: "POST to studies is not allowed",
        None: "whether it stores is not said and shows with the first report",
    }
    said.append(stores[found.allows_storing])
    return found.studies is not None and found.allows_storing is not False, said
