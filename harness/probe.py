"""What is asked of a loss beside its numbers: the form of a result, derivatives, errors, what it leaves changed."""

from __future__ import annotations

import faulthandler
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.autograd.forward_ad as forward_ad

from harness.adjoints import gradients
from harness.binding import Subject
from harness.cases import Batch
from harness.conduct import SuspendedError, calling, own, watch
from harness.evaluate import Raised, result_of, tensors_of, to_array, to_tensor
from harness.findings import call_text
from harness.state import left_by
from harness.ulp import FLOAT32, Array

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The outside of one call: what a result and its gradients are, not what they hold."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    device: str = ""
    gradients: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Leaf -> dtype and shape of its gradient; a leaf that no gradient reached is missing."""
    leaf_gradients: Mapping[str, Array] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    """Inputs that hold other numbers after the call than before."""
    raised: Raised | None = None


def form_of(
    subject: Subject,
    batch: Batch,
    *,
    leaves: tuple[str, ...] = (),
    devices: Mapping[str, str] | None = None,
    weights: Array | None = None,
) -> Form:
    """Call once with ``leaves`` requiring gradients and arguments moved to ``devices``; values are not looked at.

    The gradients are those of the sum of the result, each element times its own of the ``weights``.
    """
    with calling(subject, batch, gradients=bool(leaves)):
        try:
            return _formed(subject, batch, leaves, devices or {}, weights)
        except BaseException as error:
            if not own(error):
                raise
            return Form(raised=Raised.of(error, batch))


def _formed(
    subject: Subject, batch: Batch, leaves: tuple[str, ...], devices: Mapping[str, str], weights: Array | None
) -> Form:
    tensors = tensors_of(subject, batch, gradients=False)
    tensors = {n: t.to(devices.get(n, batch.device)) for n, t in tensors.items()}
    before = {n: t.clone() for n, t in tensors.items() if not t.is_meta}
    for name in leaves:
        tensors[name].requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = result_of(subject, batch, tensors)
        total = result.sum() if weights is None else (result * to_tensor(weights, batch.precision, batch.device)).sum()
        found = gradients(total, {n: tensors[n] for n in leaves})
    return Form(
        dtype=str(result.dtype).removeprefix("torch."),
        shape=tuple(result.shape),
        device=str(result.device),
        gradients={n: (str(g.dtype).removeprefix("torch."), tuple(g.shape)) for n, g in found.items()},
        leaf_gradients={n: to_array(g) for n, g in found.items() if not g.is_meta},
        changed=tuple(n for n, t in before.items() if not torch.equal(t, tensors[n].detach())),
        raised=None,
    )


def left_behind(subject: Subject, batch: Batch) -> list[str]:
    """What one call with its backward leaves changed in the process, in words; it is put right.

    An exception is for others to tell.
    """

    def call() -> None:
        try:
            result = result_of(subject, batch, tensors)
            if result.requires_grad:
                result.sum().backward()
        except BaseException as error:
            if not own(error):
                raise

    with calling(subject, batch, gradients=True), warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        tensors = tensors_of(subject, batch, gradients=True)
        return left_by(call)


def shape_of(subject: Subject, batch: Batch, name: str) -> tuple[int, ...]:
    """The shape of an argument as the Subject is called with it."""
    return tuple(tensors_of(subject, batch, gradients=False)[name].shape)


def differentiate(subject: Subject, batch: Batch, mode: str, leaves: tuple[str, ...], *, fast: bool) -> Raised | None:
    """Compare derivatives with finite differences of the loss itself; None where they agree.

    The exception of a derivative that does not exist comes first: gradcheck would report it as a mismatch.
    """
    tensors = tensors_of(subject, batch, gradients=False)
    # A loss that raises leaves them moved by a finite difference.
    inputs = tuple(tensors.pop(n).clone().requires_grad_() for n in leaves)

    def loss(*values: Tensor) -> Tensor:
        given = {**tensors, **dict(zip(leaves, values, strict=True))}
        with calling(subject, batch, gradients=True):
            result: Tensor = result_of(subject, batch, given)
        return result

    with calling(subject, batch, gradients=True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if mode == "gradgradcheck":
                    _backward_twice(loss, inputs)
                    torch.autograd.gradgradcheck(loss, inputs, fast_mode=fast)
                else:
                    forward = mode == "forward-mode"
                    if forward:
                        _forward_once(loss, inputs)
                    torch.autograd.gradcheck(
                        loss, inputs, fast_mode=fast, check_forward_ad=forward, check_backward_ad=not forward
                    )
        except BaseException as error:
            if not own(error):
                raise
            return Raised.of(error, batch)
    return None


def _forward_once(loss: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    """Raise what a function without jvp raises, as a compiled one; gradcheck would see zeros.

    It raises for inputs that require a gradient, and drops the tangent of others in silence.
    """
    with forward_ad.dual_level():
        loss(*(forward_ad.make_dual(x.detach().requires_grad_(), torch.ones_like(x)) for x in inputs))


def _backward_twice(loss: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    """Raise what a function raises that is marked as differentiable once; gradgradcheck would see zeros."""
    copies = tuple(x.detach().clone().requires_grad_() for x in inputs)
    value = loss(*copies)
    upstream = torch.ones_like(value).requires_grad_()
    first: tuple[Tensor | None, ...] = torch.autograd.grad(
        value, copies, upstream, create_graph=True, allow_unused=True
    )
    live = [g.sum() for g in first if g is not None and g.requires_grad]
    if live:
        torch.stack(live).sum().backward()


def sibling(
    build: Callable[[Any], Callable[..., Any]],
    args: Mapping[str, npt.NDArray[Any]],
    real: tuple[str, ...],
    parameters: Mapping[str, Any],
    batch: Batch,
) -> Array | Raised:
    """The unreduced value of another loss built from torch, at arguments of its own."""
    tensors = {
        n: to_tensor(a.astype(np.float64) if n in real else a, batch.precision, batch.device) for n, a in args.items()
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return to_array(build(torch)(**tensors, **parameters))
    except Exception as error:
        return Raised.of(error)


class NotOfferedError(TypeError):
    """A call with something that the callable does not have."""


def named(subject: Subject) -> Callable[..., Any]:
    """The Subject as a function of the Contract's names: tensors by position or name, parameters, ``reduction``."""
    order = [a.name for a in subject.contract.args]

    def loss(*tensors: Any, **keywords: Any) -> Any:
        given = dict(zip(order, tensors, strict=False)) | {n: keywords.pop(n) for n in order if n in keywords}
        missing = [n for n in (*given, *keywords) if n in subject.not_offered]
        if missing:
            raise NotOfferedError(", ".join(missing))
        reduction = keywords.pop("reduction", "mean" if "mean" in subject.contract.reductions else "sum")
        if watch.suspended:
            raise SuspendedError("not called")
        return subject.call(given, keywords, reduction)

    return loss


_Given = TypeVar("_Given")


class _StoppedError(Exception):
    """The call is known."""


def provoking_lines(subject: Subject, call: Callable[[Any, Callable[..., Any]], Any]) -> str:
    """Lines of the call that is to raise; empty where it cannot be told without calling the loss."""
    order = [a.name for a in subject.contract.args]
    given: dict[str, Any] = {}

    def loss(*tensors: Any, **keywords: Any) -> Any:
        given.update(zip(order, tensors, strict=False), **keywords)
        raise _StoppedError

    with suppress(Exception):
        call(torch, loss)
    if not given:
        return ""
    tensors = {n: given.pop(n) for n in order if n in given}
    if any(isinstance(t, Tensor) and (t.layout != torch.strided or t.is_quantized) for t in tensors.values()):
        return ""
    reduction = given.pop("reduction", "mean" if "mean" in subject.contract.reductions else "sum")
    asked = Batch(args=dict.fromkeys(tensors, np.zeros(0)), parameters=given, precision=FLOAT32, reduction=reduction)
    written = [f"{name} = {_as_python(value)}" for name, value in tensors.items()]
    return "\n".join([subject.setup, *written, f"print({call_text(subject, asked)})"])


def _as_python(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    if not value.numel():
        return f"torch.empty({tuple(value.shape)}, dtype={value.dtype})"
    numbers = str(value.tolist()).replace("nan", "float('nan')").replace("inf", "float('inf')")
    return f"torch.tensor({numbers}, dtype={value.dtype}, device={value.device.type!r})"


def provoke(subject: Subject, call: Callable[[Any, Callable[..., Any]], Any]) -> Raised | None:
    """The exception that a call raises, None where it returns."""
    with calling(subject):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call(torch, named(subject))
        except BaseException as error:
            if not own(error):
                raise
            return Raised.of(error)
    return None


PATIENCE = 20.0
"""Seconds that a call in a process of its own may take."""


def in_fork(task: Callable[[], _Given]) -> _Given | Raised:
    """What a task gives in a forked process, for calls that may end it; a signal and a hang are told as exceptions."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work() -> None:
        torch.set_num_threads(1)
        faulthandler.disable()  # a crash is what is asked for
        watch.clock = watch.announce = None
        sender.send(task())

    process = context.Process(target=work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child uses none of them
        process.start()
    sender.close()
    try:
        if receiver.poll(PATIENCE):
            found: _Given = receiver.recv()
            return found
        return Raised(type="Hang", message=f"no answer in {PATIENCE:g} s")
    except EOFError:
        process.join()
        return Raised(type="Crash", message=f"the interpreter ended with code {process.exitcode}")
    finally:
        process.kill()
        process.join()
        receiver.close()
