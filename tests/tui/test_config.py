"""The configuration: nobody needs one, and a wrong one costs a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tui.config import Config, config_path, find_config, read_config


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file of this test would lie."""
    found = tmp_path / "config.toml"
    monkeypatch.setenv("OBELISK_CONFIG", str(found))
    return found


def test_without_a_file_everything_has_its_default(path: Path) -> None:
    """Nothing to say, nothing to do."""
    assert config_path() == path
    assert find_config() == (Config(), None)


def test_a_file_is_read(path: Path) -> None:
    """A theme, and keys by the id of their command."""
    path.write_text('theme = "textual-light"\n[keys]\n"tasks.add" = "n,plus"\n', encoding="utf-8")
    assert find_config() == (Config("textual-light", {"tasks.add": "n,plus"}), None)


def test_the_environment_counts_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one start, without another file; also where there is none."""
    monkeypatch.setenv("OBELISK_TUI_THEME", "nord")
    assert find_config()[0].theme == "nord"
    path.write_text('theme = "textual-light"\n', encoding="utf-8")
    assert find_config()[0].theme == "nord"


@pytest.mark.parametrize(
    "text,said",
    [
        ('them = "nord"', "there is no key them; did you mean theme?"),
        ('colour = "red"', "there is no key colour"),
        ('theme = "nrod"', "there is no theme nrod; did you mean nord?"),
        ('[keys]\n"tasks.ad" = "n"', "there is no command tasks.ad; did you mean tasks.add?"),
        ("theme = 5", "theme: Input should be a valid string"),
        ("keys = 5", "keys: Input should be a valid dictionary"),
        ("theme =", "cannot be read"),
        ("\ufffd\x00", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(path: Path, text: str, said: str) -> None:
    """With the file, and the known name nearest to an unknown one; the start goes on."""
    path.write_text(text, encoding="utf-8")
    config, problem = read_config(path)
    assert problem is not None
    assert str(path) in problem
    assert said in problem
    assert config.theme == Config().theme


def test_what_is_right_beside_a_mistake_counts(path: Path) -> None:
    """An unknown key does not cost the known ones."""
    path.write_text('nothing = 1\ntheme = "nord"\n', encoding="utf-8")
    assert read_config(path)[0].theme == "nord"


def test_the_libraries_that_check_it_are_loaded_for_a_file_only(path: Path) -> None:
    """A start without a file does not pay for them."""
    program = (
        "import sys; from tui.config import find_config; find_config(); sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
