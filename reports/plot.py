"""Error plot of one curve as inline SVG: max envelope by ordinal, admissible zone, rails for what has no error."""

from __future__ import annotations

import html
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.records import Curve
from reports import text

WIDTH, HEIGHT = 960, 360
LEFT, RIGHT, BOTTOM = 84, 948, 312
RAIL, TOP, GAP = 22, 14, 12
FLOOR = 0.1
"""Errors below a tenth of an ulp, 0 included, lie on the floor."""
RAILS = {
    "inf": "where the truth is another number",
    "nan": "where the truth is a number",
    "zero": "where the truth is not",
    "finite": "where the truth is inf or nan",
}
STRETCHES = 3
"""Ranges of bins that a caption names one by one."""
_POWERS = (0, *(sign * k for step in (100, 10, 5, 2, 1) for k in range(step, 309, step) for sign in (-1, 1)))
ROUND = tuple(dict.fromkeys([0.0, *(sign * float(f"1e{power}") for power in _POWERS for sign in (1.0, -1.0))]))
"""Numbers to label an axis with, the most telling first."""


def ordinal(value: float, dtype: str) -> int:
    """Position of a number on the number line of its dtype; 0 and -0 are 0."""
    size = abs(value)
    if dtype == "float64":
        (bits,) = struct.unpack("<q", struct.pack("<d", size))
    elif dtype == "float16":
        (bits,) = struct.unpack("<h", struct.pack("<e", size) if size < 65520 else b"\x00\x7c")
    else:
        (bits,) = struct.unpack("<i", struct.pack("<f", size) if size < 3.4028235677973366e38 else b"\x00\x00\x80\x7f")
        bits >>= 16 if dtype == "bfloat16" else 0
    return -bits if math.copysign(1.0, value) < 0 else int(bits)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a curve, with the ordinals of its edges."""

    value: float
    until: float
    start: int
    end: int
    error: float | None
    bound: float | None
    rail: frozenset[str]
    excused_rail: frozenset[str]
    excused: bool

    @property
    def broken(self) -> bool:
        """Above what the bound admits; what something excuses is in no curve."""
        return self.error is not None and self.bound is not None and self.error > self.bound


def bins(curve: Curve, dtype: str) -> list[Bin]:
    """Bins from left to right, from the first to the last that holds something.

    Raises ValueError where there is not one edge more than bins.
    """
    values = [float.fromhex(edge) for edge in curve.x]
    places = [ordinal(value, dtype) for value in values]
    rows = zip(curve.error, curve.bound, curve.rail, curve.excused_rail, curve.excused, strict=True)
    edges = zip(values[:-1], values[1:], places[:-1], places[1:], strict=True)
    cells = [
        Bin(value, until, start, end, error, bound, frozenset(rail.split()), frozenset(known.split()), excused)
        for (value, until, start, end), (error, bound, rail, known, excused) in zip(edges, rows, strict=True)
    ]
    used = [
        n for n, cell in enumerate(cells) if cell.error is not None or cell.rail or cell.excused_rail or cell.excused
    ]
    return cells[used[0] : used[-1] + 1] if used else []


def ceiling(curves: Iterable[Curve]) -> float:
    """Common top of the error axis, so that plots beside each other compare: a power of ten above every error."""
    largest = max((e for curve in curves for e in curve.error if e is not None and math.isfinite(e)), default=1.0)
    return 10.0 ** math.ceil(math.log10(max(largest * 1.5, 100.0)))


def _spans(cells: Iterable[Bin]) -> list[tuple[int, int]]:
    """Bins that touch, joined."""
    spans: list[tuple[int, int]] = []
    for cell in cells:
        if spans and spans[-1][1] == cell.start:
            spans[-1] = (spans[-1][0], cell.end)
        else:
            spans.append((cell.start, cell.end))
    return spans


@dataclass(frozen=True, slots=True)
class Frame:
    """Data to picture: ordinals left to right, log error upwards."""

    first: int
    last: int
    top: float
    head: int
    """Height of the plot's upper edge, under the rails."""

    def x(self, place: int) -> int:
        return LEFT + round((RIGHT - LEFT) * ((place - self.first) / max(self.last - self.first, 1)))

    def y(self, error: float) -> int:
        decades = math.log10(min(max(error, FLOOR), self.top) / FLOOR) / math.log10(self.top / FLOOR)
        return BOTTOM - round((BOTTOM - self.head) * decades)

    def steps(self, cells: Sequence[Bin], height: Callable[[Bin], float | None], *, closed: bool) -> str:
        """Step line over the bins, in relative moves; a bin without a height breaks the line."""
        path: list[str] = []
        at: tuple[int, int] | None = None
        for cell in cells:
            level, x, end = height(cell), self.x(cell.start), self.x(cell.end)
            if at is not None and (level is None or at[0] != x):
                path.append(f"V{BOTTOM}" if closed else "")
                at = None
            if level is None:
                continue
            y = self.y(level)
            if at is None:
                path.append(f"M{x} {BOTTOM}V{y}" if closed else f"M{x} {y}")
            elif y != at[1]:
                path.append(f"v{y - at[1]}")
            path.append(f"h{end - x}")
            at = (end, y)
        if at is not None and closed:
            path.append(f"V{BOTTOM}")
        return "".join(path)


def _x_ticks(frame: Frame, dtype: str) -> list[tuple[int, str]]:
    """Round numbers along the ordinal axis, none so close that labels touch."""
    taken: list[tuple[int, str]] = []
    for value in ROUND:
        place = ordinal(value, dtype)
        beyond = abs(place) >= ordinal(math.inf, dtype) or (value and not place)
        if beyond or not frame.first <= place <= frame.last:
            continue
        x = frame.x(place)
        if x <= RIGHT - 24 and all(abs(x - other) >= 84 for other, _ in taken):
            label = f"{value:g}".replace("e+", "e").replace("e-0", "e-").replace("e0", "e")
            taken.append((x, label.replace("-", "\N{MINUS SIGN}")))
    return taken


def _axes(frame: Frame, dtype: str) -> list[str]:
    decades = round(math.log10(frame.top))
    stride = max(1, math.ceil((decades + 1) / 5))
    parts = [f'<path class="grid" d="M{LEFT} {BOTTOM}H{RIGHT}']
    labels = []
    for power in range(0, decades + 1, stride):
        y = frame.y(10.0**power)
        parts.append(f"M{LEFT} {y}H{RIGHT}")
        label = f"{10**power:,}" if power < 4 else f"1e{power}"
        labels.append(f'<text class="y" x="{LEFT - 10}" y="{y + 7}">{label}</text>')
    for x, label in _x_ticks(frame, dtype):
        parts.append(f"M{x} {BOTTOM}v8")
        labels.append(f'<text x="{x}" y="{BOTTOM + 32}">{label}</text>')
    return ["".join([*parts, '"/>']), *labels]


def svg(curve: Curve, dtype: str, title: str, top: float | None = None) -> str:
    """The plot as one ``<svg>``; colours come from the page's style sheet, by class.

    Empty where there is nothing to see: no error and nothing beside it.
    """
    cells = bins(curve, dtype)
    title = html.escape(title)
    if not any(cell.error or cell.rail or cell.excused_rail for cell in cells):
        return ""
    rails = [rail for rail in RAILS if any(rail in cell.rail | cell.excused_rail for cell in cells)]
    head = TOP + RAIL * len(rails) + (GAP if rails else 0)
    frame = Frame(cells[0].start, cells[-1].end, top or ceiling([curve]), head)
    parts = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">']
    admissible = frame.steps(cells, lambda cell: cell.bound, closed=True)
    parts.append(f'<path class="zone" d="{admissible}"/>')
    for start, end in _spans(cell for cell in cells if cell.excused):
        x, wide = frame.x(start), max(frame.x(end) - frame.x(start), 2)
        parts.append(f'<path class="excused" d="M{x} {TOP}h{wide}V{BOTTOM}h{-wide}z"/>')
    parts += _axes(frame, dtype)
    parts.append(f'<path class="seen" d="{frame.steps(cells, lambda cell: cell.error, closed=True)}"/>')
    if broken := frame.steps(cells, lambda cell: cell.error if cell.broken else None, closed=True):
        parts.append(f'<path class="broken" d="{broken}"/>')
    for row, rail in enumerate(rails):
        y = TOP + RAIL * row + RAIL // 2
        parts.append(f'<text class="y" x="{LEFT - 10}" y="{y + 7}">{rail}</text>')
        for loud, name in ((False, "rail"), (True, "rail loud")):
            spans = _spans(cell for cell in cells if rail in (cell.rail if loud else cell.excused_rail))
            marks = "".join(f"M{frame.x(a)} {y}h{max(frame.x(b) - frame.x(a), 3)}" for a, b in spans)
            parts.append(f'<path class="{name}" d="{marks}"/>' if marks else "")
    return "".join([*parts, "</svg>"])


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e+", "e")


def caption(curve: Curve, dtype: str) -> list[str]:
    """What the plot found, in sentences: where the error peaks, where it breaks the bound, which rails are touched."""
    cells = bins(curve, dtype)
    said = []
    measured = [cell for cell in cells if cell.error is not None]
    if measured:
        peak = max(measured, key=lambda cell: cell.error or 0.0)
        where = f"in the bin that starts at {curve.argument} = {_short(peak.value)}"
        said.append(f"Peak {text.ulp(peak.error)} {where}." if peak.error else "No error at any point.")
    if broken := sum(cell.broken for cell in cells):
        said.append(f"Above the bound: {text.plural(broken, 'bin')} of {len(cells)}.")
    for rail, where in RAILS.items():
        loud = [cell for cell in cells if rail in cell.rail]
        if loud:
            edges = {cell.start: cell.value for cell in loud} | {cell.end: cell.until for cell in loud}
            spans = [f"{_short(edges[start])} to {_short(edges[end])}" for start, end in _spans(loud)]
            if len(spans) > STRETCHES:
                spans = [f"{len(spans)} stretches of {_short(loud[0].value)} to {_short(loud[-1].until)}"]
            said.append(f"Got {rail} {where}: {text.plural(len(loud), 'bin')}, {', '.join(spans)}.")
    known = [rail for rail in RAILS if any(rail in cell.excused_rail for cell in cells)]
    if covered := sum(cell.excused for cell in cells):
        listed = f": {', '.join(known)}" if known else ""
        said.append(f"Hatched: {text.part(covered, len(cells))} of the bins hold something excused{listed}.")
    return said
