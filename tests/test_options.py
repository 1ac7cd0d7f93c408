"""What the options of a loss and its own code hold the parameters of a Contract to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor

from harness import records, registry
from harness.api import Result, UsageError, subject_for
from harness.cli import main
from lossproof import validate

CHECKS: dict[str, Any] = {"dtype": "float32", "check": ["value", "gradient"]}


def capped(input: Tensor, target: Tensor) -> Tensor:
    """Huber's loss with 2 for its delta, which is no option."""
    return F.huber_loss(input, target, delta=2.0)


def capped_elsewhere(input: Tensor, target: Tensor) -> Tensor:
    return F.huber_loss(input, target, delta=2.001)


def declared(result: Result) -> records.Declaration:
    return next(line for line in result.lines if isinstance(line, records.Declaration))


def test_a_number_in_the_code_is_judged_as_what_it_is_said_to_be() -> None:
    assert not validate(capped, "huber_loss", **CHECKS).ok
    said = validate(capped, "huber_loss", parameters={"delta": 2.0}, **CHECKS)
    assert said.ok, [f.message for f in said.findings]
    assert declared(said).parameters["delta"] == "2.0"
    assert declared(said).caveat == "as declared, delta is 2.0"
    assert not validate(capped_elsewhere, "huber_loss", parameters={"delta": 2.0}, **CHECKS).ok


def test_a_missing_parameter_is_shown_with_the_value_that_is_taken() -> None:
    result = validate(capped, "huber_loss", **CHECKS)
    assert declared(result).not_offered == ["delta (taken as 1.0)", "weight", "reduction"]
    said = validate(capped, "huber_loss", parameters={"delta": 2.0}, **CHECKS)
    assert declared(said).not_offered == ["weight", "reduction"]


@pytest.mark.parametrize("loss", [F.huber_loss, torch.nn.HuberLoss])
def test_options_hold_for_torch_s_own_losses_too(loss: Any) -> None:
    bound = subject_for(loss, None, init={"delta": 3.0})
    assert [p.values for p in bound.contract.parameters if p.name == "delta"] == [(3.0,)]
    assert bound.faults == subject_for(F.huber_loss, None).faults
    assert bound.origin == "torch"
    result = validate(loss, init={"delta": 3.0}, **CHECKS)
    assert result.ok, [f.message for f in result.findings]
    assert declared(result).parameters["delta"] == "3.0"


def no_delta(input: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    return F.huber_loss(input, target, delta=1.0 + 0.0 * delta)


def naive(input: Tensor, target: Tensor) -> Tensor:
    """The same as ``capped``, and lost digits where the difference overflows."""
    x = input - target
    return torch.where(x.abs() < 2.0, x * x / 2, 2.0 * (x.abs() - 1.0))


def smooth(input: Tensor, target: Tensor) -> Tensor:
    return F.smooth_l1_loss(input, target, beta=0.5)


def lead(input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
    return F.margin_ranking_loss(input1, input2, target, margin=0.5)


@pytest.mark.parametrize(
    ("loss", "like", "held"),
    [
        (smooth, "smooth_l1_loss", {"parameters": {"beta": 0.5}}),
        (lead, "margin_ranking_loss", {"parameters": {"margin": 0.5}}),
        (F.smooth_l1_loss, None, {"init": {"beta": 0.5}}),
        (F.margin_ranking_loss, None, {"init": {"margin": 0.5}}),
        (F.huber_loss, None, {"init": {"delta": 3.0}}),
        (F.linear_cross_entropy, None, {"init": {"label_smoothing": 0.1}}),
    ],
)
def test_every_question_is_asked_of_a_loss_that_holds_a_parameter(loss: Any, like: str | None, held: Any) -> None:
    result = validate(loss, like, dtype="float32", **held)
    assert [(t.id, t.reason) for t in result.trials if t.verdict in ("error", "stale")] == []
    found = {f.kind for f in result.findings if f.severity == "defect"}
    assert found == ({"finite-for-nan", "nan"} if loss is lead else set()), (
        "what torch's own is known for, and nothing else"
    )
    left = [line.what for line in result.lines if isinstance(line, records.NotRun)]
    bound = subject_for(loss, like, **held)
    assert left == ([f"check witness of {bound.name}"] if bound.faults else [])


def test_a_row_that_was_written_for_the_default_is_judged_by_the_formula() -> None:
    contract = subject_for(smooth, "smooth_l1_loss").contract
    held = subject_for(smooth, "smooth_l1_loss", parameters={"beta": 0.5}).contract
    literal = [s.condition for s in contract.specials if isinstance(s.want, float) and "beta" not in s.parameters]
    assert literal
    assert {s.want for s in held.specials if s.condition in literal} == {"formula"}
    assert contract.pinned({"beta": 1.0}).specials == contract.specials


class Ready(torch.nn.Module):
    def forward(self, pred: Tensor, truth: Tensor, delta: float = 1.0) -> Tensor:
        return F.huber_loss(pred, truth, delta=delta)


def test_options_of_a_ready_module_are_those_of_its_forward() -> None:
    result = validate(Ready(), "huber_loss", init={"delta": 2.0}, dtype="float32", check=["value", "special"])
    assert result.ok, [f.message for f in result.findings]
    assert declared(result).not_offered == ["weight", "reduction"]
    with pytest.raises(
        UsageError, match="option 'beta': expected one of pred, truth, delta; what its constructor takes"
    ):
        validate(Ready(), "huber_loss", init={"beta": 2.0})


class Bare(torch.nn.Module):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target)


def own_huber(input: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    return F.huber_loss(input, target, delta=delta)


@pytest.mark.parametrize("baseline", [F.huber_loss, own_huber, capped])
def test_a_baseline_that_is_given_holds_it_too(baseline: Any) -> None:
    held = {"parameters": {"delta": 2.0}}
    assert not validate(capped_elsewhere, "huber_loss", baseline=baseline, **held, **CHECKS).ok
    assert validate(capped, "huber_loss", baseline=baseline, **held, **CHECKS).ok


def test_a_contract_of_the_same_name_has_no_baseline_in_torch() -> None:
    def mse_loss(input: Tensor, target: Tensor) -> Tensor:
        return 0.75 * (input - target) ** 2

    inputs = {"input": "real(N)", "target": "real(N)"}
    with pytest.raises(UsageError, match="expected a torch builtin for mse_loss, got none"):
        validate(mse_loss, inputs=inputs, oracle=lambda input, target: 0.5 * (input - target) ** 2, baseline="torch")


@pytest.mark.parametrize("held", [{"parameters": {"delta": 2.0}}, {"init": {"delta": 2.0}}])
def test_the_baseline_holds_what_the_loss_holds(held: dict[str, Any]) -> None:
    loss = F.huber_loss if "init" in held else naive
    result = validate(loss, "huber_loss", baseline="torch", strict=True, **held, **CHECKS)
    assert result.ok, [f.message for f in result.findings]
    assert not validate(capped_elsewhere, "huber_loss", parameters={"delta": 2.0}, baseline="torch", **CHECKS).ok


def test_an_option_that_changes_nothing_is_found() -> None:
    assert validate(no_delta, "huber_loss", init={"delta": 1.0}, **CHECKS).ok
    assert not validate(no_delta, "huber_loss", init={"delta": 3.0}, **CHECKS).ok


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"parameters": {"detla": 2.0}}, "parameters of huber_loss: expected one of delta, got 'detla'"),
        ({"parameters": {"delta": "two"}}, "huber_loss: delta: expected a value such as 1.0, .*, got 'two'"),
        ({"parameters": {"delta": True}}, "huber_loss: delta: expected a value such as 1.0, .*, got True"),
        ({"init": {"reduction": "sum"}}, "init: 'reduction' is varied by lossproof"),
        ({"init": {"weight": 2.0}}, "init: 'weight' is varied by lossproof"),
        ({"init": {"delta": 2.0}}, "capped: option 'delta': expected one of input, target"),
    ],
)
def test_what_cannot_be_held_is_one_clear_line(options: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        validate(capped, "huber_loss", **options)
    assert "\n" not in str(raised.value)


def test_a_parameter_that_is_an_option_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match="no_delta takes 'delta' itself: make it an option, with init or --init"):
        validate(no_delta, "huber_loss", parameters={"delta": 2.0})
    with pytest.raises(UsageError, match=r"option 'detla': expected one of input, target, reduction, delta, weight"):
        validate(F.huber_loss, init={"detla": 2.0})
    with pytest.raises(UsageError, match=r"Bare: option 'delta': expected one of none"):
        validate(Bare, "huber_loss", init={"delta": 2.0})
    with pytest.raises(UsageError, match=r"multi_margin_loss: p: expected a value such as 1, 2, got 2.5"):
        validate(F.multi_margin_loss, init={"p": 2.5})
    with pytest.raises(UsageError, match=r"poisson_nll_loss: log_input: expected a value such as True, got False"):
        validate(F.poisson_nll_loss, init={"log_input": False})
    with pytest.raises(UsageError, match=r"^<lambda>: option 'detla': expected one of x$"):
        validate(lambda x: x, inputs={"x": "real(N)"}, init={"detla": 1.0})
    with pytest.raises(UsageError, match=r"HuberLoss: option 'detla': expected one of reduction, delta"):
        validate(torch.nn.HuberLoss, init={"detla": 2.0})
    with pytest.raises(UsageError, match="parameters: delta: expected like=NAME beside it, got inputs"):
        validate(capped, inputs={"input": "real(N)", "target": "real(N)"}, parameters={"delta": 2.0})


def test_the_command_takes_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("import torch.nn.functional as F\ndef capped(x, y):\n    return F.huber_loss(x, y, delta=2.0)\n")
    words = ["validate", f"{file}:capped", "--like", "huber_loss", "--dtype", "float32", "--check", "value"]
    missing = CliRunner().invoke(main, words)
    assert missing.exit_code == 1
    assert "not offered: delta (taken as 1.0), weight, reduction" in missing.output
    ran = CliRunner().invoke(main, [*words, "--parameter", "delta=2.0"])
    assert ran.exit_code == 0, ran.output
    assert "as declared, delta is 2.0" in ran.output


class Takes(torch.nn.Module):
    """Cross-entropy with an ignored class, and a mean of ``rows``."""

    def __init__(self, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.ignored, self.reduction = ignore_index, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        rows = F.cross_entropy(input, target, ignore_index=self.ignored, reduction="none")
        return rows if self.reduction == "none" else self.reduced(rows, target != self.ignored)

    def reduced(self, rows: Tensor, kept: Tensor) -> Tensor:
        return rows.sum() / kept.sum() if self.reduction == "mean" else rows.sum()


class Counted(Takes):
    """0 in place of nan where all targets are ignored."""

    def reduced(self, rows: Tensor, kept: Tensor) -> Tensor:
        return rows.sum() / kept.sum().clamp(min=1) if self.reduction == "mean" else rows.sum()


@pytest.mark.parametrize("ignored", [-100, -1, 0, 255])
def test_special_targets_are_those_that_the_held_value_ignores(ignored: int) -> None:
    options: dict[str, Any] = {"init": {"ignore_index": ignored}, "dtype": "float32", "check": ["special", "form"]}
    for loss in (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss):
        result = validate(loss, **options)
        assert result.ok, [f.message for f in result.findings if f.severity == "defect"]
    for own, counts in ((Takes, False), (Counted, True)):
        result = validate(own, "cross_entropy", **(options | {"check": "special"}))
        messages = [f.message for f in result.findings if f.severity == "defect"]
        assert any("all targets ignored, mean" in m for m in messages) == counts


def test_rows_whose_other_targets_are_ignored_too_follow_the_formula() -> None:
    contract = subject_for(F.nll_loss, None).contract
    mean = {s.condition: s for s in contract.pinned({"ignore_index": 0}).specials}[
        "mean over the targets that are not ignored"
    ]
    assert mean.args["target"] == [0, 0, 1]
    assert mean.want == "formula"
    elsewhere = {s.condition: s for s in contract.pinned({"ignore_index": 2}).specials}[mean.condition]
    assert elsewhere.args["target"] == [0, 2, 1]
    assert elsewhere.want == 2.0


def test_an_option_makes_only_those_wrong_calls_legal_that_say_so() -> None:
    by_name = {name: registry.contract(name) for name in ("cross_entropy", "linear_cross_entropy")}
    asked = {name: [e.name for e in contract.errors] for name, contract in by_name.items()}
    assert all(asked.values())
    kept = by_name["linear_cross_entropy"].pinned({"ignore_index": None})
    assert [e.name for e in kept.errors] == asked["linear_cross_entropy"]
    ignoring = by_name["cross_entropy"].pinned({"ignore_index": -1})
    assert [n for n in asked["cross_entropy"] if n not in {e.name for e in ignoring.errors}] == ["class index -1"]
