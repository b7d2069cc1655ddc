"""Words for values: one printable line, and shares in per cent."""

from __future__ import annotations


def line(value: str) -> str:
    """Return a text as one printable line: what breaks or hides in it becomes a blank."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())


def percent(share: float) -> str:
    """Return a share in words; some is never none, and nearly all is never all."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"
