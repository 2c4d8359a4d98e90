"""The way to other machines: HTTP within bounds, and which addresses may be connected to."""
