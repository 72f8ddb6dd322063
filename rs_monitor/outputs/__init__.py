"""The run folder and everything written into it.

Files are written beside their final name and renamed; the coordinator alone writes the manifest
and the log; SHA256SUMS comes last, so a folder that has it and says ``finished`` is whole.
"""
