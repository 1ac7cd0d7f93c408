"""``validate`` as its users call it.

What breaks is found with a minimal input that reproduces, what is sound passes.
"""

import html
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from harness import records
from harness.api import Result, UnsoundLossError, UsageError, assert_sound, validate
from harness.ulp import to_hex
from tests import losses

SETUP = "from tests import losses\nimport torch"


def checked(loss: Callable[..., Any], like: str, **options: Any) -> Result:
    options.setdefault("dtype", "float32")
    name = loss.__name__
    return validate(loss, like, expression=f"losses.{name}", setup=SETUP, **options)


def test_a_naive_loss_fails_with_a_minimal_input() -> None:
    result = checked(losses.naive_bce, "binary_cross_entropy_with_logits")
    assert not result.ok
    assert result.verdict == "fail"
    kinds = {(f.kind, f.output) for f in result.findings if f.severity == "defect"}
    assert {("overflow", "value"), ("nan", "input")} <= kinds
    overflow = next(f for f in result.findings if (f.kind, f.output) == ("overflow", "value"))
    assert overflow.case is not None
    x = float.fromhex(overflow.case.tensors["input"].data[0])
    assert x in (float(round(x)), 0.0), "the witness is not a simple number"
    assert abs(x) <= 128


def test_a_finding_reproduces_when_run_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    result = checked(losses.naive_bce, "binary_cross_entropy_with_logits")
    tried = [f for t in result.trials if t.check in ("value", "gradient", "range") for f in t.findings]
    assert len(tried) >= 3
    for finding in tried:
        exec(compile(finding.reproduction, "reproduction", "exec"), {})
        printed = capsys.readouterr().out
        (got,) = eval(printed, {"nan": math.nan, "inf": math.inf})
        want = float.fromhex(finding.got)
        assert got == want or (math.isnan(got) and math.isnan(want)), finding.reproduction


@pytest.mark.parametrize("loss", [losses.sound_bce, losses.SoundBCE], ids=lambda loss: loss.__name__)
def test_a_sound_loss_passes_strict(loss: Callable[..., Any]) -> None:
    result = validate(loss, "BCEWithLogitsLoss", strict=True, dtype=["float32", "bfloat16"])
    assert result.ok, [f.message for f in result.findings]
    result.raise_for_findings()


def test_a_sound_cross_entropy_passes_strict_and_an_unshifted_one_does_not() -> None:
    assert checked(losses.log1p_cross_entropy, "cross_entropy", strict=True).ok
    assert not checked(losses.unshifted_cross_entropy, "cross_entropy").ok


def test_a_loss_with_only_a_mean_is_judged_and_its_parameters_are_not_offered() -> None:
    result = checked(losses.only_mean, "binary_cross_entropy_with_logits", strict=True)
    assert result.ok, [f.message for f in result.findings]
    (declared,) = [line for line in result.lines if type(line).__name__ == "Declaration"]
    assert {"weight", "pos_weight", "reduction"} <= set(declared.not_offered)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (losses.wrong_constant_mse, "unstable"),
        (losses.broadcasting_mse, "shape"),
        (losses.noisy_mse, "random"),
        (losses.mutating_mse, "mutated"),
        (losses.detached_mse, "detached"),
        (losses.upcasting_mse, "dtype"),
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_the_defect_is_named(loss: Callable[..., Any], kind: str) -> None:
    result = checked(loss, "mse_loss")
    assert kind in {f.kind for f in result.findings if f.severity == "defect"}
    assert not result.ok


def test_a_baseline_sets_apart_what_it_shares() -> None:
    def torch_like(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(input, target, reduction=reduction)

    alone = validate(torch_like, "binary_cross_entropy_with_logits", strict=True, dtype="float32")
    assert not alone.ok
    beside = validate(torch_like, "binary_cross_entropy_with_logits", strict=True, dtype="float32", baseline="torch")
    accuracy = [t for t in beside.trials if t.check in ("value", "gradient", "range")]
    assert all(t.verdict == "pass" for t in accuracy)
    assert any(t.shared for t in accuracy)
    tables = [t for t in beside.trials if t.check == "special"]
    assert any(t.shared for t in tables)
    assert beside.ok, [f.message for f in beside.findings]
    worse = checked(losses.naive_bce, "binary_cross_entropy_with_logits", baseline="torch")
    assert not worse.ok


def test_torch_s_own_loss_is_its_registered_subject_with_its_ledger() -> None:
    result = validate(F.binary_cross_entropy_with_logits, dtype="float32", strict=True)
    assert result.ok, [f.message for t in result.trials if t.verdict == "fail" for f in t.findings]
    assert result.verdict == "fault"


def test_strict_and_not_strict_differ_by_the_weaknesses() -> None:
    def copy(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        return F.cross_entropy(input, target, reduction=reduction)

    relaxed = validate(copy, "cross_entropy", dtype="float32")
    weak = [f for f in relaxed.findings if f.severity == "weakness"]
    assert weak
    assert not validate(copy, "cross_entropy", dtype="float32", strict=True).ok


def test_assert_sound_raises_with_the_reproduction() -> None:
    assert_sound(losses.sound_bce, like="BCEWithLogitsLoss", dtype="float32")
    with pytest.raises(UnsoundLossError, match=r"torch\.tensor\("):
        assert_sound(losses.naive_bce, like="BCEWithLogitsLoss", dtype="float32")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: validate(losses.naive_bce), "nearest|expected one of"),
        (lambda: validate(losses.naive_bce, "binary_cross_entropy_logits"), "nearest: .*with_logits"),
        (lambda: validate(losses.naive_bce, "mse_loss", dtype="float8"), "dtype: expected one of .* got 'float8'"),
        (lambda: validate(losses.naive_bce, "mse_loss", effort="lots"), "effort: expected one of quick, ci, thorough"),
        (lambda: validate(losses.naive_bce, "mse_loss", check="grad"), "check: expected one of .* got 'grad'"),
        (lambda: validate(losses.mse_of_three, "mse_loss"), "requires 'temperature'"),
        (lambda: validate(lambda x: x, "mse_loss"), "'target' of mse_loss has no place"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_result_is_a_view_of_its_records() -> None:
    result = checked(losses.naive_bce, "binary_cross_entropy_with_logits")
    page = result.to_html()
    assert "naive_bce" in page
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    values = [f for f in result.findings if f.kind == "overflow"]
    assert any(to_hex(float("inf")) == f.got for f in values)


def test_a_notebook_shows_the_report_in_a_frame_of_its_own() -> None:
    """A page in a cell of its own would restyle the notebook; the frame holds every table and plot of it."""
    result = checked(losses.naive_bce, "binary_cross_entropy_with_logits")
    frame = re.fullmatch(r'<iframe [^<>]*srcdoc="([^"]*)"[^<>"]*="[^<>"]*"></iframe>', result._repr_html_())
    assert frame is not None
    page = html.unescape(frame.group(1))
    assert page == result.to_html()
    assert "<table" in page
    assert "<svg" in page


def test_an_absent_device_is_a_not_run_record() -> None:
    result = validate(losses.sound_bce, "BCEWithLogitsLoss", dtype="float32", device=["cpu", "cuda"])
    missing = [line for line in result.lines if type(line).__name__ == "NotRun"]
    if torch.cuda.is_available():
        assert not missing
    else:
        assert [m.what for m in missing] == ["device cuda"]  # type: ignore[union-attr]
        assert {t.device for t in result.trials} == {"cpu"}


def test_only_the_named_check_is_run_and_fail_fast_says_what_it_left() -> None:
    one = checked(losses.naive_bce, "binary_cross_entropy_with_logits", check="gradient", fail_fast=True)
    assert {t.check for t in one.trials} == {"gradient"}
    short = checked(losses.naive_bce, "binary_cross_entropy_with_logits", fail_fast=True)
    assert [t.verdict for t in short.trials].count("fail") == 1
    assert short.trials[-1].verdict == "fail"
    (left,) = [line for line in short.lines if type(line).__name__ == "NotRun"]
    assert re.fullmatch(r"\d+ trials", left.what)  # type: ignore[union-attr]


def mean_over_the_first_axis(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = (input - target) ** 2
    return {"none": value, "mean": value.sum() / max(len(value), 1) if value.ndim else value, "sum": value.sum()}[
        reduction
    ]


def one_column_too_many(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = ((input - target) ** 2)[..., None]
    return value if reduction == "none" else 7 * getattr(value, reduction)()


def test_a_mean_over_the_wrong_axes_fails_where_the_loss_takes_matrices() -> None:
    result = validate(mean_over_the_first_axis, "mse_loss", dtype="float32", check="reductions")
    assert not result.ok
    assert any("layout matrix" in f.message for f in result.findings if f.severity == "defect")


def test_a_result_of_another_shape_fails_whatever_is_asked() -> None:
    for check in (None, "form"):
        result = validate(one_column_too_many, "mse_loss", dtype="float32", check=check)
        assert [f.kind for f in result.findings] == ["shape"]
        assert not result.ok


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_nothing_to_judge_is_no_pass() -> None:
    with pytest.raises(UsageError, match="expected something to judge, got nothing: device cuda: "):
        validate(losses.sound_bce, "BCEWithLogitsLoss", device="cuda")


class Plain(torch.nn.Module):
    """A Module without a constructor of its own."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mse_loss(input, target)


def test_a_class_without_a_constructor_is_bound() -> None:
    result = validate(Plain, "mse_loss", dtype="float32", check=["value", "reductions"])
    assert result.ok, [f.message for f in result.findings]


def test_a_class_without_a_constructor_is_bound_after_a_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile replaces the constructor of every Module."""
    before = torch.nn.Module.__init__

    def patched(self: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "__init__", patched)
    assert validate(Plain, "mse_loss", dtype="float32", check=["reductions"]).ok


def test_the_default_of_the_reduction_is_a_note() -> None:
    def sums(input: torch.Tensor, target: torch.Tensor, reduction: str = "sum") -> torch.Tensor:
        value = (input - target) ** 2
        return value if reduction == "none" else getattr(value, reduction)()

    result = validate(sums, "mse_loss", dtype="float32", check="form")
    assert result.ok
    assert [f.output for f in result.findings if f.kind == "default"] == ["reduction"]


def test_an_infinity_in_one_row_must_not_reach_the_others() -> None:
    def damages(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        value = (input - target) ** 2
        if input.isinf().any():
            value = torch.where(input.isinf(), value, 0 * value)
        return value if reduction == "none" else getattr(value, reduction)()

    result = validate(damages, "mse_loss", dtype="float32", check="nonfinite")
    assert not result.ok
    assert any("input is inf" in f.message for f in result.findings)


def test_the_records_say_how_many_threads_the_trials_had() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        result = checked(losses.naive_bce, "binary_cross_entropy_with_logits", check="mistakes")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    (run,) = (line for line in result.lines if isinstance(line, records.Run))
    assert run.threads == 1
