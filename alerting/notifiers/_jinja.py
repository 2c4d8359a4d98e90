"""Jinja2, shut in, and the only file that knows it: a template picks and arranges what it is given, no more.

Three walls. Of the syntax only what `_NODES` lists is taken: no calls, no assignments, no arithmetic, no imports.
What a template sees is plain data, and a dot means a key of a mapping, never an attribute of an object. The filters
are ours, each with a bound on what it makes. Work is counted, loop by loop, and output is cut, so that a template
can neither run away nor fill memory. Jinja2's own sandbox stands behind all this as a fourth wall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, nodes, pass_context
from jinja2 import TemplateError as JinjaError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from alerting.core.lang.suggest import did_you_mean
from alerting.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jinja2 import Template
    from jinja2.runtime import Context

OUTPUT = 20_000  # characters that a template gives, or a filter makes, at most
_WORK = 200_000  # parts of a template that are evaluated in one rendering, at most; some 0.1 s
_PER_UNIT = 50  # characters that a filter handles in about the time of one part
_MARK = "…"
_BUDGET = "_budget"  # what the context holds besides the data; templates may not name what begins so
_LOOP = ("index", "first", "last")
_NODES = frozenset(
    (
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.CondExpr),
        *(nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Keyword),
        *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not),
    )
)


class Open(dict[str, str]):
    """A mapping whose keys nobody can list beforehand, as labels: one that is not there is an empty text."""


class _Environment(ImmutableSandboxedEnvironment):
    """A dot and brackets mean keys of mappings and places in lists."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Give what stands behind a dot."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Give what stands behind a key, or at a place; else Jinja2's own word for nothing."""
        if isinstance(obj, StrictUndefined):
            return obj  # it says what was missing first
        if isinstance(obj, LoopContext) and argument in _LOOP:
            return getattr(obj, argument)
        if isinstance(obj, dict):
            found = obj.get(argument)
            if found is not None or isinstance(obj, Open):
                return "" if found is None else found
        elif isinstance(obj, list | tuple) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        known = [key for key in obj if isinstance(key, str)] if isinstance(obj, dict) else _LOOP
        hint = did_you_mean(str(argument), known if isinstance(obj, dict | LoopContext) else ())
        return self.undefined(hint=f"there is no {str(argument)[:60]!r}{', ' + hint if hint else ''}")


def compiled(source: str, known: Collection[str], *, html: bool = False) -> Template:
    """Compile a template that may use the variables `known`. Raises TemplateError, with the line in the template."""
    environment = _ENVIRONMENTS[html]
    try:
        tree = environment.parse(source)
        _check(tree, frozenset(known))
        for loop in list(tree.find_all(nodes.For)):
            parts = sum(1 for _ in loop.find_all(nodes.Node))
            loop.iter = nodes.Filter(
                loop.iter, "_counted", [nodes.Const(parts)], [], None, None, lineno=loop.lineno
            ).set_environment(environment)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {str(error.message)[:200]}") from None
    except TemplateError:
        raise
    except Exception as error:  # noqa: BLE001  what is too deep or too large for Python's compiler, in many kinds
        raise TemplateError(f"cannot be read ({type(error).__name__})") from None


def render(template: Template, data: Mapping[str, Any]) -> str:
    """Give what a template makes of `data`, cut at OUTPUT characters. Raises TemplateError."""
    pieces: list[str] = []
    length = 0
    try:
        for piece in template.generate({**data, _BUDGET: _Budget()}):
            pieces.append(piece)
            length += len(piece)
            if length > OUTPUT:
                break
    except UndefinedError as error:
        raise TemplateError(str(error.message)[:200]) from None
    except TemplateError:
        raise
    except JinjaError as error:
        raise TemplateError(f"failed ({type(error).__name__})") from None
    except Exception as error:  # noqa: BLE001  a wrong type where the template did not expect it, in many kinds
        raise TemplateError(f"failed ({type(error).__name__})") from None
    return _bounded("".join(pieces))


# ------------------------------------------------------------------------------------------- what may be written


def _check(node: nodes.Node, names: frozenset[str]) -> None:
    """Refuse what is not on the lists. Raises TemplateError."""
    if type(node) not in _NODES:
        _refuse(node, f"{type(node).__name__.lower()!r} is not something that templates here may use")
    if isinstance(node, nodes.Name) and node.name not in names:
        _refuse(node, f"there is no variable {node.name!r}", did_you_mean(node.name, names))
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        _refuse(node, f"there is no filter {node.name!r}", did_you_mean(node.name, FILTERS))
    if not isinstance(node, nodes.For):
        for child in node.iter_child_nodes():
            _check(child, names)
        return
    if node.recursive:
        _refuse(node, "a loop may not call itself")
    targets: Sequence[nodes.Node] = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
    inner = set(names)
    for target in targets:
        if not isinstance(target, nodes.Name) or target.name.startswith("_") or target.name == "loop":
            raise TemplateError(f"line {node.lineno}: a loop gives plain names to what it meets")
        inner.add(target.name)
    _check(node.iter, names)
    for child in (*([node.test] if node.test is not None else ()), *node.body):
        _check(child, frozenset(inner | {"loop"}))
    for child in node.else_:
        _check(child, names)


def _refuse(node: nodes.Node, message: str, hint: str = "") -> None:
    raise TemplateError(f"line {node.lineno}: {message}{', ' + hint if hint else ''}")


# ------------------------------------------------------------------------------------------- work and filters


class _Budget:
    """How much work is left in one rendering."""

    def __init__(self) -> None:
        self._left = _WORK

    def spend(self, units: int) -> None:
        """Take off some. Raises TemplateError when nothing is left."""
        self._left -= units
        if self._left < 0:
            raise TemplateError("it goes on for too long")


@pass_context
def _counted(context: Context, items: Iterable[Any], parts: int) -> Iterable[Any]:
    """Go through a loop's items; each costs as much as the loop has parts."""
    budget = context[_BUDGET]
    for item in items:
        budget.spend(parts)
        yield item


def _shown(value: Any) -> Any:
    """Let texts, numbers and truths into the output. Raises TemplateError for anything that has parts."""
    if isinstance(value, str | int | float | StrictUndefined):
        return value
    raise TemplateError("a list or mapping cannot be put out whole: loop over it, or pick a key")


def _bounded(text: str) -> str:
    return text if len(text) <= OUTPUT else text[: OUTPUT - len(_MARK)] + _MARK


def _text(context: Context, value: Any) -> str:
    """Give a filter's operand as a text, within bounds and paid for."""
    text = _bounded(str(value))
    context[_BUDGET].spend(1 + len(text) // _PER_UNIT)
    return text


@pass_context
def _upper(context: Context, value: Any) -> str:
    return _text(context, value).upper()


@pass_context
def _lower(context: Context, value: Any) -> str:
    return _text(context, value).lower()


@pass_context
def _capitalize(context: Context, value: Any) -> str:
    return _text(context, value).capitalize()


@pass_context
def _trim(context: Context, value: Any) -> str:
    return _text(context, value).strip()


@pass_context
def _urlencode(context: Context, value: Any) -> str:
    return quote(_text(context, value), safe="", errors="replace")


@pass_context
def _truncate(context: Context, value: Any, length: int = 255) -> str:
    text = _text(context, value)
    return text if len(text) <= length else text[: max(0, length - len(_MARK))] + _MARK


@pass_context
def _replace(context: Context, value: Any, old: str, new: str) -> str:
    text, old, new = _text(context, value), _text(context, old), _text(context, new)
    return _bounded(text.replace(old, new, OUTPUT // (len(new) + 1) + 1))


@pass_context
def _join(context: Context, items: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    """Join texts, or one key of each mapping; named as Jinja2 names its own filter's arguments."""
    taken: list[str] = []
    length = 0
    for item in items:
        picked = item if attribute is None else context.environment.getitem(item, attribute)
        taken.append(_text(context, picked))
        length += len(taken[-1]) + len(d)
        if length > OUTPUT:
            break
    return _bounded(_text(context, d).join(taken))


def _default(value: Any, other: Any = "") -> Any:
    """Put something in the place of what is empty; what does not exist at all stays an error."""
    return value or other


def _items(value: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    return list(value.items())


def _first(items: Sequence[Any]) -> Any:
    return items[0] if items else ""


def _last(items: Sequence[Any]) -> Any:
    return items[-1] if items else ""


FILTERS: Mapping[str, Any] = {
    "capitalize": _capitalize,
    "default": _default,
    "first": _first,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": len,
    "lower": _lower,
    "replace": _replace,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _upper,
    "urlencode": _urlencode,
}


def _environment(*, html: bool) -> _Environment:
    made = _Environment(
        undefined=StrictUndefined,
        autoescape=html,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        cache_size=0,
    )
    made.filters = {**FILTERS, "_counted": _counted}
    made.tests = {}
    made.globals = {}
    return made


_ENVIRONMENTS = {html: _environment(html=html) for html in (False, True)}
