"""Losses whose annotations, in the manner of jaxtyping, declare what they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from jaxtyping import Bool, Float, Float32, Int, Int32, Num, jaxtyped
from torch import Tensor, nn
from torch.nn import functional as F

from harness import records
from harness.annotations import read
from harness.api import UsageError
from harness.inputs import KINDS, parsed
from lossproof import Result, assert_sound, validate
from lossproof.inputs import binary, real

F32: dict[str, Any] = {"dtype": "float32"}


class AnnotatedFocal(nn.Module):
    """An argument with a default is not declared."""

    def forward(
        self, logits: Float[Tensor, "n c"], targets: Int[Tensor, "n"], gamma: float = 2.0
    ) -> Float[Tensor, "n"]:
        loss = F.cross_entropy(logits, targets, reduction="none")
        return (-torch.expm1(-loss)) ** gamma * loss


def unshifted(logits: Float[Tensor, "n c"], targets: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    return -torch.log(torch.softmax(logits, dim=1).gather(1, targets[:, None])[:, 0])


def per_pixel(student_logits: Float[Tensor, "n c h w"], target: Int[Tensor, "n h w"]) -> Float[Tensor, "n"]:
    return F.cross_entropy(student_logits, target, reduction="none").sum(dim=(1, 2))


def mixed(
    probs: Float[Tensor, "n"], log_probs: Float[Tensor, "n k=3"], embedding: Float[Tensor, "n d"],
    class_weights: Float[Tensor, "c"], valid_mask: Bool[Tensor, "n"], padding_mask: Bool[Tensor, "n"],
) -> Float[Tensor, ""]:  # fmt: skip
    raise NotImplementedError


class Called:
    """An object with only ``__call__``, and no batch of independent rows."""

    def __call__(self, logits: Float[Tensor, "batch c"], mask: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
        return (logits.sum(1) * mask).sum()


@jaxtyped(typechecker=None)
def decorated(logits: Float[Tensor, "n"], target_logits: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return (logits - target_logits).square()


READ: list[tuple[Any, dict[str, str]]] = [
    (AnnotatedFocal, {"logits": "logits(N, C)", "targets": "class_index(N, classes=C)"}),
    (AnnotatedFocal(), {"logits": "logits(N, C)", "targets": "class_index(N, classes=C)"}),
    (per_pixel, {"student_logits": "logits(N, C, H, W)", "target": "class_index(N, H, W, classes=C)"}),
    (
        mixed,
        {
            "probs": "probability(N)",
            "log_probs": "log_simplex(N, 3)",
            "embedding": "embedding(N, D)",
            "class_weights": "weight(C)",
            "valid_mask": "mask(N)",
            "padding_mask": "binary(N, dtype=bool)",
        },
    ),
    (Called(), {"logits": "logits(batch, C)", "mask": "mask(batch, dtype='')"}),
    (decorated, {"logits": "logits(N)", "target_logits": "logits(N)"}),
    (partial(unshifted, targets=torch.zeros(1)), {"logits": "logits(N, C)"}),
    (F.mse_loss, {}),
    (lambda x: x, {}),
]


@pytest.mark.parametrize(("loss", "declared"), READ, ids=[getattr(loss, "__name__", "object") for loss, _ in READ])
def test_what_annotation_and_name_say(loss: Any, declared: dict[str, str]) -> None:
    assert read(loss, ()) == declared
    for text in declared.values():
        assert parsed(text)[1].kind is not None


def said(result: Result) -> str:
    (declared,) = (line for line in result.lines if isinstance(line, records.Declaration))
    return declared.caveat


def test_a_sound_loss_needs_no_declaration_and_every_table_says_what_was_read() -> None:
    result = validate(AnnotatedFocal, **F32)
    assert result.ok, [f.message for f in result.findings if f.severity == "defect"]
    assert "by annotation and name: logits: logits(N, C), targets: class_index(N, classes=C)" in said(result)
    assert_sound(per_pixel, check=["value", "gradient"], **F32)


def test_a_planted_instability_is_found_without_a_declaration() -> None:
    result = validate(unshifted, **F32)
    assert {("overflow", "value"), ("nan", "logits")} <= {
        (f.kind, f.output) for f in result.findings if f.severity == "defect"
    }


def test_a_wrong_formula_is_found_by_an_oracle_beside_annotations() -> None:
    def halved(logits: Float[Tensor, "n"], mask: Bool[Tensor, "n"]) -> Float[Tensor, "n"]:
        return 0.5 * logits.square() * mask

    options: dict[str, Any] = {"check": "value", **F32}
    assert validate(halved, oracle=lambda logits, mask: 0.5 * logits**2 * mask, **options).ok
    assert not validate(halved, oracle=lambda logits, mask: logits**2 * mask, **options).ok


def test_a_decorated_loss_is_judged() -> None:
    assert validate(decorated, check=["value", "gradient"], **F32).ok


def test_edges_are_asked_of_an_annotated_loss() -> None:
    def mean(logits: Float[Tensor, "n d"], mask: Bool[Tensor, "n d"]) -> Float[Tensor, "n"]:
        return (logits * mask).sum(1) / mask.sum(1)

    assert {f.kind for f in validate(mean, check="edges", **F32).findings} == {"nan"}


def regression(pred: Float[Tensor, "n d"], mask: Bool[Tensor, "n d"]) -> Float[Tensor, "n"]:
    return (pred.square() * mask).sum(1)


def test_what_they_leave_open_is_declared_beside_them() -> None:
    result = validate(regression, inputs={"pred": real("N", "D", low=-8.0, high=8.0)}, **F32)
    assert result.ok
    assert said(result).endswith("by annotation and name: mask: mask(N, D)")
    whole = {"pred": real("N", "D", low=-8.0, high=8.0), "mask": binary("N", "D")}
    assert "annotation" not in said(validate(regression, inputs=whole, check="value", **F32))


def cross_entropy(logits: Float[Tensor, "n c"], targets: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    return F.cross_entropy(logits, targets, reduction="none")


def test_the_contract_of_its_name_goes_first() -> None:
    assert said(validate(cross_entropy, check="value", **F32)) == ""


def _probs(probs: Float[Tensor, "n c"]) -> Tensor: ...
def _labels_of_one(logits: Float[Tensor, "n"], target: Int[Tensor, "n"]) -> Tensor: ...
def _two_choices(logits: Float[Tensor, "n t c"], target: Int[Tensor, "n"]) -> Tensor: ...
def _lengths(logits: Float[Tensor, "n t"], input_lengths: Int[Tensor, "n"]) -> Tensor: ...
def _of_embeddings(embeddings: Float[Tensor, "n d"], labels: Int[Tensor, "n"]) -> Tensor: ...
def _variadic(logits: Float[Tensor, "*b c"]) -> Tensor: ...
def _symbolic(logits: Float[Tensor, "n n+1"]) -> Tensor: ...
def _late_batch(logits: Float[Tensor, "c n"]) -> Tensor: ...
def _one_dtype(logits: Float32[Tensor, "n"]) -> Tensor: ...
def _short(logits: Float[Tensor, "n c"], target: Int32[Tensor, "n"]) -> Tensor: ...
def _any_number(logits: Num[Tensor, "n"]) -> Tensor: ...
def _half_annotated(logits: Float[Tensor, "n"], other: Tensor) -> Tensor: ...


REFUSED: list[tuple[Callable[..., Tensor], str, str]] = [
    (regression, "'pred', annotated Float 'n d': expected a name that tells what it holds", "'pred: real(N, D)'"),
    (_probs, "'probs', annotated Float 'n c': expected to know whether they sum to 1", "'probs: simplex(N, C)'"),
    (_labels_of_one, "'target', annotated Int 'n': expected scores with one", "binary(N, dtype=int64)"),
    (
        _two_choices,
        "expected scores with one dimension more, that of the classes, got logits Float 'n t c'",
        "classes=",
    ),
    (_lengths, "'input_lengths', annotated Int 'n'", "lengths(N, of=T)"),
    (_of_embeddings, "'labels', annotated Int 'n': expected scores with one dimension more, ", "got none"),
    (_variadic, "expected dimensions that are names or sizes, got '*b'", "--input 'logits: "),
    (_symbolic, "expected dimensions that are names or sizes, got 'n+1'", "--input 'logits: "),
    (_late_batch, "dimensions C, N: expected N, the batch, first", ""),
    (_one_dtype, "'logits', annotated Float32 'n': expected Float, Int or Bool, in every dtype", "--input"),
    (_short, "'target', annotated Int32 'n': expected Float, Int or Bool, in every dtype", "--input"),
    (_any_number, "'logits', annotated Num 'n': expected Float, Int or Bool, in every dtype", "--input"),
    (_half_annotated, "argument 'other': expected an annotation such as Float[Tensor, 'n c'], got none", "--input"),
]


@pytest.mark.parametrize(("loss", "says", "write"), REFUSED, ids=[loss.__name__ for loss, *_ in REFUSED])
def test_what_is_ambiguous_is_asked_for_in_one_line(loss: Any, says: str, write: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(loss)
    message = str(caught.value)
    assert loss.__name__ in message
    assert says in message
    assert write in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["real(N, D)", "simplex(N, C)", "lengths(N, of=T)", "binary(N, dtype=int64)"])
def test_what_is_to_be_written_can_be(text: str) -> None:
    assert text.partition("(")[0] in KINDS
    parsed(text)


@dataclass(frozen=True)
class Annotation:
    """Another library's, with the same attributes."""

    dim_str: str
    dtypes: tuple[str, ...]


def test_any_annotation_with_the_attributes_is_read() -> None:
    def loss(logits, target):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return F.cross_entropy(logits, target, reduction="none")

    floats = ("float64", "float32", "float16", "bfloat16")
    loss.__annotations__ = {"logits": Annotation("n c", floats), "target": Annotation("n", ("int64",))}
    assert read(loss, ()) == {"logits": "logits(N, C)", "target": "class_index(N, classes=C)"}
