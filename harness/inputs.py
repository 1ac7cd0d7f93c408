"""Declaring the arguments of a loss that has no Contract: what each holds and how it is shaped, by named dimensions.

``logits("N", "C")`` are scores of N rows and C classes; N is the batch. A set of arguments without N belongs to a loss
that ties a whole batch together: one call of it is one row of what is judged.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.domain import (
    Arg,
    Binary,
    Box,
    ClassIndex,
    Embedding,
    Interval,
    Kind,
    Length,
    Logits,
    Positive,
    Probability,
    Score,
    Sign,
    Simplex,
    SoftLabel,
    Weight,
)
from harness.domain.arg import Role

BATCH = "N"
REACH = 0.4
"""Exponent of the largest number up to which declared vectors go: squares and short sums of them stay in range."""
LARGEST_LOGIT = 2.0**15
SIZES: Mapping[str, tuple[int, ...]] = {
    BATCH: (4, 1, 7),
    "C": (5, 2, 12),
    "D": (8, 3, 16),
    "B": (6, 4, 9),
    "H": (4, 3),
    "W": (3, 4),
    "T": (7, 4),
}
OTHER_SIZES = (5, 3)


class InputsError(ValueError):
    """A declaration that cannot be understood; one line that says thing, expected, got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One tensor of a loss: what it holds, its shape, and the dtype it is handed over in."""

    kind: Kind
    dims: tuple[str, ...]
    """Named dimensions, N among them where there is one."""
    role: Role = "input"
    differentiable: bool = True
    dtype: str = ""
    """What it is cast to before the call, such as ``bool``; empty for the dtype under test or int64."""

    @property
    def batched(self) -> bool:
        return self.dims[:1] == (BATCH,)

    def arg(self, name: str, *, coupled: bool = False) -> Arg:
        """The argument of a Contract; of a coupled one the batch is a dimension like the others."""
        own = self.dims if coupled else self.dims[1:]
        return Arg(name=name, kind=self.kind, dims=own, role=self.role, differentiable=self.differentiable)


Structure = Any
"""An Input, or a dict, list or tuple of structures."""


def _dims(dims: tuple[str | int, ...]) -> tuple[str, ...]:
    names = tuple(str(d) for d in dims)
    for name in names:
        if not (name.isidentifier() or name.isdigit()):
            raise InputsError(f"dimension: expected a name such as 'N' or a size such as 1, got {name!r}")
    if BATCH in names[1:]:
        raise InputsError(f"dimensions {', '.join(names)}: expected {BATCH}, the batch, first")
    return names


def sizes_of(dims: str) -> tuple[int, ...]:
    """The sizes that a named dimension takes; a number is its own size."""
    return (int(dims),) if dims.isdigit() else SIZES.get(dims, OTHER_SIZES)


def logits(*dims: str | int, largest: float = LARGEST_LOGIT) -> Input:
    """Scores, any real numbers up to ``largest`` in magnitude; classes are the last named dimension."""
    names = _dims(dims)
    kind: Kind = Logits(largest=largest) if len(names) > 1 else Score(low=-largest, high=largest)
    return Input(kind=kind, dims=names)


def real(*dims: str | int, low: float = -float("inf"), high: float = float("inf")) -> Input:
    """Real numbers, from ``low`` to ``high`` where these are given."""
    names = _dims(dims)
    bounded = low > -float("inf") or high < float("inf")
    return Input(kind=Interval(low=low, high=high) if bounded else Embedding(reach=REACH), dims=names)


def embedding(*dims: str | int, zero: bool = True) -> Input:
    """Vectors, zero vectors included unless ``zero`` is False; the last named dimension is that of the vector."""
    return Input(kind=Embedding(zero=zero, reach=REACH), dims=_dims(dims))


def probability(*dims: str | int) -> Input:
    """Numbers in [0, 1], each of its own."""
    return Input(kind=Probability(), dims=_dims(dims))


def simplex(*dims: str | int) -> Input:
    """Probabilities that sum to 1 over the last dimension."""
    return Input(kind=Simplex(), dims=_dims(dims))


def log_simplex(*dims: str | int) -> Input:
    """Logarithms of probabilities that sum to 1 over the last dimension."""
    return Input(kind=Simplex(log=True), dims=_dims(dims))


def positive(*dims: str | int, low: float = 2.0**-10, high: float = 2.0**10) -> Input:
    """Numbers above 0, from ``low`` to ``high``."""
    return Input(kind=replace(Positive(), low=low, high=high, open_low=False), dims=_dims(dims))


def soft_label(*dims: str | int) -> Input:
    """Targets in [0, 1], in which 0 and 1 are exact labels; they receive no gradient."""
    return Input(kind=SoftLabel(), dims=_dims(dims), role="target", differentiable=False)


def binary(*dims: str | int, dtype: str = "") -> Input:
    """Labels 0 and 1, as numbers of the dtype under test or cast to ``dtype``."""
    return Input(kind=Binary(), dims=_dims(dims), role="target", differentiable=False, dtype=dtype)


def event(*dims: str | int, dtype: str = "") -> Input:
    """Whether an event was seen (1) or censored (0)."""
    return binary(*dims, dtype=dtype)


def sign(*dims: str | int) -> Input:
    """Labels -1 and 1."""
    return Input(kind=Sign(), dims=_dims(dims), role="target", differentiable=False)


def mask(*dims: str | int, dtype: str = "bool") -> Input:
    """Which elements count, as a tensor of ``dtype``."""
    return Input(kind=Binary(), dims=_dims(dims), role="weight", differentiable=False, dtype=dtype)


def weight(*dims: str | int) -> Input:
    """Weights: 0, or from 2**-12 to 2**10."""
    return Input(kind=Weight(), dims=_dims(dims), role="weight", differentiable=False)


def class_index(*dims: str | int, classes: str | int = "C") -> Input:
    """Indices from 0 to the size of the dimension ``classes`` less 1, int64."""
    return Input(kind=ClassIndex(classes=str(classes)), dims=_dims(dims), role="target", differentiable=False)


def lengths(*dims: str | int, of: str | int, least: int = 1) -> Input:
    """Lengths from ``least`` to the size of the dimension ``of``, int64."""
    return Input(kind=Length(of=str(of), least=least), dims=_dims(dims), role="target", differentiable=False)


def boxes(*dims: str | int) -> Input:
    """Boxes (x1, y1, x2, y2) with x1 < x2 and y1 < y2; the coordinates are a last dimension of 4."""
    return Input(kind=Box(), dims=(*_dims(dims), "4"))


KINDS: Mapping[str, Callable[..., Input]] = {
    f.__name__: f
    for f in (
        logits,
        real,
        embedding,
        probability,
        simplex,
        log_simplex,
        positive,
        soft_label,
        binary,
        event,
        sign,
        mask,
        weight,
        class_index,
        lengths,
        boxes,
    )
}


NAMED = re.compile(r"\s*(\*?[A-Za-z_]\w*)\s*:(.*)", re.DOTALL)
"""A declaration with the name of its argument; ``*`` begins that of varargs."""


def parsed(text: str) -> tuple[str, Structure]:
    """(name or empty, declaration) of ``name: logits(N, C)``, of a list, a tuple or a dict of declarations.

    Nothing is evaluated but literals and the kinds. Raises InputsError in one line.
    """
    named = NAMED.fullmatch(text)
    name, written = named.groups() if named else ("", text)
    try:
        tree = ast.parse(written.strip(), mode="eval").body
    except SyntaxError:
        raise InputsError(f"input {text!r}: {EXPECTED}, got something else") from None
    try:
        return name, _structure(tree)
    except (TypeError, ValueError) as error:
        raise InputsError(f"input {text!r}: {error}") from None


EXPECTED = (
    "expected KIND(DIMENSIONS) such as 'logits(N, C)' or 'scores: logits(N, C)', "
    "or a list such as '[real(3, 4), real(4)]' or a dict such as '{\"scores\": logits(N, C)}' of these"
)


def _structure(node: ast.expr) -> Structure:
    match node:
        case ast.List(elts=parts):
            return [_structure(part) for part in parts]
        case ast.Tuple(elts=parts):
            return tuple(_structure(part) for part in parts)
        case ast.Dict(keys=keys, values=parts):
            return {_key(key): _structure(part) for key, part in zip(keys, parts, strict=True)}
        case ast.Call(func=ast.Name(id=kind), args=given, keywords=named):
            if kind not in KINDS:
                raise InputsError(f"expected one of {', '.join(KINDS)}, got {kind!r}")
            return KINDS[kind](*map(_literal, given), **{str(k.arg): _literal(k.value) for k in named})
    raise InputsError(f"{EXPECTED}, got {ast.unparse(node)!r}")


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise InputsError(f"expected keys that are text in quotes, got {'**' if node is None else ast.unparse(node)}")


def structured(declaration: Structure) -> Structure:
    """A declaration in which no text is left. Raises InputsError in one line."""
    if isinstance(declaration, str):
        return parsed(declaration)[1]
    if isinstance(declaration, Mapping):
        return {key: structured(part) for key, part in declaration.items()}
    if isinstance(declaration, (list, tuple)):
        return type(declaration)(structured(part) for part in declaration)
    if isinstance(declaration, Input):
        return declaration
    raise InputsError(f"inputs: expected a declaration such as logits('N', 'C'), got {type(declaration).__name__}")


def _literal(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """``gamma=2`` as a Python literal, or as text where it is none. Raises InputsError in one line."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputsError(f"option {text!r}: expected NAME=VALUE")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def flattened(name: str, structure: Structure) -> dict[str, Input]:
    """Every Input of a structure by a name of its own."""
    if isinstance(structure, Input):
        return {name: structure}
    parts = structure.items() if isinstance(structure, Mapping) else enumerate(structure)
    found: dict[str, Input] = {}
    for key, part in parts:
        found |= flattened(f"{name}_{key}", part)
    return found
