"""`pacsnode password` and `pacsnode token`: what they print lets in exactly who should."""

import json
import os
import pty
import subprocess
import sys
import tomllib

import pytest
from typer.testing import CliRunner

from pacsnode.access.passwords import Passwords
from pacsnode.access.tokens import Tokens
from pacsnode.access_section import Token, User
from pacsnode.cli import app

WORDS = "canary-of-the-tests"


def printed(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments], input=typed)
    return result.exit_code, result.stdout


def test_a_password_from_standard_input_becomes_its_line() -> None:
    code, out = printed("password", typed=f"{WORDS}\n")
    assert code == 0
    assert WORDS not in out
    user = User(name="anna", roles=("read",), **tomllib.loads(out))
    assert Passwords([user]).match("anna", WORDS)


@pytest.mark.parametrize("typed", ["", "elevenchars", "x" * 257])
def test_a_password_too_short_or_too_long_is_refused(typed: str) -> None:
    assert printed("password", typed=f"{typed}\n") == (2, "")


@pytest.mark.parametrize(("again", "code"), [(WORDS, 0), ("another one of them", 2)])
def test_at_a_terminal_it_is_typed_twice_and_never_shown(again: str, code: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pacsnode", "password"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, text=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        assert process.stderr is not None
        assert process.stdout is not None
        for words in (WORDS, again):
            asked = ""
            while not asked.endswith(": "):
                letter = process.stderr.read(1)
                assert letter, asked
                asked += letter
            os.write(ours, words.encode() + b"\n")
        out = process.stdout.read()
        assert process.wait(20) == code
    os.set_blocking(ours, False)
    try:
        echoed = os.read(ours, 1000)
    except OSError:
        echoed = b""
    os.close(ours)
    assert WORDS.encode() not in echoed
    assert WORDS not in out
    assert out.startswith("password = ") is (code == 0)


def test_a_token_opens_by_the_digest_beside_it() -> None:
    code, out = printed("token", "--name", 'a "viewer"')
    assert code == 0
    secret, _, toml = out.partition("\n")
    (told,) = tomllib.loads(toml)["web"]["tokens"]
    owner = Tokens([Token(**told)]).owner(secret)
    assert owner is not None
    assert (owner.name, owner.roles) == ('a "viewer"', {"read"})
    as_json = json.loads(printed("token", "--json")[1])
    assert as_json["token"] != secret
    assert set(as_json) == {"token", "sha256"}
