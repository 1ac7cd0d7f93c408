"""The catalogue holds together.

Every check has a suite, every documented parameter varies, special values are complete.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import registry
from harness.binding import Subject
from harness.checks.broadcast import C, Given, N
from harness.contract import Contract
from harness.domain import BROADCASTS
from harness.generate import choices
from harness.plan import catalogue, plan
from harness.special import SPECIAL_VALUES

ROOT = Path(__file__).parent.parent
SUBJECTS = registry.subjects()
SUBJECT = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.name)
FUNCTIONAL = [s for s in SUBJECTS if s.twin is None]

LOSSES = [
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
    "huber_loss",
    "cross_entropy",
    "nll_loss",
    "kl_div",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "soft_margin_loss",
    "multilabel_soft_margin_loss",
    "multilabel_margin_loss",
    "multi_margin_loss",
    "margin_ranking_loss",
    "hinge_embedding_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "ctc_loss",
    "poisson_nll_loss",
    "gaussian_nll_loss",
    "linear_cross_entropy",
    "cosine_similarity",
    "pairwise_distance",
]
MODULES = [
    "L1Loss",
    "MSELoss",
    "SmoothL1Loss",
    "HuberLoss",
    "CrossEntropyLoss",
    "NLLLoss",
    "KLDivLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "SoftMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "MarginRankingLoss",
    "HingeEmbeddingLoss",
    "CosineEmbeddingLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "CTCLoss",
    "PoissonNLLLoss",
    "GaussianNLLLoss",
    "LinearCrossEntropyLoss",
    "AdaptiveLogSoftmaxWithLoss",
    "CosineSimilarity",
    "PairwiseDistance",
]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_torch_nn_functional_has_a_subject(name: str) -> None:
    function = getattr(torch.nn.functional, name)
    assert any(s.loss is function for s in FUNCTIONAL)


@pytest.mark.parametrize("name", MODULES)
def test_every_loss_module_has_a_subject(name: str) -> None:
    assert any(s.loss is getattr(torch.nn, name) for s in SUBJECTS)


def test_no_loss_module_of_torch_is_missing_from_these_lists() -> None:
    base = torch.nn.modules.loss._Loss
    found = {n for n, c in vars(torch.nn).items() if inspect.isclass(c) and issubclass(c, base)}
    deprecated = {"NLLLoss2d"}
    assert found - deprecated <= set(MODULES)


def test_every_check_has_a_suite_and_every_suite_a_check() -> None:
    named = {
        line.split('"')[1]
        for path in (ROOT / "suites").glob("test_*.py")
        for line in path.read_text().splitlines()
        if line.startswith("@pytest.mark.check(")
    }
    # Every loss of the suites has a contract and stops no gradient; others are judged by validate.
    assert named == {check.name for check in catalogue()} - {"edges", "options", "stop-gradient"}


NOT_PARAMETERS = {"reduction", "size_average", "reduce", "self", "device", "dtype"}
"""Reductions have a check of their own; device and dtype are part of every trial."""


SIZES = {"in_features": "D", "out_features": "C", "num_classes": "C", "n_classes": "classes"}
"""Constructor arguments that say the size of a named dimension."""
TENSORS = {"bias": "linear_bias"}
"""Constructor flags that say whether an optional tensor is there."""


def bare(loss: Any) -> Any:
    """The callable itself, of a partial of it."""
    return getattr(loss, "func", loss)


def variations(subject: Subject) -> dict[str, set[str]]:
    """Keyword of the callable -> the values that the run gives it.

    They come from every Subject of this callable or of its twin.
    """
    found: dict[str, set[str]] = {}
    losses = {id(bare(s.loss)) for s in (subject, subject.twin) if s is not None}
    for other in (s for s in SUBJECTS if id(bare(s.loss)) in losses):
        fixed = getattr(other.loss, "keywords", {})
        for row in choices(other):
            given = {**dict.fromkeys(documented(subject.loss), "default"), **fixed, **row.parameters}
            for name, value in given.items():
                found.setdefault(name, set()).add(repr(value))
            for name, place in other.places.items():
                found.setdefault(place, set()).add("tensor" if name in row.present else "absent")
                if not other.contract.arg(name).optional:
                    found[place].add("required")
        for name, dim in SIZES.items():
            found.setdefault(name, set()).update(map(str, other.contract.dims.get(dim, ())))
        for name, tensor in TENSORS.items():
            found.setdefault(name, set()).update(found.get(tensor, ()))
        rows = {law.name for law in other.contract.laws} | {s.condition for s in other.contract.specials}
        for name, row_name in other.contract.varied_by.items():
            assert row_name in rows, f"{other.name}: {name} is varied by {row_name!r}, which is no law or row"
            found.setdefault(name, set()).add(row_name)
    return found


def documented(loss: Any) -> set[str]:
    """Parameter names of a loss; of one written in C from the signature that its documentation begins with."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    loss = bare(loss)
    try:
        signature = inspect.signature(loss.__init__ if inspect.isclass(loss) else loss)
    except ValueError:
        text = loss.__doc__.strip().splitlines()[0]
        return set(re.findall(r"(\w+)(?:=[^,)]*)?[,)]", text[text.index("(") + 1 :]))
    return {n for n, p in signature.parameters.items() if p.kind not in kinds}


@SUBJECT
def test_every_documented_parameter_is_varied(subject: Subject) -> None:
    """A parameter that the run never varies could be ignored by the loss without anybody noticing."""
    varied = {name for name, values in variations(subject).items() if len(values) > 1}
    assert documented(subject.loss) - NOT_PARAMETERS - varied == set()


SETTLED = {s.contract.name: s.contract for s in FUNCTIONAL if not s.unsettled}


@pytest.mark.parametrize("contract", SETTLED.values(), ids=lambda c: c.name)
def test_every_special_value_of_every_real_argument_has_a_law(contract: Contract) -> None:
    covered = {pair for special in contract.specials for pair in special.covers}
    wanted = {
        (arg.name, value)
        for arg in contract.args
        if not arg.kind.integral and arg.role != "weight"
        for value in SPECIAL_VALUES
    }
    assert wanted - covered == set()


def test_trial_ids_are_distinct_within_a_check() -> None:
    ids = [(t.check.name, t.id) for t in plan(SUBJECTS)]
    assert len(ids) == len(set(ids))


def test_ledger_names_are_distinct_within_a_subject() -> None:
    for subject in SUBJECTS:
        names = [d.name for d in (*subject.contract.deviations, *subject.faults)]
        assert len(names) == len(set(names)), subject.name


UNDOCUMENTED = {("binary_cross_entropy_with_logits", "pos_weight", "(N, 1)")}
"""Taken, though the documentation asks for an element a class."""


def takes(subject: Subject, given: Given) -> bool:
    """Whether the loss of an input of shape (N, C) is one number an element with the argument given like this."""
    tensors = {a.name: torch.full((N, C), 0.5) for a in subject.contract.args if not a.optional}
    few: Any = 0.5 if given.form == "float" else torch.full(given.shape, 0.5)
    try:
        result = subject.call({**tensors, given.name: few}, {}, "none")
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
    return bool(result.shape == (N, C))


@pytest.mark.parametrize(
    ("subject", "argument"),
    [
        pytest.param(s, a, id=f"{s.name}: {a.name}")
        for s in FUNCTIONAL
        for a in s.contract.args
        if a.scalar and not a.kind.integral and a.name in ("weight", "pos_weight", "var") and s.contract.scalar
    ],
)
def test_every_shape_that_torch_repeats_has_a_law(subject: Subject, argument: Any) -> None:
    taken = {form for form in BROADCASTS if takes(subject, Given(name=argument.name, form=form))}
    undocumented = {form for form in BROADCASTS if (subject.contract.name, argument.name, form) in UNDOCUMENTED}
    assert taken == set(argument.broadcasts) | undocumented


def test_the_order_of_checks_does_not_depend_on_what_was_imported_first() -> None:
    listing = "from harness.plan import catalogue; print(*(c.name for c in catalogue()))"
    orders = {
        subprocess.run(
            [sys.executable, "-c", first + listing], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
        for first in ("", "import harness.checks.special\n", "import harness.checks.laws, harness.checks.ledger\n")
    }
    assert len(orders) == 1
    assert orders.pop().startswith("value gradient range")
