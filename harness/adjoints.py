"""How far rounding inside a backward pass moves its gradients, however well the loss was written.

Reverse mode sums products of adjoints (Griewank and Walther 2008, sections 3.2 and 3.4): what one node of the graph
hands to another is rounded, and the gradient that is left where they cancel carries the rounding of what cancelled.
That a graph rounds what it hands on is taken as given here; how its values came about is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.autograd.graph import Node

Handed = tuple[Tensor | None, ...]
"""Adjoints: what a node of the graph hands on, or what it was handed."""
MOVED = 2.0**-20
"""Relative move of a contribution: far above the rounding of float32 inside a loss; the gradients are linear in it."""
INSIDE = ("LogSoftmaxBackward0", "SoftmaxBackward0", "BinaryCrossEntropyWithLogitsBackward0")
"""Nodes that hand on a difference whose terms are no larger than what they were handed, which is rounded as well."""
COMPILED = "CompiledFunctionBackward"
DRAWS = 4
"""Backward passes with signs drawn anew, of which the largest move counts."""


def gradients(total: Tensor, leaves: Mapping[str, Tensor], *, keep: bool = False) -> dict[str, Tensor]:
    """Of the leaves that a scalar reaches; ``keep`` leaves its graph as it is."""
    if not leaves or not total.requires_grad:
        return {}
    grads: tuple[Tensor | None, ...] = torch.autograd.grad(
        total, list(leaves.values()), retain_graph=keep, allow_unused=True
    )
    return {n: g for n, g in zip(leaves, grads, strict=True) if g is not None}


def rounding(call: Callable[[], Tensor], leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The move of the gradient of every leaf, entry by entry, in units of the relative rounding of each contribution.

    ``call`` gives a scalar that reaches the leaves through a graph. Leaves that it does not reach are missing.
    """
    generator = torch.Generator().manual_seed(0)
    total = call()
    # A compiled graph can be asked once.
    lasting = all(node.name() != COMPILED for node in _nodes(total))
    plain = gradients(total, leaves, keep=lasting)
    found = {n: torch.zeros_like(g) for n, g in plain.items()}
    for _ in range(DRAWS):
        total = total if lasting else call()
        for name, gradient in _moved(total, leaves, generator, keep=lasting).items():
            move = (gradient - plain[name]).abs().div_(MOVED).nan_to_num_(0.0, posinf=0.0)
            found[name] = torch.maximum(found[name], move)
    return found


def _moved(total: Tensor, leaves: Mapping[str, Tensor], generator: torch.Generator, *, keep: bool) -> dict[str, Tensor]:
    """The gradients where everything that one node hands to another is moved."""

    def moving(node: Node) -> Callable[[Handed, Handed], Handed]:
        def moved(onward: Handed, handed: Handed) -> Handed:
            moves = _moves(node, onward, handed, generator)
            return tuple(
                g if g is None or m is None else g + _signs(g, generator) * m
                for g, m in zip(onward, moves, strict=True)
            )

        return moved

    hooks = [node.register_hook(moving(node)) for node in _nodes(total)]
    try:
        return gradients(total, leaves, keep=keep)
    finally:
        for hook in hooks:
            hook.remove()


def _moves(node: Node, onward: Handed, handed: Handed, generator: torch.Generator) -> Handed:
    """How far rounding in one node moves what it hands on: each number, and the terms that are summed to it."""
    own = handed[0].abs() if node.name() in INSIDE and handed[0] is not None else 0.0
    moves = tuple(None if g is None else MOVED * (g.abs() + own) for g in onward)
    if not callable(node):  # a torch.autograd.Function: what it sums is not seen
        return moves
    terms = node(*(None if h is None else h + _signs(h, generator).mul_(MOVED) * h for h in handed))
    sums = terms if isinstance(terms, tuple) else (terms,)
    # Of a broadcast operand it is the engine that sums over the copies.
    return tuple(
        m if g is None or m is None or s is None else torch.maximum(m, (s.sum_to_size(g.shape) - g).abs())
        for g, m, s in zip(onward, moves, sums, strict=True)
    )


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=generator, dtype=torch.int8)
    return drawn.mul_(2).sub_(1).to(device=like.device, dtype=like.dtype)


def _nodes(total: Tensor) -> Iterator[Node]:
    """Every node of the graph but the leaves."""
    waiting, seen = [total.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen or node.name() == "torch::autograd::AccumulateGrad":
            continue
        seen.add(node)
        yield node
        waiting += [other for other, _ in node.next_functions]
