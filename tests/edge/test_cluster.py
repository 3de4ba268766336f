"""`maskgate classify --engine dask`: what is handed to the cluster. The rest: tests/system/test_cluster.py."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge import cluster
from edge.batch import Classified, Job
from edge.errors import UnavailableError
from edge.settings import load_settings

CONFIG = """
[mqtt]
username = "door"
password = "of-the-broker"
[web]
token = "of-the-page-and-long-enough-for-one"
[[sources]]
name = "door"
kind = "camera"
url = "rtsp://user:of-the-camera@192.0.2.1/"
[detector]
min_score = 0.7
"""


def test_a_cluster_of_our_own_is_closed_if_nobody_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="pip install 'maskgate[cluster]'")
    closed: list[str] = []

    class Local:
        def __init__(self, local_directory: str, **_: object) -> None:
            self._folder = Path(local_directory)
            self.loop = SimpleNamespace(add_callback=lambda *_: None)

        def close(self, timeout: float) -> None:
            assert timeout > 0
            closed.append("cluster" if self._folder.is_dir() else "cluster without its folder")

    def refuse(_where: object, timeout: float) -> None:
        raise TimeoutError(timeout)

    monkeypatch.setattr(distributed, "LocalCluster", Local)
    monkeypatch.setattr(distributed, "Client", refuse)

    with pytest.raises(UnavailableError, match="no Dask scheduler answers on this machine"):
        cluster.classify_on_cluster([], Job(load_settings(None), whole_faces=False), None, 1)
    assert closed == ["cluster"]


def test_no_password_leaves_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Job] = []

    class Cluster:
        def __init__(self, *arguments: object) -> None:
            sent.extend(each for each in arguments if isinstance(each, Job))

        def classified(self, _: Sequence[Path]) -> Iterator[Classified]:
            return iter(())

    monkeypatch.setattr(cluster, "_Cluster", Cluster)
    config = tmp_path / "maskgate.toml"
    config.write_text(CONFIG)

    cluster.classify_on_cluster([], Job(load_settings(config), whole_faces=False), "tcp://192.0.2.2:8786", 1)

    assert len(sent) == 1
    assert b"of-the-" not in pickle.dumps(sent)
    assert sent[0].settings.detector.min_score == 0.7
