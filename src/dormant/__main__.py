"""``python -m dormant``."""

from dormant.cli import main

main()
