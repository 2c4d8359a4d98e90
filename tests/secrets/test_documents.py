"""What is held of secret stores: one fetch a document, nothing lost by a failure, nobody waits long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from alerting.errors import SecretError
from alerting.secrets._documents import Documents, Fetched, field

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "S3cretMarker"


class Shelf:
    """A store of the test's own: says what it is told to say, and counts who asks."""

    def __init__(self, answer: Callable[[], Fetched]) -> None:
        self.answer = answer
        self.asked: list[Fetched | None] = []

    def fetch(self, _name: str, known: Fetched | None) -> Fetched:
        """Give the answer of the moment."""
        self.asked.append(known)
        return self.answer()


def test_all_references_into_a_document_share_one_fetch() -> None:
    """However many read it, and however often."""
    shelf = Shelf(lambda: Fetched("one"))
    documents = Documents(shelf.fetch)
    assert [documents.read("a").text for _ in range(100)] == ["one"] * 100
    assert shelf.asked == [None]


def test_a_new_value_is_there_after_a_refresh_and_the_store_is_told_what_is_known() -> None:
    """So that it may answer: nothing has changed."""
    shelf = Shelf(lambda: Fetched("one", tag="1"))
    documents = Documents(shelf.fetch)
    documents.read("a")
    shelf.answer = lambda: Fetched("two", tag="2")
    documents.refresh("a")
    assert documents.read("a").text == "two"
    assert shelf.asked == [None, Fetched("one", tag="1")]


def test_a_failure_takes_nothing_away() -> None:
    """The last known good value stays, and the failure says that it does."""
    shelf = Shelf(lambda: Fetched("one"))
    documents = Documents(shelf.fetch)
    documents.read("a")
    shelf.answer = _refuse
    with pytest.raises(SecretError, match="it refuses; its last values stay in force"):
        documents.refresh("a")
    assert documents.read("a").text == "one"
    shelf.answer = lambda: Fetched("two")
    documents.refresh("a")
    assert documents.read("a").text == "two"


def test_what_was_never_had_is_asked_for_once_by_readers() -> None:
    """A store that is down delays the first reader and no other: who keeps things fresh asks again."""
    shelf = Shelf(_refuse)
    documents = Documents(shelf.fetch)
    for _ in range(20):
        with pytest.raises(SecretError, match=r"^it refuses$"):
            documents.read("a")
    assert len(shelf.asked) == 1


def test_a_store_that_hangs_is_waited_for_once_and_its_late_answer_counts() -> None:
    """The reader goes on after the deadline; the next ones at once."""
    released, asked = threading.Event(), []

    def fetch(name: str, _known: Fetched | None) -> Fetched:
        asked.append(name)
        return Fetched("late" if released.wait(10) else "never")

    documents = Documents(fetch, deadline=0.2)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(SecretError, match=r"no answer within 0\.2 s"):
            documents.read("a")
    assert 0.15 < time.monotonic() - began < 2
    with pytest.raises(SecretError, match="no answer"):
        documents.refresh("a")
    assert asked == ["a"], "a thread for each try"
    released.set()
    documents.refresh("a")
    assert documents.read("a").text == "late"


def test_who_reads_while_somebody_asks_does_not_wait() -> None:
    """Readers stand on the event loop."""
    released = threading.Event()
    documents = Documents(lambda _name, _known: Fetched("x" if released.wait(10) else ""), deadline=5)
    asking = threading.Thread(target=documents.refresh, args=("a",))
    asking.start()
    began = time.monotonic()
    with pytest.raises(SecretError, match="a is being asked; try again"):
        documents.read("a")
    assert time.monotonic() - began < 2
    released.set()
    asking.join()
    assert documents.read("a").text == "x"


def test_a_fault_of_a_library_is_named_by_its_class_alone() -> None:
    """Its text may hold the secret."""
    shelf = Shelf(lambda: Fetched(str(int(MARK))))
    with pytest.raises(SecretError) as caught:
        Documents(shelf.fetch).read("a")
    assert str(caught.value) == "the secret store could not be asked: ValueError"


def test_readers_and_refreshers_at_once_never_see_half() -> None:
    """A hundred rotations under four readers: every value read is one that the store gave, in its order."""
    number = iter(range(1_000))
    documents = Documents(lambda _name, _known: Fetched(str(next(number))))
    documents.read("a")
    seen: list[list[int]] = [[], [], [], []]
    stop = threading.Event()

    def read(into: list[int]) -> None:
        while not stop.is_set():
            into.append(int(documents.read("a").text))

    readers = [threading.Thread(target=read, args=(each,)) for each in seen]
    for reader in readers:
        reader.start()
    for _ in range(100):
        documents.refresh("a")
    stop.set()
    for reader in readers:
        reader.join()
    assert all(each == sorted(each) for each in seen)
    assert int(documents.read("a").text) == 100


FIELDS = Fetched(fields={"text": "x", "yes": True, "no": False, "null": None, "list": [MARK], "map": {"a": MARK}})


@pytest.mark.parametrize(("key", "expected"), [("text", "x"), ("yes", "true"), ("no", "false")])
def test_a_field_is_given_as_text(key: str, expected: str) -> None:
    """As JSON writes it."""
    assert field(FIELDS, key, "AWS secret a") == expected


@pytest.mark.parametrize(
    ("fetched", "key", "message"),
    [
        (FIELDS, "absent", "AWS secret a has no key absent"),
        (FIELDS, "null", "AWS secret a: what stands under null is no text"),
        (FIELDS, "list", "AWS secret a: what stands under list is no text"),
        (FIELDS, "map", "AWS secret a: what stands under map is no text"),
        (
            Fetched(MARK),
            "k",
            "AWS secret a is no JSON object, so it has no key k; refer to the whole of it, without #k",
        ),
    ],
)
def test_what_is_no_text_is_refused_without_being_shown(fetched: Fetched, key: str, message: str) -> None:
    """The message names the key, and nothing of what stands there."""
    with pytest.raises(SecretError) as caught:
        field(fetched, key, "AWS secret a")
    assert str(caught.value) == message


def _refuse() -> Fetched:
    raise SecretError("it refuses")
