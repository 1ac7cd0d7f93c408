"""Derivatives against finite differences of the loss itself: a second opinion that needs no oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.binding import Subject
from harness.cases import Batch, NoReferenceError
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import Evidence, VacuousCheckError, covered_rows, defect, refused
from harness.checks.sampling import calm, first_sizes, joined, settings_of
from harness.contract import Contract
from harness.deviations import Mask
from harness.domain.kind import Elementwise, over_rows
from harness.evaluate import Raised
from harness.findings import call_text, called
from harness.generate import Choices, seeded
from harness.minimise import one_row
from harness.probe import differentiate
from harness.ulp import FLOAT64, Array

FAST_ROWS = 200
"""Rows of one call whose derivatives are compared along random directions."""
SLOW_ROWS = 3
"""Rows whose Jacobian is compared entry by entry."""
WIDTH = 4
"""Largest size of a named dimension: the slow mode is quadratic."""
CALM, STEP = 64.0, 1e-5
"""Of kinds that tie the numbers of a row together: the largest number that is moved, and more than it is moved by."""
NEAR, DRAWS = 1e-4, 8
"""How near two numbers of a row of a declared loss may be, and how often rows are drawn for enough with room."""
REACH, WAYS = 4e-6, 4
"""How far, and in how many directions, rows are moved to see a kink; finite differences go 1e-6."""
JUMP = 1e-4
"""A change of the gradient over so short a way, as a share of it, that may be a jump."""
MISMATCH = "GradcheckError"
DONATED = "compiled with non-empty donated buffers"
"""What torch.compile says where the same backward is asked again, as finite differences do and training does not."""
TOPICS = {"gradcheck": "gradient", "gradgradcheck": "double backward", "forward-mode": "forward-mode"}


def smooth_rows(subject: Subject, batch: Batch) -> Mask:
    """Rows away from kinks and from Departures, at which the oracle has a finite gradient."""
    truth = batch.truth(subject.contract)
    rows = ~covered_rows(subject, batch, truth, truth.outputs())
    for output in truth.outputs().values():
        if output.exact.shape[:1] == rows.shape:
            good = np.isfinite(output.exact)
            if output.interval is not None:
                good &= np.broadcast_to(output.interval[0] == output.interval[1], good.shape)
            rows &= good.reshape(len(rows), -1).all(axis=1)
    if subject.contract.near_kink is not None:
        near = np.asarray(subject.contract.near_kink(batch.points(subject.contract, truth)), np.bool_)
        rows &= ~near.reshape(len(rows), -1).any(axis=1)
    return rows


def near_kink(contract: Contract, batch: Batch, names: tuple[str, ...]) -> Mask:
    """Rows at which a gradient jumps within the reach of finite differences: a move four times as far adds little."""
    rng = seeded(contract.name, "kinks")
    found = np.zeros(batch.rows(contract), np.bool_)
    for _ in range(WAYS):
        way = {n: rng.standard_normal(batch.args[n].shape) for n in names}
        ends = [_gradients_at(contract, batch, way, times * REACH) for times in (1, -1, 4, -4)]
        if not all(ends):
            continue
        for up, down, further_up, further_down in zip(*ends, strict=True):
            with np.errstate(all="ignore"):
                near, far = np.abs(up - down), np.abs(further_up - further_down)
                jumps = (near > JUMP * np.abs(up).max(axis=1, keepdims=True)) & (near > 0.5 * far)
            found |= jumps.any(axis=1)
    return found


def _gradients_at(contract: Contract, batch: Batch, way: Mapping[str, Array], times: float) -> list[Array]:
    """The gradients of rows that are moved, as one matrix each; none where the loss refuses a row."""
    moved = {n: batch.args[n] + times * w for n, w in way.items()}
    try:
        gradients = contract.truth({**batch.args, **moved}, batch.parameters).gradients
    except NoReferenceError:
        return []
    return [gradients[n].exact.reshape(batch.rows(contract), -1) for n in way]


def has_room(contract: Contract, batch: Batch, name: str) -> Mask:
    """Rows that a finite difference in any number of an argument leaves in its domain, and does not round away."""
    kind, x = contract.arg(name).kind, batch.args[name]
    inside = np.ones(len(x), np.bool_)
    if isinstance(kind, Elementwise):
        return inside
    inside &= over_rows(np.abs(x) <= CALM)
    for place in np.ndindex(x.shape[1:]):
        for by in (-STEP, STEP):
            moved = x.copy()
            moved[(slice(None), *place)] += by
            inside &= kind.legal_rows(moved, batch.precision)
    return inside


def _roomy(contract: Contract, batch: Batch) -> Batch:
    """The rows that have room in every argument in which any has: of probabilities that sum to 1 none has.

    Nobody says where such a loss has its kinks; most are where two of its numbers meet.
    """
    names = [a.name for a in contract.args if a.differentiable and not a.shared and a.name in batch.args]
    masks = [has_room(contract, batch, name) for name in names]
    numbers = [batch.args[name].reshape(batch.rows(contract), -1) for name in names]
    if numbers:
        apart = np.diff(np.sort(np.concatenate(numbers, axis=1), axis=1), axis=1) > NEAR
        masks.append(over_rows(apart))
    masks = [m for m in masks if m.any()]
    inside = np.logical_and.reduce(masks) if masks else np.ones(batch.rows(contract), np.bool_)
    return batch if inside.all() else batch.take(contract, np.flatnonzero(inside))


def _drawn(contract: Contract, choice: Choices, rows: int, device: str) -> Batch:
    """So many calm rows with room for a finite difference, or as many as some draws have."""
    size = {d: min(n, WIDTH) for d, n in first_sizes(contract).items()}
    found: Batch | None = None
    for again in range(DRAWS):
        rng = seeded(contract.name, "derivatives", *([again] if again else []))
        drawn = calm(contract, choice, size, rows, rng, FLOAT64, device=device, interior=True)
        if contract.own_gradients:
            drawn = _roomy(contract, drawn)
        found = drawn if found is None else joined(contract, found, drawn)
        if found.rows(contract) >= rows:
            break
    assert found is not None
    return found


def _batch(subject: Subject, choice: Choices, rows: int, device: str) -> Batch:
    drawn = _drawn(subject.contract, choice, 2 * rows, device)
    good = np.flatnonzero(smooth_rows(subject, drawn))[: rows if subject.takes_none else 1]
    return drawn.take(subject.contract, good)


def _derivative(context: Context, mode: str) -> Outcome:
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    options = settings_of(subject)
    refusals: dict[str, Raised] = {}
    kinked = 0
    for number, choice in enumerate(options):
        for rows, fast in ((FAST_ROWS, True), (SLOW_ROWS, False)):
            if not fast and number not in (0, len(options) - 1):
                continue
            batch = _batch(subject, choice, rows, context.device)
            known = batch.truth(contract).gradients
            leaves = tuple(n for n in known if n in batch.args and n in _derived(subject))
            if not batch.rows(contract) or not leaves:
                continue
            batch = replace(batch, reduction="none")
            raised = differentiate(subject, batch, mode, leaves, fast=fast)
            if raised is not None and raised.type != MISMATCH:
                # Finite differences leave a domain in which no row has room: a loss may refuse what is outside.
                inside = tuple(n for n in leaves if has_room(contract, batch, n).any())
                if inside != leaves:
                    refusals[", ".join(n for n in leaves if n not in inside)] = raised
                    raised = differentiate(subject, batch, mode, inside, fast=fast) if inside else None
                    if not inside:
                        continue
            if raised is not None and raised.type == MISMATCH and contract.own_gradients:
                away = np.flatnonzero(~near_kink(contract, batch, leaves))
                if not away.size:
                    kinked += batch.rows(contract)
                    continue
                if away.size < batch.rows(contract):
                    batch = batch.take(contract, away)
                    raised = differentiate(subject, batch, mode, leaves, fast=fast)
            evidence.cases += batch.rows(contract)
            if raised is None:
                continue
            if DONATED in raised.message:
                return Outcome(unsupported=f"{mode} asks twice of a compiled loss: {_brief(raised.message)}")
            if raised.type != MISMATCH:
                few = batch.take(contract, slice(0, SLOW_ROWS))
                lines = None if mode == "gradcheck" else _lines(subject, few, mode, leaves)
                return refused(context, raised, TOPICS[mode], mode, lines=lines)
            where = f"{mode} with {dict(choice.parameters)}"
            said = f"{where}: derivatives differ from finite differences: {_brief(raised.message)}"
            few = _fewest(subject, batch, mode, leaves)
            evidence.put(defect(subject, mode, said, batch=few, lines=_lines(subject, few, mode, leaves)))
    if refusals:
        said = "; ".join(
            f"of {names}, which finite differences take out of its domain: {r}" for names, r in refusals.items()
        )
        return replace(evidence.outcome(), unsupported=f"{mode} is not asked {said}")
    if kinked:
        said = f"{mode} is not asked of {kinked} rows, each at a kink that finite differences cross"
        return replace(evidence.outcome(), unsupported=said)
    everywhere = tuple(d.name for d in subject.contract.deviations if d.outputs != ("value",))
    if not evidence.cases and everywhere:
        return Outcome(excused=everywhere)
    if not evidence.cases:
        raise VacuousCheckError(f"{subject.name}: {mode}: no row away from kinks and Departures")
    return evidence.outcome()


def _fewest(subject: Subject, batch: Batch, mode: str, leaves: tuple[str, ...]) -> Batch:
    """One row whose derivatives differ, or as few as the slow mode has; all where these agree."""

    def differs(part: Batch) -> bool:
        raised = differentiate(subject, part, mode, leaves, fast=False)
        return raised is not None and raised.type == MISMATCH

    few = batch.take(subject.contract, slice(0, SLOW_ROWS))
    if not differs(few):
        return one_row(subject.contract, batch, lambda part: part.rows(subject.contract) <= WIDTH and differs(part))
    return one_row(subject.contract, few, differs)


def _lines(subject: Subject, batch: Batch, mode: str, leaves: tuple[str, ...]) -> str:
    """Lines that compare the derivatives of a call with finite differences."""
    names = ", ".join(leaves)
    function = "gradgradcheck" if mode == "gradgradcheck" else "gradcheck"
    ways = ", check_forward_ad=True, check_backward_ad=False" if mode == "forward-mode" else ""
    shows = f"torch.autograd.{function}(lambda {names}: {call_text(subject, batch)}, ({names},){ways})"
    return called(subject, batch, shows, before="\n".join(f"{name}.requires_grad_()" for name in leaves))


def _brief(message: str) -> str:
    return " ".join(message.split())[:300]


def gradcheck(context: Context) -> Outcome:
    """The gradient is the derivative of the loss."""
    return _derivative(context, "gradcheck")


def gradgradcheck(context: Context) -> Outcome:
    """The gradient of the gradient is its derivative."""
    return _derivative(context, "gradgradcheck")


def forward_mode(context: Context) -> Outcome:
    """Forward-mode differentiation gives the derivative of the loss."""
    return _derivative(context, "forward-mode")


def stop_gradient(context: Context) -> Outcome:
    """The gradient of an argument is stopped, as declared: it is not the derivative."""
    subject, name = context.subject, context.item
    batch = replace(_batch(subject, settings_of(subject)[0], FAST_ROWS, context.device), reduction="none")
    if not batch.rows(subject.contract):
        raise VacuousCheckError(f"{subject.name}: stop-gradient: no row away from kinks and Departures")
    raised = differentiate(subject, batch, "gradcheck", (name,), fast=True)
    evidence = Evidence(subject=subject, precision=context.precision, cases=batch.rows(subject.contract))
    if raised is None:
        said = f"expected the gradient with respect to {name} to be stopped, got the derivative: a detach() is missing?"
        few = batch.take(subject.contract, slice(0, 1))
        lines = _lines(subject, few, "gradcheck", (name,))
        evidence.put(defect(subject, "gradient flows", said, batch=few, output=name, lines=lines))
    elif raised.type != MISMATCH:
        return refused(context, raised, TOPICS["gradcheck"], "gradcheck")
    return evidence.outcome()


def _derived(subject: Subject) -> tuple[str, ...]:
    """The arguments whose gradients are to be derivatives."""
    return tuple(a.name for a in subject.contract.args if a.differentiable and a.name not in subject.stop_gradient)


def _items(subject: Subject) -> tuple[str, ...]:
    return ("",) if _derived(subject) else ()


def _dtypes(subject: Subject, item: str) -> tuple[str, ...]:
    return ("float64",)


register(Check(name="gradcheck", run=gradcheck, items=_items, dtypes=_dtypes))
register(Check(name="gradgradcheck", run=gradgradcheck, items=_items, dtypes=_dtypes))
register(Check(name="forward-mode", run=forward_mode, items=_items, dtypes=_dtypes))
register(Check(name="stop-gradient", run=stop_gradient, items=lambda subject: subject.stop_gradient, dtypes=_dtypes))
