"""The reports as single HTML files: nothing is loaded from elsewhere, so they can be mailed and kept."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from train import plots
from train.dataset import Dataset
from train.inspection import Inspection, sample_grid
from train.samples import Sample

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .6rem 0; } td, th { padding: .15rem .6rem; border-bottom: 1px solid #ddd; }
td { font-variant-numeric: tabular-nums; } th { text-align: left; } img { max-width: 100%; } h2 { margin-top: 2rem; }
figure { display: inline-block; margin: .3rem; font-size: 12px; text-align: center; } figure img { width: 96px; }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #ddd; } td, th { border-color: #333; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document; `parts` are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(parts)


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells are escaped; None is shown as a dash."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        values = "".join(f"<td>{escape('-' if value is None else str(value))}</td>" for value in row)
        lines.append(f"<tr>{values}</tr>")
    return f"<table>{''.join(lines)}</table>"


def drawing(png: bytes, what: str) -> str:
    """A PNG inside the page; `what` is read out to those who cannot see it."""
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def thumbnail(rgb: NDArray[np.uint8], caption: str) -> str:
    """A small picture with words under it; RGB of shape (height, width, 3)."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    encoded = base64.b64encode(data.tobytes()).decode()
    return f'<figure><img alt="" src="data:image/jpeg;base64,{encoded}"><br>{escape(caption)}</figure>'


def inspection_page(dataset: Dataset, found: Inspection) -> str:
    """What `inspect` found, with plots and a grid of eight pictures a class."""
    sizes = plots.histograms(
        [
            ("width, px", [fact.width for fact in found.facts]),
            ("height, px", [fact.height for fact in found.facts]),
            ("kB", [fact.size_bytes / 1000 for fact in found.facts]),
        ]
    )
    labels = Counter(fact.sample.label for fact in found.facts)
    spread = [(name, *(f"{value:.0f}" for value in found.spread(name))) for name in ("width", "height", "size_bytes")]
    leaks = f"{len(found.leaks)} files have a copy in another part of the split."
    return page(
        "Data set",
        [
            section(
                "Counts",
                table(("part", "label", "files", "different pictures"), found.counts()),
                drawing(plots.bars(list(labels), list(labels.values()), "files"), "files by label"),
            ),
            section("Sizes", table(("", "smallest", "median", "largest"), spread), drawing(sizes, "sizes")),
            section("Modes", table(("format and mode", "files"), found.modes().most_common())),
            section(
                "Cannot be read", table(("file", "reason"), found.corrupt) if found.corrupt else paragraph("None.")
            ),
            section(
                "Copies",
                paragraph(leaks),
                table(("files that show the same picture",), ((", ".join(paths[:8]),) for paths in found.alike[:50])),
            ),
            section("Samples", drawing(_grid(dataset, found), "eight pictures of each class")),
        ],
    )


def _grid(dataset: Dataset, found: Inspection) -> bytes:
    rng = np.random.default_rng(0)
    chosen: list[Sample] = []
    for label in sorted({fact.sample.label for fact in found.facts}):
        members = [fact.sample for fact in found.facts if fact.sample.label == label]
        chosen += [members[int(index)] for index in rng.permutation(len(members))[:8]]
    _, data = cv2.imencode(".png", sample_grid(dataset, chosen, 4))
    return data.tobytes()
