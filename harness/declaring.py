"""What a user says of a loss, by options: the same ones for the command and for pytest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option and the field of a ``Request`` that it fills."""

    flag: str
    field: str
    metavar: str
    help: str
    repeatable: bool = False
    default: str | None = None
    """Of an option that is not repeatable; the others are empty."""


OPTIONS = (
    Option(
        flag="--like",
        field="like",
        metavar="NAME|MODULE:ATTR",
        help="the contract to hold it to; default: the one of the same name",
    ),
    Option(
        flag="--init",
        field="init",
        metavar="OPTION=VALUE",
        help="an option of the loss that holds throughout; repeatable",
        repeatable=True,
    ),
    Option(
        flag="--parameter",
        field="parameter",
        metavar="NAME=VALUE",
        help="a parameter of the contract that the loss does not take, at what its code has in its place; repeatable",
        repeatable=True,
    ),
    Option(
        flag="--input",
        field="inputs",
        metavar="[NAME:]KIND(DIMS)",
        help="what a loss without a contract takes, such as 'logits(N, C)', 'target: class_index(N)' or "
        "'*weights: [real(3, 4), real(4)]'; repeatable",
        repeatable=True,
    ),
    Option(flag="--oracle", field="oracle", metavar="MODULE:ATTR", help="its values in float64, with --input"),
    Option(
        flag="--arrange",
        field="arrange",
        metavar="MODULE:ATTR",
        help="a function of drawn inputs and parameters that gives inputs which are legal together, with --input",
    ),
    Option(
        flag="--law",
        field="laws",
        metavar="LAW",
        help="what holds of it, such as non_negative; repeatable",
        repeatable=True,
    ),
    Option(
        flag="--output",
        field="output",
        metavar="NAME",
        help="the part of its result that is the loss: a key, an attribute or a place",
        default="",
    ),
    Option(
        flag="--reduction",
        field="reduction",
        metavar="OURS=ITS",
        help="its own name of none, mean or sum: text, MEMBER.OF_AN_ENUM or a dict of options; repeatable",
        repeatable=True,
    ),
    Option(
        flag="--stop-gradient",
        field="stop_gradient",
        metavar="ARGUMENT",
        help="an argument whose gradient is stopped on purpose, in whole or in part; repeatable",
        repeatable=True,
    ),
    Option(
        flag="--upcast",
        field="upcast",
        metavar="DTYPE",
        help="the dtype in which it gives results for narrower inputs on purpose, such as float32",
        default="",
    ),
)


def is_reference(text: str) -> bool:
    """Whether a loss is named by where it is, ``module:attr`` or a file, and not by its name in the catalogue."""
    return ":" in text or text.endswith(".py")
