"""The systemd unit and the sample configuration, as systemd and the program themselves read them."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest

from edge.mqtt.embedded import EMBEDDED
from edge.settings import load_settings
from support.broker import Mosquitto, subscribed
from support.components import ROOT, eventually, require_program
from support.daemon import running, write_config
from support.notify import NotifySocket

UNIT = ROOT / "deploy" / "systemd" / "maskgate.service"
SAMPLE = ROOT / "deploy" / "systemd" / "maskgate.toml"


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    program = require_program("systemd-analyze", "systemd")
    copy = tmp_path / "maskgate.service"
    copy.write_text(UNIT.read_text().replace("/opt/maskgate/bin/maskgate", "/bin/true"))

    done = subprocess.run([program, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_the_unit_is_locked_up(tmp_path: Path) -> None:
    program = require_program("systemd-analyze", "systemd")
    command = [program, "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= 1.5
    assert done.returncode == 0


def test_a_wrong_configuration_is_not_restarted_for_ever() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)

    assert unit["Service"]["RestartPreventExitStatus"] == "78"
    assert unit["Service"]["Type"] == "notify"


def test_the_unit_has_room_for_many_cameras() -> None:
    """Measured: about two threads a camera, and for a file or a stream that is decoded by all cores one a core."""
    found = re.search(r"^TasksMax=(\d+)$", UNIT.read_text(), re.M)
    assert found is not None
    assert int(found[1]) >= 64 * (2 + 4)


def test_the_sample_offers_no_broker_that_an_installation_does_not_have() -> None:
    assert "amqtt" not in (ROOT / "requirements.lock").read_text()
    assert EMBEDDED not in SAMPLE.read_text()


def test_the_sample_configuration_is_valid_and_shows_the_defaults() -> None:
    sample = load_settings(SAMPLE)
    defaults = load_settings(Path(os.devnull))

    assert [source.kind for source in sample.sources] == ["camera", "folder"]
    for name in type(sample).model_fields:
        if name not in ("device_id", "sources"):
            assert getattr(sample, name) == getattr(defaults, name), name


def test_readiness_comes_after_the_models_and_the_first_look(tmp_path: Path, broker: Mosquitto) -> None:
    config = write_config(tmp_path, broker.port, '[[sources]]\nname="door"\nkind="camera"\nurl="demo:"')
    with NotifySocket(tmp_path) as systemd, running(config, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="3000000"):
        systemd.wait_for("READY=1")
        assert "frames of 640 x 480" in (tmp_path / "daemon.log").read_text()
        systemd.wait_for("STATUS=running")
        for _ in range(3):
            systemd.wait_for("WATCHDOG=1")
    assert "STOPPING=1" in systemd.received()


def test_a_source_that_is_away_does_not_keep_the_unit_from_starting(tmp_path: Path, broker: Mosquitto) -> None:
    config = write_config(tmp_path, broker.port, '[[sources]]\nname="door"\nkind="camera"\nurl="/dev/video77"')
    with (
        NotifySocket(tmp_path) as systemd,
        subscribed(tmp_path, broker.port) as subscriber,
        running(config, NOTIFY_SOCKET=systemd.address),
    ):
        systemd.wait_for("READY=1")
        status = subscriber.wait_for("/status")[0].json()
        eventually(lambda: [line for line in systemd.received() if line.startswith("STATUS=source door")])

    assert (status["state"], status["sources"][0]["state"]) == ("degraded", "waiting")


@pytest.mark.parametrize("wrong", ["no models", "no configuration"])
def test_readiness_is_not_claimed_when_nothing_can_run(tmp_path: Path, wrong: str) -> None:
    config = write_config(
        tmp_path,
        1,
        '[[sources]]\nname="a"\nkind="camera"\nurl="demo:"',
        detector="none.onnx" if wrong == "no models" else "face_detector",
    )
    if wrong == "no configuration":
        config.write_text("[mqtt]\nprot = 1")
    with NotifySocket(tmp_path) as systemd, running(config, NOTIFY_SOCKET=systemd.address) as daemon:
        assert daemon.wait(30) == 78
    assert systemd.received() == []
