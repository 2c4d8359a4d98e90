"""The fault rows: what goes wrong in each, in a few words, and how many figures it takes to say that all is well."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One fault; `figures` is the number of targets that the row has."""

    id: str
    title: str
    figures: int


ROWS = (
    # Evaluation
    Row("F1", "A source has gaps while an alert is ok, pending or firing", 3),
    Row("F2", "A source fails, in each way that a source can", 3),
    Row("F3", "A fault of our own in an evaluation: store, expression, secret", 3),
    Row("F4", "Values that are no plain numbers", 2),
    Row("F5", "Values that flap across the threshold", 2),
    Row("F6", "A rule that suddenly has 100,000 series", 3),
    Row("F7", "Expressions and patterns that would take for ever", 2),
    Row("F8", "A rule is edited, moved, renamed or removed while it fires", 2),
    # State
    Row("F9", "Sudden death at any moment", 4),
    Row("F10", "Power cut", 3),
    Row("F11", "The state's disk is full", 4),
    Row("F12", "A sync to disk fails", 2),
    Row("F13", "Somebody else holds the state's database", 3),
    Row("F14", "The state's file is damaged", 3),
    Row("F15", "State of an older or a newer release; death during an upgrade", 2),
    Row("F16", "The state's folder is unsafe, or may not be written", 2),
    Row("F17", "Months of history", 2),
    # Delivery
    Row("F18", "A receiver is down for an hour", 4),
    Row("F19", "The message is taken and the answer lost", 3),
    Row("F20", "A receiver limits how much it takes", 3),
    Row("F21", "An answer that only looks like an acceptance", 1),
    Row("F22", "A message that is refused for good, or fails for ever", 3),
    Row("F23", "5,000 alerts within a second", 4),
    Row("F24", "One receiver takes half a minute for each message", 2),
    Row("F25", "Signals while sending and while waiting to try again", 3),
    Row("F26", "Contents beyond a receiver's limits", 2),
    Row("F27", "Fires, resolves and fires again while the receiver is down", 2),
    Row("F28", "Reminders across restarts", 2),
    Row("F29", "Silences that begin, end and expire in between", 2),
    Row("F30", "A bad network on the way", 3),
    # Scheduling and time
    Row("F31", "The wall clock steps", 4),
    Row("F32", "Daylight saving", 1),
    Row("F33", "The process sleeps for minutes", 3),
    Row("F34", "Cold start with 1,000 rules on 50 slow sources", 3),
    Row("F35", "Too little CPU", 3),
    Row("F36", "Runs from cron overlap, are killed, or are left out", 3),
    # Configuration
    Row("F37", "Files with mistakes at reload, start and check", 3),
    Row("F38", "A thousand reloads under load", 4),
    Row("F39", "Hostile YAML", 4),
    Row("F40", "Files that lead out of the rules' folder, or block", 2),
    Row("F41", "Secrets that are missing, odd, rotated, or cannot be had", 3),
    Row("F42", "Access that is configured wrongly", 1),
    # Sources
    Row("F43", "Sources that hang", 3),
    Row("F44", "Sources that send too much", 3),
    Row("F45", "Answers that arrive damaged", 2),
    Row("F46", "A source that stands still", 1),
    Row("F47", "Sentry limits, pages in circles, and is still counting", 3),
    Row("F48", "The host's own figures jump or go away", 2),
    # Scale and several nodes
    Row("F49", "The node that owns a rule dies", 4),
    Row("F50", "PostgreSQL fails under the nodes", 4),
    Row("F51", "A partition between nodes, database and receivers", 3),
    Row("F52", "A pooler in front of PostgreSQL", 1),
    Row("F53", "Nodes with different rules or releases", 3),
    Row("F54", "5,000 rules and 50,000 series", 3),
    # Security
    Row("F55", "Addresses that no app lives at", 1),
    Row("F56", "A name that changes its address between check and connection", 1),
    Row("F57", "Hostile templates", 4),
    Row("F58", "Patterns that backtrack without end", 1),
    Row("F59", "Mentions, markup and links in text from outside", 1),
    Row("F60", "Scripts in what the web pages show", 2),
    Row("F61", "Requests without the right to make them", 2),
    Row("F62", "Clients that exhaust the web server", 2),
    Row("F63", "Secrets in any output", 1),
    Row("F64", "Control characters in what is logged", 1),
    Row("F65", "A state that was tampered with", 2),
    Row("F66", "Certificates that prove nothing", 1),
    Row("F67", "Dependencies with known weaknesses", 2),
    # Watching itself
    Row("F68", "A part of the program hangs or dies", 3),
    Row("F69", "The heartbeat to a monitor elsewhere", 2),
    Row("F70", "The canary that goes the whole way", 2),
    Row("F71", "The accounts of messages, after every other row", 1),
    Row("F72", "Nobody reads the log", 2),
    Row("F73", "Out of file handles, memory or threads", 2),
)
