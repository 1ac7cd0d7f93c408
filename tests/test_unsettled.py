"""What the suites leave out is recorded as not run, and judged where it is asked for by name."""

import dataclasses

from harness import registry
from harness.plan import not_run


def test_a_subject_that_is_left_out_is_a_not_run_record() -> None:
    subject = dataclasses.replace(registry.subjects()[0], unsettled="its ledger is open")
    (record,) = not_run(["cpu"], [subject])
    assert record.what == subject.name
    assert record.reason == "its ledger is open"


def test_nothing_is_left_out_now() -> None:
    assert [s.name for s in registry.subjects() if s.unsettled] == []
