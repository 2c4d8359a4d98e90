"""The house keeps its shape: who may import whom, what stays out of the core, what a cold start loads."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import alerting
from alerting import registry

ROOT = Path(alerting.__file__).parent
REPOSITORY = ROOT.parent

# From the top of the house to its foundation. A module may import modules of lower layers, and of its own layer only
# where `inside` says so.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("alerting.__main__",),
    ("alerting.cli",),
    ("alerting.daemon", "alerting.web"),
    ("alerting.control", "alerting.interaction"),
    ("alerting.wiring",),
    ("alerting.selfwatch.vitals",),
    (
        "alerting.engine",
        "alerting.outbox",
        "alerting.casework",
        "alerting.selfwatch.heartbeat",
        "alerting.selfwatch.canary",
        "alerting.rotation",
    ),
    ("alerting.setup", "alerting.report", "alerting.amendments", "alerting.attempt", "alerting.returns"),
    (
        "alerting.config",
        "alerting.sources",
        "alerting.notifiers",
        "alerting.secrets",
        "alerting.store",
        "alerting.selfwatch.faults",
    ),
    ("alerting.net.endpoint",),
    (
        "alerting.intake",
        "alerting.lane",
        "alerting.net.http",
        "alerting.exposition",
        "alerting.fields",
        "alerting.patterns",
        "alerting.clock",
        "alerting.log",
        "alerting.redact",
        "alerting.selfwatch.systemd",
        "alerting.selfwatch.ending",
        "alerting.registry",
    ),
    ("alerting.net.kept",),
    ("alerting.net.transport",),
    ("alerting.net.reach",),
    ("alerting.pool",),
    ("alerting.ports",),
    ("alerting.core",),
    ("alerting.model",),
    ("alerting.errors",),
    ("alerting", "alerting.net", "alerting.selfwatch"),  # packages whose modules stand above
)
WHOLE = (
    "alerting.cli",
    "alerting.config",
    "alerting.store",
    "alerting.core",
    "alerting.casework",
    "alerting.web",
    "alerting.ports",
    "alerting.model",
)
STANDARD = frozenset(sys.stdlib_module_names)


def modules() -> dict[str, Path]:
    """Every module of the package, by dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["alerting", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """The modules that a file names in any import, late ones and those for type checking included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "alerting" or node.module.startswith("alerting."):
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def layer(name: str) -> tuple[int, str]:
    """The layer of a module and the unit inside it that it belongs to."""
    for depth, units in enumerate(LAYERS):
        for unit in units:
            if name == unit or (unit != "alerting" and name.startswith(f"{unit}.")):
                if unit in WHOLE or name == unit:
                    return depth, unit
                return depth, name
    raise AssertionError(f"{name} belongs to no layer: say in LAYERS where it lives")


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_only_what_lies_below_it(name: str) -> None:
    """Imports run strictly downward; siblings know each other's `_private` modules at most."""
    depth, unit = layer(name)
    known = modules()
    wrong = []
    for target in imports(known[name]):
        if target not in known or target in ("alerting", name):
            continue
        their_depth, their_unit = layer(target)
        package = name.rpartition(".")[0]
        ours = target == package or target.startswith(f"{package}._")  # what only this package shares
        if their_depth < depth or (their_depth == depth and their_unit != unit and not ours):
            wrong.append(target)
    assert wrong == []


CORE_ORDER = ("render", "digest", "routing")


@pytest.mark.parametrize("name", sorted(name for name in modules() if name.startswith("alerting.core")))
def test_the_core_is_pure(name: str) -> None:
    """Only the standard library, and of it nothing that reads a clock, a file, a socket, or writes a log line."""
    roots = {target.partition(".")[0] for target in imports(modules()[name])}
    assert roots <= STANDARD | {"alerting"}
    assert roots.isdisjoint({"time", "os", "io", "socket", "logging", "pathlib", "asyncio", "threading", "random"})
    calls = re.findall(r"\b(?:open\(|print\(|datetime\.now|utcnow|today\(\))", modules()[name].read_text())
    assert calls == []


@pytest.mark.parametrize("stage", CORE_ORDER)
def test_the_stages_of_telling_know_only_earlier_ones(stage: str) -> None:
    """Within core: render may know digest, and digest routing; never the other way."""
    earlier = {f"alerting.core.telling.{other}" for other in CORE_ORDER[: CORE_ORDER.index(stage)]}
    assert imports(modules()[f"alerting.core.telling.{stage}"]).isdisjoint(earlier)


LANGUAGE = "alerting.core.lang"


@pytest.mark.parametrize("room", ["syntax", "checking", "running"])
def test_the_rooms_of_the_language_know_only_its_syntax_and_its_nouns(room: str) -> None:
    """What a condition means and how it is evaluated do not know each other; `condition` puts them together."""
    wrong = {"syntax": ("checking", "running"), "checking": ("running",), "running": ("checking",)}[room]
    above = {f"{LANGUAGE}.condition", f"{LANGUAGE}.bounds", f"{LANGUAGE}.nearest"}
    for name, path in modules().items():
        if name.startswith(f"{LANGUAGE}.{room}."):
            known = imports(path)
            assert known.isdisjoint(above), name
            assert not [each for each in known if each.startswith(tuple(f"{LANGUAGE}.{other}." for other in wrong))]


@pytest.mark.parametrize("name", sorted(name for name in modules() if not name.startswith("alerting.config")))
def test_only_config_reads_yaml_and_schemas(name: str) -> None:
    """One door for text that people write."""
    roots = {target.partition(".")[0] for target in imports(modules()[name])}
    assert roots.isdisjoint({"yaml", "jsonschema"})


def test_no_cycle_between_modules() -> None:
    """Not even one that a late import hides."""
    known = modules()
    graph = {name: {t for t in imports(path) if t in known and t != name} for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for target in graph[name]:
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        if name != "alerting":
            visit(name, ())


@pytest.mark.parametrize(
    ("package", "schema"), [("sources", "sources.schema.json"), ("notifiers", "notifiers.schema.json")]
)
def test_the_files_are_the_kinds_of_the_schema(package: str, schema: str) -> None:
    """A new kind is one file and one schema entry: neither without the other."""
    text = (REPOSITORY / "schemas" / schema).read_text()
    kinds = set(json.loads(text)["$defs"]) & set(re.findall(r'"const": "(\w+)"', text))
    assert set(registry.kinds(package)) == kinds


HEAVY = (
    "apscheduler",
    "h11",
    "httpx",
    "aiohttp",
    "slack_sdk",
    "pdpyras",
    "requests",
    "jsonschema",
    "sentry_sdk",
    "starlette",
    "uvicorn",
    "re2",
    "boto3",
    "dns",
    "jinja2",
    "smtplib",
    "apprise",
)
QUICK = {
    "--version": ("asyncio", "yaml", "sqlite3", "json", *HEAVY),
    "check": HEAVY,
}


@pytest.mark.parametrize("command", sorted(QUICK))
def test_a_quick_command_loads_nothing_that_it_does_not_need(command: str, tmp_path: Path) -> None:
    """`check` of a host rule pays for no SDK; `--version` for hardly anything."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "disk.yaml").write_text("alert: DiskSpaceLow\ncondition: disk_usage > 101%\n")
    program = "import sys, runpy; sys.argv[0] = 'alerting'\ntry:\n    from alerting.cli.main import main\n    main()\n"
    program += "except SystemExit as end:\n    code = end.code\nprint('\\nLOADED', *sorted(sys.modules))\n"
    done = subprocess.run(
        [sys.executable, "-c", program, command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    loaded = done.stdout.rpartition("LOADED")[2].split()
    assert "alerting.cli.main" in loaded, done.stderr
    assert [name for name in QUICK[command] if name in loaded] == []


FORBIDDEN = re.compile(r"\b(?:TODO|FIXME|XXX|pickle\.|eval\(|exec\(|yaml\.load\(|shell=True)")


@pytest.mark.parametrize("name", sorted(modules()))
def test_nothing_unfinished_and_nothing_that_runs_data(name: str) -> None:
    """No open ends, and no call that would turn outside text into code."""
    assert FORBIDDEN.findall(modules()[name].read_text()) == []
