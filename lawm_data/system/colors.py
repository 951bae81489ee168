"""Colors of figures and pages."""

from __future__ import annotations

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#718096"
SERIES = (
    *(BLUE, "#c05621", "#2f855a", "#805ad5", "#b7791f", "#c53030"),
    *("#319795", GREY, "#d53f8c", "#744210", "#1a365d", "#68d391"),
    *("#ecc94b", "#9f7aea", "#63b3ed", "#f687b3"),
)
"""Of lines that have an order and no meaning."""
STATE_COLORS = {
    "observed": BLUE,
    "withheld": "#b9c0c9",
    "missing": "#e0cfc4",
    "inferred": ORANGE,
}
"""Of the label states, by their names."""
