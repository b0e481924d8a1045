"""password and token: what the settings hold of secrets."""

import getpass
import json
import sys
from typing import Annotated

import typer

from pacsnode.cli.application import WRONG, AsJson, errors, fail, print_json


def password() -> None:
    """Print the line of the settings for a password, typed twice or read from standard input."""
    from pacsnode.access import passwords

    if sys.stdin.isatty():
        typed = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != typed:
            fail("The two differ: nothing was made", WRONG)
    else:
        typed = sys.stdin.readline().rstrip("\r\n")
    if not passwords.SHORTEST <= len(typed) <= passwords.LONGEST:
        fail(f"A password has {passwords.SHORTEST} to {passwords.LONGEST} characters", WRONG)
    typer.echo(f'password = "{passwords.hashed(typed)}"')


def token(
    name: Annotated[str, typer.Option(help="What the audit log calls who sends it.")] = "machine",
    as_json: AsJson = False,
) -> None:
    """Make a bearer token for a machine; print it, and what the settings hold of it."""
    from pacsnode.access import tokens

    made = tokens.made()
    digest = tokens.digest(made)
    if as_json:
        print_json({"token": made, "sha256": digest})
        return
    errors.print("The token, shown this once; keep it where the machine reads it:")
    typer.echo(made)
    errors.print("For the settings:")
    typer.echo(f'[[web.tokens]]\nname = {json.dumps(name)}\nroles = ["read"]\nsha256 = "{digest}"')
