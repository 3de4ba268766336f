"""How often each kind of training picture is drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the kinds of training pictures; the rest are single windows of a photo.

    Attributes:
        mosaic: four windows in one picture.
        heads: a grid of head portraits, the faces in their own surroundings, small.
        close: one tight picture of a face that fills it, as a folder of crops would have.
        empty: a photo without faces, half of them with pasted ones.
        swapped: chance that a masked face in a window gives way to a bare one, and in an unboxed photo a bare one to a
            masked one.
        unboxed: share of the windows that show one of the photos that nobody boxed, where there are any.
        hidden: chance that a face in a window is partly hidden by another head before it.
        coarse: chance that a picture becomes a mosaic of so few cells that it shows no face any more.
    """

    mosaic: float = 0.25
    heads: float = 0.10
    close: float = 0.08
    empty: float = 0.20
    swapped: float = 0.30
    unboxed: float = 0.40
    hidden: float = 0.12
    coarse: float = 0.03
