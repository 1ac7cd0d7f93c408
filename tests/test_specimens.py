"""What is declared of a specimen is held to what is seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from examples.objectives import OBJECTIVES, masked_mean
from harness import records, registry
from harness.effort import QUICK
from harness.plan import plan
from harness.run import declarations, run
from harness.specimen import Declared
from lossproof.inputs import mask, real
from suites.specimens import specimens
from suites.specimens.objectives import mean_over_all
from suites.specimens.specimen import Objective, Specimen, reduced
from tests.controls.control import OF_TORCH

SHOWS = {"value": ("absolute-only",), "gradient": ("absolute-only",)}


def naive(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Loses the digits of small losses, and overflows."""
    return reduced(torch.log(1.0 + torch.exp(-target * input)), reduction)


def stable(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-torch.nn.functional.logsigmoid(target * input), reduction)


def judged(
    loss: Any, form: Literal["usual", "sound"], checks: tuple[str, ...], grade: str = "", **shows: tuple[str, ...]
) -> list[records.Trial]:
    declared = Specimen(loss=loss, like="soft_margin_loss", form=form, source="here", grade=grade, shows=shows)
    trials = plan([declared.subject()], dtypes=("float32",), devices=("cpu",), checks=checks)
    lines = [line for trial in trials for line in run(trial, QUICK, strict=True)]
    return [line for line in lines if isinstance(line, records.Trial)]


def verdicts(trials: list[records.Trial]) -> dict[str, str]:
    return {f"{t.check}: {t.item}".rstrip(": "): t.verdict for t in trials}


def test_what_is_declared_and_seen_is_a_known_fault() -> None:
    found = judged(naive, "usual", ("value", "specimen"), value=("absolute-only", "unstable"))
    assert verdicts(found) == {
        "value": "fault",
        "specimen: value: absolute-only": "fault",
        "specimen: value: unstable": "stale",
    }


def test_what_is_seen_and_not_declared_fails() -> None:
    (value,) = judged(naive, "usual", ("value",))
    assert value.verdict == "fail"
    assert [f.kind for f in value.findings] == ["absolute-only"]


def test_what_is_declared_and_not_seen_is_stale() -> None:
    assert verdicts(judged(stable, "usual", ("specimen",), range=("nan",))) == {"specimen: range: nan": "stale"}


def test_a_grade_that_is_not_kept_fails() -> None:
    kept, broken = (judged(loss, "sound", ("specimen",), grade="few-ulp")[0] for loss in (stable, naive))
    assert (kept.verdict, broken.verdict) == ("pass", "fail")
    assert "expected no worse, got unstable" in broken.findings[0].message


def test_what_is_declared_is_in_the_records() -> None:
    subject = Specimen(loss=naive, like="soft_margin_loss", form="usual", source="here", shows=SHOWS).subject()
    (declaration,) = declarations([subject])
    assert declaration.origin == "specimen"
    assert [(e.name, e.source) for e in declaration.ledger if e.kind == "fault"] == [
        ("value: absolute-only", "here"),
        ("gradient: absolute-only", "here"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"form": "sound"}, "expected the one that a sound form can reach"), ({"grade": "good"}, "expected one of")],
)
def test_a_declaration_that_promises_nothing_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Declared(**{"form": "usual", "source": "here", "shows": {}, **options})


# -- objectives, which have no Contract --------------------------------------------------------------------------------


def objective(loss: Any, checks: tuple[str, ...], **declared: Any) -> list[records.Trial]:
    """The verdicts on a form of the mean of squares that counts what a mask does, against its values in NumPy."""

    def oracle(input: Any, target: Any, mask: Any) -> Any:
        return (np.where(mask, input - target, 0.0) ** 2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)

    inputs = {"input": real("N", "D"), "target": real("N", "D"), "mask": mask("N", "D")}
    kept = Objective(loss=loss, inputs=inputs, oracle=oracle, source="here", **declared)
    trials = plan([kept.subject()], dtypes=("float32",), devices=("cpu",), checks=checks)
    lines = [line for trial in trials for line in run(trial, QUICK, strict=True)]
    return [line for line in lines if isinstance(line, records.Trial)]


def test_a_sound_objective_passes_what_the_suites_ask() -> None:
    found = objective(masked_mean, ("value", "gradient", "edges", "laws", "specimen"), form="sound", grade="few-ulp")
    assert {t.verdict for t in found} == {"pass"}
    assert found[0].subject == "objective/masked_mean"


def test_an_objective_that_is_wrong_fails_unless_it_is_known_for_it() -> None:
    (value,) = objective(mean_over_all, ("value",), form="sound", grade="few-ulp")
    assert value.verdict == "fail"
    assert {f.kind for f in value.findings} == {"absolute-only", "unstable"}
    assert all("from suites.specimens.objectives import mean_over_all" in f.reproduction for f in value.findings)
    shows = {"value": ("absolute-only", "unstable")}
    assert [t.verdict for t in objective(mean_over_all, ("value",), form="wild", shows=shows)] == ["fault"]


def test_what_an_objective_is_known_for_and_does_not_show_is_stale() -> None:
    found = objective(masked_mean, ("specimen",), form="wild", shows={"edges": ("nan",)})
    assert verdicts(found) == {"specimen: edges: nan": "stale"}


def test_every_objective_of_the_examples_is_judged_by_the_suites() -> None:
    kept = [(s.loss, dict(s.init)) for s in specimens() if isinstance(s, Objective) and s.form == "sound"]
    assert kept == [(o.loss, dict(o.init)) for o in OBJECTIVES]


OF_TORCH_WITH_BOTH = (
    "l1_loss",
    "mse_loss",
    "cross_entropy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)


def test_every_loss_beyond_torch_and_the_commonest_of_torch_have_a_usual_and_a_sound_form() -> None:
    forms: dict[str, set[str]] = {}
    for specimen in (s for s in specimens() if isinstance(s, Specimen)):
        forms.setdefault(specimen.like, set()).add(specimen.form)
    beyond = set(registry.contracts()) - set(OF_TORCH) | set(OF_TORCH_WITH_BOTH)
    assert {name for name in beyond if not forms.get(name, set()) >= {"usual", "sound"}} == set()
