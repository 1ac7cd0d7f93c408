"""What a survey shows of a group of entries that are wrong in the same way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness import run, survey
from harness.binding import bind
from harness.custom import custom
from harness.effort import QUICK, Effort
from harness.evaluate import settled
from harness.generate import sweep
from harness.lanes import ENOUGH, FEWEST, SINGLE_BLOCKS
from harness.registry import contract
from harness.survey import measure
from harness.ulp import FLOAT32, FLOAT64
from lossproof import validate
from lossproof.inputs import embedding
from reports import wording
from reports.load import load


def zero_for_large(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """0 both where the loss is too small for 1 + exp(-z), a weakness, and where it is large, a defect."""
    z = target * input
    value = torch.where(z < -80, 0.0 * z, torch.log(1 + torch.exp(-z)))
    return value if reduction == "none" else getattr(value, reduction)()


def test_a_defect_is_not_shown_by_a_weakness_that_looks_simpler() -> None:
    result = validate(zero_for_large, like="soft_margin_loss", dtype="float32", check="range")
    (found,) = (f for f in result.findings if f.kind == "vanished" and f.output == "value")
    assert found.severity == "defect"
    assert float.fromhex(found.want) > 80
    assert not result.ok


def twice_squashed(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """A Dice loss of the memberships once more squashed: wrong nearly everywhere."""
    p, g = torch.sigmoid(input).flatten(1), target.flatten(1)
    value = 1 - 2 * (p * g).sum(1) / (p.sum(1) + g.sum(1))
    return value if reduction == "none" else getattr(value, reduction)()


BRIEF = replace(QUICK, rows=96, plans=1, plan_rows=64, suspects=16)


@pytest.mark.parametrize(("effort", "thinned"), [(BRIEF, True), (replace(BRIEF, suspects=None), False)])
def test_what_is_wrong_nearly_everywhere_is_judged_in_part_and_that_is_said(effort: Effort, thinned: bool) -> None:
    subject = bind(twice_squashed, contract("dice_loss"))
    survey = measure(subject, FLOAT32, effort)
    assert (survey.record.left_out > survey.record.swept / 2) == thinned
    gradient = next(o for o in survey.record.outputs if o.output == "input")
    assert gradient.entries >= sum(gradient.grades.values()), "an entry that is left out is none"
    assert gradient.grades["unstable"] > 0
    assert {f.kind for f in survey.findings(lambda output, kind: output == "input")} >= {"unstable"}
    lines = [*run.declarations([subject]), survey.record]
    (section,) = load(lines).sections
    assert ("of the sweep left out" in wording.left_out(section)) == thinned


def only_reduced(input: Tensor, target: Tensor, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0) -> Tensor:
    """A Tversky loss of all members of a batch together."""
    p, g = input.flatten(), target.flatten()
    both = (p * g).sum()
    return 1 - (both + smooth) / (both + alpha * (p * (1 - g)).sum() + beta * ((1 - p) * g).sum() + smooth)


def test_a_loss_that_is_called_once_a_row_has_fewer_rows_a_block_where_it_has_many_blocks() -> None:
    subject = settled(bind(only_reduced, contract("tversky_loss")))
    assert not subject.takes_none
    blocks = sum(1 for _ in sweep(subject, FLOAT32, QUICK))
    assert blocks > 2 * SINGLE_BLOCKS
    brief = replace(QUICK, singles=96, plans=1)
    swept = measure(subject, FLOAT32, brief).record.swept
    assert swept == blocks * max(FEWEST, brief.singles * SINGLE_BLOCKS // blocks) < brief.singles * blocks


def squashed_and_reduced(input: Tensor, target: Tensor, alpha: float = 0.5, beta: float = 0.5) -> Tensor:
    """The same of memberships that are squashed once more: wrong nearly everywhere."""
    return only_reduced(torch.sigmoid(input), target, alpha, beta)


@pytest.mark.parametrize(
    ("loss", "effort", "less"),
    [
        (squashed_and_reduced, replace(QUICK, singles=96, plans=1), True),
        (squashed_and_reduced, replace(QUICK, singles=96, plans=1, suspects=None), False),
        (only_reduced, replace(QUICK, singles=96, plans=1), False),
    ],
)
def test_a_loss_that_is_wrong_everywhere_is_called_less_often_where_the_effort_is_not_exhaustive(
    loss: object, effort: Effort, less: bool
) -> None:
    subject = settled(bind(loss, contract("tversky_loss")))
    assert not subject.takes_none
    survey = measure(subject, FLOAT32, effort)
    blocks = sum(1 for _ in sweep(subject, FLOAT32, effort))
    assert (survey.record.swept < blocks * FEWEST / 2) == less
    assert survey.record.swept >= blocks * ENOUGH
    found = {(f.output, f.kind) for f in survey.findings(lambda output, kind: True) if f.severity == "defect"}
    assert found >= {(o, "unstable") for o in ("value", "input", "target")} if loss is not only_reduced else not found


def far_apart(first: Tensor, second: Tensor) -> Tensor:
    """Ties its batch together, and branches on its numbers, as torch.vmap cannot."""
    distances = torch.cdist(first, second)
    return distances.mean() if distances.max() > 1 else distances.square().mean()


def test_float64_that_is_its_own_reference_is_called_for_its_conduct_alone() -> None:
    subject = custom(far_apart, {"first": embedding("B", "D"), "second": embedding("B", "D")})
    assert subject.contract.one_by_one
    effort = replace(QUICK, plans=1)
    blocks = sum(1 for _ in sweep(subject, FLOAT64, effort))
    few, many = (measure(subject, p, effort).record.swept for p in (FLOAT64, FLOAT32))
    assert few <= blocks * ENOUGH < many


def changes_its_input(first: Tensor, second: Tensor) -> Tensor:
    second.data.clamp_(-1.0, 1.0)
    second.detach().add_(0.0)
    return far_apart(first, second)


def test_the_conduct_of_float64_is_seen_in_few_rows() -> None:
    inputs = {"first": embedding("B", "D"), "second": embedding("B", "D")}
    result = validate(changes_its_input, inputs=inputs, dtype="float64", check="value")
    assert "mutated" in {f.kind for f in result.findings}
    assert validate(far_apart, inputs=inputs, dtype="float64", check="value").ok


def shifted(input: Tensor, target: Tensor) -> Tensor:
    """A confident row loses its digits beside 1, which is a weakness; it has no defect."""
    lost = torch.logsumexp(input, 1) - input.gather(1, target[:, None])[:, 0]
    return ((lost + 1) - 1).mean()


def test_what_is_weak_everywhere_is_looked_into_like_what_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    effort = replace(QUICK, singles=96, plans=1)
    subject = settled(bind(shifted, contract("cross_entropy")))
    monkeypatch.setattr(survey, "MOSTLY", 0.0)
    measured = measure(subject, FLOAT32, effort)
    assert {f.severity for f in measured.findings(lambda output, kind: True)} == {"weakness"}
    assert measured.record.swept >= FEWEST * sum(1 for _ in sweep(subject, FLOAT32, effort))
