"""`python -m nnjit` is the command `nnjit`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
