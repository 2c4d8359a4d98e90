"""The report on the fault rows: what they are (`rows`), and docs/faults.md made from one run (`report`)."""
