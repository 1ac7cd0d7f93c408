"""The caller of a loss: a Batch and a Subject in, an Observation out. The only place where tensors are made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness.adjoints import rounding
from harness.binding import Subject
from harness.cases import Batch
from harness.conduct import SuspendedError, calling, own, watch
from harness.domain import Arg
from harness.ulp import PRECISIONS, Array, Precision

Tensor = torch.Tensor

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
    """The one place where numbers become tensors; exact, since they were born in the dtype."""
    shape = np.shape(array)  # ascontiguousarray makes a row of a single number
    if np.issubdtype(array.dtype, np.integer):
        return torch.from_numpy(np.ascontiguousarray(array, np.int64).reshape(shape)).to(device)
    numbers = torch.from_numpy(np.ascontiguousarray(array, np.float64).reshape(shape))
    return numbers.to(device=device, dtype=DTYPES[precision.name])


def to_array(tensor: Tensor) -> Array:
    """The one place where tensors become numbers."""
    result: Array = tensor.detach().to(device="cpu", dtype=torch.float64).contiguous().numpy()
    return result


# -- layouts: rows-first arrays <-> the shapes torch is called with ----------------------------------------------------


def halves(rows: int) -> tuple[int, int]:
    return (2, rows // 2) if rows % 2 == 0 and rows > 0 else (1, rows)


def _place(array: npt.NDArray[Any], arg: Arg, layout: str) -> npt.NDArray[Any]:
    """An argument in the layout; a shared argument has only one."""
    if arg.shared or layout in ("rows", "strided"):
        if arg.shared or arg.batch_axis == 0:
            return array
        return np.moveaxis(array, 0, arg.batch_axis)
    if layout == "single":
        row: npt.NDArray[Any] = array[0]
        return row
    split = halves(len(array))
    if layout == "matrix":
        return array.reshape(split + array.shape[1:])
    # spatial: rows over (N, d), classes between them
    shaped = array.reshape(split + array.shape[1:])
    return np.moveaxis(shaped, 1, -1) if array.ndim > 1 else shaped


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


def _layout(subject: Subject, batch: Batch) -> str:
    """The layout of a batch; a row of a coupled loss is one call and has no axis of rows."""
    return "single" if subject.contract.coupled else batch.layout


def tensors_of(subject: Subject, batch: Batch, *, gradients: bool) -> dict[str, Tensor]:
    """The tensors of a batch as the Subject is called with them; leaves where gradients are asked for."""
    tensors = {}
    layout = _layout(subject, batch)
    for name, array in batch.args.items():
        arg = subject.contract.arg(name)
        tensor = to_tensor(_place(array, arg, layout), batch.precision, batch.device)
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
    rows, layout = batch.rows(subject.contract), _layout(subject, batch)
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
    rows = batch.rows(subject.contract)
    seen = [observe(subject, batch.take(subject.contract, np.array([r])), gradients=gradients) for r in range(rows)]
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


def adjoint_rounding(subject: Subject, batch: Batch) -> dict[str, Array]:
    """``harness.adjoints.rounding`` of every row."""
    contract, rows = subject.contract, batch.rows(subject.contract)
    together = subject.takes_none and not contract.coupled
    parts = [batch] if together else [batch.take(contract, np.array([r])) for r in range(rows)]
    found = [_rounded(subject, part) for part in parts]
    names = set.intersection(*(set(f) for f in found)) if found else set()
    return {n: np.concatenate([f[n] for f in found]) for n in names if not contract.arg(n).shared}


def _rounded(subject: Subject, batch: Batch) -> dict[str, Array]:
    layout, rows = _layout(subject, batch), batch.rows(subject.contract)
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
