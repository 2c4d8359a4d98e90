"""Text to a tree and back: tokens, grammar, printer, and the series notation of rule tests."""
