"""The configuration of the screen: a small file that nobody needs to have.

Duty: find it, read it, say in one sentence what is wrong with it. Must not know: widgets.

    theme = "textual-light"
    [keys]
    "tasks.add" = "n"

1. Without a file and without a variable nothing is read, and the libraries that check it are not loaded.
2. A wrong file costs a sentence, never the start: what cannot be read has its default.
3. An unknown key is named, with the known one nearest to it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import platformdirs

from tui.keymap import BY_ID

PREFIX: Final = "OBELISK_TUI_"
DEFAULT_THEME: Final = "textual-dark"
KNOWN: Final = ("theme", "keys")


@dataclass(frozen=True, slots=True)
class Config:
    """What a person chose. `keys`: by command id, several with commas between them."""

    theme: str = DEFAULT_THEME
    keys: Mapping[str, str] = field(default_factory=dict)


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the file lies, or would."""
    named = (os.environ if environ is None else environ).get("OBELISK_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("obelisk") / "config.toml"


def find_config() -> tuple[Config, str | None]:
    """The configuration of this user, and a sentence on what is wrong with it."""
    path = config_path()
    has_variables = any(name.upper().startswith(PREFIX) for name in os.environ)
    return read_config(path) if has_variables or path.exists() else (Config(), None)


def read_config(path: Path) -> tuple[Config, str | None]:
    """The configuration of a file and of the environment, which counts more."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Config(), f"{path} cannot be read: {error}"
    unknown = _unknown(found)
    config, problem = _checked({name: value for name, value in found.items() if name in KNOWN})
    said = unknown or problem
    return config, f"{path}: {said}" if said else None


def _unknown(found: Mapping[str, object]) -> str | None:
    for name in found:
        if name not in KNOWN:
            return _no_such("key", name, KNOWN)
    keys = found.get("keys")
    for name in keys if isinstance(keys, Mapping) else ():
        if name not in BY_ID:
            return _no_such("command", str(name), tuple(BY_ID))
    return None


def _no_such(what: str, name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"there is no {what} {name}" + (f"; did you mean {near[0]}?" if near else "")


def _checked(found: Mapping[str, object]) -> tuple[Config, str | None]:
    from pydantic import ValidationError
    from pydantic_settings import BaseSettings, SettingsConfigDict
    from textual.theme import BUILTIN_THEMES

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX)
        theme: str = DEFAULT_THEME
        keys: dict[str, str] = {}

    # What is handed in counts more than the environment, so what the environment names is left out.
    named = {name.upper() for name in os.environ}
    left = {name: value for name, value in found.items() if f"{PREFIX}{name}".upper() not in named}
    try:
        read = Settings(**left)  # type: ignore[arg-type]  # unchecked on purpose: this is the check
    except ValidationError as error:
        first = error.errors()[0]
        return Config(), f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    keys = {name: value for name, value in read.keys.items() if name in BY_ID}
    if read.theme not in BUILTIN_THEMES:
        return Config(keys=keys), _no_such("theme", read.theme, tuple(BUILTIN_THEMES))
    return Config(read.theme, keys), None
