"""What every part of the check shares: the one walk over a tree, its vocabulary, and what it has found so far."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from alerting.core.lang.syntax.printer import show
from alerting.errors import Diagnostic

if TYPE_CHECKING:
    from alerting.core.lang.checking.facts import Facts
    from alerting.core.lang.names import Found, Names
    from alerting.core.lang.tree import Node, Selector
    from alerting.errors import Span
    from alerting.model import Metric, Pattern, Patterns

_WIDEST = 48  # characters of an expression that messages show


class Checker(ABC):
    """One walk over one tree. `check` says how each node is visited; operators and calls go on through `visit`."""

    def __init__(self, names: Names, *, native: bool, text: str, patterns: Patterns | None = None) -> None:
        self.names = names
        self.native = native
        self.text = text
        self.patterns = patterns
        self.problems: list[Diagnostic] = []

    @abstractmethod
    def visit(self, node: Node) -> tuple[Node, Facts]:
        """Settle a node and all below it; give the settled node and what is known of it."""

    def error(self, message: str, span: Span, hint: str = "") -> None:
        """Note what makes the condition unusable."""
        self.problems.append(Diagnostic(message, span, hint))

    def warn(self, message: str, span: Span, hint: str = "") -> None:
        """Note what is odd."""
        self.problems.append(Diagnostic(message, span, hint, warning=True))

    def mistake(self, message: str, span: Span, hint: str = "") -> None:
        """Note what cannot be meant, but what Prometheus accepts: an error in our own form only."""
        self.problems.append(Diagnostic(message, span, hint, warning=not self.native))

    def shown(self, node: Node) -> str:
        """Give the text of an expression for a message."""
        written = self.text[node.span.start : node.span.end] or show(node)
        line = " ".join(written.split())
        return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"

    def resolve(self, node: Selector) -> Found:
        """Look a selector's name up and note what there is to say."""
        found = self.names.resolve(node, promql=not self.native)
        self.problems.extend(found.diagnostics)
        if node.matchers:
            self.matchers(node, found.metric)
        return found

    def matchers(self, node: Selector, metric: Metric | None) -> None:
        """Check a selector's matchers: patterns, labels where all of them are known, and that something is selected."""
        may = self.names.labels(metric)[1] if metric is not None else None
        everything = not node.path
        for name, op, value in node.matchers:
            if op in ("=~", "!~"):
                pattern = self.pattern(value, node.span)
                everything = everything and pattern is not None and pattern.fullmatch("") == (op == "=~")
            else:
                everything = everything and (value == "") == (op == "=")
            if may is not None and name not in may and name != "__name__":
                labels = ", ".join(sorted(may)) or "none"
                self.warn(f"{'.'.join(node.path)} has no label {name}", node.span, f"its labels: {labels}")
        if everything:
            hint = "name a metric, or say what some label must be"
            self.error("this selects every series there is", node.span, hint)

    def pattern(self, pattern: str, span: Span) -> Pattern | None:
        """Check a regular expression; None where it is bad or there is nothing to check it with."""
        if self.patterns is None:
            return None
        try:
            return self.patterns(pattern)
        except ValueError as error:
            self.error(f"the pattern {pattern!r} is not valid: {error}", span, "patterns follow RE2's syntax")
            return None
