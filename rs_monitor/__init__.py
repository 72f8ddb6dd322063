"""Watch consolidated land from space and check measured new arable land."""

__version__ = "0.1.0"
