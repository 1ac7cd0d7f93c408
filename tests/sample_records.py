"""A small constructed run with one of everything that a report has to show. Nothing in it was measured."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from harness.records import (
    Case,
    Curve,
    Declaration,
    Finding,
    LedgerEntry,
    Line,
    NotRun,
    OutputTally,
    Run,
    Survey,
    TensorData,
    Trial,
)

RUN = Run(
    lossproof="0.1.0",
    torch="2.13.0",
    numpy="2.4.6",
    python="3.11.7",
    platform="Linux-x86_64",
    processor="an x86 with AVX-512",
    threads=1,
    effort="ci",
    strict=False,
    seed=0,
    devices=["cpu"],
    planned=30,
)
BINS = 64
WRITTEN = """\
import torch
from my_pkg.losses import focal
input = torch.tensor([88.72283172607422], dtype=torch.float32)
target = torch.tensor([0.0], dtype=torch.float32)
loss = focal(input=input, target=target, reduction='none')
print(loss.tolist())  # truth 88.72283172607422 and got inf, written on one long line that a terminal must not wrap"""
"""As the engine writes it."""


def float32(ordinal: int) -> float:
    """The float32 at a place on its number line."""
    (value,) = struct.unpack("<f", struct.pack("<i", abs(ordinal)))
    return -float(value) if ordinal < 0 else float(value)


def case(argument: str, value: float, target: float, dtype: str = "float32") -> Case:
    return Case(
        tensors={
            argument: TensorData(dtype=dtype, shape=[1], data=[value.hex()]),
            "target": TensorData(dtype=dtype, shape=[1], data=[target.hex()]),
        },
        parameters={},
        reduction="none",
        dtype=dtype,
        device="cpu",
        layout="rows",
        origin="sweep",
    )


def curve(error: Callable[[float], float | None], excused: Callable[[float], bool], rail: str = "") -> Curve:
    """A curve over the whole float32 line whose bound widens towards one."""
    edges = [float32(place) for place in range(-0x7F000000, 0x7F000001, 2 * 0x7F000000 // BINS)]
    x = edges[:-1]
    return Curve(
        argument="input",
        x=[value.hex() for value in edges],
        error=[error(value) for value in x],
        bound=[16.0 if abs(value) < 1e-3 else 64.0 if abs(value) < 1.0 else 1024.0 for value in x],
        rail=[rail if error(value) is None and not excused(value) else "" for value in x],
        excused_rail=[rail if error(value) is None and excused(value) else "" for value in x],
        excused=[excused(value) for value in x],
    )


def tally(
    output: str,
    grade: str,
    ulp: float,
    ratio: float,
    badge: str = "sampled",
    *,
    ranges: dict[str, int] | None = None,
    plot: Curve | None = None,
) -> OutputTally:
    return OutputTally(
        output=output,
        entries=40_000,
        grades={} if not grade else {"few-ulp": 40_000} if grade == "few-ulp" else {"few-ulp": 39_999, grade: 1},
        ranges=ranges or {},
        grade=grade,
        worst_ulp=ulp,
        worst_ratio=ratio,
        badge=badge,
        worst=case("input", 88.72283172607422, 1.0),
        worst_got=(2.0**-30).hex(),
        worst_want=(1.5 * 2.0**-30).hex(),
        curve=plot,
    )


def trial(subject: str, check: str, dtype: str, verdict: str = "pass", item: str = "", **more: object) -> Trial:
    fields = {"reason": "", "findings": [], "excused": [], "shared": [], "contract": subject, **more}
    name = f"{subject}-{dtype}: {item}" if item else f"{subject}-{dtype}"
    known = {"id": name, "subject": subject, "check": check, "item": item, "dtype": dtype, "device": "cpu"}
    return Trial(verdict=verdict, cases=128, seconds=0.25, **known, **fields)  # type: ignore[arg-type]


def logits() -> Iterator[Line]:
    """A loss of torch with one fault, one that is declared but not seen, and a refusal."""
    name = "binary_cross_entropy_with_logits"
    fault = LedgerEntry(
        name="confident rows lose every digit",
        kind="fault",
        region="target = 1 and input > 17",
        seen="0 where the loss is exp(-input)",
        source="unreported; compare https://example.org/issues/1?a=1&b=2.",
        versions=">=2.0,<2.14",
        dtypes=["float32", "float64"],
        outputs=["value"],
        reproduction="import torch\nprint(torch.tensor(0.0))  # <got> & want",
    )
    yield Declaration(
        subject=name,
        contract=name,
        origin="torch",
        summary="Binary cross-entropy of a logit against a target in [0, 1].",
        formula="f(x, y) = (1 - y) softplus(x) + y softplus(-x)",
        sources=["https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html"],
        arguments={"input": "a logit, any real", "target": "a probability in [0, 1]"},
        parameters={"pos_weight": "positive, default 1"},
        reductions=["none", "mean", "sum"],
        scales="B_ref = (1 - y) softplus(x) + y softplus(-x)",
        ledger=[fault, LedgerEntry(**{f: getattr(fault, f) for f in fault.__struct_fields__} | {"name": "mirror law"})],
        not_offered=[],
    )
    yield trial(name, "accuracy", "float32", "fault", excused=[fault.name])
    yield trial(name, "accuracy", "float64", "fault", excused=[fault.name])
    for law, verdict in (
        ("input=inf, target=1 -> 0", "pass"),
        ("input=nan -> nan", "pass"),
        ("input=-inf -> inf", "pass"),
    ):
        yield trial(name, "special_values", "float32", verdict, law)
        yield trial(name, "special_values", "float64", verdict, law)
    yield trial(name, "accuracy", "float16", "unsupported", reason='"log_sigmoid" is not implemented for this dtype')
    for dtype, scale in (("float64", 1.0), ("float32", 1.25)):
        plot = curve(lambda x, s=scale: None if x > 1e30 else s * 8e6 if x > 17 else s, lambda x: x > 17, "zero")  # type: ignore[misc]
        value = tally("value", "mixed-stable", 3.5 * scale, 0.25, plot=plot if dtype == "float32" else None)
        yield Survey(
            subject=name,
            contract=name,
            dtype=dtype,
            device="cpu",
            cases=41_024,
            swept=40_000,
            outputs=[value, tally("input", "few-ulp", 0.5, 0.03125, "searched")],
            excused={fault.name: 0.2496},
            oracle_ulp=0.53 if dtype == "float32" else None,
        )


def clamped() -> Iterator[Line]:
    """A documented deviation, exhaustively measured."""
    name = "binary_cross_entropy"
    entry = LedgerEntry(
        name="log clamped at -100",
        kind="deviation",
        region="input < exp(-100)",
        seen="100 target",
        source="documentation of BCELoss",
        versions="",
        dtypes=[],
        outputs=["value"],
    )
    yield Declaration(
        subject=name,
        contract=name,
        origin="torch",
        summary="Binary cross-entropy of a probability.",
        formula="f(p, y) = -y log p - (1 - y) log(1 - p)",
        sources=[],
        arguments={"input": "a probability"},
        parameters={},
        reductions=["none"],
        scales="",
        ledger=[entry],
        not_offered=["weight"],
    )
    yield trial(name, "accuracy", "float32", "deviation", excused=[entry.name])
    yield trial(name, "reductions", "float32", item="mean = sum / n")
    yield Survey(
        subject=name,
        contract=name,
        dtype="float32",
        device="cpu",
        cases=65_536,
        swept=65_536,
        outputs=[tally("value", "few-ulp", 1.4375, 0.09, "exhaustive")],
        excused={entry.name: 0.86},
    )


def naive() -> Iterator[Line]:
    """A custom loss with a defect, a weakness and a note; its text tries to be markup."""
    name, like = "my_pkg.losses:focal", "binary_cross_entropy_with_logits"
    defect = Finding(
        severity="defect",
        kind="overflow",
        output="value",
        message="value is inf where the truth is 88.7: expected a finite number <b>, got inf",
        got="inf",
        want=(88.72283172607422).hex(),
        allowed=(2.0**-13).hex(),
        count=12,
        total=90,
        case=case("input", 88.72283172607422, 0.0),
        reproduction=WRITTEN,
    )
    weakness = Finding(
        severity="weakness",
        kind="absolute-only",
        output="input",
        message="gradient in input loses digits [bold]near 0[/bold]",
        ulp=4123.25,
        count=3,
        total=90,
        case=case("input", 0.10000000149011612, 1.0),
        reproduction="print('as the engine wrote it')",
    )
    note = Finding(severity="note", kind="nan", output="value", message="nan at infinite logits, which are not legal")
    yield trial(name, "accuracy", "float32", "fail", contract=like, findings=[defect, weakness, note])
    yield trial(name, "accuracy", "float64", contract=like, findings=[weakness])
    yield trial(name, "form", "float32", "error", contract=like, reason="the oracle raised ValueError")
    yield trial(name, "form", "float64", contract=like, shared=[defect])
    broken = curve(lambda x: None if x > 88 else 4e7 if abs(x) < 1e-8 else 0.0, lambda x: False, "inf")
    yield Survey(
        subject=name,
        contract=like,
        dtype="float32",
        device="cpu",
        cases=90,
        swept=90,
        outputs=[
            tally("value", "unstable", 4e7, 9.5e4, plot=broken),
            tally("input", "unstable", 3.5, 0.531, ranges={"nan": 1}),
        ],
        excused={},
    )


def sound() -> Iterator[Line]:
    """Twelve trials that pass, a gradient that is excused throughout, and the module, which is the same."""
    name, module = "F.mse_loss", "nn.MSELoss"
    for subject in (name, module):
        yield Declaration(
            subject=subject,
            contract="mse_loss",
            origin="torch",
            summary="Squared difference.",
            formula="f(x, t) = (x - t)**2",
            sources=[],
            arguments={},
            parameters={},
            reductions=["none", "mean", "sum"],
            scales="",
            ledger=[],
            not_offered=[],
        )
    for dtype in ("float64", "float32", "bfloat16"):
        yield trial(module, "twin", dtype, item="reduction=mean", contract="mse_loss")
    for dtype in ("float64", "float32", "bfloat16"):
        for law in ("zero at the target", "symmetric", "never negative", "nan -> nan"):
            yield trial(name, "laws", dtype, item=law, contract="mse_loss")
    yield Survey(
        subject=name,
        contract="mse_loss",
        dtype="bfloat16",
        device="cpu",
        cases=65_536,
        swept=65_536,
        outputs=[tally("value", "few-ulp", 0.5, 0.999999, "exhaustive"), tally("input", "", 0.0, 0.0)],
        excused={},
    )


def sample() -> list[Line]:
    """The run; complete, with failures."""
    return [
        RUN,
        *logits(),
        *clamped(),
        *naive(),
        *sound(),
        NotRun(what="device cuda", reason="torch sees no such device"),
    ]
