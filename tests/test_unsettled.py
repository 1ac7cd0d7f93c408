"""What the suites leave out is recorded as not run, and judged where it is asked for by name."""

import dataclasses

from harness import registry
from harness.plan import not_run


def test_a_subject_that_is_left_out_is_a_not_run_record() -> None:
    subject = dataclasses.replace(registry.subjects()[0], unsettled="its ledger is open")
    (record,) = not_run(["cpu"], [subject])
    assert record.what == subject.name
    assert record.reason == "its ledger is open"


def test_only_the_triplets_with_a_distance_are_left_out() -> None:
    """The list may shrink: when it does, shorten it here and in the changelog."""
    left_out = {s.contract.name.split("_loss")[0] for s in registry.subjects() if s.unsettled}
    assert left_out <= {"triplet_margin_with_distance"}
