"""Go templates, read: tokens into a tree. The grammar is that of text/template.

Names are checked here: an unknown function or variable is an error with its place. What the values are is
known only when the template runs. Source: https://pkg.go.dev/text/template::

    template = { text | "{{" action "}}" }         `{{- ` and ` -}}` also take the blanks beside them
    action   = ( "if" | "with" ) pipe | "range" pipe | "else" [ ( "if" | "with" ) pipe ] | "end" | pipe
             | "break" | "continue" | "define" string | "template" string [ pipe ] | "block" string pipe
    pipe     = [ $x [ "," $y ] ( ":=" | "=" ) ] command { "|" command }
    command  = operand { operand }                 what a command gives is the last argument of the next
    operand  = literal | function | "." | ( $x | "(" pipe ")" | .field ) { .field }
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from alerting.core.gotemplate.tokens import Token, tokens_of, wrong

if TYPE_CHECKING:
    from collections.abc import Collection

    from alerting.errors import ConditionError

MAX_TEXT: Final = 64 * 1024  # characters of one template
MAX_DEPTH: Final = 50  # levels of blocks and parentheses


# ------------------------------------------------------------------------------------------- tree


class Literal(NamedTuple):
    """A text, a number, true, false or nil."""

    value: Any


class Dot(NamedTuple):
    """`.` or `.a.b`: the value in focus, and fields of it."""

    fields: tuple[str, ...] = ()


class Variable(NamedTuple):
    """`$x.a.b`; name "" is `$`, the data that the template was given."""

    name: str
    fields: tuple[str, ...] = ()


class Function(NamedTuple):
    """A function's name."""

    name: str


class Chain(NamedTuple):
    """`(pipe).a.b`."""

    pipe: Pipe
    fields: tuple[str, ...] = ()


Operand: TypeAlias = Literal | Dot | Variable | Function | Chain
Command: TypeAlias = tuple[Operand, ...]


class Pipe(NamedTuple):
    """Commands from left to right, and the variables that take the result."""

    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()
    declares: bool = False  # `:=` rather than `=`
    at: int = 0  # where it stands, for messages


class Plain(NamedTuple):
    """Text that goes out as it stands."""

    text: str


class Output(NamedTuple):
    """`{{ pipe }}`."""

    pipe: Pipe


class Block(NamedTuple):
    """`if`, `with` or `range`, with both branches."""

    keyword: str
    pipe: Pipe
    body: Nodes
    otherwise: Nodes


class Include(NamedTuple):
    """`{{ template "name" pipe }}`."""

    name: str
    pipe: Pipe | None
    at: int


class Jump(NamedTuple):
    """`{{ break }}` or `{{ continue }}`."""

    keyword: str


TemplateNode: TypeAlias = Plain | Output | Block | Include | Jump
Nodes: TypeAlias = tuple[TemplateNode, ...]


class Tree(NamedTuple):
    """A template and those that it defines."""

    nodes: Nodes
    defined: dict[str, Nodes]


# ------------------------------------------------------------------------------------------- parser


def parse_template(text: str, functions: Collection[str], variables: Collection[str]) -> Tree:
    """Read a template that may use these functions and these variables (without `$`).

    Raises ConditionError with the place of what is wrong.
    """
    if len(text) > MAX_TEXT:
        raise wrong(f"a template longer than {MAX_TEXT:,} characters", 0, len(text))
    parser = _Parser(tokens_of(text), functions, ["", *variables])
    nodes, _ = parser.nodes(until=())
    parser.check_includes()
    return Tree(nodes, parser.defined)


class _Parser:
    """Recursive descent over the tokens; each method reads what its name says."""

    def __init__(self, tokens: list[Token], functions: Collection[str], variables: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.functions = functions
        self.variables = variables
        self.defined: dict[str, Nodes] = {}
        self.included: list[Include] = []
        self.depth = 0
        self.loops = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, kind: str, value: str | None = None) -> Token | None:
        token = self.next
        if token.kind != kind or (value is not None and token.value != value):
            return None
        self.at += 1
        return token

    def expect(self, kind: str, what: str) -> Token:
        token = self.take(kind)
        if token is None:
            raise wrong(f"{what} was expected", self.next.start, self.next.end)
        return token

    def nodes(self, until: tuple[str, ...]) -> tuple[Nodes, str]:
        """Read up to one of the keywords `until` (or the end of the text); give also which one it was."""
        out: list[TemplateNode] = []
        opened = self.next
        while True:
            plain = self.take("text")
            if plain is not None:
                if plain.value:
                    out.append(Plain(plain.value))
                continue
            if self.take("end"):
                if until:
                    raise wrong("{{ end }} is missing for the block before this place", opened.start, opened.end)
                return tuple(out), ""
            opening = self.expect("open", "an action")
            keyword = self.take("keyword")
            if keyword is not None and keyword.value in ("end", "else"):
                if keyword.value not in until:
                    raise wrong(f"{{{{ {keyword.value} }}}} without a block", opening.start, keyword.end)
                return tuple(out), keyword.value
            out.extend(self.action(keyword) if keyword is not None else (self.output(),))

    def output(self) -> TemplateNode:
        pipe = self.pipe("}}")
        self.expect("close", "}}")
        return Output(pipe)

    def action(self, keyword: Token) -> Nodes:
        word = keyword.value
        if word in ("if", "with", "range"):
            return (self.block(keyword),)
        if word in ("break", "continue"):
            if not self.loops:
                raise wrong(f"{word} outside range", keyword.start, keyword.end)
            self.expect("close", "}}")
            return (Jump(word),)
        name = self.expect("string", "the template's name in quotes").value
        if word == "template":
            pipe = None if self.next.kind == "close" else self.pipe("}}")
            self.expect("close", "}}")
            self.included.append(Include(name, pipe, keyword.start))
            return (self.included[-1],)
        pipe = self.pipe("}}") if word == "block" else None
        self.expect("close", "}}")
        self.define(name, keyword)
        return (Include(name, pipe, keyword.start),) if word == "block" else ()

    def define(self, name: str, keyword: Token) -> None:
        """Read the body of a template that stands by itself: it sees no variable but `$`."""
        outer, loops, self.variables, self.loops = self.variables, self.loops, [""], 0
        self.deeper(keyword)
        self.defined[name], _ = self.nodes(("end",))
        self.expect("close", "}}")
        self.depth -= 1
        self.variables, self.loops = outer, loops

    def block(self, keyword: Token) -> Block:
        """Read `if`, `with` or `range` up to its `end`; variables declared inside end there."""
        self.deeper(keyword)
        mark = len(self.variables)
        pipe = self.pipe("}}", ranges=keyword.value == "range")
        self.expect("close", "}}")
        self.loops += keyword.value == "range"
        body, ended = self.nodes(("else", "end"))
        self.loops -= keyword.value == "range"
        otherwise: Nodes = ()
        chained = self.take("keyword") if ended == "else" else None
        if chained is not None:
            if chained.value not in ("if", "with") or keyword.value == "range":
                raise wrong("}} was expected", chained.start, chained.end)
            otherwise = (self.block(chained),)
        else:
            self.expect("close", "}}")
            if ended == "else":
                otherwise, _ = self.nodes(("end",))
                self.expect("close", "}}")
        del self.variables[mark:]
        self.depth -= 1
        return Block(keyword.value, pipe, body, otherwise)

    def deeper(self, token: Token) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise wrong(f"nested deeper than {MAX_DEPTH} levels", token.start, token.end)

    def pipe(self, closing: str, *, ranges: bool = False) -> Pipe:
        start = self.next
        names, declares = self.assigned(ranges=ranges)
        commands = [self.command(closing, first=True)]
        while self.take("|"):
            commands.append(self.command(closing, first=False))
        if declares:  # visible only behind its own pipe
            self.variables.extend(names)
        return Pipe(tuple(commands), names, declares, start.start)

    def assigned(self, *, ranges: bool) -> tuple[tuple[str, ...], bool]:
        """Read `$x :=`, `$x =` and, in a range, `$i, $x :=`."""
        mark = self.at
        names: list[Token] = []
        while (variable := self.take("variable")) is not None:
            names.append(variable)
            if not (ranges and len(names) == 1 and self.take(",")):
                break
        declares = self.take(":=") is not None
        if not names or not (declares or self.take("=")):
            self.at = mark
            return (), False
        for name in names:
            if not declares and name.value not in self.variables:
                raise self.undefined(name)
        return tuple(name.value for name in names), declares

    def undefined(self, token: Token) -> ConditionError:
        known = ", ".join(f"${name}" for name in self.variables if name)
        return wrong(
            f"the variable ${token.value} is not defined", token.start, token.end, f"defined here: {known or 'only $'}"
        )

    def command(self, closing: str, *, first: bool) -> Command:
        operands: list[Operand] = []
        start = self.next
        while (operand := self.operand()) is not None:
            operands.append(operand)
            if self.next.kind not in ("|", ")", "close") and not self.next.spaced:
                raise wrong("a space was expected", self.next.start, self.next.end)
        if not operands:
            raise wrong("a value was expected", start.start, start.end)
        if self.next.kind not in ("|", ")" if closing == ")" else "close"):
            raise wrong(f"a value, | or {closing} was expected", self.next.start, self.next.end)
        literal = isinstance(operands[0], Literal)
        if literal and (len(operands) > 1 or not first):
            raise wrong(
                "a literal takes no arguments", start.start, start.end, "a function stands before its arguments"
            )
        return tuple(operands)

    def operand(self) -> Operand | None:
        token = self.next
        self.at += 1
        if token.kind in ("string", "number", "constant"):
            return Literal(token.value)
        if token.kind == ".":
            return Dot()
        if token.kind == "field":
            return Dot((token.value, *self.fields()))
        if token.kind == "variable":
            if token.value not in self.variables:
                raise self.undefined(token)
            return Variable(token.value, self.fields())
        if token.kind == "word":
            if token.value not in self.functions:
                raise wrong(f"there is no function {token.value}", token.start, token.end)
            return Function(token.value)
        if token.kind == "(":
            self.deeper(token)
            pipe = self.pipe(")")
            self.expect(")", ")")
            self.depth -= 1
            return Chain(pipe, self.fields())
        self.at -= 1
        return None

    def fields(self) -> tuple[str, ...]:
        out: list[str] = []
        while self.next.kind == "field" and not self.next.spaced:
            out.append(self.next.value)
            self.at += 1
        return tuple(out)

    def check_includes(self) -> None:
        for each in self.included:
            if each.name not in self.defined:
                raise wrong(f'the template "{each.name}" is not defined here', each.at, each.at + len("template"))
