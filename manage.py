#!/usr/bin/env python3
"""Runs the commands of the folder commands/: `python manage.py help` lists them."""

import io
import sys

from commands import main

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be in no encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
