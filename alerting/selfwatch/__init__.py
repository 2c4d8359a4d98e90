"""The watcher watched: how the daemon itself is, and who hears of it."""
