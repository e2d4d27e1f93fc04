"""The checkout as data for the style tests: its files, its modules, what each module imports.

It knows nothing of any rule. Nothing here imports the project: a module that does not even start is judged too.
"""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "server", "tui")
SKIPPED = {".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file."""

    name: str
    """Dotted; a package has the name of its folder."""
    path: Path
    source: str
    tree: ast.Module

    @property
    def where(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


def parse(name: str, source: str, path: Path | None = None) -> Module:
    """A module from its text; tests of the rules make theirs this way."""
    return Module(name, path or ROOT / (name.replace(".", "/") + ".py"), source, ast.parse(source))


@functools.cache
def modules(*folders: str) -> tuple[Module, ...]:
    """All Python files below these folders, in the order of their paths."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(
        parse(module_name(path), path.read_text(encoding="utf-8"), path)
        for path in paths
        if not SKIPPED & set(path.parts)
    )


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def text_files() -> tuple[tuple[str, str], ...]:
    """(path, text) of every file that is, or would be, in version control and is UTF-8 text."""
    return tuple(found for path in listed() if (found := read_text(path)) is not None)


def listed() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        asked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        # An unpacked archive has no git: what lies there is what was released.
        files = (path for path in ROOT.rglob("*") if path.is_file() and not SKIPPED & set(path.parts))
        return sorted(path.relative_to(ROOT).as_posix() for path in files)
    return sorted(set(asked.stdout.splitlines()))


def read_text(path: str) -> tuple[str, str] | None:
    try:
        return path, (ROOT / path).read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return None


def imports(module: Module) -> set[str]:
    """Dotted names that a module imports, anywhere in it: `from a import b` counts as `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(source), names=aliases, level=0):
                names |= {source} | {f"{source}.{alias.name}" for alias in aliases}
            case _:
                pass
    return names


def is_within(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages or lies in it."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain; what does not start with a name gives only its end."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{dotted(value)}.{attribute}"
        case _:
            return ""


def calls(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the dotted name of what is called."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


def functions(module: Module) -> Iterator[tuple[str, AnyFunction]]:
    """Every function and method with its qualified name, nested ones too."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, AnyFunction]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, AnyFunction):
                yield f"{prefix}{child.name}", child
                yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")
            else:
                yield from visit(child, prefix)

    return visit(module.tree, "")


def length(function: AnyFunction) -> int:
    """Lines of a function from its `def` to its end, without its docstring."""
    assert function.end_lineno is not None
    whole = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return whole
    return whole - (first.end_lineno - first.lineno + 1)
