"""The window on the cameras: the latest view, for each who looks, and nothing for nobody."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from edge.views import View, Views


def view(source: str = "door", at: float = 0.0) -> View:
    return View(source, np.zeros((4, 6, 3), np.uint8), at, (), ())


def test_nobody_looks_until_somebody_does() -> None:
    views = Views()
    assert not views.wanted("door")
    with views.look("door"):
        assert views.wanted("door")
        assert not views.wanted("yard")
        with views.look("door"):
            pass
        assert views.wanted("door")
    assert not views.wanted("door")


def test_each_who_looks_gets_the_latest_view_once() -> None:
    views = Views()
    with views.look("door") as one, views.look("door") as other:
        views.offer(view(at=1.0))
        views.offer(view(at=2.0))
        views.offer(view("yard", at=3.0))

        taken = one.take()
        assert taken is not None
        assert taken.at == 2.0
        assert one.take() is None
        assert other.take() is taken


def test_one_who_wants_only_some_views_keeps_them_over_others_and_is_woken_for_them() -> None:
    views = Views()
    woken: list[str] = []
    with views.look("door", wants=lambda offered: offered.at == 1.0, wake=lambda: woken.append("!")) as look:
        views.offer(view(at=1.0))
        views.offer(view(at=2.0))

        taken = look.take()
        assert taken is not None
        assert taken.at == 1.0
        assert woken == ["!"]


def test_no_picture_is_held_when_the_look_is_over() -> None:
    views = Views()
    offered = view()
    picture = weakref.ref(offered.image)
    with views.look("door"):
        views.offer(offered)
    views.offer(offered)
    del offered
    gc.collect()
    assert picture() is None
