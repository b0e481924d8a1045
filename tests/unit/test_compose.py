"""The trial of deploy/compose.yaml: what it mounts exists and is taken by who reads it."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacsnode.settings import read_settings
from tests.peers import Orthanc, echoscu

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ORTHANC = DEPLOY / "compose" / "orthanc.json"


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def test_every_file_volume_and_service_that_it_names_is_there(compose: Any) -> None:
    assert set(compose["services"]) == {"node", "ohif", "orthanc"}
    used = set()
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_file(), source
            else:
                used.add(source)
        assert set(service.get("depends_on", {})) <= set(compose["services"])
    assert used == set(compose["volumes"])
    build = compose["services"]["node"]["build"]
    assert (DEPLOY / build["context"] / "pyproject.toml").is_file()


def test_docker_compose_accepts_it() -> None:
    docker = shutil.which("docker")
    version = [docker or "docker", "compose", "version"]
    if docker is None or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    told = [docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    verdict = subprocess.run(told, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stderr


def test_the_node_starts_with_the_settings_and_the_folder_of_ohif(compose: Any) -> None:
    node = compose["services"]["node"]
    targets = dict(mount.split(":")[:2] for mount in node["volumes"])
    config = DEPLOY / "compose" / "node.toml"
    assert node["command"] == ["serve", "--config", targets["./compose/node.toml"]]
    settings = read_settings(config)
    assert (str(settings.home), str(settings.web.ohif)) == (targets["node"], targets["ohif"])
    (destination,), (source,) = settings.destinations, settings.sources
    told = json.loads(ORTHANC.read_text("utf-8"))
    for peer in (destination, source):
        assert (peer.ae_title, peer.port) == (told["DicomAet"], told["DicomPort"])
    modality = [settings.listen.ae_title, "127.0.0.1", settings.listen.port]
    assert told["DicomModalities"] == {"node": modality}
    assert settings.web.port != told["HttpPort"]


def test_ohif_s_files_are_copied_and_unpacked(compose: Any, tmp_path: Path) -> None:
    """As the image has them: a script is an empty file beside a compressed one."""
    image, volume = tmp_path / "image", tmp_path / "volume"
    (image / "assets").mkdir(parents=True)
    volume.mkdir()
    (image / "index.html").write_text("page")
    (image / "app.js").touch()
    (image / "app.js.gz").write_bytes(gzip.compress(b"script"))
    (image / "assets" / "a.png").write_text("picture")
    (command,) = compose["services"]["ohif"]["command"]
    here = command.replace("/usr/share/nginx/html", str(image)).replace("/srv/ohif", str(volume))
    for _ in range(2):
        subprocess.run([*compose["services"]["ohif"]["entrypoint"], here], check=True)
    found = {path.name: path.read_text() for path in volume.rglob("*") if path.is_file()}
    assert found == {"index.html": "page", "app.js": "script", "a.png": "picture"}


@pytest.mark.slow
@pytest.mark.wire
def test_orthanc_runs_with_its_settings_and_knows_the_node_alone(tmp_path: Path) -> None:
    told = json.loads(ORTHANC.read_text("utf-8"))
    ours = {"StorageDirectory", "IndexDirectory", "HttpPort", "DicomPort", "Plugins"}
    kept = {key: value for key, value in told.items() if key not in ours}
    plugins = [folder for folder in told["Plugins"] if Path(folder).is_dir()]
    with Orthanc(tmp_path / "orthanc", **kept, Plugins=plugins) as orthanc:
        assert json.loads(orthanc.get("/modalities")) == ["node"]
        assert json.loads(orthanc.get("/system"))["Name"] == told["Name"]
        assert echoscu(orthanc.port, calling="PACSNODE", called="ORTHANC").returncode == 0
        assert echoscu(orthanc.port, calling="STRANGER", called="ORTHANC").returncode != 0
