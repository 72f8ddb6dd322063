"""Studies that take minutes; each prints a table from one command."""
