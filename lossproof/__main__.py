"""``python -m lossproof`` is the command ``lossproof``."""

import sys
from importlib.util import find_spec

try:
    from harness.cli import main
except ModuleNotFoundError as error:
    if error.name not in {"harness", "harness.cli"}:
        raise
    found = find_spec("harness")
    place = "nowhere" if found is None else found.origin
    sys.stderr.write(f"lossproof: its package 'harness' is shadowed: expected harness/cli.py, found {place}\n")
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
