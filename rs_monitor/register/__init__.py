"""The register: patches, findings and decisions across runs."""
