from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path

import pytest

from edge.errors import UsageError
from edge.fleet import Fleet, hash_password, issue_passwords, read_names
from edge.settings import Settings
from support.components import require_program
from support.daemon import maskgate


def passwords(folder: Path) -> dict[str, str]:
    return dict(line.split(":") for line in (folder / "mosquitto.passwd").read_text().splitlines())


def secret(folder: Path, user: str) -> str:
    return (folder / user / "mqtt__password").read_text()


def test_a_hash_is_the_one_that_mosquitto_writes(tmp_path: Path) -> None:
    program = require_program("mosquitto_passwd", "mosquitto")
    subprocess.run([program, "-b", "-c", "theirs", "door", "s3cret"], cwd=tmp_path, check=True, timeout=10)
    theirs = (tmp_path / "theirs").read_text().strip().removeprefix("door:")
    salt = base64.b64decode(theirs.split("$")[3])

    assert hash_password("s3cret", salt) == theirs


def test_a_second_run_changes_nothing_and_a_device_can_be_added(tmp_path: Path) -> None:
    first = issue_passwords(["lobby-1", "dash"], tmp_path)
    before = passwords(tmp_path), secret(tmp_path, "lobby-1")
    written = (tmp_path / "mosquitto.passwd").stat().st_ino

    second = issue_passwords(["lobby-1", "dash"], tmp_path)
    assert (passwords(tmp_path), secret(tmp_path, "lobby-1")) == before
    assert (tmp_path / "mosquitto.passwd").stat().st_ino == written
    third = issue_passwords(["lobby-1", "lobby-2", "dash"], tmp_path)

    assert (first.new, first.kept) == (("lobby-1", "dash"), ())
    assert (second.new, second.kept) == ((), ("lobby-1", "dash"))
    assert (third.new, third.kept) == (("lobby-2",), ("lobby-1", "dash"))
    assert passwords(tmp_path).items() > before[0].items()
    assert secret(tmp_path, "lobby-2") != secret(tmp_path, "lobby-1") == before[1]


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    issue_passwords(["lobby-1"], folder)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in (folder / "mosquitto.passwd", folder / "lobby-1" / "mqtt__password"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret(folder, "lobby-1") not in (folder / "mosquitto.passwd").read_text()


def test_a_secret_that_was_handed_over_and_removed_is_not_made_anew(tmp_path: Path) -> None:
    issue_passwords(["lobby-1"], tmp_path)
    before = passwords(tmp_path)
    (tmp_path / "lobby-1" / "mqtt__password").unlink()

    assert issue_passwords(["lobby-1"], tmp_path).kept == ("lobby-1",)
    assert passwords(tmp_path) == before
    assert not (tmp_path / "lobby-1" / "mqtt__password").exists()


def test_a_secret_that_somebody_wrote_becomes_the_password(tmp_path: Path) -> None:
    issue_passwords(["lobby-1"], tmp_path)
    (tmp_path / "lobby-1" / "mqtt__password").write_text("typed by hand\n")

    issue_passwords(["lobby-1"], tmp_path)

    hashed = passwords(tmp_path)["lobby-1"]
    assert hash_password("typed by hand", base64.b64decode(hashed.split("$")[3])) == hashed


def test_users_that_are_not_named_stay_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "mosquitto.passwd").write_text("nodered:$6$abc$def\n")

    done = maskgate("fleet", "acl", "lobby-1", "--credentials", tmp_path)

    assert done.returncode == 0
    assert passwords(tmp_path)["nodered"] == "$6$abc$def"
    assert "1 new, 0 kept" in done.stderr
    assert (
        f"'nodered' is not named, and its password stays; to remove it: mosquitto_passwd -D {tmp_path}" in done.stderr
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [("lobby-1\n", "line 1 is not NAME:HASH"), ("a:b\n:c\n", "line 2 is not NAME:HASH")],
)
def test_a_password_file_that_is_none_is_left_alone(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "mosquitto.passwd").write_text(text)

    with pytest.raises(UsageError, match=problem):
        issue_passwords(["lobby-1"], tmp_path)
    assert (tmp_path / "mosquitto.passwd").read_text() == text


def test_an_empty_secret_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "lobby-1").mkdir()
    (tmp_path / "lobby-1" / "mqtt__password").touch()

    with pytest.raises(UsageError, match="mqtt__password: is empty; remove it"):
        issue_passwords(["lobby-1"], tmp_path)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = maskgate("fleet", "acl", "lobby-1", "--credentials", tmp_path / "file" / "below")

    assert done.returncode == 2
    assert done.stdout == ""
    assert f"{tmp_path / 'file'}" in done.stderr


def test_names_come_from_arguments_and_a_file_each_once(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("# ground floor\nlobby-1\n\n  lobby-2  \r\n")

    done = maskgate("fleet", "acl", "lobby-1", "--devices", tmp_path / "ids", "--prefix", "site/a")

    assert [line for line in done.stdout.splitlines() if line.startswith("user")] == ["user lobby-1", "user lobby-2"]
    assert "topic write site/a/lobby-2/event" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "nobody is named"),
        (["lobby 1"], "'lobby 1' cannot be a name"),
        (["lobby-1\ntopic readwrite #"], "cannot be a name"),
        (["+"], "'+' cannot be a name"),
        (["a" * 65], "cannot be a name"),
        (["dash", "--reader", "dash"], "'dash' has two roles"),
        (["a", "--prefix", "#"], "'#' cannot be a prefix"),
        (["a", "--prefix", "x\nuser b"], "cannot be a prefix"),
        (["a", "--discovery-prefix", ""], "'' cannot be a prefix"),
        (["--devices", "none.txt"], "none.txt: No such file"),
    ],
)
def test_wrong_use_is_told_and_prints_no_rights(arguments: list[str], problem: str) -> None:
    done = maskgate("fleet", "acl", *arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert problem in done.stderr


def test_a_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="ids: is not text"):
        list(read_names(tmp_path / "ids"))


def test_names_are_those_that_the_configuration_takes() -> None:
    for name in ("lobby-1", "A_b", "0"):
        assert Fleet((name,)).users == (Settings(device_id=name).device_id,)
