"""Objectives beside one loss: sound forms, the defects that are usual in them, and remedies with what they cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from examples.objectives import (
    ALPHA,
    OBJECTIVES,
    WARM_UP,
    Objective,
    clip_scaled_,
    l2_penalty,
    masked_mean,
    uncertainty_weighted,
    warmed_up,
    weights_of,
)
from lossproof import Result, validate
from lossproof.inputs import positive, real
from suites.specimens.objectives import (
    l2_of_biases_too,
    mean_over_all,
    nothing_by_nothing,
    roots_of_squares,
    sigma_for_variance,
)

DTYPES = ("float32", "bfloat16")
ACCURACY = ("value", "gradient", "range")


def defects(result: Result) -> set[tuple[str, str]]:
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return {(f.kind, f.output) for f in result.findings if f.severity == "defect"}


def named(name: str) -> Objective:
    """The objective of a name; the last of those that differ in an option."""
    return [o for o in OBJECTIVES if o.loss.__name__ == name][-1]


@pytest.mark.parametrize(
    "objective", OBJECTIVES, ids=[" ".join((o.loss.__name__, *map(str, o.init.values()))) for o in OBJECTIVES]
)
def test_a_sound_objective_has_no_defect(objective: Objective) -> None:
    result = objective.validated(dtype=DTYPES)
    assert defects(result) == set(), [f.message for f in result.findings if f.severity == "defect"]
    assert result.ok
    assert sum(t.cases for t in result.trials if t.check == "value") >= 100


# -- planted defects ---------------------------------------------------------------------------------------------------


def mean_of_magnitudes(x: Tensor) -> Tensor:
    return x.abs().mean(dim=1)


def sum_without_magnitudes(x: Tensor) -> Tensor:
    return x.sum(dim=1)


def l1_of_biases_too(parameters: Mapping[str, Tensor]) -> Tensor:
    return ALPHA * torch.stack([p.abs().sum() for p in parameters.values()]).sum()


def l2_without_half(parameters: Mapping[str, Tensor]) -> Tensor:
    return 2 * l2_penalty(parameters)


def l2_not_squared(parameters: Mapping[str, Tensor]) -> Tensor:
    return 0.5 * ALPHA * torch.stack([w.norm() for w in weights_of(parameters)]).sum()


def penalty_divided_by_batch(input: Tensor, target: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return F.mse_loss(input, target) + l2_penalty(parameters) / len(input)


def penalty_in_every_row(input: Tensor, target: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return ((input - target).square() / len(input) + l2_penalty(parameters)).sum()


def tasks_exchanged(scores: Tensor, labels: Tensor, output: Tensor, target: Tensor) -> Tensor:
    return 0.25 * F.cross_entropy(scores, labels) + F.mse_loss(output, target)


def tasks_averaged(scores: Tensor, labels: Tensor, output: Tensor, target: Tensor) -> Tensor:
    return (F.cross_entropy(scores, labels) + 0.25 * F.mse_loss(output, target)) / 2


def _annealed(error: Tensor, mean: Tensor, log_variance: Tensor, weight: float) -> Tensor:
    divergence = 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(dim=1)
    return error.square().sum(dim=1) + weight * divergence


def whole_epochs_only(error: Tensor, mean: Tensor, log_variance: Tensor, epoch: int = 0) -> Tensor:
    """0 until the warm-up is over."""
    return _annealed(error, mean, log_variance, min(1, epoch // WARM_UP))


def never_capped(error: Tensor, mean: Tensor, log_variance: Tensor, epoch: int = 0) -> Tensor:
    return _annealed(error, mean, log_variance, epoch / WARM_UP)


def without_log(losses: Tensor, log_variances: Tensor) -> Tensor:
    """Smallest where every task is given up."""
    return 0.5 * (torch.exp(-log_variances) * losses).sum(dim=1)


def mask_after_the_mean(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return (input - target).square().mean(dim=1) * mask.any(dim=1)


PLANTED: list[tuple[str, Callable[..., Tensor], dict[str, Any], tuple[str, str]]] = [
    ("l1_norm", mean_of_magnitudes, {"check": "value"}, ("unstable", "value")),
    ("l1_norm", sum_without_magnitudes, {"check": "value"}, ("unstable", "value")),
    ("l1_norm", roots_of_squares, {"check": "edges"}, ("nan", "x")),
    ("l1_penalty", l1_of_biases_too, {"check": "value"}, ("unstable", "value")),
    ("l2_penalty", l2_of_biases_too, {"check": "value"}, ("unstable", "value")),
    ("l2_penalty", l2_without_half, {"check": "value"}, ("unstable", "value")),
    ("l2_penalty", l2_not_squared, {"check": "value"}, ("unstable", "value")),
    ("penalised", penalty_divided_by_batch, {"check": "value"}, ("unstable", "value")),
    ("penalised", penalty_in_every_row, {"check": "value"}, ("unstable", "value")),
    ("weighted_tasks", tasks_exchanged, {"check": "value"}, ("unstable", "value")),
    ("weighted_tasks", tasks_averaged, {"check": "value"}, ("unstable", "value")),
    ("annealed", never_capped, {"check": "value"}, ("unstable", "value")),
    ("uncertainty_weighted", sigma_for_variance, {"check": "value"}, ("unstable", "value")),
    ("uncertainty_weighted", without_log, {"check": "value"}, ("unstable", "value")),
    ("masked_mean", mask_after_the_mean, {"check": "value"}, ("unstable", "value")),
    ("masked_mean", mean_over_all, {"check": "value"}, ("unstable", "value")),
    ("masked_mean", nothing_by_nothing, {"check": "edges"}, ("nan", "value")),
]


@pytest.mark.parametrize(("name", "planted", "options", "want"), PLANTED, ids=[p.__name__ for _, p, _, _ in PLANTED])
def test_a_planted_defect_is_found(name: str, planted: Any, options: dict[str, Any], want: tuple[str, str]) -> None:
    result = named(name).validated(planted, **{"dtype": "float32", **options})
    assert want in defects(result), [(f.kind, f.output, f.message) for f in result.findings]
    assert not result.ok


def test_every_objective_has_a_planted_defect() -> None:
    assert {name for name, *_ in PLANTED} == {o.loss.__name__ for o in OBJECTIVES}


def penalty_without_gradient(input: Tensor, target: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Its value is right, and it trains nothing."""
    return F.mse_loss(input, target) + l2_penalty(parameters).detach()


def test_a_penalty_without_a_gradient_is_noted() -> None:
    """No more than a note: a stopped gradient may be meant."""
    notes = []
    for loss in (None, penalty_without_gradient):
        result = named("penalised").validated(loss, check="gradient", dtype="float32")
        notes.append("".join(f.message for f in result.findings if f.kind == "detached"))
    assert "weight" not in notes[0]
    assert "parameters_hidden_weight" in notes[1]


# -- penalties and weight_decay ----------------------------------------------------------------------------------------


def stepped(penalty: Callable[[Mapping[str, Tensor]], Tensor] | None, decay: float) -> dict[str, Tensor]:
    """The parameters after one step of SGD; weights decay by ``decay``, biases never."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x, y = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
    of = dict(model.named_parameters())
    groups = [
        {"params": weights_of(of), "weight_decay": decay},
        {"params": [p for n, p in of.items() if n.endswith("bias")], "weight_decay": 0.0},
    ]
    loss = F.mse_loss(model(x), y)
    (loss if penalty is None else loss + penalty(of)).backward()
    torch.optim.SGD(groups, lr=0.1).step()
    return {n: p.detach() for n, p in of.items()}


def apart(penalty: Callable[[Mapping[str, Tensor]], Tensor]) -> float:
    """The largest difference between a step with the penalty and one with weight_decay."""
    one, other = stepped(penalty, 0.0), stepped(None, ALPHA)
    return max(float((one[n] - other[n]).abs().max()) for n in one)


def test_half_alpha_times_the_squares_is_weight_decay_of_sgd() -> None:
    assert apart(l2_penalty) < 1e-15


def l2_without_gradient(parameters: Mapping[str, Tensor]) -> Tensor:
    return l2_penalty(parameters).detach()


OTHER_PENALTIES = (l2_without_half, l2_of_biases_too, l2_not_squared, l2_without_gradient)


@pytest.mark.parametrize("planted", OTHER_PENALTIES, ids=lambda p: p.__name__)
def test_another_penalty_is_another_step(planted: Callable[..., Tensor]) -> None:
    assert apart(planted) > 1e-5


# -- weights that change -----------------------------------------------------------------------------------------------


def test_the_warm_up_ends_at_1_and_stays() -> None:
    assert [warmed_up(e) for e in (0, 3, WARM_UP, 10 * WARM_UP)] == [0.0, 0.3, 1.0, 1.0]


def test_a_warm_up_in_whole_epochs_is_found_before_it_ends() -> None:
    early = next(o for o in OBJECTIVES if o.init.get("epoch") == 5)
    assert ("unstable", "value") in defects(early.validated(whole_epochs_only, check="value", dtype="float32"))


class CountsItsCalls(nn.Module):
    """A weight that changes with the number of calls, those of evaluation included."""

    calls = itertools.count()

    def forward(self, error: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        return _annealed(error, mean, log_variance, next(self.calls) / 1000)


def test_a_weight_that_changes_with_every_call_is_found() -> None:
    late = named("annealed")
    assert ("unstable", "value") in defects(late.validated(CountsItsCalls, init={}, check="value", dtype="float32"))


# -- uncertainty weighting ---------------------------------------------------------------------------------------------


def by_sigma(losses: Tensor, sigmas: Tensor) -> Tensor:
    """A parameter that nothing keeps above 0."""
    return (losses / (2 * sigmas.square()) + torch.log(sigmas)).sum(dim=1)


def test_a_sigma_that_is_learned_leaves_its_domain() -> None:
    inputs = {"losses": positive("N", "T"), "sigmas": real("N", "T", low=-16.0, high=16.0)}
    result = validate(
        by_sigma,
        inputs=inputs,
        oracle=lambda losses, sigmas: (losses / (2 * sigmas**2) + np.log(np.abs(sigmas))).sum(axis=1),
        check=ACCURACY,
        dtype="float32",
    )
    assert {("nan", "value")} <= defects(result)


def test_the_slope_by_a_small_sigma_overflows_and_that_by_its_logarithm_does_not() -> None:
    sigma, loss = 1e-15, 1e-10
    of_sigma = torch.full((1, 1), sigma, requires_grad=True)
    by_sigma(torch.full((1, 1), loss), of_sigma).sum().backward()
    assert abs(1 / sigma - loss / sigma**3) < torch.finfo(torch.float32).max / 1e3
    assert of_sigma.grad is not None
    assert not torch.isfinite(of_sigma.grad).all()
    of_log = torch.full((1, 1), 2 * math.log(sigma), requires_grad=True)
    uncertainty_weighted(torch.full((1, 1), loss), of_log).sum().backward()
    assert of_log.grad is not None
    want = 0.5 * (1 - loss * math.exp(-of_log.item()))
    assert of_log.grad.item() == pytest.approx(want, rel=1e-6)


# -- masks -------------------------------------------------------------------------------------------------------------


def multiplied(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return ((input - target).square() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


@pytest.mark.parametrize("held", [math.nan, math.inf, 1e30])
def test_what_is_masked_reaches_a_mean_only_by_a_product(held: float) -> None:
    kept = torch.tensor([[True, False]])
    results = []
    for loss in (masked_mean, multiplied):
        x = torch.tensor([[3.0, held]], requires_grad=True)
        value = loss(x, torch.tensor([[1.0, 0.0]]), kept)
        value.sum().backward()
        assert x.grad is not None
        results.append((value.tolist(), x.grad.tolist()))
    assert results[0] == ([4.0], [[4.0, 0.0]])
    assert not all(np.isfinite(results[1][0])) or not all(np.isfinite(results[1][1][0]))


# -- clip_grad_norm_ ---------------------------------------------------------------------------------------------------


def clipped_exactly(gradients: list[list[float]], max_norm: float) -> list[float]:
    """In float64, whose range is that of no float32 gradient's square, without torch's 1e-6."""
    flat = np.concatenate([np.asarray(torch.tensor(g, dtype=torch.float32), np.float64) for g in gradients])
    norm = np.sqrt((flat**2).sum())
    return list(flat * (max_norm / norm)) if norm > max_norm else list(flat)


def by_torch(gradients: list[list[float]], max_norm: float, **options: Any) -> tuple[float, list[float]]:
    """The norm and all gradients after clipping, in float32."""
    parameters = [nn.Parameter(torch.zeros(len(g))) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    norm = clip_grad_norm_(parameters, max_norm, **options)
    return norm.item(), [x for p in parameters if p.grad is not None for x in p.grad.tolist()]


def by_scaling(gradients: list[list[float]], max_norm: float) -> tuple[float, list[float]]:
    tensors = [torch.tensor(g) for g in gradients]
    norm = clip_scaled_(tensors, max_norm)
    return norm.item(), [x for t in tensors for x in t.tolist()]


def relative_error(got: list[float], want: list[float]) -> float:
    """The largest difference over the largest number."""
    return float(np.max(np.abs(np.subtract(got, want))) / max(np.max(np.abs(want)), np.finfo(np.float64).tiny))


# What 1e-6 in the denominator costs where the norm is as large, and what the range of float32 costs.
CLIPPED: list[tuple[str, list[list[float]], float, float, float]] = [
    # gradients, max_norm, least and largest relative error of torch
    ("nothing", [[0.0, 0.0], [0.0]], 1.0, 0.0, 0.0),
    ("below the norm", [[0.3, 0.4], [0.0]], 1.0, 0.0, 0.0),
    ("ordinary", [[3.0, 4.0], [12.0]], 1.0, 5e-8, 3e-7),
    ("at the norm", [[3.0, 4.0], [0.0]], 5.0, 1e-7, 4e-7),
    ("small norms", [[1.5e-6], [0.0]], 1e-6, 0.39, 0.41),
    ("largest that is clipped", [[1e19, 1e19], [1.0]], 1.0, 0.0, 3e-7),
    ("squares beyond the range", [[3e19, 0.0], [1.0]], 1.0, 1.0, 1.0),
    ("huge", [[1e30, 1e30], [1.0]], 1.0, 1.0, 1.0),
    ("norms far below 1e-6", [[1e-24, 1e-24], [0.0]], 1e-25, 1.0, 1.0),
]


@pytest.mark.parametrize(
    ("gradients", "max_norm", "least", "largest"), [c[1:] for c in CLIPPED], ids=[name for name, *_ in CLIPPED]
)
def test_what_clipping_costs(gradients: list[list[float]], max_norm: float, least: float, largest: float) -> None:
    want = clipped_exactly(gradients, max_norm)
    for foreach in (True, False):
        assert least <= relative_error(by_torch(gradients, max_norm, foreach=foreach)[1], want) <= largest
    assert relative_error(by_scaling(gradients, max_norm)[1], want) <= 3e-7


def test_huge_gradients_are_clipped_to_0_and_the_step_is_lost() -> None:
    norm, gradients = by_torch([[1e30, 1e30], [1.0]], 1.0)
    assert (norm, gradients) == (math.inf, [0.0, 0.0, 0.0])
    assert by_scaling([[1e30, 1e30], [1.0]], 1.0)[0] == pytest.approx(math.sqrt(2) * 1e30, rel=1e-6)


def test_the_largest_gradient_as_the_norm_has_the_range_of_float32() -> None:
    norm, gradients = by_torch([[1e30, 1e30], [1.0]], 1.0, norm_type=math.inf)
    assert norm == pytest.approx(1e30)
    assert relative_error(gradients, [1.0, 1.0, 1e-30]) <= 3e-7


def test_an_inf_gradient_becomes_nan_and_all_others_0() -> None:
    norm, gradients = by_torch([[math.inf, 1.0], [1.0]], 1.0)
    assert norm == math.inf
    assert math.isnan(gradients[0])
    assert gradients[1:] == [0.0, 0.0]


def test_a_nan_gradient_makes_all_nan() -> None:
    norm, gradients = by_torch([[math.nan, 1.0], [1.0]], 1.0)
    assert math.isnan(norm)
    assert all(math.isnan(g) for g in gradients)


@pytest.mark.parametrize("bad", [math.inf, math.nan, 1e30], ids=str)
def test_error_if_nonfinite_refuses_inf_nan_and_huge_gradients_alike(bad: float) -> None:
    with pytest.raises(RuntimeError, match=r"total norm of order 2\.0 .* is non-finite"):
        by_torch([[bad, 1.0]], 1.0, error_if_nonfinite=True)
    assert by_torch([[3.0, 4.0]], 1.0, error_if_nonfinite=True)[0] == 5.0
    assert by_torch([[0.0]], 1.0, error_if_nonfinite=True) == (0.0, [0.0])


@pytest.mark.parametrize("bad", [math.inf, math.nan], ids=str)
def test_scaled_clipping_refuses_what_is_no_number_and_changes_nothing(bad: float) -> None:
    gradients = [torch.tensor([bad, 1.0]), torch.tensor([1.0])]
    with pytest.raises(ValueError, match=r"gradients: expected finite numbers, got (inf|nan)"):
        clip_scaled_(gradients, 1.0)
    assert [g[-1].item() for g in gradients] == [1.0, 1.0]


# -- remedies against nan ----------------------------------------------------------------------------------------------

EPS = 1e-7


def log_of_sum(p: Tensor) -> Tensor:
    return -torch.log(p + EPS)


def log_of_clamp(p: Tensor) -> Tensor:
    return -torch.log(p.clamp(min=EPS))


def finite_log_exp(x: Tensor) -> Tensor:
    """log(1 + e^x), whose inf becomes 0."""
    return torch.nan_to_num(torch.log1p(torch.exp(x)), posinf=0.0)


def root_of_sum(x: Tensor) -> Tensor:
    return torch.sqrt(x + EPS)


# The remedy, a point, the value and slope without it, and the relative error of both.
REMEDIES: list[tuple[Callable[[Tensor], Tensor], float, float, float, float, float]] = [
    (log_of_sum, 0.5, math.log(2), -2.0, 2.9e-7, 2.4e-7),
    (log_of_sum, EPS, -math.log(EPS), -1 / EPS, math.log(2) / -math.log(EPS), 0.5),
    (log_of_sum, 1e-12, -math.log(1e-12), -1e12, 0.417, 1.0),
    (log_of_clamp, 0.5, math.log(2), -2.0, 0.0, 0.0),
    (log_of_clamp, 1e-12, -math.log(1e-12), -1e12, 0.417, 1.0),
    (finite_log_exp, 10.0, 10.0000454, 0.9999546, 0.0, 0.0),
    (root_of_sum, 1.0, 1.0, 0.5, 5e-8, 5e-8),
    (root_of_sum, EPS, math.sqrt(EPS), 0.5 / math.sqrt(EPS), math.sqrt(2) - 1, 1 - math.sqrt(0.5)),
    (root_of_sum, 1e-12, 1e-6, 5e5, 315.0, 0.99684),
]


@pytest.mark.parametrize(
    ("remedy", "at", "value", "slope", "value_error", "slope_error"),
    REMEDIES,
    ids=[f"{r.__name__}-{at:g}" for r, at, *_ in REMEDIES],
)
def test_what_a_remedy_costs(
    remedy: Callable[[Tensor], Tensor], at: float, value: float, slope: float, value_error: float, slope_error: float
) -> None:
    x = torch.tensor(at, requires_grad=True)
    got = remedy(x)
    got.backward()
    assert x.grad is not None
    rounding = 2e-7
    assert abs(got.item() / value - 1) == pytest.approx(value_error, rel=5e-3, abs=rounding)
    assert abs(x.grad.item() / slope - 1) == pytest.approx(slope_error, rel=5e-3, abs=rounding)


def test_a_remedy_leaves_a_finite_slope_where_the_loss_has_none() -> None:
    x = torch.zeros(2, requires_grad=True)
    (root_of_sum(x).sum() + log_of_sum(x).sum()).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_nan_to_num_hides_what_is_wrong_of_the_value_and_not_of_the_slope() -> None:
    x = torch.tensor(100.0, requires_grad=True)
    value = finite_log_exp(x)
    value.backward()
    assert value.item() == 0.0
    assert x.grad is not None
    assert math.isnan(x.grad.item())
