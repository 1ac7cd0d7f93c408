"""Any signature as a function of tensors by name: nested inputs, options of a class, one part of the result."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial, partialmethod
from typing import Any

import torch
from torch import Tensor

from harness.binding import BindingError, options_of
from harness.inputs import Input, Structure

VARARGS = "*"
"""Begins the name of what is passed as ``*args``."""


@dataclass(slots=True)
class Part:
    """The part of a result that is the loss, by a key, an attribute or a place in a sequence; all of it without a name.

    How it is reached shows with the first result.
    """

    name: str
    suffix: str = ""
    """What Python reaches it with."""
    added: tuple[str, ...] = ()
    """The dimensions over which its values are added up, of a loss of which one call is one row."""

    def of(self, result: Any) -> Any:
        """Raises LookupError, in one line, where the result has no such part."""
        if not self.name:
            return result
        if isinstance(result, (tuple, list)) and self.name.lstrip("-").isdigit():
            key: Any = int(self.name)
            has, offered = -len(result) <= key < len(result), f"{len(result)} parts"
        elif isinstance(result, Mapping):
            key, has, offered = self.name, self.name in result, f"the keys {', '.join(map(repr, result))}"
        else:
            if not hasattr(result, self.name):
                raise LookupError(f"expected a result with a part {self.name!r}, got {type(result).__name__}")
            self.suffix = f".{self.name}"
            return getattr(result, self.name)
        if not has:
            raise LookupError(
                f"expected a result with a part {self.name!r}, got a {type(result).__name__} of {offered}"
            )
        self.suffix = f"[{key!r}]"
        return result[key]

    def total(self, values: Tensor, dims: tuple[str, ...]) -> Tensor:
        """The sum of values that belong to the elements of one call."""
        if not self.added:
            self.added, self.suffix = dims, f"{self.suffix}.sum()"
        return values.sum()


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
    expression: str
    structures: Mapping[str, Structure]
    """Argument of the loss -> its Input, or a nest of them."""
    flat: Mapping[str, Input]
    keywords: frozenset[str]
    """What the loss takes by name; other arguments are passed by position."""
    part: Part
    coupled: bool = False
    """Whether one call is one row."""
    reductions: Mapping[str, Any] = field(default_factory=dict)
    """Our name of a reduction -> what the loss calls it: a value of ``reduction`` or keywords."""
    learned: Mapping[str, str] = field(default_factory=dict)
    """Flat name -> name in its Module, of every learnable parameter."""

    def __call__(self, *, reduction: str = "none", **tensors: Tensor) -> Tensor:
        given = {n: self._cast(n, t) for n, t in tensors.items() if n not in self.learned}
        places = self._places(given)
        named = self.keywords
        positional = [v for n, v in places.items() if n not in named and not n.startswith(VARARGS)]
        stars = [v for n, v in places.items() if n.startswith(VARARGS)]
        keywords = {n: v for n, v in places.items() if n in named}
        if stars:  # what comes before varargs must be positional
            positional, keywords = [v for n, v in places.items() if not n.startswith(VARARGS)] + list(stars[0]), {}
        keywords |= self._reduction(reduction)
        loss = self._fresh({name: tensors[n] for n, name in self.learned.items() if n in tensors})
        result = self.part.of(loss(*positional, **keywords))
        whole: Tensor = self._one_a_row(result, tensors)
        return whole

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

    def _reduction(self, reduction: str) -> dict[str, Any]:
        if reduction not in self.reductions:
            return {}
        said = self.reductions[reduction]
        return dict(said) if isinstance(said, Mapping) else {"reduction": said}

    def _fresh(self, parameters: Mapping[str, Tensor]) -> Any:
        """The loss as it was built: what a call leaves in buffers is not seen by the next."""
        if not isinstance(self.loss, torch.nn.Module):
            return self.loss
        if not parameters:
            stateful = next(self.loss.buffers(), None) is not None
            return copy.deepcopy(self.loss) if stateful else self.loss
        module = self.loss

        def call(*args: Any, **keywords: Any) -> Any:
            state = {n: b.clone() for n, b in module.named_buffers()}
            return torch.func.functional_call(module, {**parameters, **state}, args, keywords)

        return call

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
        if self.reductions:
            names.append(inspect.Parameter("reduction", keyword, default="none"))
        return inspect.Signature(names)

    def text(self, reduction: str) -> str:
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

        written = [(n, nested(n.lstrip(VARARGS), s)) for n, s in self.structures.items()]
        varargs = any(n.startswith(VARARGS) for n, _ in written)
        positional = [f"*{t}" if n.startswith(VARARGS) else t for n, t in written if varargs or n not in named]
        keywords = {} if varargs else {n: t for n, t in written if n in named}
        keywords |= {k: repr(v) for k, v in self._reduction(reduction).items()}
        if self.learned:
            state = ", ".join(f"{own!r}: {n}" for n, own in self.learned.items())
            before = "".join(f"{t}, " for t in positional)
            after = ", ".join(f"{k!r}: {t}" for k, t in keywords.items())
            call = f"torch.func.functional_call({self.expression}, {{{state}}}, ({before}), {{{after}}})"
        else:
            call = f"{self.expression}({', '.join([*positional, *(f'{k}={t}' for k, t in keywords.items())])})"
        return f"{call}{self.part.suffix}"
