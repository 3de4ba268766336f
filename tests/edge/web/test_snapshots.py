"""Snapshots of verdicts on the page: only where they are switched on, and blurred where they are to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
import pytest

from edge.people import Verdict
from edge.views import View
from edge.vision.classifier import Label
from edge.vision.geometry import Box, Image
from support.components import eventually
from support.faces import face
from support.web import a_view, page_served, some_facts


def a_verdict(image: Image) -> View:
    verdict = Verdict(Label.MASK, 0.97, "boot-1", 0.0, 3, dict.fromkeys(Label, 1), face())
    return replace(a_view(), image=image, verdicts=(verdict,), found=(Box(150, 120, 210, 215),))


def test_switched_off_no_frame_is_held_and_none_is_shown(bare_face: Image) -> None:
    facts = some_facts()
    with page_served(facts) as visitor:
        assert not facts.views.wanted("door")
        facts.views.offer(a_verdict(bare_face))
        assert visitor.ask("/snapshot/door").status == 404
        assert "/snapshot/" not in visitor.ask("/").text


@pytest.mark.parametrize(("mode", "fine"), [("blurred", False), ("full", True)])
def test_switched_on_the_last_verdict_is_shown_as_it_is_published(
    mode: Literal["blurred", "full"], fine: bool, bare_face: Image
) -> None:
    facts = some_facts(snapshots=mode)
    with page_served(facts) as visitor:
        assert visitor.ask("/snapshot/door").status == 404
        facts.views.offer(a_view())  # a frame without a verdict is none of its business
        assert visitor.ask("/snapshot/door").status == 404
        facts.views.offer(a_verdict(bare_face))
        answer = visitor.ask("/snapshot/door")
        assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("image/jpeg", "no-store")
        eventually(lambda: '<img src="/snapshot/door?1"' in visitor.ask("/").text)
        assert visitor.ask("/snapshot/../door").status == 404

    shown = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    detail = cv2.Laplacian(shown[140:320, 170:340], cv2.CV_64F)
    assert (float(np.median(np.abs(detail))) > 3) is fine


def test_behind_a_token_a_snapshot_is_too(bare_face: Image) -> None:
    facts = some_facts(snapshots="full")
    with page_served(facts, token="secret") as visitor:
        facts.views.offer(a_verdict(bare_face))
        assert visitor.ask("/snapshot/door").status == 401
