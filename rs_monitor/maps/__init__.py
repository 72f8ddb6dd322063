"""Indices, seasonal features, terrain, land cover and change as maps."""
