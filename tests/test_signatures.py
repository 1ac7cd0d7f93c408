"""Losses as people write them: what they call a reduction, what they hold, how they are called, what they return."""

from __future__ import annotations

import enum
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor, nn

from harness import records
from harness.api import Result, UsageError, subject_for
from harness.cli import main
from lossproof import validate
from lossproof.inputs import class_index, embedding, logits, mask, real

F32: dict[str, Any] = {"dtype": "float32"}
SMALL = {"low": -8.0, "high": 8.0}
PAIR = {"pred": real("N", **SMALL), "target": real("N", **SMALL)}
MATRICES = {"pred": real("N", "D", **SMALL), "target": real("N", "D", **SMALL)}
CLASSES = {"logits": logits("N", 3, largest=8.0), "target": class_index("N", classes=3)}


def defects(result: Result) -> list[str]:
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return [f.message for f in result.findings if f.severity == "defect"]


def declared(result: Result) -> records.Declaration:
    return next(line for line in result.lines if isinstance(line, records.Declaration))


# -- reductions --------------------------------------------------------------------------------------------------------


class R(enum.Enum):
    NONE = 0
    MEAN = 1
    SUM = 2


def reduced(loss: Tensor, reduction: object) -> Tensor:
    return {"none": lambda: loss, "sum": loss.sum, "mean": loss.mean}[reduction]()  # type: ignore[index]


class Built(nn.Module):
    def __init__(self, reduction: Any = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return reduced((pred - target) ** 2, self.reduction)


class SumForMean(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = (pred - target) ** 2
        return loss if self.reduction == "none" else loss.sum()


class MeanForSum(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = (pred - target) ** 2
        return loss if self.reduction == "none" else loss.mean()


class Two(Built):
    """It refuses ``none``."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if reduction == "none":
            raise ValueError("expected mean or sum")


class ByMember(Built):
    def __init__(self, reduction: R = R.MEAN) -> None:
        super().__init__(reduction.name.lower())


class Elementwise(Built):
    def __init__(self, reduction: str = "elementwise_mean") -> None:
        super().__init__({"elementwise_mean": "mean", "mean": "refused"}.get(reduction, reduction))


class Old(nn.Module):
    def __init__(self, size_average: bool = True, reduce: bool = True) -> None:
        super().__init__()
        self.size_average, self.reduce = size_average, reduce

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = (pred - target) ** 2
        return reduced(loss, "none" if not self.reduce else "mean" if self.size_average else "sum")


class OldSumForMean(Old):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = (pred - target) ** 2
        return loss.sum() if self.reduce else loss


def by_keyword(pred: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((pred - target) ** 2, reduction)


def by_member(pred: Tensor, target: Tensor, reduction: R = R.MEAN) -> Tensor:
    assert isinstance(reduction, R)
    return reduced((pred - target) ** 2, reduction.name.lower())


def by_member_or_none(pred: Tensor, target: Tensor, reduction: R | None = None) -> Tensor:
    assert not isinstance(reduction, str)
    return reduced((pred - target) ** 2, "none" if reduction is None else reduction.name.lower())


def sum_for_mean(pred: Tensor, target: Tensor, reduction: R = R.MEAN) -> Tensor:
    loss = (pred - target) ** 2
    return loss if reduction is R.NONE else loss.sum()


ELEMENTWISE = {"mean": "elementwise_mean"}
PAIRS = {"none": {"reduce": False}, "mean": {"size_average": True}, "sum": {"size_average": False}}
NONE = {"none": None, "sum": R.SUM, "mean": R.MEAN}
NAMED: list[tuple[Any, dict[str, Any], list[str]]] = [
    (Built, {}, []),
    (by_keyword, {}, []),
    (ByMember, {}, []),
    (by_member, {}, []),
    (Two, {}, ["reduction=none (raises ValueError: expected mean or sum)"]),
    (Elementwise, ELEMENTWISE, []),
    (Elementwise, {}, ["reduction=mean (raises KeyError: 'refused')"]),
    (Old, PAIRS, []),
    (Old, {}, ["reduction"]),
    (by_member_or_none, NONE, []),
]


@pytest.mark.parametrize("like", [None, "mse_loss"])
@pytest.mark.parametrize(("loss", "names", "missing"), NAMED)
def test_every_reduction_that_a_loss_takes_is_asked_for(loss: Any, names: Any, missing: Any, like: str | None) -> None:
    known: dict[str, Any] = {"like": like} if like else {"inputs": PAIR}
    result = validate(loss, reductions=names or None, check=["value", "reductions", "form"], **known, **F32)
    assert defects(result) == []
    assert [n for n in declared(result).not_offered if n != "weight"] == missing
    asked = {t.item for t in result.trials if t.check == "reductions" and t.item.startswith("reduction=")}
    gone = {n.partition(" ")[0] for n in missing}
    want = set() if "reduction" in gone else {"reduction=sum", "reduction=mean"} - gone
    assert {i for i in asked if "," not in i} == want
    assert not [
        f.message for f in result.findings if "expected the default" in f.message and loss is not by_member_or_none
    ]


@pytest.mark.parametrize("like", [None, "mse_loss"])
@pytest.mark.parametrize(
    ("loss", "names", "wrong"),
    [(SumForMean, {}, "mean"), (MeanForSum, {}, "sum"), (sum_for_mean, {}, "mean"), (OldSumForMean, PAIRS, "mean")],
)
def test_a_reduction_that_is_another_one_is_found(loss: Any, names: Any, wrong: str, like: str | None) -> None:
    known: dict[str, Any] = {"like": like} if like else {"inputs": PAIR}
    result = validate(loss, reductions=names or None, check="reductions", **known, **F32)
    assert {t.item for t in result.trials if t.verdict == "fail"} >= {f"reduction={wrong}"}
    assert defects(result)


class Weighted(Built):
    """A mean over the weights of the classes, which the loss holds."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", torch.tensor([1.1, 2.0, 5.0]))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, weight=self.weight, reduction=self.reduction)


class OfElements(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(pred, target, reduction=self.reduction)


class OfRows(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = F.smooth_l1_loss(pred, target, reduction="none")
        return loss.sum() / len(loss) if self.reduction == "mean" else reduced(loss, self.reduction)


class OfMask(Built):
    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        loss = torch.where(mask, (pred - target) ** 2, 0.0)
        return loss.sum() / mask.sum() if self.reduction == "mean" else reduced(loss, self.reduction)


class OfFewer(Built):
    """Neither over elements nor over rows, and no mean of anything."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = F.smooth_l1_loss(pred, target, reduction="none")
        return loss.sum() / (len(loss) - 1) if self.reduction == "mean" else reduced(loss, self.reduction)


OTHER = "reduction=mean (a mean with weights of its own, which is not compared with the rows)"


@pytest.mark.parametrize(
    ("loss", "inputs", "missing"),
    [
        (OfElements, MATRICES, []),
        (OfRows, MATRICES, []),
        (OfMask, {**PAIR, "mask": mask("N")}, []),
        (Weighted, CLASSES, [OTHER]),
    ],
)
def test_the_mean_that_is_meant_is_recognised(loss: Any, inputs: Any, missing: list[str]) -> None:
    result = validate(loss, inputs=inputs, check=["value", "gradient", "reductions"], dtype=["float32", "float64"])
    assert defects(result) == []
    assert declared(result).not_offered == missing


def test_what_is_no_mean_is_found() -> None:
    assert defects(validate(OfFewer, inputs=MATRICES, check="reductions", **F32))


def swallows(pred: Tensor, target: Tensor, **options: Any) -> Tensor:
    return F.huber_loss(pred, target)


def hands_on(pred: Tensor, target: Tensor, **options: Any) -> Tensor:
    return F.huber_loss(pred, target, **options)


def holds_its_own(pred: Tensor, target: Tensor, **options: Any) -> Tensor:
    return F.huber_loss(pred, target, reduction="none", **options)


def wrongly_hands_on(pred: Tensor, target: Tensor, **options: Any) -> Tensor:
    options["reduction"] = "sum" if options["reduction"] == "mean" else options["reduction"]
    return F.huber_loss(pred, target, **options)


def test_options_that_disappear_are_not_taken_for_offered() -> None:
    lost = validate(swallows, "huber_loss", **F32)
    assert defects(lost) == []
    assert declared(lost).not_offered == ["delta (taken as 1.0)", "weight", "reduction (it changes nothing)"]
    given = validate(hands_on, "huber_loss", **F32)
    assert defects(given) == []
    assert declared(given).not_offered == ["weight"]
    for known in ({"like": "huber_loss"}, {"inputs": PAIR}):
        own = validate(holds_its_own, check=["value", "reductions"], **known, **F32)
        assert defects(own) == []
        assert "multiple values for keyword argument 'reduction'" in declared(own).not_offered[-1]
    assert defects(validate(wrongly_hands_on, "huber_loss", check="reductions", **F32))


@pytest.mark.parametrize(
    ("loss", "names", "says"),
    [
        (Built, {"max": "max"}, "reductions: expected one of none, sum, mean, got 'max'"),
        (by_keyword, {"mean": "average"}, "reductions: mean: expected a result of by_keyword for reduction='average'"),
        (Built, {"mean": {"average": True}}, "reductions: expected options that it takes, got 'average'"),
    ],
)
@pytest.mark.parametrize("like", [None, "mse_loss"])
def test_a_name_that_a_loss_does_not_take_is_one_clear_line(loss: Any, names: Any, says: str, like: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        validate(loss, like, inputs=None if like else PAIR, reductions=names)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_lines_of_a_finding_name_members(capsys: pytest.CaptureFixture[str]) -> None:
    setup = "from tests.test_signatures import sum_for_mean\nimport torch"
    result = validate(sum_for_mean, "mse_loss", setup=setup, check="reductions", **F32)
    (shown, *_) = [f for f in result.findings if f.output == "value"]
    assert "reduction=R.MEAN" in shown.reproduction
    exec(shown.reproduction, {})
    assert "# truth" in shown.reproduction
    assert capsys.readouterr().out


class Ignoring(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return (pred - target) ** 2


def ignoring(pred: Tensor, target: Tensor, reduction: R = R.MEAN) -> Tensor:
    return ((pred - target) ** 2).mean()


@pytest.mark.parametrize("loss", [Ignoring, ignoring])
def test_a_reduction_that_is_never_used_is_a_dead_option(loss: Any) -> None:
    result = validate(loss, inputs=PAIR, check=["value", "reductions", "options", "form"], dtype="float64")
    assert defects(result) == []
    assert declared(result).not_offered == ["reduction (it changes nothing)"]
    (dead,) = (f for f in result.findings if f.kind == "option")
    assert dead.severity == "weakness"
    assert "option reduction: expected to matter" in dead.message
    assert defects(validate(loss, "mse_loss", check=["value", "reductions"], **F32))


class SumUnlessMean(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = F.smooth_l1_loss(pred, target, reduction="none")
        return loss.mean() if self.reduction == "mean" else loss.sum()


class SumForBoth(Built):
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = F.smooth_l1_loss(pred, target, reduction="none")
        if self.reduction == "none":
            raise NotImplementedError
        return loss.sum() / (len(loss) if self.reduction == "sum" else 1)


def test_a_loss_without_its_rows_is_judged_a_row_a_call() -> None:
    result = validate(SumUnlessMean, inputs=MATRICES, check=["value", "gradient", "reductions"], **F32)
    assert defects(result) == []
    assert declared(result).not_offered == ["reduction=none (gives shape () of 64 rows)"]
    assert {"reduction=sum", "reduction=mean"} <= {t.item for t in result.trials}
    wrong = validate(SumForBoth, inputs=MATRICES, check="reductions", **F32)
    assert {t.item for t in wrong.trials if t.verdict == "fail"} == {"reduction=sum", "reduction=mean"}


def test_a_reduction_that_an_option_holds_is_not_varied() -> None:
    for loss, options in ((Built, {"reduction": "sum"}), (functools.partial(by_keyword, reduction="sum"), {})):
        result = validate(loss, inputs=PAIR, init=options, check=["value", "reductions"], **F32)
        assert defects(result) == []
        assert declared(result).not_offered == ["reduction (held at 'sum')"]
        assert {t.item for t in result.trials if t.check == "reductions"} == {"fixed reduction"}


# -- tensors that a loss holds -----------------------------------------------------------------------------------------


class Queue(nn.Module):
    """A memory that every call writes into."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("queue", F.normalize(torch.randn(16, 8)))

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        q, k = F.normalize(q), F.normalize(k).detach()
        against = q @ self.queue.clone().T
        at = torch.cat([(q * k).sum(1, keepdim=True), against], 1)
        self.queue[: len(k)] = k[:16]
        return F.cross_entropy(at, torch.zeros(len(q), dtype=torch.long))


def test_buffers_are_of_the_dtype_of_the_call() -> None:
    assert defects(validate(Weighted, inputs=CLASSES, check=["value", "gradient"])) == []
    views = {"q": embedding("B", 8, zero=False), "k": embedding("B", 8, zero=False)}
    queue = Queue()
    before = queue.queue.clone()
    assert defects(validate(queue, inputs=views, check=["value", "form"], dtype=["float32", "float64"])) == []
    assert torch.equal(queue.queue, before)


class Scaled(nn.Module):
    """Exact in every dtype where 1/3 is what float32 holds."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("third", torch.tensor(1.0 / 3.0))
        self.factor = nn.Parameter(torch.ones(()))
        self.scale = scale

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        assert self.third.dtype == self.factor.dtype == input.dtype
        assert self.third.double() == torch.tensor(1.0 / 3.0).to(input.dtype).double()
        return (input - target) ** 2 * self.factor


@pytest.mark.parametrize("loss", [Scaled, Scaled()])
def test_they_follow_beside_a_contract_too(loss: Any) -> None:
    result = validate(loss, "mse_loss", check=["value", "gradient", "form"])
    assert defects(result) == []
    assert declared(result).caveat == "not judged: gradients of its learnable factor"


class Fading(nn.Module):
    """It weighs every call less than the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(()))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        self.weight = 0.875 * self.weight
        return self.weight * (input - target) ** 2


class FadingInPlace(Fading):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        self.weight *= 0.875
        return self.weight.clone() * (input - target) ** 2


@pytest.mark.parametrize("kind", [Fading, FadingInPlace])
def test_what_a_call_writes_into_a_buffer_is_there_at_the_next(kind: type[Fading]) -> None:
    found = validate(kind(), "mse_loss", check=["form", "value"], dtype=["float32", "float64"]).findings
    assert {"nondeterministic", "unstable"} <= {f.kind for f in found}
    loss = kind()
    bound = subject_for(loss, "mse_loss")
    loss.weight.fill_(1.0)
    ones = {n: torch.full((3,), v, dtype=torch.float64) for n, v in (("input", 1.0), ("target", 0.0))}
    given = [bound.call(ones, {}, "none") for _ in range(2)]
    assert [float(g[0]) for g in given] == [0.875, 0.875**2]
    assert (loss.weight.dtype, float(loss.weight)) == (torch.float32, 0.875**2)


class Attribute(Built):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = torch.tensor([1.0, 2.0, 5.0])

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, weight=self.weight, reduction=self.reduction)


WEIGHT = torch.tensor([1.0, 2.0, 5.0])


def uses_a_tensor(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target, weight=WEIGHT)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (Attribute, r"make it a buffer, self\.register_buffer\('weight', \.\.\.\), or convert it"),
        (uses_a_tensor, r"WEIGHT is a tensor of one dtype: convert it where it is used, WEIGHT\.to\(input\.dtype\)"),
    ],
)
def test_a_tensor_that_does_not_follow_is_told_what_to_do_about(loss: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        validate(loss, inputs=CLASSES)
    assert "\n" not in str(raised.value)


def test_the_lines_of_a_finding_convert_what_a_loss_holds(capsys: pytest.CaptureFixture[str]) -> None:
    setup = "from tests.test_signatures import Halved\nimport torch"
    for known in (
        {"inputs": {"input": real("N", **SMALL), "target": real("N", **SMALL)}, "oracle": square},
        {"like": "mse_loss"},
    ):
        result = validate(Halved, setup=setup, check="value", dtype="float64", **known)
        (shown, *_) = [f for f in result.findings if f.output == "value"]
        assert "Halved().to(torch.float64)(" in shown.reproduction
        exec(shown.reproduction, {})
        assert capsys.readouterr().out


def square(input: Any, target: Any) -> Any:
    return (input - target) ** 2


class Halved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.full((1,), 0.5))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return torch.einsum("n,k->n", (input - target) ** 2, self.factor)


# -- how it is called, what it returns ---------------------------------------------------------------------------------


def by_place(pred: Tensor, target: Tensor, /) -> Tensor:
    return (pred - target) ** 2


def test_what_has_no_name_is_given_by_position(capsys: pytest.CaptureFixture[str]) -> None:
    assert defects(validate(by_place, "mse_loss", **F32)) == []
    swapped = {"target": real("N", **SMALL), "pred": real("N", low=2.0, high=4.0)}
    for order in (swapped, dict(reversed(swapped.items()))):
        result = validate(ratio, inputs=order, oracle=lambda target, pred: target / pred, check="value", **F32)
        assert defects(result) == []
    setup = "from tests.test_signatures import ratio\nimport torch"
    wrong = validate(
        ratio, inputs=swapped, oracle=lambda target, pred: pred / target, setup=setup, check="value", **F32
    )
    shown = wrong.findings[0]
    assert "ratio(target, pred)" in shown.reproduction
    exec(shown.reproduction, {})
    assert capsys.readouterr().out


def ratio(target: Tensor, pred: Tensor, /) -> Tensor:
    return target / pred


def as_dict(input: Tensor, target: Tensor) -> dict[str, Any]:
    return {"loss": (input - target) ** 2, "count": 2}


def as_tuple(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return input, (input - target) ** 2


@pytest.mark.parametrize(
    ("loss", "output", "says"),
    [
        (as_dict, "loss", "got a dict of the parts loss: say which is the loss, with output or --output"),
        (as_tuple, "1", "got a tuple of the parts 0, 1: say which is the loss, with output or --output"),
    ],
)
def test_a_result_of_several_parts_asks_which_is_the_loss(loss: Any, output: str, says: str) -> None:
    inputs = {"input": real("N", **SMALL), "target": real("N", **SMALL)}
    for known in ({"like": "mse_loss"}, {"inputs": inputs}):
        with pytest.raises(UsageError, match=says):
            validate(loss, **known, **F32)
        assert defects(validate(loss, output=output, check=["value", "gradient", "form"], **known, **F32)) == []
    with pytest.raises(UsageError, match="expected a result with a part 'other'"):
        validate(loss, "mse_loss", output="other")
    assert defects(validate(loss, "l1_loss", output=output, check="value", **F32))


halved = functools.partial(F.smooth_l1_loss, beta=0.5)


def test_what_a_partial_fixes_is_held() -> None:
    bound = subject_for(halved, "smooth_l1_loss", parameters={"beta": 0.5})
    assert [p.values for p in bound.contract.parameters if p.name == "beta"] == [(0.5,)]
    assert subject_for(halved, "smooth_l1_loss").contract.parameters == bound.contract.parameters
    with pytest.raises(UsageError, match=r"parameters: beta: expected 0.5, at which partial fixes it, got 0.7"):
        subject_for(halved, "smooth_l1_loss", parameters={"beta": 0.7})
    assert defects(validate(halved, "smooth_l1_loss", check="value", **F32)) == []


# -- the command -------------------------------------------------------------------------------------------------------

FILE = """
import functools
from enum import Enum
import torch.nn.functional as F


class R(Enum):
    NO = 0
    AVERAGE = 1
    SUM = 2


class Square:
    def __init__(self, reduction=None):
        self.reduction = reduction

    def __call__(self, pred, target):
        assert isinstance(self.reduction, R)
        loss = (pred - target) ** 2
        return loss if self.reduction is R.NO else loss.mean() if self.reduction is R.AVERAGE else loss.sum()


def parts(pred, target):
    return {"loss": (pred - target) ** 2, "pred": pred}


soft = functools.partial(F.smooth_l1_loss, beta=0.5)
lam = lambda pred, target: (pred - target) ** 2
"""


def command(file: Path, name: str, *options: str) -> tuple[int, str]:
    ran = CliRunner().invoke(main, ["validate", f"{file}:{name}", *options, "--dtype", "float32", "--check", "value"])
    return ran.exit_code, ran.output


def test_the_command_says_it_too(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(FILE, encoding="utf-8")
    like = ("--like", "mse_loss")
    members = ("--reduction", "none=R.NO", "--reduction", "mean=R.AVERAGE", "--reduction", "sum=R.SUM")
    status, said = command(file, "Square", *like, *members)
    assert (status, "not offered: weight\n" in said) == (0, True), said
    status, said = command(file, "Square", *like, "--reduction", "none=R.NONE")
    assert (status, "expected an attribute 'R.NONE', got none" in said) == (2, True), said
    assert command(file, "parts", *like, "--output", "loss")[0] == 0
    status, said = command(file, "parts", *like)
    assert (status, "such as --output loss" in said) == (2, True), said
    status, said = command(file, "soft", "--like", "smooth_l1_loss", "--parameter", "beta=0.5")
    assert (status, said.startswith("soft, ")) == (0, True), said
    status, said = command(file, "lam", *like)
    assert (status, said.startswith("lam, ")) == (0, True), said


def test_a_file_of_a_package_says_how_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_losses" / "deeper"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "pieces.py").write_text("def square(x, y):\n    return (x - y) ** 2\n")
    (package / "losses.py").write_text("from .pieces import square\n")
    monkeypatch.chdir(tmp_path)
    status, said = command(Path("some_losses/deeper/losses.py"), "square", "--like", "mse_loss")
    assert status == 2
    assert "it is part of a package: write some_losses.deeper.losses:square" in said
    ran = CliRunner().invoke(main, ["validate", "some_losses.deeper.losses:square", "--like", "mse_loss"])
    assert ran.exit_code == 0, ran.output


def without_its_default(pred: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    loss = (pred - target) ** 2
    return {"none": loss, "sum": loss.sum()}[reduction]


@pytest.mark.parametrize("like", [None, "mse_loss"])
def test_what_a_loss_does_by_itself_it_has_to_do_when_asked(like: str | None) -> None:
    known: dict[str, Any] = {"like": like} if like else {"inputs": PAIR}
    result = validate(without_its_default, check=["value", "reductions", "form"], **known, **F32)
    assert "raised" in {f.kind for f in result.findings if f.severity == "defect"}
    assert "reduction=mean" not in " ".join(declared(result).not_offered)
