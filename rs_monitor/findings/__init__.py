"""Findings: changed pixels to patches, patches to flags, flags to a proposal for a person."""
