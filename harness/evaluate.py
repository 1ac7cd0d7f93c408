"""The caller of a loss: a Batch and a Subject in, an Observation out. The only place where tensors are made."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness.adjoints import rounding
from harness.binding import Subject
from harness.cases import Batch, layout_of, placed
from harness.conduct import SuspendedError, calling, own, watch
from harness.domain import Arg
from harness.ulp import PRECISIONS, Array, Precision

Tensor = torch.Tensor

GRAPHS, SLOW = 64, 0.25
"""Rows whose graphs are held at once, and seconds of calls after which no more are added to them."""

DTYPES = {name: getattr(torch, name) for name in PRECISIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An exception of the Subject."""

    type: str
    message: str
    batch: Batch | None = field(default=None, compare=False, repr=False)
    """The input, where it is known."""

    def __str__(self) -> str:
        first = self.message.strip().splitlines()
        return f"{self.type}: {first[0] if first else ''}"

    @classmethod
    def of(cls, error: BaseException, batch: Batch | None = None) -> Raised:
        """What is said of an exception, also of one that cannot say it itself."""
        try:
            message = str(error)
        except Exception as failure:
            message = f"(its text cannot be had: {type(failure).__name__})"
        return cls(type=type(error).__name__, message=message, batch=batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the Subject did. Arrays are float64, promoted exactly, rows first."""

    value: Array | None = None
    gradients: Mapping[str, Array] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    """Differentiable arguments to which no gradient flowed."""
    dtype: str = ""
    gradient_dtypes: Mapping[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    device: str = ""
    warnings: tuple[str, ...] = ()
    raised: Raised | None = None
    gradient_raised: Raised | None = None
    mutated: tuple[str, ...] = ()
    used_rng: bool = False

    def outputs(self) -> dict[str, Array]:
        found = {} if self.value is None else {"value": self.value}
        return found | dict(self.gradients)


def available(device: str) -> str:
    """Empty where the device can be used, else why not."""
    kind = torch.device(device).type
    if kind in ("cpu", "meta"):
        return ""
    module = getattr(torch, kind, None) or getattr(torch.backends, kind, None)
    if module is None or not module.is_available():
        return f"torch {torch.__version__} sees no {kind} device here"
    return ""


def to_tensor(array: npt.NDArray[Any], precision: Precision, device: str) -> Tensor:
    """The one place where numbers become tensors: exact, for they were born in the dtype, and theirs to write into."""
    shape = np.shape(array)  # ascontiguousarray makes a row of a single number
    if np.issubdtype(array.dtype, np.integer):
        return torch.from_numpy(np.ascontiguousarray(array, np.int64).reshape(shape)).to(device, copy=True)
    numbers = torch.from_numpy(np.ascontiguousarray(array, np.float64).reshape(shape))
    return numbers.to(device=device, dtype=DTYPES[precision.name], copy=True)


def to_array(tensor: Tensor) -> Array:
    """The one place where tensors become numbers, their own: a loss may go on to write into its result."""
    result: Array = tensor.detach().to(device="cpu", dtype=torch.float64, copy=True).contiguous().numpy()
    return result


def _gather(array: Array, arg: Arg, layout: str, rows: int) -> Array:
    """A gradient back to rows first."""
    if arg.shared:
        return array
    if layout in ("rows", "strided"):
        return array if arg.batch_axis == 0 else np.moveaxis(array, arg.batch_axis, 0)
    if layout == "single":
        return array[None]
    if layout == "spatial" and arg.dims:
        array = np.moveaxis(array, -1, 1)
    own = array.shape[2:] if array.ndim >= 2 else ()
    return array.reshape((rows, *own))


def tensors_of(subject: Subject, batch: Batch, *, gradients: bool) -> dict[str, Tensor]:
    """The tensors of a batch as the Subject is called with them; leaves where gradients are asked for."""
    tensors = {}
    layout = layout_of(subject.contract, batch)
    for name, array in batch.args.items():
        arg = subject.contract.arg(name)
        tensor = to_tensor(placed(array, arg, layout), batch.precision, batch.device)
        if layout == "strided" and tensor.ndim > 0 and not arg.shared:
            tensor = torch.stack([tensor, tensor], dim=-1)[..., 0]
        tensors[name] = tensor.requires_grad_() if gradients and arg.differentiable else tensor
    return tensors


def result_of(subject: Subject, batch: Batch, tensors: Mapping[str, Tensor]) -> Tensor:
    """The tensor that the Subject returns; anything else raises."""
    if watch.suspended:
        raise SuspendedError("not called")
    result = subject.call(tensors, batch.parameters, batch.reduction)
    if isinstance(result, torch.nn.Module):
        name = type(result).__name__
        raise TypeError(
            f"expected a tensor, got an instance of {name}: the class was called with the tensors; "
            f"make an instance first and call that: {name}()(...)"
        )
    if not isinstance(result, Tensor):
        raise TypeError(f"expected a tensor, got {type(result).__name__}")
    if result.layout != torch.strided:
        raise TypeError(f"expected a dense tensor, got one of layout {result.layout}")
    return result


def observe(subject: Subject, batch: Batch, *, gradients: bool = True) -> Observation:
    """Call the Subject once on all rows. Exceptions of the Subject are part of the Observation."""
    if subject.contract.coupled and batch.rows(subject.contract) != 1:
        return _one_by_one(subject, batch, gradients=gradients)
    with calling(subject, batch, gradients=gradients):
        try:
            return _observed(subject, batch, gradients=gradients)
        except BaseException as error:
            if not own(error):
                raise
            return Observation(raised=Raised.of(error, batch))


def _observed(subject: Subject, batch: Batch, *, gradients: bool) -> Observation:
    rows, layout = batch.rows(subject.contract), layout_of(subject.contract, batch)
    tensors = tensors_of(subject, batch, gradients=gradients)
    versions = {name: t._version for name, t in tensors.items()}
    random = torch.get_rng_state()
    caught: list[warnings.WarningMessage]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = result_of(subject, batch, tensors)
        leaves = {n: t for n, t in tensors.items() if t.requires_grad}
        found: dict[str, Tensor] = {}
        unreached: tuple[str, ...] = ()
        gradient_raised = None
        if gradients and leaves:
            try:
                grads: tuple[Tensor | None, ...] = torch.autograd.grad(
                    result.sum(), list(leaves.values()), allow_unused=True
                )
                found = {n: g for n, g in zip(leaves, grads, strict=True) if g is not None}
                unreached = tuple(n for n, g in zip(leaves, grads, strict=True) if g is None)
            except BaseException as error:
                if not own(error):
                    raise
                gradient_raised = Raised.of(error, batch)
    value = to_array(result)
    # A result with another number of elements keeps its shape: that it is wrong is for the checks to say.
    flat = value.size == rows or batch.reduction != "none" or result.ndim == 0
    return Observation(
        value=value.reshape(-1) if flat else value,
        gradients={n: _gather(to_array(g), subject.contract.arg(n), layout, rows) for n, g in found.items()},
        unreached=unreached,
        dtype=str(result.dtype).removeprefix("torch."),
        gradient_dtypes={n: str(g.dtype).removeprefix("torch.") for n, g in found.items()},
        shape=tuple(result.shape),
        device=str(result.device),
        warnings=tuple(dict.fromkeys(str(w.message) for w in caught)),
        gradient_raised=gradient_raised,
        mutated=tuple(n for n, t in tensors.items() if t._version != versions[n]),
        used_rng=not torch.equal(random, torch.get_rng_state()),
    )


def observe_rows(subject: Subject, batch: Batch, *, gradients: bool = True) -> Observation:
    """``observe``, case by case where the Subject has no unreduced result: a mean of one row is its loss."""
    if subject.takes_none or batch.reduction != "none":
        return observe(subject, batch, gradients=gradients)
    return _one_by_one(subject, batch, gradients=gradients)


def _one_by_one(subject: Subject, batch: Batch, *, gradients: bool) -> Observation:
    seen = list(_parts(subject, batch, gradients=gradients))
    broken = next((s for s in seen if s.raised is not None), None)
    if broken is not None or not seen:
        nothing = Observation(value=np.zeros(0), dtype=batch.precision.name, shape=(0,))
        return broken or (nothing if subject.contract.coupled else observe(subject, batch, gradients=gradients))
    values = [s.value for s in seen if s.value is not None]
    stopped = next((s.gradient_raised for s in seen if s.gradient_raised is not None), None)
    reached = set.intersection(*(set(s.gradients) for s in seen))
    names = [n for n in seen[0].gradients if n in reached and not subject.contract.arg(n).shared]
    return replace(
        seen[0],
        value=np.concatenate(values),
        gradients={n: np.concatenate([s.gradients[n] for s in seen]) for n in names},
        gradient_raised=stopped,
        warnings=tuple(dict.fromkeys(w for s in seen for w in s.warnings)),
        mutated=tuple(dict.fromkeys(m for s in seen for m in s.mutated)),
        used_rng=any(s.used_rng for s in seen),
    )


def _parts(subject: Subject, batch: Batch, *, gradients: bool) -> Iterator[Observation]:
    """What the rows give, a call each: several share a backward pass as long as nothing is out of the ordinary."""
    contract, rows = subject.contract, batch.rows(subject.contract)
    done, ordinary = 0, contract.coupled or batch.layout == "rows"
    while done < rows:
        several = batch.take(contract, slice(done, done + GRAPHS))
        seen = _with_one_backward(subject, several, gradients=gradients) if ordinary and done + 1 < rows else None
        if seen is None or seen.value is None:
            ordinary = False
            seen, count = observe(subject, batch.take(contract, slice(done, done + 1)), gradients=gradients), 1
        else:
            count = len(seen.value)
        yield seen
        if seen.raised is not None:
            return
        done += count


def _with_one_backward(subject: Subject, batch: Batch, *, gradients: bool) -> Observation | None:
    """A call for every row, as far as ``SLOW`` goes, and one backward pass.

    None where one raises, or what it gives cannot be read; where one changes what the next is called with, or what
    another has given; and where it gives anything but a number of the same dtype as the others.
    """
    caught: list[warnings.WarningMessage]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            seen = _together(subject, batch, gradients=gradients)
        except BaseException as error:
            if not own(error):
                raise
            return None
    return None if seen is None else replace(seen, warnings=tuple(dict.fromkeys(str(w.message) for w in caught)))


def _together(subject: Subject, batch: Batch, *, gradients: bool) -> Observation | None:
    contract = subject.contract
    tensors = rows_first(subject, batch, gradients=gradients)
    own_rows = [n for n, t in tensors.items() if not contract.arg(n).shared]
    random, until = torch.get_rng_state(), time.monotonic() + SLOW
    rows: list[dict[str, Tensor]] = []
    results: list[Tensor] = []
    given: list[int] = []
    mutated: dict[str, None] = {}
    for r in range(batch.rows(contract)):
        row = {n: _row(subject, n, t, r) if n in own_rows else t for n, t in tensors.items()}
        one, versions = batch.take(contract, slice(r, r + 1)), [t._version for t in row.values()]
        with calling(subject, one, gradients=gradients):
            results.append(result_of(subject, one, row))
        given.append(results[-1]._version)
        mutated |= {n: None for (n, t), v in zip(row.items(), versions, strict=True) if t._version != v}
        rows.append(row)
        if time.monotonic() > until:
            break
    alike = len({(x.shape, x.dtype, x.requires_grad) for x in results}) == 1 and results[0].numel() == 1
    if not alike or not mutated.keys() <= set(own_rows) or given != [x._version for x in results]:
        return None
    leaves = {n: [row[n] for row in rows] for n in own_rows if tensors[n].requires_grad}
    every = [leaf for held in leaves.values() for leaf in held]
    shared = {n: t for n, t in tensors.items() if n not in own_rows and t.requires_grad}
    slopes: tuple[Tensor | None, ...] = ()
    if every or shared:
        with calling(subject, batch, gradients=True):
            total = torch.stack(results).sum()
            slopes = torch.autograd.grad(total, [*every, *shared.values()], allow_unused=True)
    count = len(rows)
    found = {n: slopes[k * count : (k + 1) * count] for k, n in enumerate(leaves)}
    found |= {n: (slope,) for n, slope in zip(shared, slopes[len(every) :], strict=True)}
    reached = {n: [s for s in own if s is not None] for n, own in found.items()}
    return Observation(
        value=to_array(torch.stack(results)).reshape(-1),
        gradients={n: _joined(subject, n, reached[n]) for n in leaves if len(reached[n]) == count},
        unreached=tuple(n for n, own in found.items() if own[0] is None),
        dtype=str(results[0].dtype).removeprefix("torch."),
        gradient_dtypes={n: str(s[0].dtype).removeprefix("torch.") for n, s in reached.items() if s},
        shape=tuple(results[0].shape),
        device=str(results[0].device),
        mutated=tuple(mutated),
        used_rng=not torch.equal(random, torch.get_rng_state()),
    )


def rows_first(subject: Subject, batch: Batch, *, gradients: bool = True) -> dict[str, Tensor]:
    """The rows as they are, on the axis where torch has them, leaves where gradients are asked for."""
    found = {}
    for name, array in batch.args.items():
        arg = subject.contract.arg(name)
        tensor = to_tensor(np.moveaxis(array, 0, arg.batch_axis), batch.precision, batch.device)
        found[name] = tensor.requires_grad_() if gradients and arg.differentiable else tensor
    return found


def _row(subject: Subject, name: str, tensor: Tensor, row: int) -> Tensor:
    """A row of ``rows_first`` as the loss takes it, a leaf of its own where it is differentiable."""
    axis = subject.contract.arg(name).batch_axis
    alone = tensor.select(axis, row) if subject.contract.coupled else tensor.narrow(axis, row, 1)
    return alone.detach().clone().requires_grad_(tensor.requires_grad)


def _joined(subject: Subject, name: str, gradients: list[Tensor]) -> Array:
    """Gradients of what ``_row`` gives, rows first."""
    axis = subject.contract.arg(name).batch_axis
    if subject.contract.coupled:
        return to_array(torch.stack(gradients))
    return np.moveaxis(to_array(torch.cat(gradients, axis)), axis, 0)


def singly(subject: Subject, batch: Batch) -> Array | None:
    """The value of every row in a call of its own; None where a call gives no single number, or there is no row."""
    values = []
    for row in range(batch.rows(subject.contract)):
        value = observe(subject, batch.take(subject.contract, slice(row, row + 1)), gradients=False).value
        if value is None or value.size != 1:
            return None
        values.append(float(value.ravel()[0]))
    return np.array(values) if values else None


def adjoint_rounding(subject: Subject, batch: Batch) -> dict[str, Array]:
    """``harness.adjoints.rounding`` of every row."""
    contract, rows = subject.contract, batch.rows(subject.contract)
    together = subject.takes_none and not contract.coupled
    parts = [batch] if together else [batch.take(contract, np.array([r])) for r in range(rows)]
    found = [_rounded(subject, part) for part in parts]
    names = set.intersection(*(set(f) for f in found)) if found else set()
    return {n: np.concatenate([f[n] for f in found]) for n in names if not contract.arg(n).shared}


def _rounded(subject: Subject, batch: Batch) -> dict[str, Array]:
    layout, rows = layout_of(subject.contract, batch), batch.rows(subject.contract)
    with calling(subject, batch, gradients=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = tensors_of(subject, batch, gradients=True)
        leaves = {n: t for n, t in tensors.items() if t.requires_grad}
        found = rounding(lambda: result_of(subject, batch, tensors).sum(), leaves)
    return {n: _gather(to_array(g), subject.contract.arg(n), layout, rows) for n, g in found.items()}


def settled(subject: Subject) -> Subject:
    """The Subject with what only a call shows.

    That is the reduction of a callable without the keyword, a result out of shape.
    """
    from harness.effort import QUICK
    from harness.generate import sweep

    probe = next(iter(sweep(subject, PRECISIONS["float32"], QUICK)))
    few = probe.take(subject.contract, slice(0, 3))
    seen = observe(subject, few, gradients=False)
    rows = few.rows(subject.contract)
    if seen.raised is not None:
        return subject if subject.reductions else replace(subject, fixed="reduced")
    if subject.reductions:
        return replace(subject, misshapen=subject.takes_none and seen.shape != (rows,))
    fixed = "none" if seen.shape == (rows,) else "reduced"
    return replace(subject, fixed=fixed, misshapen=seen.shape not in ((rows,), (), (1,)))
