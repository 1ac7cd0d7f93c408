"""Losses that break what they run in, each in its own way; beside that they are a sound mean squared error."""

import ctypes
import itertools
import os
import random
import signal
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F


def mse(input: torch.Tensor, target: torch.Tensor, reduction: str) -> torch.Tensor:
    value = (input - target) ** 2
    return value if reduction == "none" else getattr(value, reduction)()


def loss_that(act: Any) -> Any:
    """A mean squared error that does something else first."""

    def loss(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        act()
        return mse(input, target, reduction)

    return loss


def loss_returning(make: Any) -> Any:
    def loss(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> Any:
        return make(mse(input, target, reduction))

    return loss


def raising(error: BaseException) -> Any:
    def act() -> None:
        raise error

    return loss_that(act)


# -- the process ends --------------------------------------------------------------------------------------------------

segfault = loss_that(lambda: ctypes.string_at(0))
abort = loss_that(os.abort)
exit_0 = loss_that(lambda: os._exit(0))
exit_3 = loss_that(lambda: os._exit(3))
killed = loss_that(lambda: os.kill(os.getpid(), signal.SIGKILL))
terminated = loss_that(lambda: os.kill(os.getpid(), signal.SIGTERM))
close_everything = loss_that(lambda: os.closerange(0, 4096))


def segfault_above_3(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    if (input > 3).any():
        ctypes.string_at(0)
    return mse(input, target, reduction)


class _Deadly(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (input - target) ** 2

    @staticmethod
    def backward(context: Any, *upstream: torch.Tensor) -> Any:
        ctypes.string_at(0)


def segfault_in_backward(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value: torch.Tensor = _Deadly.apply(input, target)
    return value if reduction == "none" else getattr(value, reduction)()


def babble() -> None:
    for number in range(3, 1024):
        try:
            os.write(number, b"nonsense\n")
        except OSError:
            continue


write_everywhere = loss_that(babble)


# -- the process does not go on ----------------------------------------------------------------------------------------


def _loop() -> None:
    while True:
        pass


def _stubborn() -> None:
    while True:
        try:
            time.sleep(1)
        except BaseException:
            continue


loop = loss_that(_loop)
loop_in_c = loss_that(lambda: sum(itertools.repeat(0)))
loop_and_ignore_signals = loss_that(lambda: (signal.signal(signal.SIGUSR1, signal.SIG_IGN), _stubborn()))


# -- memory and output -------------------------------------------------------------------------------------------------

kept: list[torch.Tensor] = []
allocate = loss_that(lambda: torch.empty(20 * 2**28).fill_(1.0))
hoard = loss_that(lambda: kept.append(torch.ones(2**26)))


def _recurse() -> None:
    _recurse()


recursion = loss_that(_recurse)
print_stdout = loss_that(lambda: print("noise " * 900_000))  # noqa: T201
print_stderr = loss_that(lambda: print("noise " * 900_000, file=sys.stderr))  # noqa: T201
hello = loss_that(lambda: print("hello"))  # noqa: T201
print_raw = loss_that(lambda: os.write(1, b"noise " * 900_000))


# -- exceptions --------------------------------------------------------------------------------------------------------


class OwnError(BaseException):
    """No Exception."""


class SilentError(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no words")


sys_exit = loss_that(lambda: sys.exit("done"))
interrupt = raising(KeyboardInterrupt())
own_error = raising(OwnError("mine"))
generator_exit = raising(GeneratorExit())
silent_error = raising(SilentError())
reads_input = loss_that(input)


# -- global state ------------------------------------------------------------------------------------------------------


def _hello(*_: Any) -> None:
    """A handler, a replacement."""


default_dtype = loss_that(lambda: torch.set_default_dtype(torch.float64))
thread_count = loss_that(lambda: torch.set_num_threads(2))
torch_seed = loss_that(lambda: torch.manual_seed(0))
python_seed = loss_that(lambda: random.seed(0))
numpy_draw = loss_that(np.random.rand)
grad_mode = loss_that(lambda: torch.set_grad_enabled(False))
determinism = loss_that(lambda: torch.use_deterministic_algorithms(True))
subnormals = loss_that(lambda: torch.set_flush_denormal(True))
warnings_filter = loss_that(lambda: warnings.simplefilter("ignore"))
numpy_errors = loss_that(lambda: np.seterr(all="raise"))
directory = loss_that(lambda: os.chdir("/"))
environment = loss_that(lambda: os.environ.update(OMP_NUM_THREADS="64"))
handler = loss_that(lambda: signal.signal(signal.SIGTERM, _hello))
import_path = loss_that(lambda: sys.path.insert(0, "/nowhere"))
stdout_replaced = loss_that(lambda: setattr(sys, "stdout", None))
recursion_limit = loss_that(lambda: sys.setrecursionlimit(5000))
patched_exp = loss_that(lambda: setattr(torch, "exp", _hello))
patched_relu = loss_that(lambda: setattr(F, "relu", _hello))
patched_grad = loss_that(lambda: setattr(torch.autograd, "grad", _hello))
patched_zeros = loss_that(lambda: setattr(torch, "from_numpy", _hello))


def _remove_backward() -> None:
    if hasattr(torch.Tensor, "backward"):
        del torch.Tensor.backward


removed_method = loss_that(_remove_backward)
thread_left = loss_that(lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start())
fork = loss_that(os.fork)


# -- results -----------------------------------------------------------------------------------------------------------

returns_none = loss_returning(lambda value: None)
returns_list = loss_returning(lambda value: value.tolist())
returns_numpy = loss_returning(lambda value: value.detach().numpy())
returns_text = loss_returning(str)
returns_int = loss_returning(lambda value: 3)
returns_sparse = loss_returning(lambda value: value.to_sparse())
returns_meta = loss_returning(lambda value: value.to("meta"))
no_gradient = loss_returning(lambda value: value.detach())


class Evil(torch.Tensor):
    """A tensor that nothing can be done with."""

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> Any:
        raise OwnError("do not touch")


returns_evil = loss_returning(lambda value: value.as_subclass(Evil))


class Slow:
    def __del__(self) -> None:
        _loop()


def loop_at_the_end(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = mse(input, target, reduction)
    value.keeper = Slow()  # type: ignore[attr-defined]
    return value


def hook_on_input(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    if input.requires_grad:
        input.register_hook(lambda gradient: 2 * gradient)
    return mse(input, target, reduction)


def swapped_storage(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = mse(input, target, reduction)
    target.data = target.data[:0]
    return value


def close_standard_streams(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    for number in range(3):
        try:
            os.close(number)
        except OSError:
            continue
    return mse(input, target, reduction)
