"""Configurations and environments that nobody meant: each mistake is a ConfigError, never anything else."""

from __future__ import annotations

import contextlib
import json
import math
import os
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from pydantic import BaseModel

from edge.errors import ConfigError
from edge.outbox import Entry, Outbox
from edge.settings import CameraSource, FolderSource, Settings, load_settings
from fuzz import SEED, cases
from fuzz.mutation import mutated
from support.messages import an_event

_SOUND = """
device_id = "lobby-1"
state_dir = "state"
[[sources]]
name = "door"
kind = "camera"
url = "rtsp://127.0.0.1/cam"
max_fps = 10
rotate = 90
region = [0.0, 0.25, 1.0, 0.5]
[[sources]]
name = "inbox"
kind = "folder"
path = "inbox"
on_done = "delete"
[detector]
min_score = 0.5
min_face_px = 24
[classifier]
mask_above = 0.8
[decision]
min_frames = 3
agreement = 0.6
forget_after_s = 2.0
publish_uncertain = false
[mqtt]
host = "localhost"
port = 1883
password = "s3cret"
protocol = "auto"
prefix = "a/b"
tls = true
ca_file = "ca.crt"
[outbox]
max_messages = 100
max_age_h = 1.5
[web]
host = "127.0.0.1"
[log]
level = "info"
"""


def assert_usable(settings: Settings) -> None:
    """What came through is what the program may rely on: numbers are numbers."""

    def look(value: Any) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                look(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                look(inner)
        assert not (isinstance(value, float) and math.isnan(value))

    look(settings.model_dump())


def load(path: Path) -> bool:
    """Whether the configuration is accepted. Lets anything but ConfigError through."""
    try:
        settings = load_settings(path)
    except ConfigError as error:
        problems = error.problems
    else:
        assert_usable(settings)
        return True
    assert problems
    assert all(isinstance(problem, str) and problem for problem in problems)
    assert "s3cret" not in "".join(problems)
    return False


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, variables):
        yield


def test_a_damaged_file_is_a_configuration_error_or_a_configuration(tmp_path: Path) -> None:
    file, rng = tmp_path / "maskgate.toml", np.random.default_rng([SEED, 1])
    accepted = 0
    for _ in range(cases(800)):
        file.write_bytes(mutated(rng, _SOUND.encode()))
        accepted += load(file)

    assert accepted


_VALUES = [
    "nan", "-nan", "inf", "-inf", "0", "-1", "1e999", "9223372036854775807", "9223372036854775808", "1" * 4000, "-0.0",
    "0x7fffffff", '""', '"\\u0000"', '"\\n"', '"\\U0010FFFF"', '"../../x"', '"#"', '"+"', '"$SYS/"', "'''a\nb'''",
    "true", "false", "[]", "[[]]", "[nan]", "[0, 0, 0, 0]", "[1e308, 1e308, 1e308, 1e308]", "{}", "[{}]",
    '{a = 1, "" = {}}',
    "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", '"' + "x" * 100_000 + '"', "[" * 50 + "]" * 50,
]  # fmt: skip


def keys() -> Iterator[tuple[str, ...]]:
    """Every key of the configuration, as the way to it, and some that are none."""
    yield from [("mqtt", "prot"), ("mqtt", "port", "x"), ("model_config",), ("",), ("mqtt", ""), ("é",), ("\x7f",)]
    for name, field in Settings.model_fields.items():
        yield (name,)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((name, inner) for inner in kind.model_fields)


@pytest.mark.parametrize("value", _VALUES, ids=[f"{n}: {value[:20]!r}" for n, value in enumerate(_VALUES)])
def test_a_value_that_no_key_expects_is_a_configuration_error_or_has_a_meaning(tmp_path: Path, value: str) -> None:
    file = tmp_path / "maskgate.toml"
    for way in keys():
        file.write_text(f"{'.'.join(json.dumps(part) for part in way)} = {value}\n")
        load(file)
    for kind, source in (("camera", CameraSource), ("folder", FolderSource)):
        sound = {"name": '"a"', "kind": f'"{kind}"', "url": '"x"', "path": '"x"'}
        for key in source.model_fields:
            lines = {k: v for k, v in sound.items() if k in source.model_fields} | {key: value}
            file.write_text("[[sources]]\n" + "\n".join(f"{k} = {v}" for k, v in lines.items()))
            load(file)


def _variable(rng: np.random.Generator) -> str:
    ways = list(keys())
    name = "__".join(ways[int(rng.integers(len(ways)))]).upper()
    if rng.random() < 0.3:
        at = int(rng.integers(len(name) + 1))
        letters = string.ascii_letters + string.digits + "_-. \udcff"
        name = name[:at] + letters[int(rng.integers(len(letters)))] + name[at + 1 :]
    return f"MASKGATE_{name}"


def _text(rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return _VALUES[int(rng.integers(len(_VALUES)))].strip('"')
    samples = ['{"port": 1883, "tls": false}', '[{"name": "a", "kind": "folder", "path": "x"}]', "0.5", "lobby", "true"]
    sample = samples[int(rng.integers(len(samples)))]
    return os.fsdecode(mutated(rng, sample.encode()).replace(b"\0", b""))


def test_an_environment_of_nonsense_is_a_configuration_error_or_a_configuration(tmp_path: Path) -> None:
    file, rng = tmp_path / "maskgate.toml", np.random.default_rng([SEED, 2])
    file.write_text(_SOUND)
    for _ in range(cases(800)):
        variables = {_variable(rng): _text(rng) for _ in range(int(rng.integers(1, 4)))}
        with environment(**variables):
            load(file)


def test_credentials_of_nonsense_are_a_configuration_error_or_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rng = tmp_path / "credentials", np.random.default_rng([SEED, 3])
    folder.mkdir()
    file = tmp_path / "maskgate.toml"
    file.write_text(_SOUND)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    for name in ("mqtt__password", "mqtt__port", "mqtt", "sources", "device_id"):
        for _ in range(cases(20)):
            (folder / name).write_text(_text(rng), encoding="utf-8", errors="replace")
            load(file)
        (folder / name).unlink()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("device_id = " + "[" * 5000 + "]" * 5000, id="five thousand brackets: RecursionError of tomllib"),
        pytest.param("mqtt.port = " + "9" * 5000, id="five thousand digits: ValueError of int"),
    ],
)
def test_toml_that_breaks_its_reader_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text(text)

    with pytest.raises(ConfigError):
        load_settings(file)


def test_a_variable_of_a_hundred_thousand_brackets_is_a_configuration_error() -> None:
    with environment(MASKGATE_SOURCES="[" * 100_000), pytest.raises(ConfigError):
        load_settings()


@pytest.mark.parametrize(
    "text",
    ['_env_file = "other"', '_env_prefix = "OTHER_"', "_case_sensitive = true", "_cli_parse_args = true",
     '_cli_parse_args = ["--help"]', '_secrets_dir = "other"', "_build_sources = 3", "_cli_exit_on_error = 1"],
)  # fmt: skip
def test_a_switch_of_the_settings_library_is_no_key(tmp_path: Path, text: str) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match="no such key"):
        load_settings(file)


def test_a_limit_of_more_messages_than_sqlite_can_count_is_no_limit(tmp_path: Path) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text("[outbox]\nmax_messages = 9223372036854775808\nmax_age_h = inf")
    limits = load_settings(file).outbox
    outbox = Outbox(tmp_path / "outbox.sqlite3", limits.max_messages, limits.max_age_h * 3600)
    outbox.add([Entry((an_event(),))], 1.0)

    assert outbox.trim(2.0) == 0
    outbox.close()


@pytest.mark.parametrize("key", ["state_dir", "mqtt.host", "classifier.model"])
def test_a_nul_byte_in_a_name_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text(f'{key} = "a\\u0000b"')

    with pytest.raises(ConfigError, match=key):
        load_settings(file)
