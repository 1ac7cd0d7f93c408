"""Evidence as text: what a finding says and the lines that reproduce it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.bounds import kind_of, severity
from harness.cases import Batch, layout_of, placed
from harness.deviations import Deviation
from harness.judge import Judged
from harness.records import Finding
from harness.reducing import written
from harness.ulp import Array, Precision, to_hex

MESSAGES = {
    "absolute-only": "digits lost: the error is small only beside the scale of the loss, not beside the result",
    "unstable": "wrong number: the error exceeds every bound that rounding can explain",
    "vanished": "0 where the truth is a normal number",
    "overflow": "inf where the truth is representable",
    "nan": "nan where the truth is a number",
    "wrong-inf": "inf of the wrong sign",
    "finite-for-inf": "a finite number where the truth is infinite",
    "finite-for-nan": "a number where the truth is nan",
    "partial-range": "a partial product leaves the range of the dtype though the result does not",
}


def show(value: float) -> str:
    """A float as decimal with its exact hex text."""
    if not math.isfinite(value) or value == 0 or (value == int(value) and abs(value) < 1e6):
        return repr(float(value))
    return f"{value!r} ({to_hex(value)})"


def ulp_of(precision: Precision, values: Array) -> Array:
    """Spacing of the dtype at the magnitude of each value: 2**(e - digits + 1), at least the smallest subnormal."""
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.where(np.isfinite(values), values, precision.largest))
        size: Array = np.maximum(np.ldexp(1.0, exponent - precision.digits), precision.smallest_subnormal)
    return size


def of_entry(
    subject: Subject, batch: Batch, judged: Judged, row: int, entry: int, allowed: float, count: int, total: int
) -> Finding:
    """The finding that one entry of one row of a batch shows; ``entry`` indexes the flattened row."""
    got = float(np.reshape(judged.got[row], -1)[entry])
    want = float(np.reshape(judged.truth.exact[row], -1)[entry])
    error = float(np.reshape(judged.error[row], -1)[entry])
    grade = int(np.reshape(judged.grade[row], -1)[entry])
    range_ = int(np.reshape(judged.range[row], -1)[entry])
    kind = kind_of(grade, range_)
    ulp = (
        float(error / ulp_of(batch.precision, np.array(want))) if math.isfinite(error) and math.isfinite(want) else None
    )
    what = "value" if judged.name == "value" else f"gradient with respect to {judged.name}"
    return Finding(
        severity=severity(grade, range_),
        kind=kind,
        output=judged.name,
        message=f"{subject.name}: {what}: {MESSAGES[kind]}: expected {want!r}, got {got!r}",
        got=to_hex(got),
        want=to_hex(want),
        allowed=to_hex(allowed),
        ulp=ulp,
        count=count,
        total=total,
        case=batch.record(),
        reproduction=reproduction(subject, batch, judged.name, want),
    )


def of_batch(
    subject: Subject,
    batch: Batch,
    output: str,
    kind: str,
    severity_: str,
    seen: tuple[float, float],
    count: int,
    total: int,
) -> Finding:
    """The finding of a row that is right when it is alone: matrix products of many rows sum in another order."""
    got, want = seen
    what = "value" if output == "value" else f"gradient with respect to {output}"
    message = f"{subject.name}: {what}: {MESSAGES[kind]}: among other rows expected {want!r}, got {got!r}"
    return Finding(
        severity=severity_,
        kind=kind,
        output=output,
        message=message,
        got=to_hex(got),
        want=to_hex(want),
        count=count,
        total=total,
        case=batch.record() if sum(a.size for a in batch.args.values()) <= LONG else None,
        reproduction=given_lines(subject, batch, output),
    )


INCONSISTENT = "inconsistent"
"""Kind of a finding: neither the mathematics nor the documentation is followed throughout."""


def of_contradiction(
    subject: Subject, deviation: Deviation, output: str, rows: Sequence[tuple[str, Batch, float]]
) -> Finding:
    """The finding that a Subject follows different things at different rows of a Deviation's region."""
    what = "value" if output == "value" else f"gradient with respect to {output}"
    seen = "; ".join(f"{followed} at {_inputs(row)} ({got!r})" for followed, row, got in rows)
    _, row, got = rows[0]
    truth = float(np.ravel(row.truth(subject.contract).outputs()[output].exact)[0])
    return Finding(
        severity="defect",
        kind=INCONSISTENT,
        output=output,
        message=(
            f"{subject.name}: {what}: {deviation.name}: expected the mathematics throughout or the documentation "
            f"throughout, got {seen}"
        ),
        got=to_hex(got),
        want=to_hex(truth),
        case=row.record(),
        reproduction=reproduction(subject, row, output, truth),
    )


def _inputs(row: Batch) -> str:
    return ", ".join(f"{name}={np.ravel(array)[:4].tolist()}" for name, array in row.args.items())


RUN = 8
"""Equal neighbours from which on a list says how many there are."""
MOST = 64
"""Parts of a list in a comment."""


def _number(value: Any) -> str:
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return repr(float(value)) if math.isfinite(value) else f'float("{value}")'


def _nested(array: npt.NDArray[Any], most: int | None = None) -> str:
    """Numbers as nested lists of Python; of more than ``most`` parts of a list the first ones."""
    if array.ndim == 0:
        return _number(array[()])
    if not array.size:
        return "[" + ", ".join("[]" for _ in array) + "]"
    # By their bits: -0.0 is not 0.0, and nan is nan.
    bits = np.ascontiguousarray(array).view(np.int64).reshape(len(array), -1)
    begins = np.flatnonzero(np.concatenate([[True], (bits[1:] != bits[:-1]).any(axis=1)]))
    counts = np.diff(begins, append=len(array))
    if len(counts) == 1 and counts[0] >= RUN:
        return f"[{_nested(array[0], most)}] * {counts[0]}"
    parts: list[str] = []
    for begin, count in zip(begins[:most], counts, strict=False):
        part = _nested(array[begin], most)
        parts += [f"*[{part}] * {count}"] if count >= RUN else [part] * int(count)
    left = int(sum(counts[most:])) if most is not None else 0
    return "[" + ", ".join([*parts, *([f"… {left:,} more"] if left else [])]) + "]"


LONG, LONGEST = 512, 4096
"""Numbers from which on a tensor that repeats itself is written as its period; and of one call that are written out."""


def _period(flat: npt.NDArray[Any]) -> int:
    """The fewest numbers of a long tensor of which all of it is a repetition; else their count."""
    if flat.size <= LONG:
        return flat.size
    bits = flat.view(np.int64)
    starts = np.flatnonzero(bits[1 : LONGEST + 1] == bits[0]) + 1
    return next((int(n) for n in starts if np.array_equal(bits[n:], bits[:-n])), flat.size)


def literal(array: npt.NDArray[Any], dtype: str) -> str:
    """A tensor literal that has exactly these numbers in the dtype."""
    kind = "int64" if np.issubdtype(array.dtype, np.integer) else dtype
    if not array.size:
        return f"torch.empty({array.shape}, dtype=torch.{kind})"
    wide = np.ascontiguousarray(array, np.int64 if kind == "int64" else np.float64).reshape(array.shape)
    flat = wide.ravel()
    if (period := _period(flat)) in (1, flat.size) or (wide.ndim and period == np.prod(wide.shape[1:])):
        return f"torch.tensor({_nested(wide)}, dtype=torch.{kind})"
    part = f"torch.tensor({_nested(flat[:period])}, dtype=torch.{kind})"
    return f"{part}.repeat({-(-flat.size // period)})[:{flat.size}].reshape({wide.shape})"


def called(
    subject: Subject, batch: Batch, shows: str, *, leaves: Sequence[str] = (), before: str = "", weights: str = ""
) -> str:
    """Lines that make one call and print ``shows``, an expression over ``loss`` and the tensors.

    ``leaves`` get gradients, those of the loss times ``weights``; ``before`` is a line before the call. Empty where
    the tensors hold too many numbers to be written.
    """
    contract = subject.contract
    layout = layout_of(contract, batch)
    if sum(_period(np.ascontiguousarray(a).ravel()) for a in batch.args.values()) > LONGEST:
        return ""
    lines = [subject.setup]
    device = "" if batch.device == "cpu" else f".to({batch.device!r})"
    for name, array in batch.args.items():
        arg = contract.arg(name)
        tensor = literal(placed(array, arg, layout), batch.precision.name) + device
        if layout == "strided" and not arg.shared:
            tensor = f"torch.stack([{tensor}] * 2, dim=-1)[..., 0]"
        lines.append(f"{name} = {tensor}{'.requires_grad_()' if name in leaves else ''}")
    lines += [before] if before else []
    lines.append(f"loss = {call_text(subject, batch)}")
    if leaves:
        lines.append(f"{f'(loss * {weights})' if weights else 'loss'}.sum().backward()")
    lines.append(f"print({shows})")
    return "\n".join(lines)


def reproduction(subject: Subject, batch: Batch, output: str, want: float | list[Any] | str) -> str:
    """Lines that print what the Subject gives, with the truth beside it."""
    said = _nested(np.asarray(want, np.float64), MOST) if isinstance(want, list) else str(want)
    lines = given_lines(subject, batch, output)
    return f"{lines}  # truth {said}" if lines else ""


def given_lines(subject: Subject, batch: Batch, output: str) -> str:
    """Lines that print an output of one call."""
    if output in batch.args:
        return called(subject, batch, f"{output}.grad.tolist()", leaves=(output,))
    return called(subject, batch, "loss.tolist()")


def drawn_lines(subject: Subject, batch: Batch) -> str:
    """Lines that print whether a call leaves the random number generator as it was."""
    return called(subject, batch, "torch.equal(before, torch.get_rng_state())", before="before = torch.get_rng_state()")


def conduct_lines(subject: Subject, batch: Batch, kind: str, mutated: Sequence[str]) -> str:
    """Lines that print what is seen beside the numbers of one call."""
    shows = {
        "mutated": ", ".join(f"{name}.tolist()" for name in mutated),
        "shape": "tuple(loss.shape)",
        "dtype": "loss.dtype",
    }
    if kind == "random":
        return drawn_lines(subject, batch)
    return called(subject, batch, shows.get(kind, "loss.tolist()"))


def call_lines(subject: Subject, batch: Batch, *, gradients: bool) -> str:
    """Lines that make one call, and its backward where the gradients are wanted, and print what it gives."""
    leaves = [n for n in batch.args if gradients and subject.contract.arg(n).differentiable]
    return given_lines(subject, batch, leaves[0] if leaves else "value")


def _python(value: Any) -> str:
    """A parameter as Python without imports."""
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)


def call_text(subject: Subject, batch: Batch) -> str:
    """The call as Python: tensors by name, parameters and reduction as keywords."""
    if subject.text is not None:
        return subject.text(batch.reduction, batch.precision.name)
    parameters = {k: _python(v) for k, v in batch.parameters.items()}
    asked = subject.reducing
    tensors = {subject.places.get(n, n): n for n in batch.args}
    loss = subject.expression
    if subject.constructed:
        built = {place: n for place, n in tensors.items() if place in subject.options}
        built |= parameters | _written(asked.of_constructor(batch.reduction))
        loss = f"{loss}({_arguments(built)})"
        tensors, parameters = {place: n for place, n in tensors.items() if place not in subject.options}, {}
    if subject.holds and batch.precision.name != "float32":
        loss += f".to(torch.{batch.precision.name})"
    first = [tensors.pop(n) for n in subject.positional if n in tensors]
    passed = _arguments(tensors | parameters | _written(asked.of_call(batch.reduction)), first)
    return f"{loss}({passed}){subject.part.suffix}"


def _written(keywords: Mapping[str, Any]) -> dict[str, str]:
    return {k: written(v) for k, v in keywords.items()}


def _arguments(keywords: Mapping[str, str], positional: Sequence[str] = ()) -> str:
    return ", ".join([*positional, *(f"{k}={v}" for k, v in keywords.items())])
