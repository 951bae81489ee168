"""The rollouts of ``scan.fused`` with all steps in one call of compiled code.

The scan of a small network is mostly the cost of calling operations, of which ``steps.c`` makes
none. It is compiled when it is first needed. On other devices than the CPU, in other types than
float32 and float64, and where nothing can be compiled, these are the rollouts of ``scan.fused``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
from lawm_schemas import LawmError
from torch import Tensor

from lawm_data.system.compiled import load_library
from lawm_data.system.terminal import line
from lawm_models.networks.distributions import Normal
from lawm_models.networks.dynamics import Observed
from lawm_models.networks.latent_action import (
    ActionDecoder,
    ActionDensity,
    ActionDensityName,
    InversePosterior,
)
from lawm_models.networks.rssm import RSSM
from lawm_models.networks.scan import fused
from lawm_models.networks.scan.cells import GRU, Choose, Copy, Draw
from lawm_models.networks.scan.layers import Layer, Linear, Normed, Product, Swish
from lawm_models.networks.scan.operation import Scan

SOURCE = Path(__file__).with_name("steps.c")
OPTIONS = ("-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math")
INSTRUCTIONS = {"AVX2": ("-march=x86-64-v3",), "AVX512": ("-march=x86-64-v4",)}
"""Options by what torch says that the processor can."""
NUMBERS = {torch.float32: "float", torch.float64: "double"}
KINDS = (Linear, Swish, GRU, Draw, Choose, Copy)
"""In the order of the C code."""
DENSITIES = get_args(ActionDensityName)
"""The same."""


def observe(rssm: RSSM, embed: Tensor, *window: Any) -> Observed:
    """See ``fused.observe``."""
    return fused.observe(rssm, embed, *window, scan=scan_of(embed))


def infer(
    rssm: RSSM,
    inverses: Sequence[InversePosterior],
    decoder: ActionDecoder,
    known: tuple[Tensor, Tensor],
    *window: Any,
) -> tuple[Observed, Tensor, Normal, ActionDensity]:
    """See ``fused.infer``."""
    return fused.infer(rssm, inverses, decoder, known, *window, scan=scan_of(known[0]))


def scan_of(like: Tensor) -> type[Scan]:
    """How numbers such as these are scanned."""
    compiled = like.device.type == "cpu" and like.dtype in NUMBERS and library(like.dtype)
    return NativeScan if compiled else Scan


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """``steps.c`` for numbers of a type; None, and a line that says why, if there cannot be one."""
    processor = INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ())
    try:
        made = load_library(SOURCE, [*OPTIONS, *processor, f"-DREAL={NUMBERS[dtype]}"])
    except LawmError as error:
        line(f"warning: model.scan: native is not to be had, fused takes its place: {error}")
        return None
    sizes, layers = [c_int64] * 4, POINTER(_Layer)
    made.forward.argtypes = [layers, *sizes]
    made.backward.argtypes = [layers, *sizes, c_void_p]
    made.packed.argtypes, made.packed.restype = [c_int64, c_int64], c_int64
    made.work_of.argtypes, made.work_of.restype = [layers], c_int64
    return made


class _Stack(Structure):
    """``stack`` in C."""

    _fields_ = (("at", c_void_p), *((name, c_int64) for name in ("model", "step", "row")))

    @classmethod
    def of(cls, x: Tensor) -> _Stack:
        """(*m, T, B, N), of which a row lies side by side."""
        model, step, row, _ = (0, *x.stride())[-4:]
        return cls(x.data_ptr(), model, step, row)

    @classmethod
    def of_matrix(cls, x: Tensor) -> _Stack:
        """(*m, B, N), the same at every step."""
        model, row, _ = (0, *x.stride())[-3:]
        return cls(x.data_ptr(), model, 0, row)

    @classmethod
    def of_vector(cls, x: Tensor) -> _Stack:
        """(*m, N), the same at every step in every row."""
        model, _ = (0, *x.stride())[-2:]
        return cls(x.data_ptr(), model, 0, 0)


class _Layer(Structure):
    """``layer`` in C."""

    _fields_ = (
        *((name, c_int64) for name in ("kind", "rows", "inputs", "outputs")),
        *((name, c_int64) for name in ("shared", "density", "through")),
        *((name, c_double) for name in ("min_std", "std", "eps")),
        *((name, _Stack) for name in ("x", "dx", "y", "dy", "added")),
        *((name, _Stack) for name in ("sums", "dsums", "normed", "scale", "shift")),
        *((name, _Stack) for name in ("dscale", "dshift", "h", "dh")),
        *((name, _Stack) for name in ("noise", "data", "labeled", "slope")),
        *((name, _Stack) for name in ("weight", "dweight", "panels", "dpanels")),
    )


class NativeScan(Scan):
    """A ``Scan`` whose steps are compiled. Stacked models run one after the other."""

    def forward(self) -> tuple[Tensor, ...]:
        """See ``Scan``."""
        like = self.outputs[0].values
        found = library(like.dtype)
        assert found is not None
        self._library, self._like = found, like
        self._held: list[Tensor] = []  # what the records point to and nothing else keeps
        self._records = (_Layer * len(self.layers))()
        for record, layer in zip(self._records, self.layers, strict=True):
            self._describe(record, layer)
        models = len(like) if like.dim() == 4 else 1
        self._sizes = len(self.every), len(self.layers), self.steps, models
        self._library.forward(self._records, *self._sizes)
        return self.results()

    def backward(self, grads: Sequence[Tensor]) -> list[Tensor]:
        """See ``Scan``."""
        self.seed(grads)
        for layer in self.layers:
            if isinstance(layer, Normed):
                layer.sums.seed(layer.empty())
            if isinstance(layer, Swish) and layer.owns:
                layer.out.seed(layer.empty())
        result = []
        for record, layer in zip(self._records, self.layers, strict=True):
            result += self._describe_gradients(record, layer)
        work = self._like.new_empty(max(self._library.work_of(byref(r)) for r in self._records))
        self._library.backward(self._records, *self._sizes, work.data_ptr())
        return result

    def _describe(self, record: _Layer, layer: Layer) -> None:
        """Everything that a layer reads and writes on its way forward."""
        record.kind = KINDS.index(type(layer))
        if isinstance(layer, Product):
            *_, record.rows, record.outputs = layer.shape
            record.inputs, record.shared = layer.weight.shape[-1], layer.shared
            record.x = _Stack.of(layer.source.values)
            record.weight = _Stack.of_matrix(self._given(layer.weight))
            record.panels = self._panels(record.inputs, record.outputs)
        if isinstance(layer, Normed):
            record.eps = layer.norm.eps
            normed = self._hold(layer.between())
            record.sums, record.normed = _Stack.of(layer.sums.values), _Stack.of(normed)
            record.scale = _Stack.of_vector(self._given(layer.scale))
            record.shift = _Stack.of_vector(self._given(layer.shift))
            if layer.known is not None:
                record.added = _Stack.of(self._given(layer.known))
        if isinstance(layer, Linear):
            record.added = _Stack.of_vector(self._given(layer.bias))
        if isinstance(layer, GRU):
            record.h = _Stack.of(layer.state.values)
        else:
            assert isinstance(layer, Linear | Swish | Draw | Choose | Copy)
            record.y = _Stack.of(layer.out.values)
        if isinstance(layer, Draw | Choose | Copy):
            *_, record.rows, record.outputs = layer.out.values.shape
            source = layer.source if isinstance(layer, Copy) else layer.params
            record.x = _Stack.of(source.values)
        if isinstance(layer, Draw):
            record.noise = _Stack.of(self._given(layer.noise))
            record.min_std = layer.min_std
        if isinstance(layer, Choose):
            record.density = DENSITIES.index(layer.densities.name)
            record.std, record.through = layer.densities.std, layer.through
            record.data = _Stack.of(self._given(layer.action))
            record.labeled = _Stack.of_matrix(self._given(layer.labeled))
            if layer.noise is not None:
                record.noise = _Stack.of(self._given(layer.noise))

    def _describe_gradients(self, record: _Layer, layer: Layer) -> list[Tensor]:
        """The same backward; returns the gradients of the layer's weights, yet to be computed."""
        if isinstance(layer, GRU):
            record.dh = _Stack.of(layer.state.grads)
        else:
            assert isinstance(layer, Linear | Swish | Draw | Choose | Copy)
            record.dy = _Stack.of(layer.out.grads)
        if isinstance(layer, Choose):
            record.slope = _Stack.of(self._hold(layer.slopes()))
        if not isinstance(layer, Product):
            source = layer.source if isinstance(layer, Copy) else layer.params
            record.dx = _Stack.of(source.grads)
            return []
        record.dx = _Stack.of(layer.source.grads)
        record.dpanels = self._panels(record.outputs, record.inputs)
        gradients = [self._like.new_zeros(weight.shape) for weight in layer.weights()[:3]]
        record.dweight = _Stack.of_matrix(gradients[0])
        record.dshift = _Stack.of_vector(gradients[-1])
        if isinstance(layer, Normed):
            record.dsums = _Stack.of(layer.sums.grads)
            record.dscale = _Stack.of_vector(gradients[1])
            if layer.known is not None:
                gradients.append(layer.sums.grads)
        return gradients

    def _given(self, x: Tensor) -> Tensor:
        """What comes from outside, as C reads it."""
        assert (x.dtype, x.device) == (self._like.dtype, self._like.device)
        side_by_side = x.stride(-1) == 1 or x.shape[-1] == 1
        return x if side_by_side else self._hold(x.contiguous())

    def _panels(self, inner: int, columns: int) -> _Stack:
        panels = self._hold(self._like.new_empty(self._library.packed(inner, columns)))
        return _Stack.of_vector(panels)

    def _hold(self, memory: Tensor) -> Tensor:
        self._held.append(memory)
        return memory
