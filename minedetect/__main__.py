"""`python -m minedetect` is the command line."""

from minedetect.cli import main

main()
