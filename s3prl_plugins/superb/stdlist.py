"""QbE's prediction file, `benchmark.stdlist.xml`, as s3prl writes it and the leaderboard takes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["DETECTED", "rounded", "write_stdlist"]

DETECTED = 2.0
"""Scores above it are marked as found: two standard deviations above a query's mean."""

_HEAD = """\
<stdlist termlist_filename="benchmark.stdlist.xml" indexing_time="1.00" language="english" index_size="1" system_id="benchmark">
"""


def rounded(score: float) -> float:
    """A score as the file has it, to four decimals: what QUESST's script reads."""
    return float(f"{score:.4f}")


def write_stdlist(path: Path, detections: Mapping[str, Mapping[str, float]]) -> Path:
    """Write query -> document -> score; the same bytes as s3prl's quesst14_dtw for the same scores in the same order."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        for query, found in detections.items():
            name = escape(query, {'"': "&quot;"})
            file.write(f'  <detected_termlist termid="{name}" term_search_time="1.0" oov_term_count="1">\n')
            for document, score in found.items():
                decision = "YES" if score > DETECTED else "NO"
                file.write(
                    f'    <term file="{escape(document, {chr(34): "&quot;"})}" channel="1" tbeg="0.000" dur="0.00" '
                    f'score="{score:.4f}" decision="{decision}"/>\n'
                )
            file.write("  </detected_termlist>\n")
        file.write("</stdlist>\n")
    part.replace(path)
    return path
