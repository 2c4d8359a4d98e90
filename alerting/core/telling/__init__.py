"""Who hears of what, when, and in which words: from changes of alerts to messages that are owed."""
