"""Style that no linter knows: lengths, stray modules, leftovers, names that must not be in a file.

A rule is a function from a module, or a text, to what is wrong with it, so that each can be shown to bite.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator

import pytest

from tests.style.tree import (
    PACKAGES,
    ROOT,
    Module,
    calls,
    functions,
    imports,
    length,
    modules,
    parse,
    text_files,
)

FUNCTION_LINES_MAX = 70

LONG_FUNCTIONS: dict[str, int] = {}
"""`module:function` -> lines, of functions whose control flow is the subject. A number here only ever falls."""

WAIT_HELPERS = {"tests.support.wait", "tests.support.tmux"}


def code() -> tuple[Module, ...]:
    return modules(*PACKAGES, "tests", "scripts")


# --- functions ---


def long_functions(found: Iterable[Module]) -> dict[str, int]:
    return {
        f"{module.name}:{name}": length(function)
        for module in found
        for name, function in functions(module)
        if length(function) > FUNCTION_LINES_MAX
    }


def test_functions_stay_short() -> None:
    """No function is over 70 lines but the listed ones; those do not grow, and leave the list when they shrink."""
    found = long_functions(code())
    assert not {name: lines for name, lines in found.items() if lines > LONG_FUNCTIONS.get(name, 0)}
    assert not {name: lines for name, lines in LONG_FUNCTIONS.items() if found.get(name) != lines}


def test_a_long_function_is_seen() -> None:
    """The docstring does not count; a nested function and a method do."""
    body = "    x = 1\n" * 70
    assert long_functions([parse("m", f"def f():\n{body}")]) == {"m:f": 71}
    assert not long_functions([parse("m", f'def f():\n    """A\n    b."""\n{body[10:]}')])
    nested = "class C:\n    def f(self):\n" + "        x = 1\n" * 70
    assert long_functions([parse("m", nested)]) == {"m:C.f": 71}


# --- modules ---


def entry_points() -> set[str]:
    """Modules that something outside Python starts: the commands, and whatever a script names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands = {target.partition(":")[0] for target in project["scripts"].values()}
    scripts = "\n".join(text for path, text in text_files() if path.startswith(("scripts/", ".ci/")))
    return commands | {module.name for module in modules(*PACKAGES) if names_module(scripts, module.name)}


def names_module(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) is not None


def mentions(module: Module) -> set[str]:
    """What a module imports, and the names that it holds as whole strings (`-m server.cli`, a late import)."""
    strings = {
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return imports(module) | strings


def stray_modules(all_modules: Iterable[Module], roots: set[str]) -> set[str]:
    """Modules that no way from the roots reaches. A package is reached with anything in it."""
    by_name = {module.name: module for module in all_modules}
    waiting, reached = list(roots & set(by_name)), set[str]()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting += [parent for parent in parents(name) if parent in by_name]
        waiting += [seen for seen in mentions(by_name[name]) if seen in by_name]
    return set(by_name) - reached


def parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def test_no_module_is_stray() -> None:
    """Every module is on the way of a command, or of a script."""
    ours, roots = modules(*PACKAGES), entry_points()
    if not roots <= {module.name for module in ours}:
        pytest.skip("a command is not there, so nothing tells which module is stray")
    assert stray_modules(ours, roots) == {
        "server.ledger.memory",  # the other adapter of the ledger's port, held to the same contract suite
    }


def test_a_stray_module_is_seen() -> None:
    """What only another stray module imports is stray too."""
    tree = [
        parse("server.cli", "def main():\n    from server import app"),
        parse("server.app", "MODULE = 'server.late'"),
        parse("server.late", ""),
        parse("server.lost", "import server.forgotten"),
        parse("server.forgotten", ""),
    ]
    assert stray_modules(tree, {"server.cli"}) == {"server.lost", "server.forgotten"}


def test_modules_say_their_duty() -> None:
    """Every module that holds anything begins with a docstring."""
    bare = [module.where for module in code() if module.tree.body and not ast.get_docstring(module.tree)]
    assert not bare


def test_tests_say_their_fact() -> None:
    """Every test has a docstring: the fact that it proves."""
    bare = [
        f"{module.where}: {name}"
        for module in modules("tests")
        for name, function in functions(module)
        if module.path.name.startswith("test_")
        and re.fullmatch(r"(\w+\.)?test_\w+", name)
        and not ast.get_docstring(function)
    ]
    assert not bare


# --- what hides ---


def blind_handlers(module: Module) -> list[int]:
    """Lines of handlers that catch everything, and neither pass the error on nor say why they may keep it."""
    lines = module.source.splitlines()
    return [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and catches_all(node.type)
        and not (passes_on(node) or (uses_error(node) and is_explained(lines[node.lineno - 1])))
    ] + [call.lineno for call, name in calls(module) if name.endswith("suppress") and catches_any(call.args)]


def catches_all(caught: ast.expr | None) -> bool:
    match caught:
        case None:
            return True
        case ast.Tuple(elts=several):
            return catches_any(several)
        case ast.Name(id="Exception" | "BaseException"):
            return True
        case _:
            return False


def catches_any(caught: Iterable[ast.expr]) -> bool:
    return any(catches_all(one) for one in caught)


def passes_on(handler: ast.ExceptHandler) -> bool:
    inner = [node for statement in handler.body for node in ast.walk(statement)]
    return any(
        isinstance(node, ast.Raise)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "exception"
        )
        for node in inner
    )


def uses_error(handler: ast.ExceptHandler) -> bool:
    """Whether the handler does something with the error that it caught."""
    inner = (node for statement in handler.body for node in ast.walk(statement))
    return any(isinstance(node, ast.Name) and node.id == handler.name for node in inner)


def is_explained(line: str) -> bool:
    """Whether the line that silences the linter says why."""
    return re.search(r"noqa: BLE001\W+\w+ \w+", line) is not None


def test_nothing_is_swallowed() -> None:
    """Whoever catches everything raises again, logs the traceback, or hands the error on and says why there."""
    found = {module.where: lines for module in modules(*PACKAGES) if (lines := blind_handlers(module))}
    assert not found


@pytest.mark.parametrize(
    ("handler", "blind"),
    [
        ("except:\n    pass", True),
        ("except Exception:\n    result = None", True),
        ("except (OSError, BaseException) as error:\n    print(error)", True),
        ("except Exception as error:  # noqa: BLE001\n    report(error)", True),
        ("except Exception as error:  # noqa: BLE001  a bug of one peer\n    pass", True),
        ("except Exception as error:  # noqa: BLE001  a bug of one peer\n    report(error)", False),
        ("except Exception:\n    log.exception('lost')", False),
        ("except BaseException:\n    undo()\n    raise", False),
        ("except OSError:\n    pass", False),
    ],
)
def test_a_blind_handler_is_seen(handler: str, blind: bool) -> None:
    """Only a handler that hides is one."""
    assert bool(blind_handlers(parse("m", f"try:\n    go()\n{handler}"))) == blind
    assert blind_handlers(parse("m", "with suppress(Exception):\n    go()"))


def unexplained_ignores(text: str) -> list[str]:
    """`type: ignore` without a code, or without a reason after it."""
    return [
        line.strip()
        for line in text.splitlines()
        if re.search(r"# type: ignore(?!\[[a-z, -]+\]\s*#\s*\w+)", line)
    ]


def test_ignored_types_are_explained() -> None:
    """A silenced type error names its code and its reason."""
    own = module_of(__file__)
    found = {m.where: lines for m in code() if m.name != own and (lines := unexplained_ignores(m.source))}
    assert not found


def test_an_unexplained_ignore_is_seen() -> None:
    """A code alone is not a reason."""
    assert unexplained_ignores("x = 1  # type: ignore")
    assert unexplained_ignores("x = 1  # type: ignore[arg-type]")
    assert not unexplained_ignores("x = 1  # type: ignore[arg-type]  # the stub is wrong: see its source")


def unexplained_any(module: Module) -> bool:
    """Whether `Any` is used without a comment that speaks of it."""
    return "typing.Any" in imports(module) and not re.search(r"#.*\bAny\b", module.source)


def test_the_shared_language_is_fully_typed() -> None:
    """protocol uses no `Any` but where a comment says why."""
    assert not [module.where for module in modules("protocol") if unexplained_any(module)]


# --- tests wait for conditions ---


def sleeps(module: Module) -> list[int]:
    """Lines that sleep; `sleep(0)` only gives way and is none."""
    return [
        call.lineno
        for call, name in calls(module)
        if name.rpartition(".")[2] == "sleep"
        and not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
    ]


def test_tests_wait_for_conditions() -> None:
    """No test sleeps but the helpers that poll."""
    found = {m.where: lines for m in modules("tests") if m.name not in WAIT_HELPERS and (lines := sleeps(m))}
    assert not found


def test_a_sleep_is_seen() -> None:
    """Asleep is asleep, whichever module it is taken from."""
    assert sleeps(parse("m", "import time\ntime.sleep(0.1)"))
    assert sleeps(parse("m", "async def f():\n    await sleep(x)"))
    assert not sleeps(parse("m", "async def f():\n    await asyncio.sleep(0)"))


# --- what must not be in any file ---

# Written in pieces, so that this file does not hold what it looks for.
REGISTRY_HOSTS = (
    *("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "crates" + ".io"),
    *("deb.debian" + ".org", "docker" + ".io", "ghcr" + ".io", "golang" + ".org", "anaconda" + ".org"),
)
LEFTOVERS = r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b"
MACHINE_PATHS = (
    r"(?<![\w.$)}])/(wo" + r"rk|ro" + r"ot|ho" + r"me/\w+|opt/py" + r"pi|opt/wh" + r"eels)(?=/|\b)"
)
TEMPORARY_PATHS = r"['\"]/tm" + r"p/"
BOOKKEEPING = r"(?i)\bissues? " + r"#?\d+\b"


def module_of(file: str) -> str:
    return ".".join(("tests", "style", file.rpartition("/")[2].removesuffix(".py")))


def unwanted(path: str, text: str) -> list[str]:
    """Pieces of a text that do not belong in a repository."""
    patterns = [re.escape(host) for host in REGISTRY_HOSTS] + [LEFTOVERS, MACHINE_PATHS, BOOKKEEPING]
    if path.endswith(".py"):
        patterns.append(TEMPORARY_PATHS)
    return [found[0] for pattern in patterns for found in re.finditer(pattern, text)]


def test_files_hold_nothing_of_where_they_were_made() -> None:
    """No file names a package registry's host, a path of a machine, or work that was left lying."""
    found = {path: pieces for path, text in text_files() if (pieces := unwanted(path, text))}
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://" + REGISTRY_HOSTS[0] + "/simple",
        "# TO" + "DO: later",
        "open('/ro" + "ot/notes')",
        "open('/tm" + "p/notes')",
        "see iss" + "ue 2",
    ],
)
def test_an_unwanted_piece_is_seen(text: str) -> None:
    """Each kind is found."""
    assert unwanted("server/app.py", text)


@pytest.mark.parametrize("text", ["$root/scripts", "made / 'root'", "mktemp -t obelisk.XXXXXX", "frame/work"])
def test_a_wanted_piece_is_left_alone(text: str) -> None:
    """Words that only look like one are none."""
    assert not unwanted("server/app.py", text)


def test_requirements_are_pinned_and_have_no_address() -> None:
    """Every requirement has one version and hashes; the tests' set holds the program's set."""
    pins = {}
    for name in ("run", "test"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        entries = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if not entry.startswith("#")]
        assert entries
        assert not [entry for entry in entries if not re.match(r"[a-z0-9-]+==\S+ ", entry)]
        assert not [entry for entry in entries if "--hash=sha256:" not in entry or "/" in entry]
        pins[name] = {entry.split()[0] for entry in entries}
    assert pins["run"] <= pins["test"]


def test_every_dependency_is_pinned_and_explained() -> None:
    """What pyproject.toml names is in the requirements and has its line of why in the decision."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    why = (ROOT / "docs/decisions/0001-dependencies.md").read_text(encoding="utf-8")
    extras = project["project"]["optional-dependencies"].values()
    sets = {
        "run": project["project"]["dependencies"],
        "test": project["dependency-groups"]["test"],
        None: [one for extra in extras for one in extra],
    }
    for pinned_in, wanted in sets.items():
        for requirement in wanted:
            match = re.match(r"[a-z0-9-]+", requirement)
            assert match is not None
            assert re.search(rf"\| {match[0]}[ ,\[]", why), match[0]
            if pinned_in is not None:
                text = (ROOT / "requirements" / f"{pinned_in}.txt").read_text(encoding="utf-8")
                assert re.search(rf"(?m)^{match[0]}==", text), match[0]
