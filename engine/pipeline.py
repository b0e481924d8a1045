"""report_case: one case in, one checked report out."""
