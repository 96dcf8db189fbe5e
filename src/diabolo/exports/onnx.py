"""ONNX, by torch's own exporter, for any runtime of it: native ones, and WebAssembly in a browser.

References:
    | https://docs.pytorch.org/docs/stable/onnx_export.html
    | https://onnxruntime.ai
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import missing_extra
from ._counterparts import COUNTERPARTS
from ._program import Arrays, NotExported, Part, Program

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["onnx"]

OPSET = 20  # read by onnxruntime since 1.17 and by onnxruntime-web
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
RANDOM |= {"Bernoulli", "Multinomial"}
CHATTY = (
    "onnxscript.optimizer._constant_folding",
    "torch.fx.experimental.symbolic_shapes",
    "torch.onnx._internal.exporter._registration",  # torchvision is not installed
)
HERE = Path(__file__).parents[1]


def onnx(part: Part) -> Program:
    """Returns a part as one self-contained ONNX file with a free batch size and no random node.

    Raises:
        DiaboloError: If a package that is needed is not installed.
        NotExported: If the part has an operation that cannot be written.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise missing_extra(package, "onnx", "An export to ONNX")
    content = _cleaned(_model(part)).SerializeToString()

    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no class of its own for all that it refuses
        raise NotExported(f"onnxruntime does not run it ({_line(error)})") from error

    def call(given: Arrays) -> Arrays:
        found = session.run(list(part.outputs), dict(given))
        return {n: np.asarray(v) for n, v in zip(part.outputs, found, strict=True)}

    return Program(content, ".onnx", call, {"opset": OPSET})


def _model(part: Part) -> ModelProto:
    # Any size but one; a model may do large batches in parts, which a file does not.
    batch = torch.export.Dim.DYNAMIC
    examples = tuple(part.inputs.values())
    with torch.no_grad(), _quiet():
        try:
            program = torch.export.export(
                part.module,
                examples,
                dynamic_shapes=(tuple({0: batch} for _ in examples),),
                strict=False,
            )
        except GuardOnDataDependentSymNode as error:
            raise NotExported(f"{_place(error)} decides by values, as no graph can") from error
        except Exception as error:  # whatever a model's own code raises on values it cannot see
            raise NotExported(f"{_place(error)} is decided by values ({_line(error)})") from error
        try:
            program = program.run_decompositions(COUNTERPARTS)
            made = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise NotExported(_operation(error)) from error
    assert made is not None  # None is for files
    return made.model_proto


def _cleaned(model: ModelProto) -> ModelProto:
    """Returns a model without what is of no use elsewhere: unused weights, traces of our source.

    Raises:
        NotExported: If there is a random node, or an operation of no standard.
    """
    graph = model.graph
    for node in graph.node:
        if node.op_type in RANDOM:
            raise NotExported(f"it draws random numbers itself ({node.op_type})")
        del node.metadata_props[:]
        node.doc_string = ""
    read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    kept = [w for w in graph.initializer if w.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.metadata_props[:], graph.value_info[:], model.metadata_props[:]
    model.producer_name, graph.name = "diabolo", "diabolo"
    return model


def _operation(error: BaseException) -> str:
    """Returns which operation has no counterpart."""
    found = re.search(r"op='([\w.]+)'", "".join(traceback.format_exception(error)))
    return f"the operation {found[1]} has no counterpart" if found else _line(error)


def _place(error: BaseException) -> str:
    """Returns which of our functions raised an error, as `Mixture.sample`."""
    name = "a network of its own"
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        own = Path(frame.f_code.co_filename)
        if HERE in own.parents and own.parent != Path(__file__).parent:
            owner = frame.f_locals.get("self")
            kind = "" if owner is None else f"{type(owner).__name__}."
            name = f"{kind}{frame.f_code.co_name}"
        trace = trace.tb_next
    return name


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what the exporters say of packages and of their own parts.

    What is of use to a user comes as an exception; torch prints the whole graph beside it.
    """
    logs = [logging.getLogger(name) for name in CHATTY]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
