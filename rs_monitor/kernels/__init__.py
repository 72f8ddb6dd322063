"""Arrays in, arrays out: one formula once, with its source and its test."""
