"""The desk: evidence views of a run; nothing here decides."""
