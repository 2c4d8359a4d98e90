"""The command line's grammar: of one command alone it is what it is as a part of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alerting.cli.main import parser, read

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

COMMANDS = sorted(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]
WORDS = (["--help"], [], ["x"], ["x", "y"], ["--config", "f"], ["--output", "json"], ["--output", "x"], ["--none"])


def said(grammar: ArgumentParser, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """What comes of reading the words: the arguments or an exit code, and what was printed."""
    end: object
    try:
        end = {name: value for name, value in vars(grammar.parse_args(words)).items() if name != "grammar"}
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


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        ("statsu", "alerting: error: there is no command 'statsu', did you mean status?"),
        ("frobnicate", "alerting: error: there is no command 'frobnicate', `alerting --help` lists them"),
        ("-c other.yaml check", "alerting: error: -c goes behind the command: alerting check -c …"),
        ("check --dryrun", "alerting check: error: unrecognized arguments: --dryrun, did you mean --dry-run?"),
        ("check rule.yaml", "alerting check: error: unrecognized arguments: rule.yaml"),
        (
            "silence add A --form 1h",
            "alerting silence add: error: unrecognized arguments: --form 1h, did you mean --for or --from?",
        ),
    ],
)
def test_a_mistyped_line_is_answered_by_what_it_probably_meant(
    words: str, said_of_it: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the usage of the command that was meant, and exit code 2."""
    with pytest.raises(SystemExit) as left:
        read(words.split())
    assert left.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == said_of_it


def test_no_word_at_all_is_answered_by_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error and with code 2, as a script that lost its words should notice."""
    with pytest.raises(SystemExit) as left:
        read([])
    out, err = capsys.readouterr()
    assert (left.value.code, out, "evaluate once, send what is due" in err) == (2, "", True)
