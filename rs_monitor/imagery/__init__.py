"""STAC search and folder index, lazy loading, masks: from a catalogue to a cube."""
