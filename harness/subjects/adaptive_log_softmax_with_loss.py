"""torch's AdaptiveLogSoftmaxWithLoss: a module that holds its matrices, here given to it by the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.binding import Subject
from harness.contract import Contract
from harness.contracts.adaptive_log_softmax_with_loss import CONTRACT, LOG_PROB, PREDICT, tail_of
from harness.deviations import ALL_DTYPES, FINITE, NAN, Fault, Mask, Points, Region, Witness
from harness.reducing import Reducing
from harness.subjects.projected import (
    Stage,
    Stages,
    confident_faults,
    overflow_faults,
    signed_sums,
    slope_of,
    without_logits,
)
from reference.projection import Computed, adaptive_predict, given, linear
from reference.truth import Array

Tensor = torch.Tensor


def layer(
    input: Tensor,
    head_weight: Tensor,
    *,
    cutoffs: Sequence[int] = (2, 3),
    div_value: float = 4.0,
    head_bias: Tensor | None = None,
    **matrices: Tensor,
) -> torch.nn.AdaptiveLogSoftmaxWithLoss:
    """The module with these matrices in place of its parameters, so that gradients reach them."""
    tail = tail_of(matrices)
    classes = cutoffs[-1] + len(tail[-1][1])
    module = torch.nn.AdaptiveLogSoftmaxWithLoss(
        input.shape[-1], classes, cutoffs, div_value=div_value, head_bias=head_bias is not None, device="meta"
    )
    state = {"head.weight": head_weight} | ({} if head_bias is None else {"head.bias": head_bias})
    state |= {f"tail.{i}.{j}.weight": matrix for i, pair in enumerate(tail) for j, matrix in enumerate(pair)}
    for name, parameter in list(module.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        if parameter.shape != state[name].shape:
            raise ValueError(f"{name}: expected shape {tuple(parameter.shape)}, got {tuple(state[name].shape)}")
        holder = module.get_submodule(owner)
        delattr(holder, leaf)
        setattr(holder, leaf, state[name])
    return module


def forward(input: Tensor, target: Tensor, head_weight: Tensor, *, reduction: str = "mean", **others: Any) -> Tensor:
    """-output of the module for every row, or its loss, the mean."""
    found = layer(input, head_weight, **others)(input, target)
    result: Tensor = found.loss if reduction == "mean" else -found.output
    return result


def log_prob(input: Tensor, target: Tensor, head_weight: Tensor, *, reduction: str = "mean", **others: Any) -> Tensor:
    """-log_prob at the target."""
    rows = input if input.dim() == 2 else input[None]
    every = -layer(input, head_weight, **others).log_prob(rows)
    loss = every.gather(1, target.reshape(-1, 1)).squeeze(1)
    return loss.mean() if reduction == "mean" else loss.reshape(target.shape)


def predict(input: Tensor, head_weight: Tensor, *, reduction: str = "mean", **others: Any) -> Tensor:
    """-log_prob of the class that predict gives."""
    rows = input if input.dim() == 2 else input[None]
    module = layer(input, head_weight, **others)
    loss = -module.log_prob(rows).gather(1, module.predict(rows).unsqueeze(1)).squeeze(1)
    return loss.mean() if reduction == "mean" else loss.reshape(input.shape[:-1])


def _calling(
    loss: Callable[..., Tensor], tensors: Mapping[str, Tensor], parameters: Mapping[str, Any], reduction: str
) -> Tensor:
    return loss(**tensors, **parameters, reduction=reduction)


def _ones(targets: Any, classes: int) -> Array:
    return np.asarray(np.arange(classes) == np.asarray(targets)[:, None], np.float64)


def _parts(logits_of: Array, matrix: Array, bias: Array) -> tuple[Array, Array]:
    ones = np.concatenate([logits_of, np.ones((len(logits_of), 1))], axis=1)
    return signed_sums(ones, np.concatenate([matrix, bias[:, None]], axis=1).T)


def _summed(slope: Array) -> tuple[Array, Array]:
    return np.maximum(slope, 0.0).sum(axis=0), np.maximum(-slope, 0.0).sum(axis=0)


def _stages(at: Points) -> list[Stage]:
    """The softmax of the head, which every row goes through, and that of every cluster."""
    cutoffs = at.parameters.get("cutoffs", (2, 3))
    x, target, head = at["input"], at["target"], at["head_weight"]
    bias = at.args.get("head_bias", np.zeros(len(head)))
    bucket = np.searchsorted(np.asarray(cutoffs), target, side="right")
    logits = linear(given(x), head, bias)
    a = _ones(np.where(bucket == 0, target, cutoffs[0] + bucket - 1), len(head))
    slope = slope_of(logits, a)
    stages = [
        Stage(
            rows=np.arange(len(x)),
            logits=logits,
            parts=_parts(x, head, bias),
            coefficients=a,
            carry=np.abs(head),
            sums={"head_weight": signed_sums(slope.T, x), "head_bias": _summed(slope)},
            ways={
                "head_weight": (np.eye(len(head)), np.abs(x)),
                "head_bias": (np.eye(len(head)), np.ones((len(x), 1))),
            },
            scale={},
        )
    ]
    for i, (projection, out) in enumerate(tail_of(at.args)):
        rows = np.flatnonzero(bucket == i + 1)
        if len(rows):
            a = _ones(target[rows] - cutoffs[i], len(out))
            stages.append(_cluster(i, x[rows], a, rows, projection, out))
    return stages


def _full_stages(at: Points) -> list[Stage]:
    """Every row goes through every cluster, with a share of 0 in the clusters that do not hold its target."""
    cutoffs = at.parameters.get("cutoffs", (2, 3))
    bucket = np.searchsorted(np.asarray(cutoffs), at["target"], side="right")
    stages = _stages(at)[:1]
    for i, (projection, out) in enumerate(tail_of(at.args)):
        a = _ones(np.where(bucket == i + 1, at["target"] - cutoffs[i], -1), len(out))
        stages.append(_cluster(i, at["input"], a, np.arange(len(a)), projection, out))
    return stages


def _predicted_stages(at: Points) -> list[Stage]:
    """Those of the most probable class; a cluster without logits may be what the largest is taken of."""
    matrices = {name: at[name] for name in at.args if name != "input"}
    head = {name: matrices[name] for name in ("head_weight", "head_bias") if name in matrices}
    best = adaptive_predict(at["input"], **head, tail=tail_of(matrices))
    stages = _full_stages(replace(at, args={**at.args, "target": best}))
    return [stage._replace(void=without_logits(stage, at)) for stage in stages]


def _cluster(i: int, x: Array, a: Array, rows: Any, projection: Array, out: Array) -> Stage:
    hidden: Computed = linear(given(x), projection)
    logits = linear(hidden, out)
    slope = slope_of(logits, a)
    return Stage(
        rows=rows,
        logits=logits,
        parts=_parts(hidden.exact, out, np.zeros(len(out))),
        coefficients=a,
        carry=np.abs(out) @ np.abs(projection),
        sums={
            f"output_{i}": signed_sums(slope.T, hidden.exact),
            f"projection_{i}": signed_sums((slope @ out).T, x),
        },
        ways={
            f"output_{i}": (np.eye(len(out)), np.abs(hidden.exact)),
            f"projection_{i}": (np.abs(out), np.abs(x)),
        },
        scale={},
        through=signed_sums(x, projection.T),
    )


SMALL = {"head_weight": [[1.0], [0.0], [0.0]], "projection_0": [[1.0]], "output_0": [[1.0], [0.0]]}
HUGE = {"head_weight": [["0x1p+100"], [0.0], [0.0]], "projection_0": [["0x1p+100"]], "output_0": [["0x1p+100"], [0.0]]}
ONE = {"cutoffs": (2,), "div_value": 1.0}
CONFIDENT = Witness(args={"input": [[17.0]], "target": [0], **SMALL}, parameters=ONE)
OVERFLOW = Witness(args={"input": [["0x1p+100"]], "target": [2], **HUGE}, parameters=ONE)

SHARED = ("head_weight", "head_bias", "projection_0", "output_0", "projection_1", "output_1")


def _biased(witness: Witness, output: str) -> Witness:
    """A witness that has the argument whose gradient departs."""
    if output == "head_bias":
        return replace(witness, args={**witness.args, "head_bias": [0.0, 0.0, 0.0]})
    if not output.endswith("_1"):
        return witness
    matrices = {
        "head_weight": [*witness.args["head_weight"], [0.0]],
        "projection_1": witness.args["projection_0"],
        "output_1": witness.args["output_0"],
        "target": [4 if witness.args["target"] == [2] else 0],
    }
    return replace(witness, args={**witness.args, **matrices}, parameters={**ONE, "cutoffs": (2, 4)})


def _ledger(stages: Stages, outputs: tuple[str, ...], confident: Witness, overflow: Witness) -> tuple[Fault, ...]:
    """Faults of the losses of log_softmax, each an output."""

    def witnesses(output: str) -> tuple[Witness, ...]:
        inside = "output" in output or "projection" in output
        target = {"target": [2]} if inside and "target" in confident.args else {}
        known = _biased(replace(confident, args={**confident.args, **target}), output)
        return known, replace(known, args={**known.args, "input": [[9.0]]}, dtype="float16")

    return (
        *confident_faults(stages, outputs, witnesses),
        *overflow_faults(stages, outputs, {output: _biased(overflow, output) for output in outputs}),
    )


def _without_target(witness: Witness) -> Witness:
    return replace(witness, args={k: v for k, v in witness.args.items() if k != "target"})


def _elsewhere(output: str) -> Region:
    """Rows whose target is not in a cluster whose logits are nan, or the matrices of such a cluster."""

    def region(at: Points) -> Mask:
        mask = np.zeros(at.truth.outputs()[output].exact.shape, np.bool_)
        for stage in _full_stages(at)[1:]:
            lost = np.isnan(stage.logits.exact).any(axis=1) & (stage.coefficients == 0.0).all(axis=1)
            if output in stage.sums:
                mask |= bool(lost.any())
            elif output == "input":
                mask |= lost[:, None]
        return mask

    return region


def _predicted_in_the_head(at: Points) -> Mask:
    head = linear(given(at["input"]), at["head_weight"], at.args.get("head_bias")).exact
    frequent = np.argmax(head, axis=1) < at.parameters.get("cutoffs", (2, 3))[0]
    return np.asarray(np.isnan(at.truth.value.exact) & np.isfinite(head).all(axis=1) & frequent, np.bool_)


NOWHERE = Witness(args={"input": [[1.0]], "target": [0], **SMALL, "projection_0": [["nan"]]}, parameters=ONE)
FAULTS = _ledger(_stages, ("value", "input", *SHARED), CONFIDENT, OVERFLOW)
FULL = (
    *_ledger(_full_stages, ("value", "input", *SHARED), CONFIDENT, OVERFLOW),
    *(
        Fault(
            name=f"a cluster without logits reaches the gradient of targets elsewhere: {output}",
            where="logits of a cluster nan, target not in it",
            region=_elsewhere(output),
            outputs=(output,),
            seen=NAN,
            witnesses=(_biased(NOWHERE, output),),
        )
        for output in ("input", "projection_0", "output_0", "projection_1", "output_1")
    ),
)
PREDICTED = (
    *(
        replace(fault, dtypes=ALL_DTYPES) if fault.name.startswith("confident") else fault
        for fault in _ledger(_predicted_stages, ("value",), _without_target(CONFIDENT), _without_target(OVERFLOW))
    ),
    Fault(
        name="predict: a frequent class though the log-probability of a rare one is nan, which argmax would take",
        where="logits of a cluster nan, the largest head logit that of a frequent class",
        region=_predicted_in_the_head,
        outputs=("value",),
        seen=FINITE,
        witnesses=(_without_target(NOWHERE),),
    ),
)


def _subject(
    contract: Contract, loss: Callable[..., Tensor], name: str, faults: tuple[Fault, ...], bound: Any = None
) -> Subject:
    return Subject(
        name=name,
        contract=contract,
        call=partial(_calling, loss),
        expression=loss.__name__,
        setup=f"import torch\nfrom harness.subjects.adaptive_log_softmax_with_loss import {loss.__name__}",
        loss=loss if bound is None else bound,
        places={a.name: a.name for a in contract.args},
        parameters=("cutoffs", "div_value"),
        reducing=Reducing(said={n: {"reduction": n} for n in ("none", "mean")}),
        faults=faults,
        unsupported=ELSEWHERE,
        origin="torch",
    )


ELSEWHERE = {
    f"on another device: {name}": "got a result on cpu"
    for name in ("target", "head_weight", "head_bias", "projection_0", "output_0", "projection_1", "output_1")
}
NAME = "nn.AdaptiveLogSoftmaxWithLoss"
SUBJECTS = (
    _subject(CONTRACT, forward, NAME, FAULTS, torch.nn.AdaptiveLogSoftmaxWithLoss),
    _subject(LOG_PROB, log_prob, f"{NAME}.log_prob", FULL),
    _subject(PREDICT, predict, f"{NAME}.predict", PREDICTED),
)
