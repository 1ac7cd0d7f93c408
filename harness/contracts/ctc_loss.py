"""Connectionist temporal classification: a label sequence under frames of class probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.deviations import Deviation, Points
from harness.domain import Arg, ClassIndex, Length, Logits, Simplex
from harness.laws import Law, Moved, Sibling, everywhere, non_negative
from harness.special import SPECIAL_VALUES, ErrorInput, Special
from reference import reductions
from reference.mp import sequence
from reference.sequence import ctc_loss, ctc_loss_of_logits, ctc_loss_raw_gradient
from reference.truth import Output

NAMES = ("targets", "input_lengths", "target_lengths")
NO_LOG_PROBABILITY = "not the logarithm of a probability"


def _raw(at: Points, output: str) -> tuple[Output]:
    given = {k: v for k, v in at.parameters.items() if k in ("blank", "zero_infinity")}
    return (ctc_loss_raw_gradient(at["log_probs"], *(at[n] for n in NAMES), **given),)


RAW_GRADIENT = Deviation(
    name="gradient in log_probs as if through log_softmax",
    where="every frame within the input length",
    region=lambda at: np.ones(at["log_probs"].shape, np.bool_),
    outputs=("log_probs",),
    documented=_raw,
    says="exp(log_probs) - occupancy: the gradient in the scores of a log_softmax, whose backward leaves it as it is",
    source="https://github.com/pytorch/pytorch/issues/52241",
)


def _later_frames(at: Points) -> Moved:
    """Frames beyond the input length do not matter, whatever they hold."""
    x = at["log_probs"]
    beyond = np.arange(x.shape[1]) >= at["input_lengths"][:, None]
    moved = np.where(beyond[..., None], -1.0, x)
    return Moved(args={**at.args, "log_probs": moved}, parameters=at.parameters, applies=everywhere(at))


def _padding(at: Points) -> Moved:
    """What the targets hold beyond their lengths does not matter."""
    targets = at["targets"]
    beyond = np.arange(targets.shape[1]) >= at["target_lengths"][:, None]
    other = np.where(beyond, targets[:, :1], targets)
    return Moved(args={**at.args, "targets": other}, parameters=at.parameters, applies=everywhere(at))


def _reversed_time(name: str) -> Any:
    """The alignments of the reversed target to the reversed frames are the reversed alignments."""

    def move(at: Points) -> Moved:
        x, targets = at[name], at["targets"]
        full = (at["input_lengths"] == x.shape[1]) & (at["target_lengths"] == targets.shape[1])
        args = {**at.args, name: x[:, ::-1].copy(), "targets": targets[:, ::-1].copy()}
        return Moved(args=args, parameters=at.parameters, applies=full)

    return move


def _one_frame(at: Points) -> Moved:
    """One frame and one label: the loss is nll_loss."""
    x = at["log_probs"]
    ones = np.ones_like(at["input_lengths"])
    finite = np.isfinite(np.take_along_axis(x[:, 0], at["targets"][:, :1], axis=1)[:, 0])
    args = {"input": x[:, 0], "target": at["targets"][:, 0]}
    own = (at["input_lengths"] == ones) & (at["target_lengths"] == ones) & finite
    return Moved(args=args, parameters={}, applies=own)


def _special(argument: str, value: str, rows: Any, want: str, reason: str = "", **changes: Any) -> Special:
    args = {argument: rows, "targets": [[1]], "input_lengths": [2], "target_lengths": [1], **changes}
    return Special(condition=f"{argument}={value}", args=args, want=want, reason=reason, covers=((argument, value),))


def _log_prob(value: str) -> Special:
    wanted = {"nan": "nan", "+inf": "outside"}.get(value, "formula")
    if value.startswith("+") and value not in ("+0", "+inf"):
        wanted = "outside"
    reason = NO_LOG_PROBABILITY if wanted == "outside" else ""
    return _special("log_probs", value, [[[-0.5, value], [-1.0, -0.25]]], wanted, reason)


def _logit(value: str) -> Special:
    wanted = {"nan": "nan", "+inf": "outside"}.get(value, "formula")
    reason = "the softmax of an infinite logit has no value" if wanted == "outside" else ""
    return _special("logits", value, [[[0.5, value], [1.0, -0.25]]], wanted, reason)


ONE_LABEL = {"targets": [[1]], "input_lengths": [2], "target_lengths": [1]}
HALF = float(np.log(0.5))
FRAMES = [[[HALF, HALF], [HALF, HALF]]]

CONTRACT = Contract(
    name="ctc_loss",
    module="CTCLoss",
    summary="Negative log of the probability of all alignments of frames that collapse to a label sequence.",
    formula="-log of the sum over alignments of the product of frame probabilities; zero_infinity puts 0 for inf",
    sources=(
        "torch.nn.CTCLoss",
        "Graves et al., Connectionist Temporal Classification, ICML 2006",
    ),
    dims={"T": (5, 1, 6), "C": (4, 2, 3), "S": (3, 1, 2)},
    args=(
        Arg(name="log_probs", kind=Simplex(log=True), dims=("T", "C"), batch_axis=1),
        Arg(name="targets", kind=ClassIndex(avoid="blank"), dims=("S",), role="target"),
        Arg(name="input_lengths", kind=Length(of="T"), role="target"),
        Arg(name="target_lengths", kind=Length(of="S"), role="target"),
    ),
    parameters=(
        Parameter(name="blank", values=(0, 1)),
        Parameter(name="zero_infinity", values=(False, True)),
    ),
    oracle=ctc_loss,
    definition=sequence.padded,
    reductions={"sum": reductions.total, "mean": reductions.target_length_mean},
    layouts=("rows", "strided"),
    scales="B_ref = abs(f) + sum of occupancy * abs(log_prob), B_acc that times sqrt(frames); B_abs adds the frames",
    deviations=(RAW_GRADIENT,),
    specials=(
        *(_log_prob(v) for v in SPECIAL_VALUES),
        Special(
            condition="input shorter than the target",
            args={"log_probs": FRAMES, "targets": [[1]], "input_lengths": [0], "target_lengths": [1]},
            want="+inf",
        ),
        Special(
            condition="input shorter than the target, zero_infinity",
            args={"log_probs": FRAMES, "targets": [[1]], "input_lengths": [0], "target_lengths": [1]},
            parameters={"zero_infinity": True},
            want="0",
        ),
        Special(
            condition="a repeated label without a frame for the blank between",
            args={"log_probs": FRAMES, "targets": [[1, 1]], "input_lengths": [2], "target_lengths": [2]},
            want="+inf",
        ),
        Special(
            condition="two frames of probability 1/2 and one label: 3 of 4 alignments",
            args={"log_probs": FRAMES, "targets": [[1]], "input_lengths": [2], "target_lengths": [1]},
            want=0.287682,
        ),
        Special(
            condition="empty target: blanks alone",
            args={"log_probs": FRAMES, "targets": [[1]], "input_lengths": [2], "target_lengths": [0]},
            want=1.386294,
        ),
        Special(
            condition="no frames and no labels",
            args={"log_probs": FRAMES, "targets": [[1]], "input_lengths": [0], "target_lengths": [0]},
            want="0",
        ),
        Special(
            condition="certain path",
            args={"log_probs": [[["-inf", 0.0], [0.0, "-inf"]]], **ONE_LABEL},
            want="0",
        ),
        Special(
            condition="impossible label",
            args={"log_probs": [[[0.0, "-inf"], [0.0, "-inf"]]], **ONE_LABEL},
            want="+inf",
        ),
    ),
    laws=(
        Law(name="frames beyond the input length do not matter", move=_later_frames),
        Law(name="padding beyond the target length does not matter", move=_padding),
        Law(name="time reversed with the target reversed", move=_reversed_time("log_probs")),
        Sibling(
            name="one frame and one label: nll_loss",
            move=_one_frame,
            loss=lambda torch: lambda input, target: torch.nn.functional.nll_loss(input, target, reduction="none"),
            real=("input",),
        ),
        non_negative(),
    ),
    errors=(
        ErrorInput(
            name="blank outside the classes",
            call=lambda torch, loss: _call(torch, loss, blank=2),
            raises=("RuntimeError",),
            match="blank must be in label range",
        ),
        ErrorInput(
            name="input length beyond the frames",
            call=lambda torch, loss: _call(torch, loss, input_lengths=[3]),
            raises=("RuntimeError",),
            match="Expected input_lengths to have value at most 2",
        ),
        ErrorInput(
            name="target length beyond the targets",
            call=lambda torch, loss: _call(torch, loss, target_lengths=[2]),
            raises=("RuntimeError",),
            match="Expected tensor to have size at least 2",
        ),
        ErrorInput(
            name="more input lengths than rows",
            call=lambda torch, loss: _call(torch, loss, input_lengths=[2, 2]),
            raises=("RuntimeError",),
            match="input_lengths must be of size batch_size",
        ),
        ErrorInput(
            name="more target lengths than rows",
            call=lambda torch, loss: _call(torch, loss, target_lengths=[1, 1]),
            raises=("RuntimeError",),
            match="target_lengths must be of size batch_size",
        ),
        ErrorInput(
            name="lengths of dtype float32",
            call=lambda torch, loss: loss(
                torch.zeros(2, 1, 2), torch.tensor([[1]]), torch.tensor([2.0]), torch.tensor([1.0])
            ),
            raises=("RuntimeError",),
            match="must be integral",
        ),
    ),
)


def _call(torch: Any, loss: Any, input_lengths: Any = (2,), target_lengths: Any = (1,), **given: Any) -> Any:
    lengths = torch.tensor(list(input_lengths)), torch.tensor(list(target_lengths))
    return loss(torch.zeros(2, 1, 2), torch.tensor([[1]]), *lengths, **given)


LOGITS = replace(
    CONTRACT,
    name="ctc_loss_of_logits",
    module="",
    summary="ctc_loss of log_softmax: the same on scores, as it is trained.",
    formula="ctc_loss(log_softmax(logits), targets)",
    args=(
        Arg(name="logits", kind=Logits(largest=2.0**1000), dims=("T", "C"), batch_axis=1),
        *CONTRACT.args[1:],
    ),
    dims={"T": (5, 1, 4), "C": (4, 2, 3), "S": (3, 1, 2)},
    oracle=ctc_loss_of_logits,
    definition=sequence.padded_logits,
    layouts=("rows", "strided"),
    scales="those of ctc_loss, and per frame the spread of the logits around the largest",
    deviations=(),
    specials=(
        *(_logit(v) for v in SPECIAL_VALUES),
        Special(
            condition="tied logits: 3 of 4 alignments",
            args={"logits": [[[7.0, 7.0], [7.0, 7.0]]], "targets": [[1]], "input_lengths": [2], "target_lengths": [1]},
            want=0.287682,
        ),
    ),
    laws=(
        Law(
            name="padding beyond the target length does not matter",
            move=_padding,
            gradients={"logits": ("logits", 1.0)},
        ),
        Law(name="time reversed with the target reversed", move=_reversed_time("logits")),
        non_negative(),
    ),
    errors=(),
)
