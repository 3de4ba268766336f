from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.errors import ConfigError
from edge.settings import CameraSource, FolderSource, Settings, load_settings
from support.components import ROOT, require_program
from support.daemon import ended

EVERYTHING = """
device_id = "lobby-1"
state_dir = "/var/lib/maskgate"

[[sources]]
name = "door"
kind = "camera"
url = "/dev/video0"
max_fps = 10
rotate = 90
region = [0.1, 0.0, 0.5, 1.0]

[[sources]]
name = "inbox"
kind = "folder"
path = "/var/lib/maskgate/inbox"
on_done = "delete"

[detector]
model = "face_detector"
min_score = 0.5
min_face_px = 24

[classifier]
model = "mask_classifier"
mask_above = 0.8
no_mask_below = 0.2

[decision]
min_frames = 3
agreement = 0.6
forget_after_s = 2.0
publish_uncertain = false

[mqtt]
host = "localhost"
port = 1883
username = ""
password = ""
protocol = "auto"
prefix = "maskgate"
tls = false

[homeassistant]
discovery = false
prefix = "homeassistant"

[outbox]
max_messages = 100000
max_age_h = 168

[privacy]
snapshots = "off"

[web]
enabled = false
host = "127.0.0.1"
port = 8080
token = ""

[log]
level = "info"
"""


def problems_of(tmp_path: Path, text: str) -> tuple[str, ...]:
    file = tmp_path / "maskgate.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    return caught.value.problems


def test_every_key_of_the_contract_is_known(tmp_path: Path) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text(EVERYTHING)

    settings = load_settings(file)

    camera, folder = settings.sources
    assert isinstance(camera, CameraSource)
    assert camera.region == (0.1, 0.0, 0.5, 1.0)
    assert isinstance(folder, FolderSource)
    assert folder.on_done == "delete"


def test_without_a_file_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge.settings.loading.DEFAULT_CONFIG", tmp_path / "none.toml")
    monkeypatch.setattr("socket.gethostname", lambda: "door.example org")

    settings = load_settings()

    assert settings.device_id == "door-example-org"
    assert settings.sources == ()
    assert (settings.detector.min_score, settings.detector.min_face_px) == (0.5, 24)
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.protocol) == ("localhost", 1883, "auto")


def test_a_named_file_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_settings(tmp_path / "missing.toml")


@pytest.mark.parametrize("content", [b"device_id = ", b"\xff\xfe", b"[mqtt]\n[mqtt]\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"maskgate\.toml: is not TOML"):
        load_settings(file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('state_dir = ""', "state_dir: is empty, which would be whatever folder the program is started in"),
        ('state_dri = "x"', "state_dri: no such key; did you mean state_dir?"),
        ("[mqtt]\nprot = 1", "mqtt.prot: no such key; did you mean port?"),
        ("[mqtt]\nport = 70000", "mqtt.port: Input should be less than or equal to 65535"),
        ('[mqtt]\nprefix = "a/#"', "mqtt.prefix: String should match"),
        ('[mqtt]\nca_file = "x"', "mqtt: ca_file, cert_file and key_file have no effect without tls = true"),
        ('[[sources]]\nname = "a"\nkind = "camera"', "sources.0.url: Field required"),
        ('[[sources]]\nname = "a"\nkind = "fax"', "sources.0.kind: is camera or folder"),
        ('[[sources]]\nname = "a b"\nkind = "folder"\npath = "x"', "sources.0.name: String should match"),
        ('[[sources]]\nname = "a"\nkind = "camera"\nurl = "x"\nrotate = 45', "sources.0.rotate: Input should be 0, 90"),
        (
            '[[sources]]\nname = "a"\nkind = "camera"\nurl = "x"\nregion = [0.5, 0, 0.6, 1]',
            "sources.0.region: is x, y, width, height as shares of the frame and must lie inside it",
        ),
        (
            '[[sources]]\nname = "a"\nkind = "camera"\nurl = "rtsp://x/1"\nsize = [1280, 720]',
            "sources.0: only a device (/dev/...) or picamera: can be asked for a size; others send what they have",
        ),
        (
            '[[sources]]\nname = "a"\nkind = "camera"\nurl = "/dev/video0"\nsize = [1280, 721]',
            "sources.0.size.1: Input should be a multiple of 2",
        ),
        (
            "[classifier]\nmask_above = 0.3\nno_mask_below = 0.4",
            "classifier: no_mask_below (0.4) is above mask_above (0.3)",
        ),
        ("[decision]\nagreement = 0.5", "decision.agreement: Input should be greater than 0.5"),
        ('[privacy]\nsnapshots = "yes"', "privacy.snapshots: Input should be 'off', 'blurred' or 'full'"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    problems = problems_of(tmp_path, text)

    assert len(problems) == 1
    assert problems[0].startswith(problem)


def keys_that_are_no_switches() -> Iterator[tuple[str, str]]:
    """Section and key of all that true and false can be written for by mistake."""
    for name, section in Settings.model_fields.items():
        if isinstance(section.annotation, type) and issubclass(section.annotation, BaseModel):
            yield from ((name, key) for key, field in section.annotation.model_fields.items() if not is_switch(field))
    yield from (("sources", key) for key, field in CameraSource.model_fields.items() if not is_switch(field))


def is_switch(field: FieldInfo) -> bool:
    return field.annotation is bool


@pytest.mark.parametrize("value", ["true", "false"])
@pytest.mark.parametrize(("section", "key"), list(keys_that_are_no_switches()))
def test_true_and_false_are_no_numbers_and_no_names(tmp_path: Path, section: str, key: str, value: str) -> None:
    camera = {"name": '"a"', "kind": '"camera"', "url": '"x"'} if section == "sources" else {}
    lines = [f"{name} = {text}" for name, text in (camera | {key: value}).items()]

    (problem,) = problems_of(tmp_path, "\n".join([f"[[{section}]]" if camera else f"[{section}]", *lines]))

    assert problem.startswith(f"sources.0.{key}: " if camera else f"{section}.{key}: ")


def test_true_and_false_are_no_shares_of_a_frame(tmp_path: Path) -> None:
    text = '[[sources]]\nname = "a"\nkind = "camera"\nurl = "x"\nregion = [false, 0, true, 1]'

    assert problems_of(tmp_path, text) == (
        "sources.0.region.0: is a number, and neither true nor false",
        "sources.0.region.2: is a number, and neither true nor false",
    )


def test_what_can_be_on_or_off_is_switched_by_true_and_by_the_environments_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text('[mqtt]\ntls = true\n[[sources]]\nname = "a"\nkind = "camera"\nurl = "x"\nmirror = true')
    for name, value in (("WEB__ENABLED", "true"), ("OUTBOX__MAX_MESSAGES", "7"), ("MQTT__PORT", "8883")):
        monkeypatch.setenv(f"MASKGATE_{name}", value)

    settings = load_settings(file)

    assert (settings.mqtt.tls, settings.web.enabled, settings.mqtt.port) == (True, True, 8883)
    assert settings.outbox.max_messages == 7


@pytest.mark.parametrize("token", ["   ", " s3cret", "s3cret\\n"])
def test_a_token_that_no_login_takes_is_refused(tmp_path: Path, token: str) -> None:
    (problem,) = problems_of(tmp_path, f'[web]\ntoken = "{token}"')

    assert problem == "web.token: begins or ends with white space, which a login leaves out of what it is given"


def test_two_sources_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    source = '[[sources]]\nname = "a"\nkind = "folder"\npath = "x"\n'

    assert problems_of(tmp_path, source * 2) == ("sources: two sources are named 'a'",)


def test_all_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGATE_MQTTT__PORT", "1")

    problems = problems_of(tmp_path, 'device_id = "a b"\n[log]\nlevel = "loud"')

    assert [problem.split(":")[0] for problem in problems] == ["MASKGATE_MQTTT__PORT", "device_id", "log.level"]


def test_environment_wins_over_credentials_and_credentials_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "maskgate.toml"
    file.write_text('[mqtt]\npassword = "file"\nusername = "file"\nhost = "file"')
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt__password").write_text("credential\n")
    (credentials / "mqtt__username").write_text("credential")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("MASKGATE_MQTT__USERNAME", "environment")

    mqtt = load_settings(file).mqtt

    assert (mqtt.username, mqtt.password.get_secret_value(), mqtt.host) == ("environment", "credential", "file")


def test_sources_with_a_password_can_come_as_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.search(r"```json\n(\[.*?\])\n```", (ROOT / "docs" / "raspberry-pi.md").read_text(), re.S)
    assert shown is not None
    (tmp_path / "sources").write_text(shown[1])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = tmp_path / "maskgate.toml"
    for of_the_file in ("", '[[sources]]\nname = "yard"\nkind = "camera"\nurl = "/dev/video0"\n'):
        config.write_text(of_the_file)

        door, inbox = load_settings(config).sources

        assert isinstance(door, CameraSource)
        assert (door.name, door.url, inbox.name) == ("door", "rtsp://user:password@address/path", "inbox")


def test_a_misspelt_credential_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mqt__password").write_text("hush")
    (tmp_path / "tls.key").write_text("somebody else's")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert problems_of(tmp_path, "") == ("credential mqt__password: no such setting; did you mean mqtt?",)


def test_sources_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASKGATE_SOURCES", '[{"name": "door", "kind": "camera", "url": "rtsp://camera/1"}]')
    file = tmp_path / "maskgate.toml"
    file.touch()

    assert load_settings(file).sources[0].name == "door"


@pytest.mark.parametrize("variable", ["MASKGATE_SOURCES", "MASKGATE_MQTT"])
def test_environment_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "{")

    with pytest.raises(ConfigError, match="is not valid JSON"):
        load_settings()


def test_a_credential_that_cannot_be_read_is_told_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mqtt__password").write_bytes(b"hush-\xe4")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    problems = problems_of(tmp_path, '[mqtt]\nusername = "a"')

    assert problems == ("credentials: one of them is not UTF-8",)
    assert "hush" not in repr(problems)


def test_credentials_that_may_not_be_read_are_not_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0)
    drop = [require_program("setpriv", "util-linux"), "--bounding-set=-dac_override,-dac_read_search"]

    done = ended([*drop, sys.executable, "-m", "edge", "check"], CREDENTIALS_DIRECTORY=str(folder))

    assert (done.returncode, done.stderr) == (78, f"maskgate: credentials: {folder}: Permission denied\n")


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("MASKGATE_DEVICE_ID__X", "1", "MASKGATE_DEVICE_ID__X: device_id has no parts"),
        ("MASKGATE_SOURCES__0__URL", "x", "MASKGATE_SOURCES__0__URL: sources has no parts; it is given as JSON"),
        ("MASKGATE_MQTT__USERNAME", "\udcff", "MASKGATE_MQTT__USERNAME: is not UTF-8"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(variable, value)

    assert problems_of(tmp_path, "")[0] == problem


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        ([""], "sources.0.path: is empty"),
        (["STATE"], "configuration: sources: a watched folder is the state_dir itself"),
        (["/in", "/in"], "configuration: sources: two of them watch the same folder"),
        (["/in", "/x/../in"], "configuration: sources: two of them watch the same folder"),
        (["STATE/in", "STATE/link/in"], "configuration: sources: two of them watch the same folder"),
        (["STATE/link"], "configuration: sources: a watched folder is the state_dir itself"),
        (["/in", "/in/done"], "configuration: sources: /in/done is where files of another watched folder go"),
        (["/in/failed/a", "/in"], "configuration: sources: /in/failed/a is where files of another watched folder go"),
        (["/in", "/x/../in/.processing"], "configuration: sources: /in/.processing is where files of another"),
    ],
)
def test_folders_that_cannot_be_meant_are_refused(tmp_path: Path, paths: list[str], problem: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    text = f'state_dir = "{tmp_path}"\n'
    for number, path in enumerate(paths):
        text += f'[[sources]]\nname = "s{number}"\nkind = "folder"\npath = "{path.replace("STATE", str(tmp_path))}"\n'

    assert problems_of(tmp_path, text)[0].startswith(problem)


def test_folders_in_folders_and_beside_each_other_are_apart(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    file = tmp_path / "maskgate.toml"
    file.write_text(
        "".join(
            f'[[sources]]\nname = "s{number}"\nkind = "folder"\npath = "{tmp_path / path}"\n'
            for number, path in enumerate(("in", "in/album", "in2", "done", "loop/in"))
        )
    )

    assert len(load_settings(file).sources) == 5


def test_a_secret_is_never_part_of_an_error(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, '[mqtt]\npassword = 12345\ntoken = "hush-hush"')

    assert not any("12345" in problem or "hush" in problem for problem in problems)
    assert "hush" not in repr(problems)
