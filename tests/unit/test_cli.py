"""The command line: exit codes, JSON, plain errors, and that nothing heavy is loaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from pydicom.uid import RLELossless
from typer.testing import CliRunner

import pacsnode.cli.application
from pacsnode.cli import app, main
from storage.archive import Archive
from tests.conftest import ROOT, find_peer
from tests.makers import make_pet, make_seg, save
from tests.peers import Orthanc, Receiver, echoscu, encoded_dataset
from tests.web_server import Reply, WebServer

HEAVY = ("torch", "transformers", "monai", "highdicom", "dbos", "SimpleITK", "matplotlib", "scipy")
COMMANDS = (
    "serve", "worker", "replay", "demo", "status", "why", "check", "reindex", "show", "version",
    "bench", "model",
)  # fmt: skip


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (pacsnode.cli.application.console, pacsnode.cli.application.errors):
        monkeypatch.setattr(console, "_width", 200)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def as_program(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pacsnode", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's home with one study in its archive."""
    folder = tmp_path_factory.mktemp("kept")
    pet = make_pet()
    hot = np.zeros((8, 32, 32), bool)
    hot[3:6, 12:18, 12:18] = True
    paths = save([*pet, make_seg({"Lesion": hot}, pet)], folder / "objects")
    with Archive.open(folder / "home" / "archive") as archive:
        for path in paths:
            encoded, syntax = encoded_dataset(path)
            archive.keep(encoded, transfer_syntax_uid=syntax, calling_ae="TEST")
    return folder / "home"


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(kept, tmp_path / "home"))


def test_help_names_every_command() -> None:
    code, out = run("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    for command in COMMANDS:
        assert run(command, "--help")[0] == 0


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"## {name}" in page
        section = page.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in section, f"{name} {option}"


def test_version_as_text_and_json() -> None:
    from pacsnode import __version__

    assert __version__ in run("version")[1]
    assert json.loads(run("version", "--json")[1]) == {"pacsnode": __version__}


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("serve", "--port", "many"),
        ("serve", "--port", "70000"),
        ("serve", "--destination", "no-port"),
        ("serve", "--config", "is-not-there.toml"),
        ("serve", "--describer", "oracle"),
        ("replay", "is-not-there", "--out", "out"),
        ("replay", ".", "--out", "out", "--shard", "3/2"),
        ("replay", ".", "--out", "out", "--shard", "x"),
        ("replay", ".", "--out", "out", "--workers", "0"),
        ("check", "not a peer"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_and_settings_end_with_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pacsnode", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()
    assert "Traceback" not in captured.err


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("[listen]\nprot = 104\n")
    ended = as_program("status", "--config", tmp_path / "node.toml")
    assert ended.returncode == 2
    assert "prot" in ended.stderr
    assert "port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("status",), ("why", "1.2.3"), ("reindex",)])
def test_a_home_without_an_archive_is_told(command: tuple[str, ...], tmp_path: Path) -> None:
    ended = as_program(*command, "--home", tmp_path / "nowhere")
    assert ended.returncode == 1
    assert "archive" in ended.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("DOE^JANE"), "A file could not be read or written (OSError)"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
    ],
)
def test_an_error_of_the_disk_or_of_a_library_is_one_sentence(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(pacsnode.cli.application, "app", failing)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.strip() == said


def test_an_error_that_nobody_foresaw_tells_its_kind_and_place_and_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> None:
        raise KeyError("DOE^JANE")

    monkeypatch.setattr(pacsnode.cli.application, "app", failing)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("The program failed: KeyError at test_cli.py:")
    assert "DOE" not in said


def test_status_counts_what_is_there(home: Path) -> None:
    code, out = run("status", "--home", home, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["studies"] == 1
    assert answer["quarantined"] == []
    assert answer["objects"]["kept"] == 9
    code, out = run("status", "--home", home)
    assert code == 0
    assert "studies" in out


def test_why_explains_a_study_and_exits_1_for_an_unknown_one(home: Path) -> None:
    study = str(make_pet()[0].StudyInstanceUID)
    code, out = run("why", study, "--home", home)
    assert code == 0
    assert study in out
    assert "PET series " in out
    assert ", 8 objects), from TEST, 20" in out
    assert ", 1 object), from TEST, 20" in out
    assert "A mask object has come" in out
    answer = json.loads(run("why", study, "--home", home, "--json")[1])
    assert answer["study_instance_uid"] == study
    assert answer["decisions"] == []
    came = [(one["modality"], one["objects"], one["is_mask"]) for one in answer["series"]]
    assert sorted(came) == [("PT", 8, False), ("SEG", 1, True)]
    assert all(one["senders"] == ["TEST"] and not one["is_ours"] for one in answer["series"])
    code, out = run("why", "1.2.3", "--home", home)
    assert code == 1
    assert "1.2.3" in out
    assert "Nothing of it is kept" in out


def test_reindex_finds_every_file_again(home: Path) -> None:
    code, out = run("reindex", "--home", home, "--json")
    assert code == 0
    assert json.loads(out)
    assert json.loads(run("status", "--home", home, "--json")[1])["objects"]["kept"] == 9


def test_check_asks_a_peer(tmp_path: Path) -> None:
    with Receiver() as receiver:
        peer = f"RECEIVER@127.0.0.1:{receiver.port}"
        code, out = run("check", peer, "--home", tmp_path, "--json")
        assert code == 0
        said = {each["what"]: each for each in json.loads(out)}
        assert said[f"peer {peer}"]["well"]
        assert "88.34" in said[f"peer {peer}"]["said"]
        assert all(each["well"] for each in said.values())
    code, out = run("check", peer, "--home", tmp_path)
    assert code == 1
    assert "FAIL" in out


def test_check_says_when_a_peer_takes_no_reports(tmp_path: Path) -> None:
    with Receiver(sop_class_uids=("1.2.840.10008.5.1.4.1.1.2",)) as receiver:
        code, out = run("check", f"R@127.0.0.1:{receiver.port}", "--home", tmp_path)
    assert code == 1
    assert "does not take Comprehensive 3D SR" in out


def test_check_asks_a_dicomweb_service_with_the_credentials_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_TOKEN", "canary")
    with WebServer(lambda asked: Reply(200, b"[]", headers={"Allow": "GET"})) as server:
        config = tmp_path / "node.toml"
        config.write_text(
            f'[[destinations]]\nname = "web"\nurl = "{server.url}"\nsecret_env = "THE_TOKEN"\n'
        )
        options = ("--home", tmp_path, "--config", config)
        for arguments in (("check",), ("check", server.url)):
            code, out = run(*arguments, *options)
            assert code == 1
            assert "it shows no study, POST to studies is not allowed" in out
            assert "canary" not in out
    assert {asked.headers["Authorization"] for asked in server.asked} == {"Bearer canary"}
    code, out = run("check", server.url, "--home", tmp_path)
    assert (code, "no connection" in out) == (1, True)
    with WebServer(lambda asked: Reply(401)) as server:
        code, out = run("check", server.url, "--home", tmp_path)
    assert (code, "Fix: Set secret_env" in out) == (1, True)


def test_check_asks_orthanc_by_dicomweb(tmp_path: Path) -> None:
    with Orthanc.with_dicom_web(tmp_path / "orthanc") as orthanc:
        code, out = run("check", orthanc.dicom_web, "--home", tmp_path)
    assert code == 0
    assert "QIDO-RS 200" in out
    assert "it shows no study, whether it stores is not said" in out


@pytest.mark.wire
def test_serve_says_where_it_listens_and_ends_in_good_order(tmp_path: Path) -> None:
    find_peer("echoscu")  # a skip below would wait for the node for ever
    process = subprocess.Popen(
        [
            sys.executable, "-m", "pacsnode", "serve", "--home", str(tmp_path / "home"),
            "--port", "0", "--ae-title", "NODE", "--quiet-s", "1",
            "--destination", "PACS@127.0.0.1:104",
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    with process, process.stderr as said:
        listening = next(line for line in said if line.startswith("Listening on "))
        host, port = listening.split()[-1].rsplit(":", 1)
        assert host == "127.0.0.1"
        assert echoscu(int(port), called="NODE").returncode == 0
        process.terminate()
        rest = said.read()
        assert process.wait(30) == 0, rest
    assert "Traceback" not in rest


def test_show_reads_other_tools_reports(data: Path) -> None:
    shown = 0
    for path in sorted((data / "sr_other_tools").rglob("*.dcm")):
        code, out = run("show", path)
        assert code in (0, 1)
        assert out.strip() or code == 1
        if code == 0:
            shown += 1
            answer = json.loads(run("show", path, "--json")[1])
            assert set(answer) >= {"title", "findings", "comments"}
            numbers = [value for each in answer["findings"] for value in each["values"]]
            assert all(set(value) == {"name", "value", "unit"} for value in numbers)
    assert shown >= 3


def test_show_says_of_every_malformed_file_what_it_is(data: Path) -> None:
    files = sorted((data / "malformed").rglob("*.dcm"))
    assert len(files) > 100
    for path in files:
        ended = CliRunner().invoke(app, ["show", str(path)])
        assert isinstance(ended.exception, SystemExit | None), path.name
        assert ended.exit_code in (0, 1), path.name
        assert ended.stderr.strip() or ended.exit_code == 0, path.name


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM"])
def test_show_refuses_what_is_no_report(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    ended = as_program("show", path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_show_never_prints_the_patient(tmp_path: Path) -> None:
    [image] = save(make_pet(PatientName="Canary^Yellow")[:1], tmp_path)
    ended = as_program("show", image)
    assert ended.returncode == 1
    assert "Canary" not in ended.stdout + ended.stderr


# compressed pixels that differ: the one judgement for which something is decoded, in a child
LISTENER_AT_WORK = """
from pathlib import Path
import pacsnode.node
from pacsnode.intake.association import Listener
from pacsnode.settings import Listen
from storage.archive import Archive
from tests.peers import encoded_dataset
from tests.wire.node import identity
from tests.wire.sender import Sender
with Archive.open(Path(HOME) / "archive") as archive:
    listener = Listener(archive, Listen(port=0))
    listener.start()
    for path in map(Path, SENT):
        sop_class, instance, syntax = identity(path)
        with Sender(listener.address[1], {1: (sop_class, [syntax])}) as sender:
            assert sender.store(encoded_dataset(path)[0], sop_class, instance) == 0
    listener.stop()
    assert archive.counts()["quarantined"] == 1
"""


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two objects of one UID with different pixels, the second compressed."""
    first, second = make_pet(series="sent")[4], make_pet(series="sent")[4]
    second.PixelData = bytes(len(second.PixelData))
    second.compress(RLELossless, generate_instance_uid=False)
    return save([first, second], tmp_path_factory.mktemp("sent"))


@pytest.mark.parametrize(
    "program",
    [
        "from pacsnode.cli import main; sys.argv = ['pacsnode', '--help']; main()",
        "from pacsnode.cli import main; sys.argv = ['pacsnode', 'status', '--home', HOME]; main()",
        "from pacsnode.cli import main; sys.argv = ['pacsnode', 'why', '1.2', '--home', HOME];"
        " main()",
        "import pacsnode.node",
        LISTENER_AT_WORK,
    ],
    ids=["--help", "status", "why", "listener", "listener at work"],
)
def test_nothing_heavy_is_loaded(program: str, home: Path, sent: list[Path]) -> None:
    code = (
        f"import atexit, sys\nHOME, SENT = {str(home)!r}, {[str(path) for path in sent]!r}\n"
        "atexit.register(lambda: print('LOADED', *[m for m in sys.modules if '.' not in m]))\n"
        f"{program}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    loaded = ended.stdout.rsplit("LOADED", 1)[1].split()
    assert "sys" in loaded
    assert [module for module in HEAVY if module in loaded] == []
    assert "Traceback" not in ended.stderr
