"""Words for values: one printable line, and shares in per cent."""

from __future__ import annotations


def line(value: str) -> str:
    """Return a text as one printable line: line breaks and signs that cannot be printed become blanks."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())


def percent(share: float) -> str:
    """Return a share in per cent; what is not quite none or all is not rounded to 0 or 100."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"
