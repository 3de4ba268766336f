"""What README and docs/ show is run; what cannot be run here is at least known to the program.

The word after the language says how. Nothing: it is run as it stands, in a folder with photos/ and maskgate.toml.
`broker`: it is run while a daemon publishes, and must hear events. `make`: the targets exist. `board`: it needs a board
or root, so its maskgate commands and its files of this repository are looked at. `train`: likewise for training.
`fleet`: tests/system/test_fleet.py follows these of docs/fleet.md one after the other.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge.cli import cli
from edge.vision.cards import bundled_models, load_card
from support.broker import Mosquitto
from support.components import ROOT, require_program
from support.daemon import ENVIRONMENT, running, write_config

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ASSIGNMENT = re.compile(r"[A-Z_]+=")
INDENTED = re.compile(r"^ {4,}(?:[A-Z_]+=\S+ )*(?:sudo|maskgate|maskgate-train|python3?|pip|make) .*", re.M)
BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<how>\w+))?\n(?P<code>.*?)^```$", re.M | re.S)
DEMO = '[[sources]]\nname = "door"\nkind = "camera"\nurl = "demo:"'


def blocks(language: str, how: str | None) -> list[object]:
    found: list[object] = []
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text()):
            if match["language"] == language and match["how"] == how:
                line = page.read_text()[: match.start()].count("\n") + 1
                found.append(pytest.param(match["code"], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.fixture
def folder(tmp_path: Path, pictures: Path, broker: Mosquitto) -> Path:
    shutil.copytree(pictures, tmp_path / "photos", ignore=shutil.ignore_patterns("empty.jpg"))
    write_config(tmp_path, broker.port, DEMO)
    return tmp_path


def environment(port: int) -> dict[str, str]:
    return ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PORT": str(port)}


@pytest.mark.parametrize("code", blocks("sh", None))
def test_a_command_that_is_shown_works(code: str, folder: Path, broker: Mosquitto) -> None:
    done = subprocess.run(
        ["bash", "-eu", "-c", code],
        cwd=folder,
        env=environment(broker.port),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def said_until(word: str, command: list[str], folder: Path, port: int) -> str:
    """What a command says, stderr included, until it says `word` or ends; it is ended then."""
    process = subprocess.Popen(
        ["timeout", "60", *command],
        cwd=folder,
        env=environment(port) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = ""
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if word in line:
                break
        process.terminate()
        process.stdout.close()
    return said


@pytest.mark.parametrize("code", blocks("sh", "broker"))
def test_a_subscriber_that_is_shown_hears_events(code: str, folder: Path, broker: Mosquitto) -> None:
    if "jq" in code:
        require_program("jq", "jq")
    code = code.replace("timeout 5", "timeout --foreground 8")
    with running(folder / "maskgate.toml"):
        assert "no_mask" in (said := said_until("no_mask", ["bash", "-eu", "-c", code], folder, broker.port)), said


@pytest.mark.parametrize("code", blocks("python", "broker"))
def test_a_program_that_is_shown_hears_events(code: str, folder: Path, broker: Mosquitto) -> None:
    (folder / "subscriber.py").write_text(code.replace("PORT", str(broker.port)))
    heard = "lobby-1 door no_mask"
    with running(folder / "maskgate.toml"):
        said = said_until(heard, ["timeout", "8", sys.executable, "-u", "subscriber.py"], folder, broker.port)
    assert heard in said, said


@pytest.mark.parametrize("code", blocks("sh", "make"))
def test_a_target_that_is_shown_exists(code: str) -> None:
    make = require_program("make", "make")
    for line in code.splitlines():
        subprocess.run([make, "-n", *shlex.split(line)[1:]], cwd=ROOT, check=True, capture_output=True, timeout=30)


def assert_known(words: list[str], group: click.Command) -> None:
    """The command and each of its options exist."""
    command: click.Command = group
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{word}: no such command"
            command = found
        elif word.startswith("-"):
            options = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            assert word.split("=")[0] in options | {"--help", "--version"}, f"{word}: no such option of {command.name}"


@pytest.mark.parametrize("code", [*blocks("sh", "board"), *blocks("sh", "train")])
def test_what_needs_more_than_this_machine_names_things_that_exist(code: str) -> None:
    from train.cli import group as train_cli

    for line in code.replace("\\\n", " ").splitlines():
        words = [word for word in shlex.split(line, comments=True) if word != "sudo" and not ASSIGNMENT.match(word)]
        if words and Path(words[0]).name == "maskgate":
            assert_known(words[1:], cli)
        if words and Path(words[0]).name == "maskgate-train":
            assert_known(words[1:], train_cli)
        for word in words:
            if re.match(r"(deploy|requirements|models|benchmarks)[/\w.-]*\.\w+$", word):
                assert (ROOT / word).exists(), f"{word} is not in the repository"


def test_every_shell_block_says_how_it_is_tested() -> None:
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text()):
            if match["language"] in ("sh", "bash", "console", "shell"):
                assert match["language"] == "sh", f"{page}: {match[0][:60]}"
                assert match["how"] in (None, "broker", "make", "board", "train", "fleet"), f"{page}: {match[0][:60]}"


def test_every_command_stands_in_a_block() -> None:
    shown = {page.name: INDENTED.findall(BLOCK.sub("", page.read_text())) for page in PAGES}
    assert not {name: lines for name, lines in shown.items() if lines}


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_figures_of_the_readme_are_those_of_the_card() -> None:
    shown = re.search(r"<!-- figures -->(.*)<!-- /figures -->", (ROOT / "README.md").read_text(), re.S)
    assert shown is not None
    test = load_card(bundled_models() / "mask_classifier.tflite").metrics["test"]

    for expected in (
        f"| {test['balanced_accuracy']:.3f} |",
        f"| {100 * test['wrong_among_decided']:.1f} % |",
        f"| {100 * test['uncertain']:.1f} % |",
        f"| {100 * test['badly_worn_called_mask']:.0f} % (",
        f"| {test['calibration_error']:.3f} |",
    ):
        assert expected in shown[1]


def test_the_event_that_is_shown_is_of_the_schema() -> None:
    import jsonschema

    from edge.messages import json_schema

    for match in BLOCK.finditer((ROOT / "README.md").read_text()):
        if match["language"] == "json":
            jsonschema.validate(json.loads(match["code"]), json_schema("event"))
            return
    pytest.fail("the README shows no event")
