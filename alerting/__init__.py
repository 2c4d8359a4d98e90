"""Alert rules as code, and messages people can trust."""

__version__ = "0.1.0"
