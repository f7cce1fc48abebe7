"""Small pictures as inline SVG: columns, bars, a bridge and curves, from lists of numbers.

They are drawn as wide as a phone, use the page's own type and colours (classes ``s1`` to ``s6`` in ``page.css``) and
need no ids, so that any number of them fit on a page and each is a few kilobytes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from crmlytics.report._words import short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDTH, HEIGHT = 440.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 22.0, 12.0, 30.0
BAR_HEIGHT, BAR_GAP, LABEL_HEIGHT = 12.0, 3.0, 19.0
MOST_LABELS = 6
AMOUNT_WIDTH = 88.0
LEAST_SHARE = 0.05  # where a falling curve may be cut off
MOST_LETTERS = 36  # of labels that all fit under the columns, however many there are


def columns(
    labels: Sequence[str],
    series: Sequence[Sequence[float]],
    *,
    alt: str,
    text: Callable[[float], str],
    colours: Sequence[int] = (1,),
    faded: Sequence[int] = (),
    whiskers: Mapping[int, tuple[float, float]] | None = None,
) -> Markup:
    """Draw columns over an axis; several series are stacked, what is negative goes below zero.

    Parameters
    ----------
    labels : sequence of str
        One a column; where there are many, some are written.
    series : sequences of float
        Each as long as ``labels``.
    alt : str
        The picture in a sentence, for those who do not see it.
    text : function
        Writes a value of the axis.
    colours : sequence of int
        The colour number of each series.
    faded : sequence of int
        Columns that are not whole, such as the month that runs.
    whiskers : dict of column number to (low, high), optional
        Intervals, drawn over their columns.
    """
    whiskers = whiskers or {}
    ups = [sum(max(values[i], 0.0) for values in series) for i in range(len(labels))]
    downs = [sum(min(values[i], 0.0) for values in series) for i in range(len(labels))]
    ends = [end for interval in whiskers.values() for end in interval]
    ticks = nice_ticks(min([*downs, *ends], default=0.0), max([*ups, *ends], default=1.0))
    y = _scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    step = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    parts = _value_axis(ticks, y, text)
    for i in range(len(labels)):
        up = down = 0.0
        x = LEFT + i * step + step * 0.14
        fade = " faded" if i in faded else ""
        for number, values in zip(colours, series, strict=True):
            start = up if values[i] >= 0 else down
            end = start + values[i]
            up, down = (end, down) if values[i] >= 0 else (up, end)
            if values[i]:
                parts.append(_rect(x, min(y(start), y(end)), step * 0.72, abs(y(start) - y(end)), f"s{number}{fade}"))
    for i, (low, high) in whiskers.items():
        x = LEFT + (i + 0.5) * step
        parts.append(_line(x, y(low), x, y(high), "whisker"))
        parts += [_line(x - step * 0.18, y(end), x + step * 0.18, y(end), "whisker") for end in (low, high)]
    parts.append(_line(LEFT, y(0.0), WIDTH - RIGHT, y(0.0), "axis"))
    every = 1 if sum(map(len, labels)) <= MOST_LETTERS else math.ceil(len(labels) / MOST_LABELS)
    last = len(labels) - 1
    shown = [i for i in range(len(labels)) if (last - i) % every == 0]
    parts += [_text(LEFT + (i + 0.5) * step, HEIGHT - 10, labels[i], "middle") for i in shown]
    return _svg(parts, HEIGHT, alt)


def bars(
    labels: Sequence[str],
    series: Sequence[Sequence[float]],
    *,
    alt: str,
    text: Callable[[float], str],
    colours: Sequence[int] = (1,),
    whiskers: Mapping[int, tuple[float, float]] | None = None,
) -> Markup:
    """Draw lying bars under their labels, those of a label side by side, each with its value at its end.

    ``whiskers`` are intervals by the number of the label, for a single series.
    """
    whiskers = whiskers or {}
    ends = [high for _, high in whiskers.values()]
    most = max([*(value for values in series for value in values), *ends], default=1.0) or 1.0
    group = LABEL_HEIGHT + len(series) * (BAR_HEIGHT + BAR_GAP) + 7
    parts = []
    for i, label in enumerate(labels):
        top = i * group
        parts.append(_text(0, top + 13, label, "start", "label"))
        for k, (number, values) in enumerate(zip(colours, series, strict=True)):
            y = top + LABEL_HEIGHT + k * (BAR_HEIGHT + BAR_GAP)
            width = max(max(values[i], 0.0) / most * (WIDTH - 66), 1.0)
            parts.append(_rect(0, y, width, BAR_HEIGHT, f"s{number}"))
            if i in whiskers:
                left, right = (max(end, 0.0) / most * (WIDTH - 66) for end in whiskers[i])
                parts.append(_line(left, y + BAR_HEIGHT / 2, right, y + BAR_HEIGHT / 2, "whisker"))
                parts += [_line(end, y + 2, end, y + BAR_HEIGHT - 2, "whisker") for end in (left, right)]
                width = max(width, right)
            parts.append(_text(width + 6, y + BAR_HEIGHT - 1.5, text(values[i]), "start"))
    return _svg(parts, len(labels) * group, alt)


def bridge(
    first: tuple[str, float],
    changes: Sequence[tuple[str, float]],
    last: tuple[str, float],
    *,
    alt: str,
    text: Callable[[float], str],
) -> Markup:
    """Draw how one amount becomes another: lying bars, each change beginning where the one above it ended.

    Parameters
    ----------
    first, last : (label, amount)
        Drawn from zero.
    changes : sequence of (label, amount)
        They lead from the first amount to the last.
    alt : str
    text : function
        Writes an amount.
    """
    spans, at = [(0.0, first[1], 5)], first[1]
    for _, step in changes:
        spans.append((at, at + step, 3 if step >= 0 else 4))
        at += step
    spans.append((0.0, last[1], 1))
    ends = [end for start, stop, _ in spans for end in (start, stop)]
    x = _scale(min(0.0, *ends), max(*ends, 1e-9), 0.0, WIDTH - AMOUNT_WIDTH)
    row = LABEL_HEIGHT + BAR_HEIGHT + BAR_GAP + 4
    amounts = [text(first[1]), *(("+" if step > 0 else "") + text(step) for _, step in changes), text(last[1])]
    labels = [first[0], *(label for label, _ in changes), last[0]]
    parts = []
    for i, (label, amount, (start, stop, colour)) in enumerate(zip(labels, amounts, spans, strict=True)):
        top = i * row
        left, right = sorted((x(start), x(stop)))
        parts.append(_text(0, top + 13, label, "start", "label"))
        parts.append(_text(WIDTH, top + LABEL_HEIGHT + BAR_HEIGHT - 1.5, amount, "end"))
        parts.append(_rect(left, top + LABEL_HEIGHT, max(right - left, 1.0), BAR_HEIGHT, f"s{colour}"))
        if i:
            joint = x(start if i <= len(changes) else stop)
            parts.append(_line(joint, top - BAR_GAP - 4, joint, top, "axis"))
            parts.append(_line(joint, top + LABEL_HEIGHT - 3, joint, top + LABEL_HEIGHT, "axis"))
    return _svg(parts, len(spans) * row, alt)


def curve(
    points: Sequence[tuple[float, float]],
    *,
    alt: str,
    text: Callable[[float], str],
    mark: tuple[float, float] | None = None,
    names: tuple[str, str] = ("", ""),
) -> Markup:
    """Draw a curve of shares from (0, 0) to (1, 1) against the diagonal, with one point marked.

    Parameters
    ----------
    points : pairs of shares
    alt : str
    text : function
        Writes a share.
    mark : pair of shares, optional
        The point to lead the eye to.
    names : pair of str
        What lies along and what lies up.
    """
    low, high = min(0.0, *(y for _, y in points)), max(1.0, *(y for _, y in points))
    x = _scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    y = _scale(low, high, HEIGHT - BOTTOM - 16, TOP)
    parts = _value_axis([0.0, 0.25, 0.5, 0.75, 1.0], y, text)
    parts += [_text(x(t), y(0) + 18, text(t), "middle") for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    parts.append(_line(x(0), y(0), x(1), y(1), "even"))
    path = " ".join(f"{_n(x(a))},{_n(y(b))}" for a, b in points)
    parts.append(Markup('<polygon class="area" points="{} {},{} {},{}"/>').format(
        path, _n(x(points[-1][0])), _n(y(0)), _n(x(0)), _n(y(0))
    ))  # fmt: skip
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(path))
    if mark is not None:
        parts.append(_line(x(mark[0]), y(0), x(mark[0]), y(mark[1]), "lead-line"))
        parts.append(_line(x(0), y(mark[1]), x(mark[0]), y(mark[1]), "lead-line"))
        parts.append(Markup('<circle class="mark" cx="{}" cy="{}" r="5"/>').format(_n(x(mark[0])), _n(y(mark[1]))))
        side, anchor = (-10, "end") if mark[0] > 0.8 else (10, "start")
        parts.append(_text(x(mark[0]) + side, y(mark[1]) + 20, text(mark[1]), anchor, "label"))
    parts.append(_text((x(0) + x(1)) / 2, HEIGHT - 4, names[0], "middle"))
    parts.append(_text(x(0) + 6, TOP + 9, names[1], "start"))
    return _svg(parts, HEIGHT, alt)


def falling(
    curves: Sequence[Sequence[tuple[float, float]]],
    *,
    alt: str,
    text: Callable[[float], str],
    names: tuple[str, str],
    colours: Sequence[int] = (1,),
) -> Markup:
    """Draw shares that fall from 1 in steps, until all of them are small.

    Parameters
    ----------
    curves : sequences of (where along, share), by place
    alt : str
    text : function
        Writes a share.
    names : pair of str
        What lies along and what lies up.
    colours : sequence of int
        The colour number of each curve.
    """
    small = [next((x for x, share in points if share <= LEAST_SHARE), points[-1][0]) for points in curves]
    ticks = nice_ticks(0.0, max(small))
    x = _scale(0.0, ticks[-1], LEFT, WIDTH - RIGHT)
    y = _scale(0.0, 1.0, HEIGHT - BOTTOM - 16, TOP)
    parts = _value_axis([0.0, 0.25, 0.5, 0.75, 1.0], y, text)
    parts += [_text(x(tick), y(0) + 18, short(tick), "middle") for tick in ticks]
    for number, points in zip(colours, curves, strict=True):
        steps, last = [(0.0, 1.0)], 1.0
        for at, share in points:
            if at > ticks[-1]:
                break
            steps += [(at, last), (at, share)]
            last = share
        path = " ".join(f"{_n(x(a))},{_n(y(b))}" for a, b in steps)
        parts.append(Markup('<polyline class="line l{}" points="{}"/>').format(number, path))
    parts.append(_text((x(0) + x(ticks[-1])) / 2, HEIGHT - 4, names[0], "middle"))
    parts.append(_text(WIDTH - RIGHT, TOP + 9, names[1], "end"))
    return _svg(parts, HEIGHT, alt)


def nice_ticks(low: float, high: float) -> list[float]:
    """Round values that enclose a range, three to six of them, zero included.

    >>> nice_ticks(0, 97)
    [0.0, 25.0, 50.0, 75.0, 100.0]
    >>> nice_ticks(-30, 90)
    [-50.0, 0.0, 50.0, 100.0]
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _value_axis(ticks: Sequence[float], y: Callable[[float], float], text: Callable[[float], str]) -> list[Markup]:
    lines = [_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid") for tick in ticks]
    return lines + [_text(LEFT - 8, y(tick) + 4, text(tick), "end") for tick in ticks]


def _svg(parts: Sequence[Markup], height: float, alt: str) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _n(WIDTH), _n(height), alt, Markup("").join(parts)
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        kind, _n(x), _n(y), _n(width), _n(height)
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, _n(x1), _n(y1), _n(x2), _n(y2))


def _text(x: float, y: float, words: str, anchor: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, _n(x), _n(y), anchor, escape(words)
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
