"""Charts as SVG that can be read on a light page and on a dark one."""

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 78, 176, 58, 48
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-size: 14px; font-weight: 600 }
  .grid { stroke: #d0d7de } .axis { stroke: #57606a } .bound { stroke: #57606a; stroke-dasharray: 5 4 }
  .line { fill: none; stroke-width: 2 }
  .a { stroke: #0969da; fill: #0969da } .b { stroke: #bc4c00; fill: #bc4c00 } .c { stroke: #1a7f37; fill: #1a7f37 }
  .d { stroke: #8250df; fill: #8250df } .e { stroke: #9a6700; fill: #9a6700 } .f { stroke: #57606a; fill: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .grid { stroke: #30363d } .axis, .bound { stroke: #8b949e }
    .a { stroke: #58a6ff; fill: #58a6ff } .b { stroke: #f0883e; fill: #f0883e } .c { stroke: #3fb950; fill: #3fb950 }
    .d { stroke: #bc8cff; fill: #bc8cff } .e { stroke: #d29922; fill: #d29922 } .f { stroke: #8b949e; fill: #8b949e }
  }
  .line { fill: none } text[class] { stroke: none }
"""


def _number(value):
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _ticks(low, high):
    """Powers of ten from one to the other."""
    found = []
    at = low
    while at <= high * 1.0001:
        found.append(at)
        at *= 10
    return found


def _frame(title, about):
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{about}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="22">{title}</text>',
    ]


def lines(title, about, x_name, y_name, x_ends, y_ends, series, bounds=()):
    """Curves over two scales of powers of ten. A series is (name, [(x, y)]), a bound (name, y)."""
    from math import log10

    def x_at(x):
        return LEFT + (log10(x) - log10(x_ends[0])) / log10(x_ends[1] / x_ends[0]) * (WIDTH - LEFT - RIGHT)

    def y_at(y):
        y = min(max(y, y_ends[0]), y_ends[1])
        return HEIGHT - BOTTOM - log10(y / y_ends[0]) / log10(y_ends[1] / y_ends[0]) * (HEIGHT - TOP - BOTTOM)

    out = _frame(title, about)
    for y in _ticks(*y_ends):
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_at(y):.1f}" y2="{y_at(y):.1f}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y_at(y) + 4:.1f}" text-anchor="end">{_number(y)}</text>')
    for x in _ticks(*x_ends):
        out.append(f'<text x="{x_at(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_number(x)}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{x_name}</text>')
    out.append(f'<text x="{LEFT - 60}" y="{TOP - 16}">{y_name}</text>')
    labels = []
    for name, y in bounds:
        out.append(f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_at(y):.1f}" y2="{y_at(y):.1f}"/>')
        labels.append([y_at(y) + 4, "", name])
    for (name, points), letter in zip(series, "abcdef"):
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in points)
        out.append(f'<polyline class="line {letter}" points="{path}"/>')
        labels.append([y_at(points[-1][1]) + 4, letter, name])
    # A name stands beside its end; those that would touch move down.
    labels.sort()
    for at in range(1, len(labels)):
        labels[at][0] = max(labels[at][0], labels[at - 1][0] + 15)
    over = max(0.0, labels[-1][0] - (HEIGHT - BOTTOM + 10))
    for y, letter, name in labels:
        out.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y - over:.1f}" class="{letter}">{name}</text>')
    return "\n".join([*out, "</svg>", ""])


def bars(title, about, unit, rows, parts):
    """Bars in pieces. A row is (name, [pieces]); `parts` names the pieces."""
    out = _frame(title, about)
    most = max(sum(pieces) for _, pieces in rows)
    step = (HEIGHT - TOP - BOTTOM) / len(rows)
    left, right = 190, 90
    for at, (name, pieces) in enumerate(rows):
        y = TOP + at * step + 4
        out.append(f'<text x="{left - 8}" y="{y + step / 2:.1f}" text-anchor="end">{name}</text>')
        x = left
        for piece, letter in zip(pieces, "abcdef"):
            width = piece / most * (WIDTH - left - right)
            out.append(f'<rect class="{letter}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{step - 12:.1f}"/>')
            x += width
        out.append(f'<text x="{x + 6:.1f}" y="{y + step / 2:.1f}">{sum(pieces):,.0f} {unit}</text>')
    x = left
    for name, letter in zip(parts, "abcdef"):
        out.append(f'<rect class="{letter}" x="{x}" y="{HEIGHT - 28}" width="11" height="11"/>')
        out.append(f'<text x="{x + 16}" y="{HEIGHT - 18}">{name}</text>')
        x += 34 + 7 * len(name)
    return "\n".join([*out, "</svg>", ""])
