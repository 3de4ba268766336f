"""The configuration is read, and each mistake in it named with its key."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from edge.errors import ConfigError
from edge.settings.sections import ENV_PREFIX, CameraSource, FolderSource, Settings

DEFAULT_CONFIG = Path("/etc/maskgate/maskgate.toml")


def load_settings(config: Path | None = None) -> Settings:
    """Reads the configuration.

    Args:
        config: a TOML file that must exist; None reads the default file if there is one.

    Raises:
        ConfigError: with one problem for each mistake.
    """
    values = _read_toml(config)
    problems = [*_unknown_variables(), *_impossible_values(values, "")]
    if any(key.startswith("_") for key in values):  # pydantic-settings would take them for switches of its own
        raise ConfigError(*problems, *(f"{key}: no such key" for key in values if key.startswith("_")))
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError(*problems, *(_problem(details) for details in error.errors())) from error
    except RecursionError:
        raise ConfigError(*problems, "environment: one of the variables is nested too deeply") from None
    except UnicodeError:
        raise ConfigError(*problems, "credentials: one of them is not UTF-8") from None
    except OSError as error:
        raise ConfigError(*problems, f"credentials: {error.filename}: {error.strerror}") from error
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        raise ConfigError(*problems, f"{field[1] if field else 'environment'}: is not valid JSON") from error
    if problems:
        raise ConfigError(*problems)
    return settings


def _read_toml(config: Path | None) -> dict[str, Any]:
    path = config or DEFAULT_CONFIG
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if config is None:
            return {}
        raise ConfigError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of a number too long to read
        raise ConfigError(f"{path}: is not TOML: {str(error)[:200]}") from error


def _unknown_variables() -> list[str]:
    """pydantic-settings reports a misspelt nested name but passes over a misspelt first part.

    Of credentials only nested names are looked at: others may be somebody else's.
    """
    names = {name: name[len(ENV_PREFIX) :] for name in os.environ if name.upper().startswith(ENV_PREFIX)}
    names |= {f"credential {name}": name for name in _credentials() if "__" in name}
    known = Settings.model_fields.keys()
    problems = []
    for shown, name in sorted(names.items()):
        first = name.lower().split("__")[0]
        if first not in known:
            problems.append(f"{shown}: no such setting{_nearest(first, known)}")
        elif "__" in name and not _is_section(first):
            problems.append(f"{shown}: {first} has no parts" + ("; it is given as JSON" if first == "sources" else ""))
    problems += [f"{name}: is not UTF-8" for name in sorted(names) if not _is_utf8(os.environ.get(name, ""))]
    return problems


def _credentials() -> list[str]:
    """Their names. pydantic-settings takes a folder that may not be read for one without any."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        return [path.name for path in Path(folder).iterdir()] if folder and Path(folder).is_dir() else []
    except OSError as error:
        raise ConfigError(f"credentials: {folder}: {error.strerror}") from error


def _problem(details: ErrorDetails) -> str:
    """One line `key.path: what is wrong`, without the value, which may be a secret."""
    where = [str(part) for part in details["loc"]]
    if len(where) > 2 and where[0] == "sources":
        del where[2]  # the kind, which pydantic puts between the index and the key
    message = details["msg"].removeprefix("Value error, ")
    if details["type"].startswith("union_tag"):
        where.append("kind")
        message = "is camera or folder"
    if details["type"] == "extra_forbidden":
        message = f"no such key{_nearest(where[-1], _keys_beside(where))}"
    return f"{'.'.join(where) or 'configuration'}: {message}"


def _impossible_values(values: dict[str, Any], prefix: str) -> list[str]:
    """Text with a NUL byte, which no name of a file or a host can have."""
    problems = []
    for key, value in values.items():
        if isinstance(value, dict):
            problems += _impossible_values(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            problems += _impossible_values({str(index): each for index, each in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, str) and "\0" in value:
            problems.append(f"{prefix}{key}: has a NUL byte in it")
    return problems


def _is_section(key: str) -> bool:
    annotation = Settings.model_fields[key].annotation
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _keys_beside(where: list[str]) -> Iterable[str]:
    if where[0] == "sources":
        return {*CameraSource.model_fields, *FolderSource.model_fields}
    if len(where) == 1:
        return Settings.model_fields
    section = Settings.model_fields[where[0]].annotation
    return section.model_fields if isinstance(section, type) and issubclass(section, BaseModel) else ()


def _nearest(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
