"""What the annotations of a loss say of its arguments, in the manner of jaxtyping: ``Float[Tensor, "n c"]``.

An annotation tells shape and dtype; what the numbers mean, the name of the argument has to tell:

=====================  ===============================================================================================
``Float``, its name    ``logits``, ``embeddings``, ``weights``: what they say. ``log_probs``: over their last
ends in                dimension. ``probs``: numbers of their own, where the batch is the only dimension.
``Int``                class indices, where every score (logits, probabilities or their logarithms) that has one
                       dimension more has the same one: that of the classes.
``mask``               or an end in ``valid_mask``, as ``Float`` or ``Bool``: which elements count.
``Bool``               else labels, False and True.
dimensions             ``n`` or ``N`` is the batch of independent rows, other letters are upper-case, names and sizes
                       as they are.
=====================  ===============================================================================================

Anything else is an InputsError, which says what to write. The annotation is read by its attributes ``dim_str`` and
``dtypes``; jaxtyping itself is not needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

from harness.inputs import InputsError

FLOAT_NAMES: Mapping[str, str] = {
    "log_probabilities": "log_simplex",
    "log_probability": "log_simplex",
    "log_probs": "log_simplex",
    "log_prob": "log_simplex",
    "probabilities": "probability",
    "probability": "probability",
    "probs": "probability",
    "prob": "probability",
    "logits": "logits",
    "logit": "logits",
    "embeddings": "embedding",
    "embedding": "embedding",
    "weights": "weight",
    "weight": "weight",
}
"""Ends of names, longer ones first, and the kind of declaration that they stand for."""
SCORES = ("logits", "probability", "log_simplex")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """An argument with what its annotation says."""

    name: str
    written: str
    """Such as ``Float 'n c'``."""
    family: str
    """``float``, ``int`` or ``bool``; empty where it is none of these in every dtype that is asked."""
    dims: tuple[str, ...]
    """As of a declaration; what is no name or size is as it was written."""

    def ends_in(self, word: str) -> bool:
        return self.name.lower() == word or self.name.lower().endswith(f"_{word}")

    @property
    def is_mask(self) -> bool:
        """Whether it says which elements count; a padding mask says the opposite, one of positives neither."""
        return self.name.lower() == "mask" or self.ends_in("valid_mask")

    def call(self, kind: str, **options: str) -> str:
        """A declaration as text."""
        return f"{kind}({', '.join((*self.dims, *(f'{k}={v}' for k, v in options.items())))})"


def annotated(loss: Any) -> dict[str, Annotation]:
    """Every argument that a loss cannot do without and that is annotated, by name."""
    hints = _hints(loss)
    found = {n: _annotation(n, hints[n]) for n in _required(loss) if n in hints}
    return {n: a for n, a in found.items() if a is not None}


def read(loss: Any, known: Collection[str]) -> dict[str, str]:
    """Declarations of the arguments that ``known`` lacks; none of a loss without annotations.

    Raises InputsError in one line for an argument of which annotation and name say too little.
    """
    required, found = _required(loss), annotated(loss)
    if not found or not set(known) <= set(_accepted(loss)):
        return {}
    missing = [n for n in required if n not in known]
    for name in missing:
        if name not in found:
            said = f"expected an annotation such as Float[Tensor, 'n c'], got none; write {_written(name, 'real(N)')}"
            raise InputsError(f"argument {name!r}: {said}")
    floats = {n: _float(found[n]) for n in missing if found[n].family == "float"}
    scores = [found[n] for n, text in floats.items() if text.startswith(SCORES)]
    return {n: floats[n] if n in floats else _whole(found[n], scores) for n in missing}


def _function(loss: Any) -> Callable[..., Any]:
    """The function whose signature is that of the loss."""
    if isinstance(loss, partial):
        return _function(loss.func)
    if hasattr(loss, "forward"):
        function: Callable[..., Any] = loss.forward
        return function
    return loss if inspect.isroutine(loss) else loss.__call__


def _hints(loss: Any) -> dict[str, Any]:
    function = _function(loss)
    try:
        return get_type_hints(function)
    except Exception:  # a name that is only known to type checkers: the annotations are text, and nothing is read
        return dict(getattr(function, "__annotations__", {}))


def _parameters(loss: Any) -> list[inspect.Parameter]:
    bound = set(loss.keywords) if isinstance(loss, partial) else set()
    try:
        signature = inspect.signature(_function(loss))
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for n, p in signature.parameters.items() if n not in {"self", *bound} and p.kind not in variadic]


def _accepted(loss: Any) -> list[str]:
    return [p.name for p in _parameters(loss)]


def _required(loss: Any) -> list[str]:
    return [p.name for p in _parameters(loss) if p.default is p.empty]


def _annotation(name: str, hint: Any) -> Annotation | None:
    dims = getattr(hint, "dim_str", None)
    if not isinstance(dims, str):
        return None
    dtypes = getattr(hint, "dtypes", ())
    dtypes = tuple(dtypes) if isinstance(dtypes, (tuple, list, set, frozenset)) else ()
    label = getattr(getattr(hint, "dtype", None), "__name__", "") or "a tensor of"
    return Annotation(
        name=name,
        written=f"{label} {dims!r}",
        family=_family(dtypes),
        dims=tuple(_dimension(d) for d in dims.split()),
    )


def _family(dtypes: tuple[Any, ...]) -> str:
    names = [d for d in dtypes if isinstance(d, str)]
    for family, prefixes, asked in (
        ("float", ("float", "bfloat"), {"float64", "float32", "float16", "bfloat16"}),
        ("int", ("int", "uint"), {"int64"}),
        ("bool", ("bool",), {"bool"}),
    ):
        if len(names) == len(dtypes) and all(n.startswith(prefixes) for n in names) and asked <= set(names):
            return family
    return ""


def _dimension(text: str) -> str:
    name, _, size = text.partition("=")
    if size.isdigit():
        return size
    return name.upper() if len(name) == 1 and name.isalpha() else text


def _written(name: str, *declarations: str) -> str:
    return f"--input '{name}: {declarations[0]}'" + "".join(f" or {d}" for d in declarations[1:]) + ", or inputs={...}"


def _refused(of: Annotation, expected: str, *declarations: str) -> InputsError:
    said = f"argument {of.name!r}, annotated {of.written}: expected {expected}; write "
    return InputsError(said + _written(of.name, *declarations))


def _checked(of: Annotation) -> None:
    odd = [d for d in of.dims if not (d.isdigit() or (d.isidentifier() and d != "_"))]
    if odd:
        raise _refused(of, f"dimensions that are names or sizes, got {odd[0]!r}", "real(N, 4)")


def _float(of: Annotation) -> str:
    _checked(of)
    kind = "mask" if of.is_mask else next((k for word, k in FLOAT_NAMES.items() if of.ends_in(word)), "")
    alone = len(of.dims) <= 1
    if kind == "probability" and not alone:
        raise _refused(of, "to know whether they sum to 1", of.call("simplex"), of.call("probability"))
    if not kind or (kind in ("log_simplex", "embedding") and alone):
        words = ", ".join((*FLOAT_NAMES, "valid_mask"))
        choices = [of.call(k) for k in ("real", "logits", "probability")]
        raise _refused(of, f"a name that tells what it holds, ending in one of {words}", *choices)
    return of.call(kind, dtype="''") if kind == "mask" else of.call(kind)


def _whole(of: Annotation, scores: list[Annotation]) -> str:
    """The declaration of what is not a float."""
    if of.family == "bool":
        _checked(of)
        return of.call("mask") if of.is_mask else of.call("binary", dtype="bool")
    if of.family != "int":
        raise _refused(of, "Float, Int or Bool, in every dtype that is judged", "real(N)", "class_index(N, classes=C)")
    _checked(of)
    more = {d for s in scores for i, d in enumerate(s.dims) if s.dims[:i] + s.dims[i + 1 :] == of.dims}
    if len(more) != 1 or of.ends_in("lengths"):
        got = ", ".join(f"{s.name} {s.written}" for s in scores) or "none"
        expected = f"scores with one dimension more, that of the classes, got {got}"
        choices = of.call("class_index", classes="C"), of.call("binary", dtype="int64"), of.call("lengths", of="T")
        raise _refused(of, expected, *choices)
    return of.call("class_index", classes=more.pop())
