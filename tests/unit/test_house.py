"""The house tests itself: names, sizes, owners, and what a light command may load."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pacsnode", "engine", "storage")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
EVERY_FILE = sorted([*SOURCES, *(ROOT / "tests").rglob("*.py")])
BANNED = re.compile(
    r"(?:^|_)(?:utils?|helpers?|managers?|common|misc|base|core|data|info|handler|processor"
    r"|service|my|do)(?:_|$)"
)
OVERRIDDEN = frozenset({"service_actions"})  # what others call it: socketserver's
HEAVY = (
    "torch", "transformers", "monai", "highdicom", "dbos", "SimpleITK", "matplotlib", "scipy",
    "starlette", "uvicorn",
)  # fmt: skip


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_they_are(path: Path) -> None:
    names = [path.stem]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            names.append(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower())
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
    ours = [name for name in names if name not in OVERRIDDEN]
    assert [name for name in ours if BANNED.search(name)] == []


def test_the_three_import_names_are_ours_alone() -> None:
    owners = packages_distributions()  # an editable install of ours lists none of its modules
    assert {owner for name in PACKAGES for owner in owners.get(name, ())} <= {"pacsnode"}
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin == str(ROOT / name / "__init__.py")


def test_the_tree_speaks_of_no_machine() -> None:
    suspicious = re.compile(r"/work/|/root/|/home/[a-z]|pypi\.org|registry\.npmjs")
    offenders = [
        str(path.relative_to(ROOT))
        for pattern in ("**/*.py", "docs/**/*.md", "*.md", "deploy/**/*", "Makefile", ".ci/*")
        for path in ROOT.glob(pattern)
        if path.is_file()
        and ".venv" not in path.parts
        and path != Path(__file__).resolve()
        and suspicious.search(path.read_text("utf-8", errors="replace"))
    ]
    assert offenders == []


def test_no_shell_is_ever_started() -> None:
    for path in SOURCES:
        text = path.read_text("utf-8")
        assert "shell=True" not in text, path
        assert "os.system" not in text, path


@pytest.mark.parametrize(
    "module",
    ["pacsnode.cli", "pacsnode.node", "pacsnode.intake.association", "storage.archive"],
)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_the_pipeline_loads_no_learning_stack() -> None:
    code = (
        "import sys, engine.pipeline;"
        "print(*[m for m in ('torch', 'transformers', 'monai', 'sqlalchemy') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
