"""`python -m alerting` is `alerting`."""

from alerting.cli.main import main

main()
