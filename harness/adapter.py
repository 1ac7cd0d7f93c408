"""Any signature as a function of tensors by name: nested inputs, options of a class, one part of the result."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial, partialmethod
from typing import Any

import torch
from torch import Tensor

from harness.binding import BindingError, options_of
from harness.held import called, dtype_of, holds
from harness.inputs import Input, Structure
from harness.part import Part
from harness.reducing import Reducing, written

VARARGS = "*"
"""Begins the name of what is passed as ``*args``."""


def label_of(loss: Any, name: str = "") -> str:
    """What a loss is called where nothing else is said."""
    return name or getattr(loss, "__name__", None) or type(loss).__name__


def fixed_options(loss: Any, options: Mapping[str, Any]) -> Any:
    """A function with options bound, or a class whose constructor has them; as it is without options.

    Raises BindingError for an option that it does not take.
    """
    if not options:
        return loss
    names, open_ended = options_of(loss)
    ready = isinstance(loss, torch.nn.Module)
    if unknown := [o for o in options if o not in names and not open_ended]:
        hint = "; what its constructor takes is given before it is handed over" if ready else ""
        raise BindingError(
            f"{label_of(loss)}: option {unknown[0]!r}: expected one of {', '.join(names) or 'none'}{hint}"
        )
    if inspect.isclass(loss):
        return type(loss.__name__, (loss,), {"__init__": partialmethod(loss.__init__, **options)})
    fixed: Any = partial(loss, **options)
    if ready:
        fixed.__signature__ = inspect.signature(partial(loss.forward, **options))
    return fixed


def defaults_of(loss: Any) -> dict[str, Any]:
    """What a class is constructed with, or a function or ready object called, where nothing else is said."""
    try:
        signature = inspect.signature(loss.__init__ if inspect.isclass(loss) else getattr(loss, "forward", loss))
    except (TypeError, ValueError):
        return {}
    return {n: p.default for n, p in signature.parameters.items() if p.default is not p.empty}


def positional_of(loss: Any) -> list[str]:
    """Names of the arguments that can be given by position, in order."""
    try:
        parameters = inspect.signature(getattr(loss, "forward", loss)).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def with_options(expression: str, options: Mapping[str, Any]) -> str:
    """``fixed_options`` as Python."""
    if not options:
        return expression
    return f"functools.partial({expression}, {', '.join(f'{k}={v!r}' for k, v in options.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A loss called with tensors by flat names."""

    loss: Any
    built: Mapping[str, Any]
    """Our name of a reduction -> the object that was constructed for it, where a class takes it so."""
    expression: str
    constructed: bool
    """Whether the expression is that of a class, without the call that makes the object."""
    structures: Mapping[str, Structure]
    """Argument of the loss -> its Input, or a nest of them."""
    flat: Mapping[str, Input]
    keywords: frozenset[str]
    """What the loss takes by name; other arguments are passed by position, in the order of ``structures``."""
    part: Part
    coupled: bool
    """Whether one call is one row."""
    reducing: Reducing
    learned: Mapping[str, str]
    """Flat name -> name in its Module, of every learnable parameter."""

    def __call__(self, *, reduction: str = "", **tensors: Tensor) -> Tensor:
        whole: Tensor = self._one_a_row(self.result(reduction, tensors), tensors)
        return whole

    def like_result(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """An argument of the shape of the unreduced result, where that has several numbers a row."""
        shape = getattr(self.result("none", tensors), "shape", ())
        return [n for n in self.flat if len(shape) > 1 and tensors[n].shape == shape][:1]

    def result(self, reduction: str, tensors: Mapping[str, Tensor]) -> Any:
        """What the loss gives, element by element where it does."""
        given = {n: self._cast(n, t) for n, t in tensors.items() if n not in self.learned}
        places = self._places(given)
        named = self.keywords
        positional = [v for n, v in places.items() if n not in named and not n.startswith(VARARGS)]
        stars = [v for n, v in places.items() if n.startswith(VARARGS)]
        keywords = {n: v for n, v in places.items() if n in named}
        if stars:  # what comes before varargs must be positional
            positional, keywords = [v for n, v in places.items() if not n.startswith(VARARGS)] + list(stars[0]), {}
        keywords |= self.reducing.of_call(reduction) if reduction else {}
        learned = {own: tensors[n] for n, own in self.learned.items() if n in tensors}
        result = called(self._fresh(reduction), tuple(positional), keywords, dtype_of(tensors), **learned)
        return self.part.of(result)

    def by_position(self) -> Adapter | None:
        """The same loss with the arguments that begin its signature by position; None where that changes nothing."""
        names = positional_of(self.loss)
        first = list(itertools.takewhile(lambda n: n in self.structures and n in self.keywords, names))
        if not first or any(n.startswith(VARARGS) for n in self.structures):
            return None
        structures = {n: self.structures[n] for n in (*first, *self.structures)}
        return replace(self, structures=structures, keywords=self.keywords - set(first))

    def _cast(self, name: str, tensor: Tensor) -> Tensor:
        dtype = self.flat[name].dtype
        return tensor.to(getattr(torch, dtype)) if dtype else tensor

    def _places(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        def nested(name: str, structure: Structure) -> Any:
            if isinstance(structure, Input):
                return tensors[name]
            if isinstance(structure, Mapping):
                return {k: nested(f"{name}_{k}", s) for k, s in structure.items()}
            return type(structure)(nested(f"{name}_{i}", s) for i, s in enumerate(structure))

        return {name: nested(name.lstrip(VARARGS), s) for name, s in self.structures.items()}

    def _fresh(self, reduction: str) -> Any:
        """The loss as it was built: what a call leaves in buffers is not seen by the next."""
        loss = self.built.get(reduction, self.loss)
        stateful = isinstance(loss, torch.nn.Module) and next(loss.buffers(), None) is not None
        return copy.deepcopy(loss) if stateful else loss

    def _one_a_row(self, result: Any, tensors: Mapping[str, Tensor]) -> Any:
        """Losses of single elements are added up over all axes but that of the rows; over all where a call is one."""
        if self.coupled:
            dims = self._elements(result, tensors)
            return self.part.total(result, dims) if dims else result
        batched = [t for n, t in tensors.items() if n in self.flat and self.flat[n].batched]
        if isinstance(result, Tensor) and result.ndim > 1 and batched and len(result) == len(batched[0]):
            return result.flatten(1).sum(1)
        return result

    def _elements(self, result: Any, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
        """The named dimensions whose elements a result has a value for; none where it has one value or other ones."""
        if not isinstance(result, Tensor) or not result.ndim:
            return ()
        for name, declared in self.flat.items():
            if name in tensors and tuple(tensors[name].shape[: result.ndim]) == tuple(result.shape):
                return declared.dims[: result.ndim]
        return ()

    @property
    def signature(self) -> inspect.Signature:
        """What binding reads."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        names = [inspect.Parameter(n, keyword) for n in (*self.flat, *self.learned)]
        if self.reducing.said:
            names.append(inspect.Parameter("reduction", keyword))
        return inspect.Signature(names)

    def text(self, reduction: str, dtype: str) -> str:
        """The call as Python over variables of the flat names."""
        named = self.keywords

        def nested(name: str, structure: Structure) -> str:
            if isinstance(structure, Input):
                dtype = self.flat[name].dtype
                return f"{name}.to(torch.{dtype})" if dtype else name
            if isinstance(structure, Mapping):
                return "{" + ", ".join(f"{k!r}: {nested(f'{name}_{k}', s)}" for k, s in structure.items()) + "}"
            parts = ", ".join(nested(f"{name}_{i}", s) for i, s in enumerate(structure))
            return f"[{parts}]" if isinstance(structure, list) else f"({parts},)"

        texts = [(n, nested(n.lstrip(VARARGS), s)) for n, s in self.structures.items()]
        varargs = any(n.startswith(VARARGS) for n, _ in texts)
        positional = [f"*{t}" if n.startswith(VARARGS) else t for n, t in texts if varargs or n not in named]
        keywords = {} if varargs else {n: t for n, t in texts if n in named}
        keywords |= {k: written(v) for k, v in self.reducing.of_call(reduction).items()}
        loss = self.expression
        if self.constructed:
            options = self.reducing.of_constructor(reduction)
            loss += f"({', '.join(f'{k}={written(v)}' for k, v in options.items())})"
        if holds(self.loss) and dtype != "float32":
            loss += f".to(torch.{dtype})"
        if self.learned:
            state = ", ".join(f"{own!r}: {n}" for n, own in self.learned.items())
            before = "".join(f"{t}, " for t in positional)
            after = ", ".join(f"{k!r}: {t}" for k, t in keywords.items())
            call = f"torch.func.functional_call({loss}, {{{state}}}, ({before}), {{{after}}})"
        else:
            call = f"{loss}({', '.join([*positional, *(f'{k}={t}' for k, t in keywords.items())])})"
        return f"{call}{self.part.suffix}"
