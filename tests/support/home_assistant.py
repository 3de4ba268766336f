"""A real Home Assistant in a process of its own, with the Python that it needs."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.components import ROOT, eventually, require

_PYTHON = ROOT / ".venv-homeassistant" / "bin" / "python"
_ANSWER_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0

Entity = dict[str, Any]


class HomeAssistant:
    """Asks the process that `tests/support/home_assistant_host.py` is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([question, *arguments]) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], _ANSWER_LIMIT_S)[0], "Home Assistant does not answer"
        line = self._process.stdout.readline()
        assert line, "Home Assistant has ended; see homeassistant.log"
        return json.loads(line)

    def entities(self) -> dict[str, Entity]:
        found: dict[str, Entity] = self.ask("entities")
        return found

    def state(self, entity_id: str) -> str | None:
        """None while there is no such entity."""
        state: str | None = self.entities().get(entity_id, {}).get("state")
        return state

    def attribute(self, entity_id: str, name: str) -> object:
        """None while there is no such entity or attribute."""
        return (self.entities().get(entity_id, {}).get("attributes") or {}).get(name)

    def wait(self, entity_id: str, wanted: str | Callable[[str], bool], limit_s: float = 30.0) -> str:
        """Until an entity has a state."""
        fits = wanted if callable(wanted) else lambda state: state == wanted
        eventually(lambda: (state := self.state(entity_id)) is not None and fits(state), limit_s)
        state = self.state(entity_id)
        assert state is not None
        return state


@contextmanager
def home_assistant(folder: Path, port: int, automation: Path | None = None) -> Iterator[HomeAssistant]:
    """Started, with its MQTT integration at the broker of `port`; its state stays in `folder` for the next one."""
    require(_PYTHON.exists(), "Home Assistant is missing: make homeassistant (needs Python 3.13)")
    config = folder / "homeassistant"
    config.mkdir(exist_ok=True)
    (config / "configuration.yaml").write_text("{}\n")
    command = [_PYTHON, Path(__file__).with_name("home_assistant_host.py"), config, port, automation]
    with (folder / "homeassistant.log").open("a") as log:
        process = subprocess.Popen(
            [str(part) for part in command if part is not None],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        hass = HomeAssistant(process)
        assert hass.answer() == "started"
        yield hass
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
