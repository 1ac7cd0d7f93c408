"""What a loss takes, as calls of it show where its signature does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from harness.binding import BindingError, Called, Subject, accepted, called_part, constructor
from harness.cases import Batch
from harness.checks.sampling import calm_batches
from harness.conduct import calling, own, watch
from harness.evaluate import Observation, observe, tensors_of
from harness.held import holds
from harness.part import NoPartError
from harness.reducing import Reducing, asked
from harness.ulp import FLOAT32

ROWS = 3
CHANGES_NOTHING = "it changes nothing"
UNKNOWN = "no_loss_has_an_option_of_this_name"


def offered(subject: Subject, declared: Mapping[str, Any] | None = None) -> Subject:
    """The Subject of a user with the reductions, and of ``**kwargs`` the parameters, that calls show it to take.

    ``declared`` are the names that are given. Raises BindingError where one of these is refused, or a result is
    of several parts.
    """
    if subject.origin == "torch" or watch.suspended:
        return subject
    batch = next(calm_batches(replace(subject, fixed="none"), FLOAT32, "cpu", ROWS, "offered"))
    subject = _holding(_with_parameters(subject, batch), batch)
    if not subject.reductions:
        _told(subject, observe(subject, batch, gradients=False))
        return subject
    seen = {r: observe(subject, replace(batch, reduction=r), gradients=False) for r in subject.reductions}
    for name, one in seen.items():
        _told(subject, one)
        if one.raised is not None and declared and name in declared:
            said = ", ".join(f"{k}={v!r}" for k, v in asked(declared[name]).items())
            raise BindingError(f"reductions: {name}: expected a result of {subject.name} for {said}, got {one.raised}")
    refused = {name: f"raises {one.raised}" for name, one in seen.items() if one.raised is not None}
    if subject.reducing.default in refused:  # what it does by itself it has to do when asked: the checks say that
        return subject
    if len(refused) < len(seen):
        swallowed = subject.reducing.guessed and len({_bits(one) for one in seen.values()}) == 1
        return _left(subject, dict.fromkeys(seen, CHANGES_NOTHING) if swallowed else refused)
    bare = _left(subject, refused)
    # A loss that raises in any case does so in the checks.
    return subject if observe(bare, batch, gradients=False).raised is not None else bare


def _left(subject: Subject, refused: Mapping[str, str]) -> Subject:
    return _asked(subject, subject.reducing.without(refused)) if refused else subject


def _asked(subject: Subject, reducing: Reducing) -> Subject:
    assert isinstance(subject.call, Called)
    return replace(subject, reducing=reducing, call=replace(subject.call, reducing=reducing))


def _told(subject: Subject, seen: Observation) -> None:
    if seen.raised is not None and seen.raised.type == NoPartError.__name__:
        raise BindingError(f"{subject.name}: {seen.raised.message}")


def _bits(seen: Observation) -> tuple[tuple[int, ...], bytes]:
    return seen.shape, b"" if seen.value is None else np.ascontiguousarray(seen.value).tobytes()


def _with_parameters(subject: Subject, batch: Batch) -> Subject:
    """Without the parameters that disappear in ``**kwargs``: those that it refuses, or that change nothing."""
    names, _, open_ended = constructor(subject.loss) if subject.constructed else accepted(called_part(subject.loss))
    open_names = [n for n in subject.parameters if n not in names] if open_ended else []
    if not open_names:
        return subject
    values = {p.name: p.values for p in subject.contract.parameters}
    lenient = _without(subject, batch, {UNKNOWN: 0}).raised is None
    lost = []
    for name in open_names:
        found = [_without(subject, batch, {name: v}) for v in values[name]]
        refuses = any(one.raised is not None for one in found)
        if refuses or (lenient and len({_bits(one) for one in found}) == 1):
            lost.append(name)
    kept = tuple(n for n in subject.parameters if n not in lost)
    return replace(subject, parameters=kept, lacks=(*lost, *subject.lacks))


def _without(subject: Subject, batch: Batch, parameters: Mapping[str, Any]) -> Observation:
    """A call with no parameters but these."""
    return observe(subject, replace(batch, parameters=parameters), gradients=False)


def _holding(subject: Subject, batch: Batch) -> Subject:
    """The Subject with what its Module holds."""
    assert isinstance(subject.call, Called)
    with calling(subject, batch):
        try:
            loss = subject.call.instance(tensors_of(subject, batch, gradients=False), batch.parameters, "none")
        except BaseException as error:
            if not own(error):
                raise
            return subject
    if not isinstance(loss, torch.nn.Module):
        return subject
    given = set(subject.options)
    learned = tuple(n for n, p in loss.named_parameters() if p.requires_grad and n not in given)
    return replace(subject, holds=holds(loss), unjudged=learned)
