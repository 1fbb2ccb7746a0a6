"""Reports: what Runs measured, as tables, figures and one HTML page."""
