"""Pieces of the HTML pages. They hold everything they need: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["bullets", "document", "escape", "note", "section", "table", "text_of", "warning"]


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page with the style of this package's reports."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
        '<meta name=viewport content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A titled section; empty where all its parts are."""
    content = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>" if content else ""


def note(text: str) -> str:
    return f"<p class=note>{escape(text)}</p>" if text else ""


def warning(text: str) -> str:
    return f"<p class=warning>{escape(text)}</p>"


def bullets(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def table(rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Rows of plain text, the first being the head."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows[1:])
    return (
        f'<div class=scroll><table class="{kind}"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
    )


def text_of(value: Any) -> str:
    """A value of `about` as a reader wants it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {text_of(item)}" for key, item in value.items())
    return ", ".join(map(text_of, value)) if isinstance(value, list) else "-" if value is None else str(value)
