"""Go templates in annotations and labels, as rule files for Prometheus use them.

The law: what a label or a query holds is put in, never read as a template; nothing can be reached but the
data given and the functions listed in `functions`; every template ends, within limits on steps and
on the length of every text. A template that cannot be read is a ConditionError when the rules are loaded;
one that fails later is a TemplateError, and the message goes out without it.

What a template is given: `.Labels` (`$labels`), `.Value` (`$value`), `.ExternalLabels` (`$externalLabels`),
`.ExternalURL` (`$externalURL`), and beyond Prometheus `.Why` (`$why`), the reason in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alerting.core.gotemplate.format import MAX_OUTPUT, a_type, format_value, limited
from alerting.core.gotemplate.functions import CONTEXTUAL, FUNCTIONS, PURE, SHORT_CIRCUIT, Context, field, truth
from alerting.core.gotemplate.parse import (
    Block,
    Chain,
    Dot,
    Function,
    Include,
    Literal,
    Output,
    Plain,
    Tree,
    parse_template,
)
from alerting.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerting.core.gotemplate.functions import Query
    from alerting.core.gotemplate.parse import Command, Nodes, Operand, Pipe
    from alerting.model import Patterns

MAX_STEPS: Final = 20_000  # pieces and calls of one rendering
MAX_NESTING: Final = 50  # templates that include templates
_VARIABLES: Final = {
    "labels": "Labels",
    "externalLabels": "ExternalLabels",
    "externalURL": "ExternalURL",
    "value": "Value",
    "why": "Why",
}


class TemplateData(NamedTuple):
    """What a template may say of an alert."""

    labels: Mapping[str, str]
    value: float | str
    external_labels: Mapping[str, str] = {}
    external_url: str = ""
    why: str = ""


class Template:
    """A template that was read and can be rendered."""

    __slots__ = ("_tree", "text")

    def __init__(self, text: str, tree: Tree | None) -> None:
        self.text = text
        self._tree = tree  # None: the text holds no action

    @property
    def plain(self) -> bool:
        """Tell whether the text stands for itself."""
        return self._tree is None

    def render(self, data: TemplateData, query: Query | None = None, patterns: Patterns | None = None) -> str:
        """Give the text for this alert. `query` answers `query "…"`; `patterns` serves match and reReplaceAll.

        Raises TemplateError with the reason when it cannot be done.
        """
        if self._tree is None:
            return self.text
        return _Run(self._tree, data, Context(query, patterns, data.external_url)).text()

    def rehearse(self, labels: Mapping[str, str], patterns: Patterns | None = None) -> str:
        """Render against a made-up alert; give why that fails, or "". `labels` are those that are known."""

        def query(_expression: str) -> list[tuple[Mapping[str, str], float | str]]:
            return [(made_up, 1.0)]

        made_up = _AnyLabel(labels)
        try:
            self.render(TemplateData(made_up, 1.0, made_up, "http://localhost", "it is so"), query, patterns)
        except TemplateError as error:
            return str(error)
        return ""


class _AnyLabel(dict[str, str]):
    """Labels of which every name has a value, for the rehearsal."""

    def get(self, name: str, default: str | None = "") -> str:  # type: ignore[override]
        return super().get(name) or default or name


def compile_template(text: str) -> Template:
    """Read a template. Raises ConditionError with the place of what is wrong."""
    if "{{" not in text:
        return Template(text, None)
    return Template(text, parse_template(text, FUNCTIONS, _VARIABLES))


# ------------------------------------------------------------------------------------------- running


class _Leave(Exception):  # noqa: N818  not an error: a `break` on its way to its `range`
    """`break` or `continue`."""

    def __init__(self, keyword: str) -> None:
        self.keyword = keyword


class _Run:
    """One rendering: the variables in force, what is written so far, and how many steps are left."""

    def __init__(self, tree: Tree, data: TemplateData, context: Context) -> None:
        self.tree = tree
        self.context = context
        self.root: dict[str, Any] = {
            "Labels": data.labels,
            "ExternalLabels": data.external_labels,
            "ExternalURL": data.external_url,
            "Value": data.value,
            "Why": data.why,
        }
        self.variables: list[list[Any]] = [["", self.root]]
        self.variables += [[name, self.root[key]] for name, key in _VARIABLES.items()]
        self.out: list[str] = []
        self.length = 0
        self.steps = MAX_STEPS
        self.nesting = 0

    def text(self) -> str:
        self.nodes(self.tree.nodes, self.root)
        return "".join(self.out)

    def write(self, text: str) -> None:
        self.out.append(text)
        self.length += len(text)
        if self.length > MAX_OUTPUT:
            raise TemplateError(f"the text grows over {MAX_OUTPUT:,} characters")

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise TemplateError(f"the template takes more than {MAX_STEPS:,} steps")

    def nodes(self, nodes: Nodes, dot: Any) -> None:
        for node in nodes:
            self.step()
            if isinstance(node, Plain):
                self.write(node.text)
            elif isinstance(node, Output):
                value = self.pipe(node.pipe, dot)
                if not node.pipe.names:
                    self.write("<no value>" if value is None else format_value(value))
            elif isinstance(node, Block):
                mark = len(self.variables)
                self.block(node, dot)
                del self.variables[mark:]
            elif isinstance(node, Include):
                self.include(node, dot)
            else:
                raise _Leave(node.keyword)

    def block(self, node: Block, dot: Any) -> None:
        if node.keyword == "range":
            self.range(node, dot)
            return
        value = self.pipe(node.pipe, dot)
        if truth(value):
            self.nodes(node.body, value if node.keyword == "with" else dot)
        else:
            self.nodes(node.otherwise, dot)

    def range(self, node: Block, dot: Any) -> None:
        value = self.pipe(node.pipe, dot, assign=False)
        mark = len(self.variables)
        empty = True
        for key, each in _items(value):
            empty = False
            self.step()
            self.bind(node.pipe, key, each)
            try:
                self.nodes(node.body, each)
            except _Leave as leave:
                if leave.keyword == "break":
                    break
            finally:
                del self.variables[mark:]
        if empty:
            self.nodes(node.otherwise, dot)

    def bind(self, pipe: Pipe, key: Any, value: Any) -> None:
        """Set the variables of a range: `$x` the element, `$i, $x` key and element."""
        values = (value,) if len(pipe.names) == 1 else (key, value)
        for name, each in zip(pipe.names, values, strict=False):
            self.set(name, each, declares=pipe.declares)

    def include(self, node: Include, dot: Any) -> None:
        """Run another template; it sees no variables but `$`, its own data."""
        data = self.pipe(node.pipe, dot) if node.pipe is not None else None
        outer, self.variables = self.variables, [["", data]]
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise TemplateError(f"templates include each other deeper than {MAX_NESTING} levels")
        self.nodes(self.tree.defined[node.name], data)
        self.nesting -= 1
        self.variables = outer

    def set(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self.variables.append([name, value])
            return
        self.variable(name)[1] = value

    def variable(self, name: str) -> list[Any]:
        return next(each for each in reversed(self.variables) if each[0] == name)

    def pipe(self, pipe: Pipe, dot: Any, *, assign: bool = True) -> Any:
        """Run the commands; each takes what the one before gave as its last argument."""
        piped: tuple[Any, ...] = ()
        for command in pipe.commands:
            piped = (self.command(command, dot, piped),)
        if assign:
            for name in pipe.names:
                self.set(name, piped[0], declares=pipe.declares)
        return piped[0]

    def command(self, command: Command, dot: Any, piped: tuple[Any, ...]) -> Any:
        self.step()
        head = command[0]
        if not isinstance(head, Function):
            if len(command) > 1 or piped:
                raise TemplateError(f"{_written(head)} is no function and takes no arguments")
            return self.operand(head, dot)
        if head.name in SHORT_CIRCUIT:
            return self.decide(head.name, command[1:], dot, piped)
        arguments = [*(self.operand(each, dot) for each in command[1:]), *piped]
        return self.call(head.name, arguments)

    def decide(self, name: str, operands: tuple[Operand, ...], dot: Any, piped: tuple[Any, ...]) -> Any:
        """`and` gives the first that is false, `or` the first that is true, else the last."""
        value = None
        if not operands and not piped:
            raise TemplateError(f"{name} needs a value")
        for operand in operands:
            value = self.operand(operand, dot)
            if truth(value) is (name == "or"):
                return value
        return piped[0] if piped else value

    def call(self, name: str, arguments: list[Any]) -> Any:
        """Call a function. Whatever it raises, and arguments that it does not take, are a TemplateError."""
        function = PURE.get(name)
        if function is None:
            function, arguments = CONTEXTUAL[name], [self.context, *arguments]
        try:
            value = function(*arguments)
        except TypeError:
            raise TemplateError(f"{name} does not take these arguments") from None
        except TemplateError as error:
            raise TemplateError(f"{name}: {error}") from None
        return limited(value) if isinstance(value, str) else value

    def operand(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Function):
            return self.command((operand,), dot, ())
        if isinstance(operand, Dot):
            value = dot
        elif isinstance(operand, Chain):
            value = self.pipe(operand.pipe, dot)
        else:
            value = self.variable(operand.name)[1]
        for name in operand.fields:
            if value is self.root and name not in self.root:
                raise TemplateError(f"there is no .{name}; a template has {', '.join(f'.{key}' for key in self.root)}")
            value = field(value, name)
        return value


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give key and element of all that `range` goes over, maps in the order of their keys."""
    if isinstance(value, Mapping):
        return iter(sorted(value.items()))
    if isinstance(value, list):
        return enumerate(value)
    if value is None:
        return iter(())
    raise TemplateError(f"range cannot go over {a_type(value)}")


def _written(operand: Operand) -> str:
    """Write an operand for a message."""
    if isinstance(operand, Literal):
        return format_value(operand.value)
    if isinstance(operand, Dot):
        return "." + ".".join(operand.fields)
    if isinstance(operand, Chain):
        return "what stands in parentheses"
    return ".".join((f"${operand.name}", *operand.fields)) if not isinstance(operand, Function) else operand.name
