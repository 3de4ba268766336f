"""`python -m edge` is `maskgate`."""

from edge.cli import main

main()
