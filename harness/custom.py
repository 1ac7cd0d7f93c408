"""A loss with declared inputs as a Subject: its Contract is made of the declarations, its oracle given or itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import torch

from harness.adapter import Adapter, defaults_of, fixed_options, label_of, with_options
from harness.annotations import read
from harness.binding import (
    Call,
    Option,
    Subject,
    Way,
    accepted,
    bind,
    called_part,
    exchanged,
    only_positional,
    reductions_of,
)
from harness.cases import Batch, NoReferenceError
from harness.checks.sampling import calm_batches
from harness.conduct import calling
from harness.constructed import constructed
from harness.contract import Arrange, Contract
from harness.domain import Arg, Kind, Learned, learned
from harness.evaluate import observe, observe_rows, settled, tensors_of
from harness.held import hint
from harness.inputs import BATCH, Input, InputsError, Structure, flattened, parsed, sizes_of, structured
from harness.itself import GRADIENTS_SELF_REFERENCED, SELF_REFERENCED, Values, referenced
from harness.lawbook import implied, law, order_of_batch
from harness.laws import Law
from harness.means import OTHER_WEIGHTS, mean_of
from harness.offering import CHANGES_NOTHING, offered
from harness.part import Part
from harness.reducing import KEYWORD, Reducing, parameter_of
from harness.trying import another
from harness.ulp import FLOAT64
from reference.reductions import mean, total
from reference.truth import Truth

Inputs = Mapping[str, Structure] | Sequence[Structure]
PARAMETER = "parameter_"
SCALE_ROWS = 32
"""Calm rows that tell how large and how steep a loss is."""
IGNORED = "ignore_index"
"""What every loss of torch calls the class index of elements that do not count."""
REDUCTIONS = ("none", "sum", "mean")
TIED = "a loss that ties its batch together is judged at its default"


def _named(inputs: Inputs, loss: Any) -> dict[str, Structure]:
    """Structures by the name of the argument; those without a name take the names of the signature in order."""
    if isinstance(inputs, Mapping):
        return {name: structured(s) for name, s in inputs.items()}
    places = iter(accepted(getattr(loss, "forward", loss))[0])
    found: dict[str, Structure] = {}
    for number, structure in enumerate(inputs):
        name, declared = parsed(structure) if isinstance(structure, str) else ("", structured(structure))
        found[name or next((p for p in places if p not in found), f"input{number}")] = declared
    return found


def _learned(loss: Any, declared: Mapping[str, Structure]) -> dict[str, tuple[str, Arg]]:
    """Flat name -> (name in the Module, argument) of every learnable parameter, as it is declared or about its start.

    Raises InputsError for a declaration that is none of a parameter.
    """
    parameters = dict(loss.named_parameters()) if isinstance(loss, torch.nn.Module) else {}
    flat = {PARAMETER + own.replace(".", "_"): own for own in parameters}
    if unknown := [n for n in declared if n.startswith(PARAMETER) and n not in flat and n not in _taken(loss)]:
        raise InputsError(f"{unknown[0]}: expected one of {', '.join(flat) or 'no learnable parameter'}")
    found = {}
    for name, own in flat.items():
        dims = tuple(str(n) for n in parameters[own].shape)
        kind: Kind = learned(parameters[own].detach().double().cpu().numpy())
        if (said := declared.get(name)) is not None:
            if not isinstance(said, Input) or said.dims != dims or not said.differentiable:
                raise InputsError(f"{name}: expected real numbers of its shape, as real({', '.join(dims)}), got {said}")
            kind = said.kind
        found[name] = own, Arg(name=name, kind=kind, dims=dims)
    return found


def _taken(loss: Any) -> list[str]:
    return accepted(called_part(loss))[0]


def _reaches(parameters: Mapping[str, tuple[str, Arg]]) -> list[str]:
    """How far the parameters go that nobody declared."""
    near = {n: arg.kind for n, (_, arg) in parameters.items() if isinstance(arg.kind, Learned)}
    told = ", ".join(f"{n} from {kind.low:g} to {kind.high:g}" for n, kind in near.items())
    return [f"drawn about its start: {told}"] if near else []


def _unknown(**_: Any) -> Truth:
    raise NoReferenceError("the Contract of a custom loss is asked before its reference is made")


def custom(
    loss: Any,
    inputs: Inputs,
    *,
    oracle: Values | None = None,
    laws: Sequence[str | Law] = (),
    init: Mapping[str, Any] | None = None,
    output: str = "",
    reductions: Mapping[str, Any] | None = None,
    arrange: Arrange | None = None,
    name: str = "",
    expression: str = "",
    setup: str = "import torch",
) -> Subject:
    """The Subject of a loss that is declared by its inputs.

    ``inputs`` maps argument names to declarations, or nests of them; as a sequence they take the names of the signature
    in order. What ``inputs`` lacks is read from annotations, see ``harness.annotations``. ``oracle`` takes float64
    arrays by these names, rows first, and returns values of shape (R,); without it the loss in float64 refers to
    itself. A learnable parameter that is not to be drawn about its start is declared by its name with ``parameter_``
    before it. ``init`` are options of a class, ``output`` the part of the result that is the loss, ``reductions`` names
    of its own for ``none``, ``sum`` and ``mean``.

    Raises BindingError, InputsError, UnknownLawError or NoReferenceError, in one line each.
    """
    label = label_of(loss, name)
    options = dict(init or {})
    fixed = fixed_options(loss, options)
    reducing = reductions_of(fixed, REDUCTIONS, reductions, options)
    built = constructed(fixed, reducing, label, options, reductions or {})
    ready, reducing = built.ready, built.reducing
    structures = _named(inputs, ready)
    try:
        told = read(ready, [name.lstrip("*") for name in structures])
        structures |= _named(told, ready)
    except InputsError as error:
        raise InputsError(f"{label}: {error}") from None
    own = _learned(ready, structures)
    structures = {n: s for n, s in structures.items() if n not in own}
    flat: dict[str, Input] = {}
    for place, structure in structures.items():
        flat |= flattened(place.lstrip("*"), structure)
    if not flat:
        raise InputsError(f"{label}: inputs: expected at least one declaration, got none")
    # Where all rows share a tensor, one call is one row: its gradient and conditioning are those of the whole batch.
    coupled = bool(own) or not all(d.batched for d in flat.values())
    if coupled and reducing.said:
        reducing = Reducing(refused=dict.fromkeys(reducing.said, TIED))
    args = tuple(d.arg(n, coupled=coupled) for n, d in flat.items())
    args += tuple(arg for _, arg in own.values())
    only = only_positional(called_part(ready))
    adapter = Adapter(
        loss=ready,
        built=built.of_reduction,
        expression=with_options(expression or label, options),
        constructed=isinstance(loss, type),
        structures={n: structures[n] for n in dict.fromkeys((*(p for p in only if p in structures), *structures))},
        flat=flat,
        keywords=frozenset(accepted(called_part(ready))[0]) - set(only),
        part=Part(output),
        coupled=coupled,
        reducing=reducing,
        learned={n: named for n, (named, _) in own.items()},
    )
    contract = Contract(
        name=label,
        summary=f"{label}, declared by its inputs.",
        formula="its own code" if oracle is None else f"the oracle {getattr(oracle, '__name__', 'given')}",
        sources=(
            "the loss in float64" if oracle is None else "values of the oracle, gradients of the loss in float64",
        ),
        args=args,
        oracle=_unknown,
        dims=_dims(args),
        reductions={"sum": total, "mean": mean},
        layouts=("rows", "strided"),
        coupled=coupled,
        itself=oracle is None,
        caveat="; ".join(
            (SELF_REFERENCED if oracle is None else GRADIENTS_SELF_REFERENCED, *_said(told), *_reaches(own))
        ),
        arrange=arrange,
        ignores=_ignored(loss, ready, options),
    )
    contract = replace(contract, laws=_laws(contract, laws))
    lines = [*(["import functools"] if options else []), setup, *reducing.lines(loss, expression or label)]
    bound = partial(_bound, label=label, setup="\n".join(lines))
    asked, (subject, adapter) = adapter, _reduced(bound, adapter, contract, reductions)
    dead = _dead(asked, adapter, subject.contract)
    positional = adapter.by_position()
    subject = replace(
        subject,
        tried=_tried(loss, options, adapter, subject.contract, expression or label),
        given=_given(loss, options, adapter, subject.contract, expression or label) | dead,
        by_position=_way(positional, subject.contract) if positional is not None else None,
    )
    subject = _probed(subject, oracle, ready)
    return replace(subject, contract=_with_caveat(subject.contract, _added(adapter)))


def _reduced(
    bound: Callable[[Adapter, Contract], Subject],
    adapter: Adapter,
    contract: Contract,
    declared: Mapping[str, Any] | None,
) -> tuple[Subject, Adapter]:
    """The Subject with the reductions that it takes, and the mean that it means."""
    subject = offered(bound(adapter, contract), declared)
    refused = {n: why for n, why in subject.reducing.refused.items() if n not in adapter.reducing.refused}
    batch = next(calm_batches(subject, FLOAT64, "cpu", 64, "mean"))  # among so many some are masked, or ignored
    seen = observe(subject, batch, gradients=False)
    if subject.takes_none and subject.reductions and seen.raised is None and seen.shape != (batch.rows(contract),):
        refused["none"] = f"gives shape {seen.shape} of {batch.rows(contract)} rows"
    adapter = replace(adapter, reducing=adapter.reducing.without(refused))
    subject = bound(adapter, contract)
    if "mean" in subject.reductions and seen.raised is None:
        with calling(subject, batch):
            tensors = tensors_of(subject, batch, gradients=False)
            like_result = adapter.like_result(tensors) if subject.takes_none else list(adapter.flat)
        found = mean_of(subject, batch, like_result)
        if found is None:
            adapter = replace(adapter, reducing=adapter.reducing.without({"mean": OTHER_WEIGHTS}))
        else:
            contract = replace(contract, reductions={**contract.reductions, "mean": found})
    return bound(adapter, contract), adapter


def _added(adapter: Adapter) -> str:
    """What is said of a loss of which one call is judged as one number and gives more."""
    if not adapter.part.added:
        return ""
    said = f"its values over ({', '.join(adapter.part.added)}) are judged as their sum"
    first = adapter.part.added[0]
    apart = not adapter.learned and first != BATCH
    return said + (f": call the batch {BATCH} and not {first} to judge each" if apart else "")


def _with_caveat(contract: Contract, said: str) -> Contract:
    return replace(contract, caveat=f"{contract.caveat}; {said}") if said else contract


def _ignored(loss: Any, ready: Any, options: Mapping[str, Any]) -> int | None:
    """The class index of elements that do not count: an option, the default of one, or what the ready object holds.

    A Module holds what the losses that it is made of agree on.
    """
    parts = ready.modules() if isinstance(ready, torch.nn.Module) else (ready,)
    held = {value for part in parts if isinstance(value := getattr(part, IGNORED, None), int)}
    said = options.get(IGNORED, defaults_of(loss).get(IGNORED, held.pop() if len(held) == 1 else None))
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def _given(
    loss: Any, options: Mapping[str, Any], adapter: Adapter, contract: Contract, expression: str
) -> dict[str, Option]:
    """The options that differ from their default, each with the loss that has the default.

    What ignored classes leave out has a law of its own.
    """
    found, defaults = {}, defaults_of(loss)
    for name, value in options.items():
        if name == IGNORED or name not in defaults or _same(value, defaults[name]):
            continue
        try:
            others = {n: v for n, v in options.items() if n != name}
            built = constructed(fixed_options(loss, others), adapter.reducing, contract.name, others)
        except Exception:  # what cannot be built without it needs it
            continue
        spelled = with_options(expression, others)
        other = replace(adapter, loss=built.ready, built=built.of_reduction, expression=spelled)
        found[name] = Option(given=value, default=defaults[name], call=_call(other, contract), text=other.text)
    return found


def _tried(
    loss: Any, options: Mapping[str, Any], adapter: Adapter, contract: Contract, expression: str
) -> dict[str, Option]:
    """The numbers that are not given and have to matter, each with the loss that has another one."""
    found: dict[str, Option] = {}
    for name, default in defaults_of(loss).items():
        if name in options or name in adapter.structures or name in (KEYWORD, IGNORED):
            continue
        if (other := another(name, default)) is None:
            continue
        others = {**options, name: other}
        try:
            built = constructed(fixed_options(loss, others), adapter.reducing, contract.name, others)
        except Exception:  # it may have to fit something else
            continue
        way = _way(
            replace(adapter, loss=built.ready, built=built.of_reduction, expression=with_options(expression, others)),
            contract,
        )
        found[name] = Option(given=other, default=default, call=way.call, text=way.text)
    return found


def _dead(asked: Adapter, found: Adapter, contract: Contract) -> dict[str, Option]:
    """A reduction that changes nothing though the signature has it, as an option that has to matter."""
    own = (
        parameter_of(type(asked.loss).__init__, KEYWORD)
        if asked.built
        else parameter_of(called_part(asked.loss), KEYWORD)
    )
    if own is None or CHANGES_NOTHING not in found.reducing.refused.values():
        return {}
    given = next(n for n in reversed(list(asked.reducing.said)) if asked.reducing.keywords(n)[KEYWORD] != own.default)

    def call(tensors: Mapping[str, Any], parameters: Mapping[str, Any], reduction: str) -> Any:
        return asked(reduction=given, **tensors)

    option = asked.reducing.keywords(given)[KEYWORD]

    def text(reduction: str, dtype: str) -> str:
        return asked.text(given, dtype)

    return {KEYWORD: Option(given=option, default=own.default, call=call, text=text)}


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # an array of several answers
        return False


def _call(adapter: Adapter, contract: Contract) -> Call:
    return bind(_function(adapter, "loss"), contract, reductions=_asked(adapter)).call


def _way(adapter: Adapter, contract: Contract) -> Way:
    return Way(call=_call(adapter, contract), text=adapter.text)


def _asked(adapter: Adapter) -> Reducing:
    """The reductions of an Adapter by our names; that they matter is for calls to show."""
    said = {n: {"reduction": n} for n in adapter.reducing.said}
    return replace(adapter.reducing, said=said, built=frozenset(), guessed=True)


def _said(told: Mapping[str, str]) -> list[str]:
    """What was read from annotations, where something was."""
    return [f"by annotation and name: {', '.join(f'{n}: {text}' for n, text in told.items())}"] if told else []


def _dims(args: Sequence[Arg]) -> dict[str, tuple[int, ...]]:
    names = dict.fromkeys(d for a in args for d in a.dims)
    kinds = [getattr(a.kind, field, None) for a in args for field in ("classes", "of")]
    names |= dict.fromkeys(k for k in kinds if k)
    return {d: sizes_of(d) for d in names}


def _laws(contract: Contract, asked: Sequence[str | Law]) -> tuple[Law, ...]:
    found = [law(text, contract.args) for text in asked]
    if contract.arrange is None:  # what has to be arranged is not replaced
        named = {each.name for each in found}
        found += [each for each in implied(contract.args) if each.name not in named]
    first = next((a.dims[0] for a in contract.args if a.dims), "")
    if contract.coupled and first and not first.isdigit():
        found.append(order_of_batch(contract, first))
    return tuple(found)


def _function(adapter: Adapter, label: str) -> Callable[..., Any]:
    def loss(**tensors: Any) -> Any:
        return adapter(**tensors)

    loss.__signature__ = adapter.signature  # type: ignore[attr-defined]
    loss.__name__ = loss.__qualname__ = label
    return loss


def _bound(adapter: Adapter, contract: Contract, *, label: str, setup: str) -> Subject:
    asked = _asked(adapter)
    loss = _function(adapter, label)
    subject = bind(loss, contract, name=label, expression=adapter.expression, setup=setup, reductions=asked)
    return settled(replace(subject, text=adapter.text))


def _other_way(subject: Subject, batch: Batch) -> str:
    """What is said where the loss takes two arguments the other way round."""
    args = [a.name for a in subject.contract.args if a.name in batch.args and a.role != "weight"]
    for first, second in combinations(args, 2):
        if observe_rows(exchanged(subject, first, second), batch, gradients=False).raised is None:
            return (
                f"; with {first} and {second} exchanged it gives one: does it take them in TensorFlow's order, "
                "the target first?"
            )
    return ""


def _probed(subject: Subject, oracle: Values | None, loss: Any) -> Subject:
    """The Subject with its reference. Raises NoReferenceError where loss or oracle give nothing at ordinary inputs."""
    batch = next(calm_batches(subject, FLOAT64, "cpu", 3, "probe"))
    seen = observe_rows(subject, batch)
    if seen.raised is not None:
        why = hint(loss) if re.search("dtype|scalar type|Double|Float", seen.raised.message) else ""
        said = f"{subject.name}: expected a result for inputs as declared, got {seen.raised}{why}"
        raise NoReferenceError(f"{said}{_other_way(subject, batch)}")
    if subject.contract.coupled and seen.shape not in ((), (1,)):
        raise NoReferenceError(
            f"{subject.name}: expected one value of a batch, or one for each of its elements, got shape {seen.shape}"
        )
    return referenced(subject, batch, next(calm_batches(subject, FLOAT64, "cpu", SCALE_ROWS, "scale")), oracle)
