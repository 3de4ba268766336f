"""The parts of the report's HTML, as text.

What comes from outside, such as a path, is either escaped as HTML or put into JSON in which nothing can end a script;
the page's policy lets no other script or style run than its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from edge import __version__
from edge.messages import ImageRecord
from edge.report.tally import KINDS, Tally, counted, kind_of, share, words

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's marks that turn the direction of text; in a name they can make one file look like another."""
_IN_SCRIPT = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
_MOST_NAMED = 3
_BAR_WIDTH = 1000
_LEAST_SEGMENT = 3
"""Of the bar's 1000: a single picture among ten thousand is to be seen."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a report is of.

    Attributes:
        arguments: what was to be classified, as it was written.
        pictures: how many were found.
        began: when.
    """

    arguments: Sequence[str]
    pictures: int
    began: datetime


def visible(text: str) -> str:
    r"""Text in which what cannot be seen, or turns what stands around it, is spelt out: `\n`, `\u202e`."""
    return "".join(_spelt_out(c) if unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in _TURNING else c for c in text)


def _spelt_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


def embedded(value: object) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_IN_SCRIPT)


def row(record: ImageRecord, links: Sequence[str]) -> str:
    """A record as script.js reads it: path, links, kind, width, height, milliseconds, faces, error."""
    faces = [
        [face.box.x, face.box.y, face.box.width, face.box.height, KINDS.index(face.label), face.p_mask, face.score]
        for face in record.faces
    ]
    kind = KINDS.index(kind_of(record))
    error = None if record.error is None else visible(record.error)
    return embedded([visible(record.path), links, kind, record.width, record.height, record.elapsed_ms, faces, error])


def head(run: Run) -> str:
    """All that stands before the rows."""
    return _template("head.html").substitute(
        title=escape(f"Mask report: {_named(run.arguments)}"),
        style=_text("style.css"),
        style_hash=_hash(_text("style.css")),
        script_hash=_hash(_text("script.js")),
    )


def thumbnails(jpegs: Mapping[int, bytes]) -> Iterator[str]:
    """A script element that holds the thumbnails by the number of their picture, piece by piece."""
    yield '<script type="application/json" id="thumbnails">{'
    for place, (number, jpeg) in enumerate(jpegs.items()):
        yield f'{"," if place else ""}\n"{number}":"{base64.b64encode(jpeg).decode()}"'
    yield "}</script>\n"


def body(run: Run, tally: Tally, shown: int) -> str:
    """All that stands behind the thumbnails, of which there are `shown`."""
    done = tally.pictures.total()
    faces = tally.faces.total()
    return _template("body.html").substitute(
        arguments=escape(_named(run.arguments)),
        pictures=counted(done, "picture", "pictures"),
        date=run.began.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        ended_early=_ended_early(done, run.pictures),
        picture_bar=_bar(tally.pictures, KINDS, "Pictures"),
        picture_legend="\n".join(_legend_of_pictures(tally)),
        faces=counted(faces, "face", "faces"),
        face_bar=_bar(tally.faces, KINDS[1:5], "Faces") if faces else "",
        face_legend="\n".join(_legend_of_faces(tally)),
        note=_note(done - tally.pictures["failed"], shown),
        detector=escape(tally.detector or "none"),
        classifier=escape(tally.classifier or "none"),
        version=escape(__version__),
        kinds=embedded([[kind, words(kind)] for kind in KINDS]),
        script=_text("script.js"),
    )


def _named(arguments: Sequence[str]) -> str:
    named = ", ".join(visible(argument) for argument in arguments[:_MOST_NAMED])
    return f"{named} and {len(arguments) - _MOST_NAMED:,} more" if len(arguments) > _MOST_NAMED else named


def _ended_early(done: int, found: int) -> str:
    if done == found:
        return ""
    return (
        f'<p class="warning">Ended early: {done:,} of {counted(found, "picture", "pictures")} are in this report.</p>'
    )


def _bar(counts: Mapping[str, int], kinds: Sequence[str], what: str) -> str:
    """A bar of shares as SVG, read out as text."""
    present = [(kind, counts[kind]) for kind in kinds if counts[kind]]
    total = sum(count for _, count in present)
    room = _BAR_WIDTH - _LEAST_SEGMENT * len(present)
    at = 0.0
    segments = []
    for kind, count in present:
        width = _LEAST_SEGMENT + room * count / total
        segments.append(f'<rect class="fill-{kind}" x="{at:.1f}" y="0" width="{max(width - 2, 1):.1f}" height="24"/>')
        at += width
    said = ", ".join(f"{words(kind)} {count:,}" for kind, count in present) or "none"
    return (
        f'<svg class="bar" role="img" aria-label="{what}: {said}" viewBox="0 0 {_BAR_WIDTH} 24" '
        f'preserveAspectRatio="none">{"".join(segments)}</svg>'
    )


def _legend_of_pictures(tally: Tally) -> Iterator[str]:
    """Each kind with its count; each is the switch that shows or hides its pictures in the table."""
    done = tally.pictures.total()
    for kind in KINDS:
        yield (
            f'<label class="tile"><input type="checkbox" name="kind" value="{kind}" checked autocomplete="off">'
            f'<span class="swatch fill-{kind}"></span><span class="name">{words(kind)}</span>'
            f"<b>{tally.pictures[kind]:,}</b><span class=share>{share(tally.pictures[kind], done)}</span></label>"
        )


def _legend_of_faces(tally: Tally) -> Iterator[str]:
    for kind in ("uncertain", "no_mask", "mask"):
        yield (
            f'<li><span class="swatch fill-{kind}"></span>{words(kind)} <b>{tally.faces[kind]:,}</b> '
            f"<span class=share>{share(tally.faces[kind], tally.faces.total())}</span></li>"
        )


def _note(readable: int, shown: int) -> str:
    if shown >= readable:
        return ""
    return (
        f"<p>{shown:,} of {counted(readable, 'picture', 'pictures')} are shown small, which keeps this file small: "
        "the uncertain and mixed ones first, then a sample of the others.</p>"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _template(name: str) -> Template:
    return Template(_text(name))


@cache
def _text(name: str) -> str:
    return (files("edge.report") / name).read_text(encoding="utf-8")
