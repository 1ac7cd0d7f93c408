"""Changing a program in one place: operators, comparisons, constants, reductions and keyword arguments."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

CONTEXT = 60
"""A mutant is written with as much around it as fits in so many characters."""

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
COMPARISON: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
REDUCTION = {
    "sum": "mean",
    "mean": "sum",
    "amax": "amin",
    "argmax": "argmin",
    "any": "all",
    "all": "any",
    "cumsum": "cumprod",
    "cumprod": "cumsum",
    "max": "min",
    "min": "max",
    "clamp_min": "clamp_max",
}
STRING = {"none": "sum", "mean": "sum", "sum": "mean", "batchmean": "mean", "trunc": "floor"}
NUMBER = {"inf": "-torch.inf", "nan": "0.0"}
"""Of torch, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One place of one source that is written otherwise."""

    specimen: str
    """The loss that it is judged in."""
    module: str
    place: str
    """The function or the constant, as ``module.name``."""
    line: int
    before: str
    after: str
    number: int
    """Of the edit, among all edits of the module."""
    nth: int = 1
    """Among those of the place that read the same."""

    @property
    def key(self) -> str:
        """What it is known by while lines move."""
        again = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.place}: {self.before} -> {self.after}{again}"


@dataclass(frozen=True, slots=True)
class Edit:
    """A slot of a syntax tree, and what goes in it."""

    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST | None
    """None to take the item of a list away."""
    above: tuple[ast.AST, ...]

    def apply(self) -> None:
        if self.index is None:
            setattr(self.parent, self.field, self.new)
            return
        items = list(getattr(self.parent, self.field))
        items[self.index : self.index + 1] = [] if self.new is None else [self.new]
        setattr(self.parent, self.field, items)

    @property
    def line(self) -> int:
        return next(int(node.lineno) for node in reversed(self.above) if hasattr(node, "lineno"))

    def texts(self) -> tuple[str, str]:
        """Both readings, with the largest expression around them that is short."""
        shown = [node for node in self.above if isinstance(node, ast.expr) and len(ast.unparse(node)) <= CONTEXT]
        if not shown:
            return self._slot()
        before = ast.unparse(shown[0])
        kept = getattr(self.parent, self.field)
        self.apply()
        after = ast.unparse(shown[0])
        setattr(self.parent, self.field, kept)
        return before, after

    def _slot(self) -> tuple[str, str]:
        slot = getattr(self.parent, self.field)
        old = slot if self.index is None else slot[self.index]
        name = f"{old.arg}=" if isinstance(old, ast.keyword) else ""
        if isinstance(self.parent, ast.arguments):
            name = f"{_argument(self.parent, self.field, self.index)}="
        value = old.value if isinstance(old, ast.keyword) else old
        return name + ast.unparse(value), name + ("nothing" if self.new is None else ast.unparse(self.new))


def _argument(arguments: ast.arguments, field: str, index: int | None) -> str:
    named = arguments.kwonlyargs if field == "kw_defaults" else arguments.args[-len(arguments.defaults) :]
    return named[index or 0].arg


def _constant(value: object) -> Iterator[ast.expr]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case float():
            yield ast.Constant(1.001 * value if value else 1.0)
        case str() if value in STRING:
            yield ast.Constant(STRING[value])


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of a node; its children are shared."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.UnaryOp(op=ast.USub() | ast.Invert() | ast.Not(), operand=operand):
            yield operand
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield from (ast.Compare(left, [other()], [right]) for other in COMPARISON.get(type(op), ()))
        case ast.Constant(value=value):
            yield from _constant(value)
        case ast.Attribute(value=ast.Name(id="torch"), attr=attr) if attr in NUMBER:
            yield ast.parse(NUMBER[attr], mode="eval").body
        case ast.Attribute(value=value, attr=attr, ctx=ctx) if attr in REDUCTION:
            yield ast.Attribute(value, REDUCTION[attr], ctx)
        case ast.keyword(arg=str(arg), value=value) if arg in ("min", "max"):
            yield ast.keyword(REDUCTION[arg], value)


def _unseen(parent: ast.AST, field: str, node: ast.AST) -> bool:
    """Annotations, decorators, bases and texts that stand alone: nothing that a loss computes with."""
    if field in ("annotation", "returns", "decorator_list", "bases"):
        return True
    return isinstance(parent, ast.Expr) and isinstance(node, ast.Constant)


def edits(node: ast.AST, above: tuple[ast.AST, ...] = ()) -> Iterator[Edit]:
    """Every edit below a node, in the order of the source."""
    here = (*above, node)
    for field, value in ast.iter_fields(node):
        slots = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in slots:
            if not isinstance(child, ast.AST) or _unseen(node, field, child):
                continue
            yield from (Edit(node, field, index, new, here) for new in alternatives(child))
            if isinstance(child, ast.keyword) and child.arg:
                yield Edit(node, field, index, None, here)
            yield from edits(child, here)


def _named(edit: Edit) -> tuple[str, str]:
    """The definition at the top of a module that holds an edit, and its full name."""
    parts = [node.name for node in edit.above if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    if parts:
        return parts[0], ".".join(parts)
    assigned = edit.above[1] if len(edit.above) > 1 else None
    names = [t.id for t in assigned.targets if isinstance(t, ast.Name)] if isinstance(assigned, ast.Assign) else []
    return (names[0], names[0]) if names else ("", "")


def mutants(specimen: str, module: str, tree: ast.Module, names: AbstractSet[str]) -> Iterator[Mutant]:
    """Every mutant of some definitions of a module."""
    count: Counter[tuple[str, str, str]] = Counter()
    short = module.rpartition(".")[2]
    for number, edit in enumerate(edits(tree)):
        top, place = _named(edit)
        if top not in names:
            continue
        before, after = edit.texts()
        count[place, before, after] += 1
        yield Mutant(
            specimen=specimen,
            module=module,
            place=f"{short}.{place}",
            line=edit.line,
            before=before,
            after=after,
            number=number,
            nth=count[place, before, after],
        )


def mutated(tree: ast.Module, number: int) -> ast.Module:
    """The module with one edit made."""
    changed = copy.deepcopy(tree)
    next(edit for n, edit in enumerate(edits(changed)) if n == number).apply()
    return ast.fix_missing_locations(changed)
