"""Authority vectors: layer schemas and readers, land-code systems, official area."""
