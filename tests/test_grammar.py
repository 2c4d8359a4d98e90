"""The command line's grammar: of one command alone it is what it is as a part of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.cli.main import parser

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

COMMANDS = sorted(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]
WORDS = (["--help"], [], ["x"], ["x", "y"], ["--config", "f"], ["--output", "json"], ["--output", "x"], ["--none"])


def said(grammar: ArgumentParser, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """What comes of reading the words: the arguments or an exit code, and what was printed."""
    end: object
    try:
        end = vars(grammar.parse_args(words))
    except SystemExit as left:
        end = left.code
    return end, *capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_alone_reads_words_as_the_whole_grammar_does(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same arguments, the same help, the same complaints."""
    for more in WORDS:
        words = [command, *more]
        assert len(parser(words)._subparsers._group_actions[0].choices) == 1  # type: ignore[union-attr,arg-type]
        assert said(parser(words), words, capsys) == said(parser(), words, capsys)


@pytest.mark.parametrize("words", [[], ["chec"], ["--help"], ["--version"], ["--none", "check"]])
def test_words_that_begin_with_no_command_are_read_by_the_whole_grammar(words: list[str]) -> None:
    """So that help and complaints name all commands."""
    assert sorted(parser(words)._subparsers._group_actions[0].choices) == COMMANDS  # type: ignore[union-attr,arg-type]
