#!/usr/bin/env python3
"""Runs the commands of the folder commands/: `python manage.py help` lists them."""

import sys

from commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
