"""The report on a corpus: one HTML page that holds all it needs and asks the network nothing."""

from __future__ import annotations

from lawm_data.inspection.report.page import write_report as write_report
