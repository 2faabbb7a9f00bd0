"""``python -m dualib``: the command line of `dualib.cli`."""

import sys

from dualib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
