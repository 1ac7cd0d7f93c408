"""The whole list of what torch does not support is a golden file; that each entry is true, the suites show."""

import os
from pathlib import Path

from harness import registry

GOLDEN = Path(__file__).parent / "golden" / "unsupported.txt"


def test_the_list_of_what_is_unsupported_is_the_golden_one() -> None:
    """Regenerate with LOSSPROOF_UPDATE_GOLDEN=1."""
    found = "".join(
        f"{subject.name}: {topic}: {pattern}\n"
        for subject in registry.subjects()
        if subject.twin is None
        for topic, pattern in sorted(subject.unsupported.items())
    )
    if os.environ.get("LOSSPROOF_UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
