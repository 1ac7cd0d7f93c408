"""Exact inputs: a Batch is many Cases that share parameters, reduction, dtype, device, layout and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import records
from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg
from harness.remembered import ANSWERS, question, worth_remembering
from harness.ulp import PRECISIONS, Array, Precision, to_hex
from reference.truth import Truth


class NoReferenceError(RuntimeError):
    """A loss in float64, or the oracle of a user, gives no reference at ``batch``, where that is known."""

    def __init__(self, message: str, batch: Batch | None = None) -> None:
        super().__init__(message)
        self.batch = batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """R cases: one tensor an argument, rows first, float64 exact in the dtype or int64."""

    args: Mapping[str, npt.NDArray[Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    precision: Precision
    reduction: str = "none"
    layout: str = "rows"
    device: str = "cpu"
    origin: str = "sweep"
    complete: bool = False
    """Whether the batch is part of a sweep over every pattern of the dtype."""

    def rows(self, contract: Contract) -> int:
        return next((len(v) for k, v in self.args.items() if not contract.arg(k).shared), 0)

    def take(self, contract: Contract, index: npt.NDArray[np.intp] | slice) -> Batch:
        """The same cases at some rows."""
        return replace(self, args={k: v if contract.arg(k).shared else v[index] for k, v in self.args.items()})

    def truth(self, contract: Contract, upstream: Array | None = None) -> Truth:
        """The oracle at these cases, asked once of those that come back; ``upstream`` as in ``Contract.truth``."""

        def ask() -> Truth:
            return contract.truth(self.args, self.parameters, upstream)

        if not worth_remembering(self.args):
            return ask()
        settled = contract.settled(self.parameters)
        return ANSWERS.answer(question(contract.oracle, self.args, settled, upstream), ask)

    def points(self, contract: Contract, truth: Truth) -> Points:
        parameters = contract.settled(self.parameters)
        return Points(args=self.args, parameters=parameters, precision=self.precision, truth=truth)

    def record(self) -> records.Case:
        """The exact inputs as text."""
        return records.Case(
            tensors={name: _tensor(array, self.precision) for name, array in self.args.items()},
            parameters={k: _written(v) for k, v in self.parameters.items()},
            reduction=self.reduction,
            dtype=self.precision.name,
            device=self.device,
            layout=self.layout,
            origin=self.origin,
        )


# -- layouts: rows-first arrays -> the shapes torch is called with -----------------------------------------------------


def halves(rows: int) -> tuple[int, int]:
    return (2, rows // 2) if rows % 2 == 0 and rows > 0 else (1, rows)


def placed(array: npt.NDArray[Any], arg: Arg, layout: str) -> npt.NDArray[Any]:
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


def layout_of(contract: Contract, batch: Batch) -> str:
    """The layout of a batch; a row of a coupled loss is one call and has no axis of rows."""
    return "single" if contract.coupled else batch.layout


# -- text --------------------------------------------------------------------------------------------------------------


def _written(value: Any) -> Any:
    """A parameter as JSON holds it; a float that JSON lacks becomes ``{"float": "inf"}``."""
    if isinstance(value, (tuple, list)):
        return [_written(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _read(value: Any) -> Any:
    """The parameter that ``_written`` wrote; sequences come back as tuples."""
    if isinstance(value, list):
        return tuple(_read(v) for v in value)
    return float(value["float"]) if isinstance(value, dict) else value


def _tensor(array: npt.NDArray[Any], precision: Precision) -> records.TensorData:
    integral = np.issubdtype(array.dtype, np.integer)
    data = [str(int(v)) for v in array.ravel()] if integral else [to_hex(v) for v in array.ravel()]
    return records.TensorData(dtype="int64" if integral else precision.name, shape=list(array.shape), data=data)


def from_record(case: records.Case) -> Batch:
    """The batch that ``Batch.record`` described, bit for bit."""

    def array(t: records.TensorData) -> npt.NDArray[Any]:
        if t.dtype == "int64":
            return np.array([int(v) for v in t.data], np.int64).reshape(t.shape)
        return np.array([float.fromhex(v) for v in t.data], np.float64).reshape(t.shape)

    return Batch(
        args={k: array(v) for k, v in case.tensors.items()},
        parameters={k: _read(v) for k, v in case.parameters.items()},
        precision=PRECISIONS[case.dtype],
        reduction=case.reduction,
        layout=case.layout,
        device=case.device,
        origin=case.origin,
    )
