"""Tables in plain text."""

from collections.abc import Sequence

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row], last: Row | None = None, *, left: Sequence[int] = (0,)) -> str:
    """Columns of equal width, those in `left` flush left and the others flush right; `last` stands below a line."""
    everything = [header, *rows, *([] if last is None else [last])]
    widths = [max(len(row[i]) for row in everything) for i in range(len(header))]

    def line(row):
        cells = enumerate(zip(row, widths, strict=True))
        return "  ".join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in cells).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [line(header), rule, *map(line, rows)]
    return "\n".join(lines if last is None else [*lines, rule, line(last)])
