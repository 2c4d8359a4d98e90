"""F67: what is installed is what was chosen: minimum versions, and for the image each package by version and hash.

What no test here can do: ask a database of advisories whether a release is known to be weak. There is none offline that
is newer than 2021; what is known to us stands in `FIXES`. The figure says so, and is missed.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.container import ROOT, stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.figures import Figure

LOCKS = ("requirements.lock", "requirements-build.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# The first release without a weakness that we know of, 2026-11-24: package, release, advisory.
FIXES = (
    ("certifi", "2024.7.4", "CVE-2024-39689"),
    ("dnspython", "2.6.1", "CVE-2023-29483"),
    ("h11", "0.16.0", "CVE-2025-43859"),
    ("httpx", "0.23.0", "CVE-2021-41945"),
    ("idna", "3.7", "CVE-2024-3651"),
    ("jinja2", "3.1.6", "CVE-2025-27516"),
    ("pillow", "11.3.0", "CVE-2025-48379"),
    ("pyyaml", "5.4", "CVE-2020-14343"),
    ("requests", "2.32.4", "CVE-2024-47081"),
    ("sentry-sdk", "2.8.0", "CVE-2024-40647"),
    ("starlette", "1.3.1", "CVE-2026-54282"),
    ("urllib3", "2.6.3", "CVE-2026-21441"),
    ("uvicorn", "0.11.7", "CVE-2020-7694"),
    ("websockets", "9.1", "CVE-2021-33880"),
)


def locked(name: str) -> Mapping[str, tuple[str, list[str]]]:
    """Each package of a lock with its version and its hashes; every line is one of those that pip reads."""
    found: dict[str, tuple[str, list[str]]] = {}
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        wanted, *hashes = line.split(" --hash=")
        requirement = Requirement(wanted.strip())
        assert requirement.url is None, "a package is asked for by its name, wherever it is kept"
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), line
        found[canonicalize_name(requirement.name)] = (pin.version, hashes)
    return found


def wanted() -> list[Requirement]:
    """What the program needs, and each of its extras."""
    project = PROJECT["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    return [Requirement(each) for each in (*project["dependencies"], *extras)]


def test_f67_each_package_of_the_image_has_its_hash(figure: Figure) -> None:
    """Those that run, and those that build the wheel."""
    packages = [entry for lock in LOCKS for entry in locked(lock).items()]
    bare = [name for name, (_, hashes) in packages if not hashes]
    figure("packages without hash", len(bare), at_most=0, n=len(packages))
    assert len(packages) > 30


def test_f67_the_image_installs_nothing_beside_its_locks(figure: Figure) -> None:
    """Each call of pip takes what has its hash, or what was built from this tree."""
    calls = [call for step in stages()[0] if step.word == "RUN" for call in step.rest.split(" && ") if "pip " in call]
    installs = [call for call in calls if " install " in call or " wheel " in call]
    bare = [call for call in installs if not ({"--require-hashes", "--no-index"} & set(call.split()))]
    deep = [call for call in installs if "--no-deps" not in call.split()]
    figure("installs that check no hash", len({*bare, *deep}), at_most=0, n=len(installs))
    assert len(installs) == 4


def test_f67_the_lock_is_of_this_project(figure: Figure) -> None:
    """Whatever the program needs is in it, in a version that it may have; apprise, which is not in the image, aside."""
    packages = locked("requirements.lock")
    named = [each for each in wanted() if each.name != "apprise"]
    wrong = [
        str(each)
        for each in named
        if not each.specifier.contains(packages.get(canonicalize_name(each.name), ("0", []))[0])
    ]
    build = [Requirement(each) for each in PROJECT["build-system"]["requires"]]
    tools = locked("requirements-build.lock")
    wrong += [str(each) for each in build if not each.specifier.contains(tools[canonicalize_name(each.name)][0])]
    figure("requirements that the locks do not meet (`make lock`)", len(wrong), at_most=0, n=len(named) + len(build))


def test_f67_nothing_may_be_older_than_it_is_known_to_be_good(figure: Figure) -> None:
    """Each requirement has a least version, which no fix that we know of is newer than; so has each locked release."""
    least = {
        canonicalize_name(each.name): [
            Version(part.version) for part in each.specifier if part.operator in (">=", "==")
        ]
        for each in wanted()
    }
    figure("requirements without a least version", sum(not each for each in least.values()), at_most=0, n=len(least))
    packages = locked("requirements.lock")
    weak = [
        f"{name} {packages[name][0]}: {why}"
        for name, fix, why in FIXES
        if name in packages and Version(packages[name][0]) < Version(fix)
    ]
    weak += [f"{name}: {why}" for name, fix, why in FIXES if any(each < Version(fix) for each in least.get(name, ()))]
    print("\n".join(weak))
    figure("releases below a fix that we know of", len(weak), at_most=0, n=len(FIXES))
    figure("databases of advisories that were asked", 0, at_least=1, aim=True)
