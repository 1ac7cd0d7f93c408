"""The outside of a loss: dtypes, shapes, devices, defaults, what it leaves alone, and the calls that must raise."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import Evidence, VacuousCheckError, convention, defect, note, refused
from harness.checks.grading import shape_of as unreduced_shape
from harness.checks.sampling import calm_batches, settings_of
from harness.evaluate import Raised, observe, observe_rows
from harness.findings import call_lines, call_text, called, drawn_lines, given_lines, literal
from harness.probe import Form, form_of, in_fork, left_behind, provoke, provoking_lines, shape_of
from harness.special import ErrorInput

ROWS = 6
WEIGHTS = (-4.0, 0.0, 0.5)
"""What elements of a result are multiplied by, in turn; all by the first where rows may depend on each other."""


def _leaves(subject: Subject, batch: Batch) -> tuple[str, ...]:
    return tuple(a.name for a in subject.contract.args if a.name in batch.args and a.differentiable)


def _batches(context: Context) -> list[Batch]:
    return list(calm_batches(context.subject, context.precision, context.device, ROWS, "form"))


def _reductions(subject: Subject) -> tuple[str, ...]:
    return subject.reductions or ("none",)


def _over_calls(context: Context, look: Callable[[Evidence, Batch], Raised | None]) -> Outcome:
    """Look at every setting and reduction; a call that raises ends it."""
    evidence = Evidence(subject=context.subject, precision=context.precision)
    for batch in _batches(context):
        for reduction in _reductions(context.subject):
            stopped = look(evidence, replace(batch, reduction=reduction))
            if stopped is not None:
                return refused(context, stopped, context.item)
            evidence.cases += 1
    return evidence.outcome()


def result_dtype_and_device(context: Context) -> Outcome:
    """The result has the dtype and device of the inputs, or the dtype that is declared."""

    def look(evidence: Evidence, batch: Batch) -> Raised | None:
        form = form_of(context.subject, batch)
        want = (context.subject.result_dtype(context.precision), batch.device)
        if form.raised is None and (form.dtype, form.device.partition(":")[0]) != (want[0], want[1].partition(":")[0]):
            said = (
                f"reduction={batch.reduction}: expected dtype {want[0]} on {want[1]}, got {form.dtype} on {form.device}"
            )
            lines = called(context.subject, batch, "loss.dtype, loss.device")
            evidence.put(defect(context.subject, "dtype", said, batch=batch, output="value", lines=lines))
        return form.raised

    return _over_calls(context, look)


def result_shape(context: Context) -> Outcome:
    """A scalar when reduced; unreduced, one number a row in the shape of the batch."""
    subject = context.subject

    def look(evidence: Evidence, batch: Batch) -> Raised | None:
        every = subject.reductions and subject.origin == "torch"
        layouts = subject.contract.layouts if every else ("rows",)
        one = batch.take(subject.contract, slice(0, 1))
        # A batch of one is where a squeeze goes too far.
        alone = () if subject.contract.coupled else (one,)
        for laid in (
            *(replace(one if layout == "single" else batch, layout=layout) for layout in layouts),
            *alone,
        ):
            form = form_of(subject, laid)
            if form.raised is not None:
                return form.raised
            unreduced = batch.reduction == "none" and subject.takes_none
            want = unreduced_shape(laid, laid.rows(subject.contract)) if unreduced else ()
            if form.shape != want:
                said = f"reduction={batch.reduction}, layout {laid.layout}: expected shape {want}, got {form.shape}"
                lines = called(subject, laid, "tuple(loss.shape)")
                evidence.put(defect(subject, "shape", said, batch=laid, output="value", lines=lines))
        return None

    return _over_calls(context, look)


def gradient_dtype_and_shape(context: Context) -> Outcome:
    """Every gradient has the dtype and the shape of its argument."""
    subject = context.subject

    def look(evidence: Evidence, batch: Batch) -> Raised | None:
        form = form_of(subject, batch, leaves=_leaves(subject, batch))
        for name, (dtype, shape) in form.gradients.items():
            want = (context.precision.name, shape_of(subject, batch, name))
            if (dtype, shape) != want:
                said = f"gradient of {name}: expected {want[0]} of shape {want[1]}, got {dtype} of shape {shape}"
                lines = called(subject, batch, f"{name}.grad.dtype, tuple({name}.grad.shape)", leaves=(name,))
                evidence.put(defect(subject, "dtype", said, batch=batch, output=name, lines=lines))
        return form.raised

    return _over_calls(context, look)


def inputs_unchanged(context: Context) -> Outcome:
    """No input holds other numbers after the call."""

    def look(evidence: Evidence, batch: Batch) -> Raised | None:
        form = form_of(context.subject, batch)
        if form.changed:
            said = f"expected its inputs unchanged, got other numbers in {', '.join(form.changed)}"
            lines = called(context.subject, batch, ", ".join(f"{name}.tolist()" for name in form.changed))
            evidence.put(defect(context.subject, "mutated", said, batch=batch, lines=lines))
        return form.raised

    return _over_calls(context, look)


def global_state(context: Context) -> Outcome:
    """Settings and functions of torch, and what else the process shares, are after the call what they were before."""
    evidence = Evidence(subject=context.subject, precision=context.precision)
    for batch in _batches(context):
        for reduction in _reductions(context.subject):
            here = replace(batch, reduction=reduction)
            if found := left_behind(context.subject, here):
                said = f"leaves something changed: {'; '.join(found)}"
                lines = call_lines(context.subject, here, gradients=True)
                evidence.put(defect(context.subject, "global state", said, batch=here, lines=lines))
            evidence.cases += 1
    return evidence.outcome()


def same_twice(context: Context) -> Outcome:
    """The same input gives the same bits, value and gradient, and the random number generator is not used."""

    def look(evidence: Evidence, batch: Batch) -> Raised | None:
        one, other = observe(context.subject, batch), observe(context.subject, batch)
        for name, got in one.outputs().items():
            if not identical(got, other.outputs().get(name)):
                said = f"{name}: expected the same bits twice, got others"
                twice = called(context.subject, batch, f"torch.equal(loss, {call_text(context.subject, batch)})")
                lines = twice if name == "value" else given_lines(context.subject, batch, name)
                evidence.put(defect(context.subject, "nondeterministic", said, batch=batch, output=name, lines=lines))
        if one.used_rng:
            said = "draws from the global random number generator: expected none of it to be used"
            evidence.put(
                defect(context.subject, "random", said, batch=batch, lines=drawn_lines(context.subject, batch))
            )
        return one.raised

    return _over_calls(context, look)


def in_proportion(context: Context) -> Outcome:
    """A weight on the loss weighs its gradient; powers of two do so exactly."""
    subject = context.subject

    def look(evidence: Evidence, batch: Batch) -> Raised | None:
        leaves = tuple(n for n in _leaves(subject, batch) if not subject.contract.arg(n).shared)
        plain = form_of(subject, batch, leaves=leaves)
        if plain.raised is not None:
            return plain.raised
        weights = np.resize(WEIGHTS[:1] if subject.contract.own_gradients else WEIGHTS, plain.shape)
        weighed = form_of(subject, batch, leaves=leaves, weights=weights)
        for name, gradient in plain.leaf_gradients.items():
            after = gradient.ndim - subject.contract.arg(name).batch_axis - 1
            want = gradient * (weights.reshape(weights.shape + (1,) * after) if weights.ndim else weights)
            got = weighed.leaf_gradients.get(name)
            slack = 4.0 * batch.precision.u * np.abs(want) + batch.precision.smallest_normal
            if subject.contract.own_gradients:  # its backward may take logarithms of what it is given
                slack += 64.0 * batch.precision.u * np.max(np.abs(want), initial=0.0, where=np.isfinite(want))
            with np.errstate(invalid="ignore"):  # inf less inf, which is left out
                off = np.ones(want.shape, np.bool_) if got is None else ~(abs(got - want) <= slack) & np.isfinite(want)
            if off.any():
                said = (
                    f"gradient of {name}: expected that of the loss times {', '.join(map(str, np.unique(weights)))}, "
                    f"got {'none' if got is None else got[off][0]} for {want[off][0]}: "
                    "its backward does not multiply by what it is given"
                )
                times = literal(weights, batch.precision.name)
                lines = called(subject, batch, f"{name}.grad.tolist()", leaves=(name,), weights=times)
                evidence.put(defect(subject, "upstream", said, batch=batch, output=name, lines=lines))
        return weighed.raised

    return _over_calls(context, look)


def identical(one: Any, other: Any) -> bool:
    """Bit for bit, any nan being any other."""
    if one is None or other is None or one.shape != other.shape:
        return one is None and other is None
    return bool(
        np.array_equal(one, other, equal_nan=True)
        and np.array_equal(np.signbit(one)[one == 0], np.signbit(other)[one == 0])
    )


def constant_argument(context: Context, name: str) -> Outcome:
    """An argument that the Contract declares constant refuses a gradient, gets none, or one that is right.

    The loss is linear in a weight of its own row: the gradient times the weight is the loss.
    """
    subject = context.subject
    evidence = Evidence(subject=subject, precision=context.precision)
    for batch in _batches(context):
        if name not in batch.args:
            continue
        form = form_of(subject, batch, leaves=(name,))
        evidence.cases += 1
        if form.raised is not None:
            if not re.search(f"{subject.places.get(name, name)}|differentiable|grad", form.raised.message):
                said = f"{name} that requires a gradient: expected a message that says so, got {form.raised}"
                lines = given_lines(subject, batch, name)
                evidence.put(defect(subject, "raised", said, batch=batch, lines=lines))
            continue
        if name in form.leaf_gradients:
            _right_gradient(evidence, subject, batch, name, form)
    if not evidence.cases:
        raise VacuousCheckError(f"{subject.name}: {name}: no setting has this argument")
    return evidence.outcome()


def _right_gradient(evidence: Evidence, subject: Subject, batch: Batch, name: str, form: Form) -> None:
    arg, gradient = subject.contract.arg(name), form.leaf_gradients[name]
    value = observe_rows(subject, batch, gradients=False).value
    judged = name == "weight" and not (arg.shared or arg.dims) and value is not None and subject.takes_none
    if judged and value is not None:
        slack = 16.0 * batch.precision.u * np.abs(value) + batch.precision.smallest_normal
        if not (np.abs(gradient * batch.args[name] - value) <= slack).all():
            said = f"the gradient of {name}: expected the loss over the weight, got {gradient.tolist()}"
            evidence.put(defect(subject, "gradient", said, batch=batch, output=name))
            return
    evidence.put(
        note(
            subject,
            "constant",
            f"a gradient flows to {name}, which the Contract holds constant: where a network makes it, detach it, or "
            "training moves it to the prediction",
            output=name,
            batch=batch,
        )
    )


def meta_device(context: Context) -> Outcome:
    """On the meta device shape and dtype are inferred as they are on this one, or the call raises."""
    subject = context.subject
    evidence = Evidence(subject=subject, precision=context.precision)
    for batch in _batches(context):
        for reduction in _reductions(subject):
            here = replace(batch, reduction=reduction)
            form, real = form_of(subject, here, devices=dict.fromkeys(batch.args, "meta")), form_of(subject, here)
            evidence.cases += 1
            lines = called(subject, replace(here, device="meta"), "loss.device, tuple(loss.shape), loss.dtype")
            if form.raised is not None:
                evidence.put(note(subject, "meta", f"the meta device is refused: {form.raised}", lines=lines))
            elif (form.device, form.shape, form.dtype) != ("meta", real.shape, real.dtype):
                got = f"{form.dtype} of shape {form.shape} on {form.device}"
                said = f"meta device: expected {real.dtype} of shape {real.shape} on meta, got {got}"
                evidence.put(defect(subject, "meta", said, batch=here, lines=lines))
    return evidence.outcome()


def other_device(context: Context, name: str) -> Outcome:
    """An argument on another device than the first raises."""
    subject = context.subject
    evidence = Evidence(subject=subject, precision=context.precision)
    for batch in _batches(context):
        if name not in batch.args:
            continue
        form = form_of(subject, batch, devices={name: "meta"})
        evidence.cases += 1
        lines = called(subject, batch, "loss.device", before=f"{name} = {name}.to('meta')")
        if form.raised is None:
            said = f"{name} on meta, the others on {batch.device}: expected an exception, got a result on {form.device}"
            declared = subject.unsupported.get(f"{DEVICE}{name}")
            if declared is not None and re.search(declared, said):
                return Outcome(unsupported=said, cases=evidence.cases)
            evidence.put(convention(subject, "device", said, lines=lines))
        elif not re.search(r"device|meta|same type|backend", form.raised.message):
            said = f"{name} on meta: expected a message that names the device, got {form.raised}"
            evidence.put(note(subject, "device", said, lines=lines))
    return evidence.outcome()


def raises(context: Context, error: ErrorInput) -> Outcome:
    """The call raises one of the named exceptions, with a message that says why.

    Of a user's loss any exception will do.
    """
    subject = context.subject
    raised = in_fork(lambda: provoke(subject, error.call)) if error.crashes else provoke(subject, error.call)
    if raised is not None and raised.type == "NotOfferedError":
        return Outcome()
    got = "a result" if raised is None else str(raised)
    if raised is not None and raised.type in error.raises and re.search(error.match, raised.message):
        return Outcome(cases=1)
    declared = subject.unsupported.get(f"error: {error.name}")
    if declared is not None and re.search(declared, got):
        return Outcome(unsupported=got, cases=1)
    if raised is not None and subject.origin != "torch":
        return Outcome(cases=1)
    what = " or ".join(error.raises) + (f" with a message like /{error.match}/" if error.match else "")
    said = f"{error.name}: expected {what}, got {got}"
    lines = in_fork(lambda: provoking_lines(subject, error.call))
    shown = lines if isinstance(lines, str) else ""
    return Outcome(findings=(convention(subject, "error", said, lines=shown),), cases=1)


def defaults(context: Context) -> Outcome:
    """A parameter that is not given has the Contract's first value."""
    subject = context.subject
    evidence = Evidence(subject=subject, precision=context.precision)
    for name, want, got in _defaults(subject):
        evidence.cases += 1
        if got is not want and got != want:
            said = f"{name}: expected the default {want!r}, got {got!r}"
            lines = f"import inspect\n{subject.setup}\nprint(inspect.signature({subject.expression}))"
            evidence.put(convention(subject, "default", said, output=name, lines=lines))
    return evidence.outcome()


def _defaults(subject: Subject) -> list[tuple[str, Any, Any]]:
    """Parameter, the Contract's default, the callable's own."""
    source = subject.loss.__init__ if subject.constructed else getattr(subject.loss, "forward", subject.loss)
    try:
        signature = inspect.signature(source).parameters
    except (TypeError, ValueError):
        return []
    wanted = {p.name: p.values[0] for p in subject.contract.parameters if len(p.values) > 1}
    if "mean" in subject.reductions:
        wanted |= {n: v for n, v in subject.reducing.said["mean"].items() if n == "reduction"}
    return [
        (name, want, signature[name].default)
        for name, want in wanted.items()
        if name in signature and signature[name].default is not inspect.Parameter.empty
    ]


META = "the meta device infers the shape"
WHOLE: dict[str, Callable[[Context], Outcome]] = {
    "the result has the dtype and device of the inputs": result_dtype_and_device,
    "a gradient has the dtype and shape of its argument": gradient_dtype_and_shape,
    "the result has the shape of the batch, or none": result_shape,
    "inputs are left as they are": inputs_unchanged,
    "global state is left as it is": global_state,
    "the same input gives the same bits": same_twice,
    "a weight on the loss weighs its gradient": in_proportion,
    META: meta_device,
    "defaults are those of the Contract": defaults,
}
EVERY_DTYPE = 2
CONSTANT, DEVICE, ERROR = "constant: ", "on another device: ", "error: "


def form(context: Context) -> Outcome:
    """What a loss owes its caller beside the number."""
    item = context.item
    if item in WHOLE:
        return WHOLE[item](context)
    if item.startswith(CONSTANT):
        return constant_argument(context, item.removeprefix(CONSTANT))
    if item.startswith(DEVICE):
        return other_device(context, item.removeprefix(DEVICE))
    return raises(context, next(e for e in context.subject.contract.errors if ERROR + e.name == item))


def _items(subject: Subject) -> tuple[str, ...]:
    contract = subject.contract
    present = {n for c in settings_of(subject) for n in c.present} & set(subject.arguments)
    args = [a for a in contract.args if a.name in present]
    constants = [a.name for a in args if a.role == "weight" and not a.differentiable and not a.kind.integral]
    without = set() if _defaults(subject) else {"defaults are those of the Contract"}
    if not any(a.differentiable and not a.shared for a in args):
        without.add("a weight on the loss weighs its gradient")
    whole = [item for item in WHOLE if item not in without]
    return (
        *whole,
        *(CONSTANT + n for n in constants),
        *(DEVICE + a.name for a in args[1:]),
        *(ERROR + e.name for e in contract.errors),
    )


def _dtypes(subject: Subject, item: str) -> tuple[str, ...]:
    if item in tuple(WHOLE)[:EVERY_DTYPE]:
        return ("float64", "float32", "float16", "bfloat16")
    # What torch imports for a tensor on meta it imports for forward-mode too, in a second: once in the same process.
    return ("float64",) if item == META or item.startswith(DEVICE) else ("float32",)


register(Check(name="form", run=form, items=_items, dtypes=_dtypes))
