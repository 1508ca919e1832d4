"""What a reader wants to see of a run: tables and a page."""
