"""Captures what Multi-head Latent Attention computed in transformers, for `mla-scale check`.

    import mla_hook                                   # mla-scale hook transformers > mla_hook.py
    mla_hook.install(model)                           # then run the model once, on more than one token
    # mla-scale check MODEL_DIRECTORY mla-captures/layer0.prefill.rank0.safetensors

install(model, layers="0,5-7", folder="mla-captures", tokens=1024, heads=16, phases="prefill,decode");
what is not given comes from MLA_CAPTURE_LAYERS, _DIR, _TOKENS, _HEADS, _PHASES. Importing this file
does nothing. A layer is captured in the first forward pass that fits (prefill: more than one new token;
decode: one), of the batch's first sequence, and then left alone; results are never changed. A capture
that does not work is one line on stderr. Not for a model under torch.compile.

Written: q, k, v and out as the attention function saw them, kv_c (what kv_b_proj was given), k_pe and
kv_b_proj, q_pre, k_pe_pre and positions where the model rotates with an apply_rotary function, lse
where the kernel returns one; in the metadata the scale that the kernel was given.

Works by wrapping, only while a chosen layer runs: the entry of ALL_ATTENTION_FUNCTIONS in use,
eager_attention_forward and apply_rotary_* of the model's own module, and for remote code
torch.nn.functional.scaled_dot_product_attention and torch.matmul. For transformers 4.48 and later;
run on an H100 with transformers 5.17 and PyTorch 2.11 (eager, sdpa, flex_attention).
"""

import os
import sys
import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import torch
from safetensors.torch import save_file

from capture_writer import NotCaptured, Part, Settings, Writer


class Call(NamedTuple):
    """One call of attention. query, key, value: [B, H, T, D]; out: [B, T, H, V]."""

    kernel: str
    query: Any
    key: Any
    value: Any
    mask: Any
    out: Any
    scale: Any
    lse: Any = None


class Recorder:
    """What is seen while the attention module of one layer runs."""

    def __init__(self, module: Any, kernel: str) -> None:
        self.module = module
        self.kernel = kernel
        self.calls: List[Call] = []
        self.products: List[Tuple[Any, Any, Any]] = []
        self.rotations: List[Tuple[Any, Any]] = []  # before and after
        self.latent: Any = None
        self._thread = threading.get_ident()
        self._inside = 0

    def _outermost(self, function: Callable, record: Callable) -> Callable:
        """`function`, telling record(result, *its arguments) unless another wrapped one runs."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread or self._inside:
                return function(*args, **kwargs)
            self._inside += 1
            try:
                result = function(*args, **kwargs)
            finally:
                self._inside -= 1
            try:
                record(result, *args, **kwargs)
            except Exception:  # an unknown signature; the layer then says that it saw no attention
                pass
            return result

        return wrapped

    def interface(self, function: Callable) -> Callable:
        def record(result: Any, module: Any, query: Any, key: Any, value: Any, attention_mask: Any = None, *rest: Any, scaling: Any = None, **_: Any) -> None:
            scale = rest[0] if rest and scaling is None else scaling
            out, extra = (result[0], result[1]) if isinstance(result, tuple) else (result, None)
            is_lse = extra is not None and tuple(extra.shape) == tuple(query.shape[:3]) and extra.dtype == torch.float32
            self.calls.append(Call(self.kernel, query, key, value, attention_mask, out, scale, extra if is_lse else None))

        return self._outermost(function, record)

    def sdpa(self, function: Callable) -> Callable:
        def record(result: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, scale: Any = None, **_: Any) -> None:
            self.calls.append(Call("scaled_dot_product_attention", query, key, value, attn_mask, result.transpose(1, 2), scale))

        return self._outermost(function, record)

    def matmul(self, function: Callable) -> Callable:
        def record(result: Any, left: Any, right: Any, **_: Any) -> None:
            if left.dim() == 4 and right.dim() == 4 and len(self.products) < 8:
                self.products.append((left, right, result))

        return self._outermost(function, record)

    def rotary(self, function: Callable) -> Callable:
        def record(result: Any, *args: Any, **_: Any) -> None:  # (q, k, cos, sin) or (x, cos, sin)
            for before, after in zip(args, result if isinstance(result, tuple) else (result,)):
                if after.shape == before.shape and len(self.rotations) < 8:
                    self.rotations.append((before, after))

        return self._outermost(function, record)

    def keep_latent(self, _: Any, args: Sequence[Any]) -> None:
        self.latent = args[0]

    def before_rotation(self, after: Any) -> Any:
        """What was rotated into `after`: found by its value, since an indexer rotates too."""
        for before, result in self.rotations:
            if result.shape == after.shape and torch.equal(result, after):
                return before
        return None

    def call(self) -> Call:
        """The one attention of this layer: the last call, or two products of remote code."""
        width = self.module.qk_nope_head_dim + self.module.qk_rope_head_dim
        calls = [c for c in self.calls if c.query.dim() == 4 and c.query.shape[-1] == width]
        if calls:
            return calls[-1]
        for query, key, logits in self.products:
            for weights, value, out in self.products:
                if query.shape[-1] == width == key.shape[-2] and weights.shape == logits.shape and value.shape[-1] == self.module.v_head_dim:
                    scale = getattr(self.module, "softmax_scale", None)
                    return Call("matmul", query, key.transpose(2, 3), value, None, out.transpose(1, 2), scale)
        raise NotCaptured("no attention function that this hook knows was called")


def visible(mask: Any, queries: int, keys: int) -> Tuple[int, int, bool]:
    """The first and one past the last key that the batch's first sequence sees, and whether its mask
    is plain causal between them."""
    if mask is None or not hasattr(mask, "dim"):
        return 0, keys, True
    if mask.dim() == 2:
        seen = [i for i, kept in enumerate(mask[0].tolist()[:keys]) if kept]
    else:
        rows = mask[0, 0, -queries:, :keys]
        allowed = rows if rows.dtype == torch.bool else rows > -1.0
        seen = [i for i, kept in enumerate(allowed[-1].tolist()) if kept]
    if not seen:
        raise NotCaptured("its mask hides every key", again=True)
    first, end = seen[0], seen[-1] + 1
    plain = len(seen) == end - first
    if mask.dim() == 4:
        hidden = max(0, queries - (end - first))
        for row, line in enumerate(allowed.tolist()[hidden:], hidden):
            plain = plain and line[first:end] == [first + i < end - (queries - 1 - row) for i in range(end - first)]
    return first, end, plain


def capture(recorder: Recorder, writer: Writer, positions: Any) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """The tensors and facts of what the recorder saw."""
    module, call = recorder.module, recorder.call()
    heads, queries, keys = call.query.shape[1], call.query.shape[2], call.key.shape[2]
    if call.key.shape[1] != heads:
        raise NotCaptured(f"it has {call.key.shape[1]} heads of keys for {heads} of queries")
    first, end, plain = visible(call.mask, queries, keys)
    padding = max(0, queries - (end - first))  # query rows of left padding
    part = writer.parts([queries - padding], [end - first])[0]
    rows, columns, kept = slice(padding, padding + part.queries), slice(first, first + part.keys), writer.heads(heads)
    nope = module.qk_nope_head_dim

    def by_token(tensor: Any, window: slice) -> Any:  # [B, H, T, D] -> [T, H, D]
        return tensor[0, :kept, window].transpose(0, 1)

    tensors = {
        "q": by_token(call.query, rows),
        "k": by_token(call.key, columns),
        "v": by_token(call.value, columns),
        "out": call.out[0, rows, :kept],
    }
    if call.lse is not None:
        tensors["lse"] = call.lse[0, :kept, rows]
    weight = getattr(module.kv_b_proj, "weight", None)
    is_whole = queries == keys and recorder.latent is not None
    if is_whole and weight is not None and weight.dtype.is_floating_point and weight.element_size() > 1:
        tensors["kv_c"] = recorder.latent.reshape(len(call.query), queries, -1)[0, columns]
        tensors["k_pe"] = call.key[0, 0, columns, nope:]
        tensors["kv_b_proj"] = weight[: kept * (nope + module.v_head_dim)]
    q_pre = recorder.before_rotation(call.query[..., nope:])
    k_pre = recorder.before_rotation(call.key[:, :1, :, nope:])
    if queries == keys and positions is not None and q_pre is not None and k_pre is not None:
        tensors["q_pre"], tensors["k_pe_pre"] = by_token(q_pre, rows), k_pre[0, 0, columns]
        line = positions[0] if positions.dim() == 2 else positions
        tensors["positions_q"], tensors["positions_k"] = line[rows], line[columns]
    # Two names of one memory are refused by safetensors.
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    default = call.scale is None and call.kernel != "matmul"
    config = getattr(module, "config", None)
    facts = {
        "softmax_scale": repr(float(call.query.shape[-1] ** -0.5 if default else call.scale)) if default or call.scale is not None else None,
        "softmax_scale_from": "the default of the kernel" if default else "the argument of the kernel",
        "kernel": call.kernel,
        "module": type(module).__name__,
        "model_type": getattr(config, "model_type", None),
        "heads": f"{kept} of {heads} from the first",
        "mask": "causal" if plain else "not plain causal: check takes it as causal",
        "transformers": getattr(sys.modules.get("transformers"), "__version__", None),
    }
    return tensors, facts


@contextmanager
def watched(recorder: Recorder) -> Iterator[None]:
    """Wraps what a layer may call, and puts everything back."""
    modeling = sys.modules[type(recorder.module).__module__]
    functions = sys.modules.get("transformers.modeling_utils")
    table = getattr(functions, "ALL_ATTENTION_FUNCTIONS", {})
    undo: List[Callable[[], None]] = []

    def replace(owner: Any, name: str, wrap: Callable) -> None:
        original = getattr(owner, name)
        setattr(owner, name, wrap(original))
        undo.append(lambda: setattr(owner, name, original))

    try:
        if recorder.kernel in table:
            entry = table[recorder.kernel]
            table[recorder.kernel] = recorder.interface(entry)
            undo.append(lambda: table.__setitem__(recorder.kernel, entry))
        for name in list(vars(modeling)):
            if name == "eager_attention_forward":
                replace(modeling, name, recorder.interface)
            elif name.startswith("apply_rotary") and callable(getattr(modeling, name)):
                replace(modeling, name, recorder.rotary)
        replace(torch.nn.functional, "scaled_dot_product_attention", recorder.sdpa)
        replace(torch, "matmul", recorder.matmul)
        undo.append(recorder.module.kv_b_proj.register_forward_pre_hook(recorder.keep_latent).remove)
        yield
    finally:
        for step in reversed(undo):
            step()


def watch(module: Any, layer: int, writer: Writer) -> Callable[[], None]:
    """Lets the module's forward be seen; returns what undoes it."""
    original = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = kwargs.get("hidden_states", args[0] if args else None)
        phase = "prefill" if hidden is None or hidden.shape[-2] > 1 else "decode"
        if not writer.wants(layer, phase):
            return original(*args, **kwargs)
        kernel = getattr(getattr(module, "config", None), "_attn_implementation", None) or "eager"
        recorder = Recorder(module, kernel)
        with watched(recorder):
            result = original(*args, **kwargs)
        positions = kwargs.get("position_ids")
        positions = kwargs.get("cache_position") if positions is None else positions
        writer.attempt(layer, phase, lambda: capture(recorder, writer, positions))
        return result

    module.forward = forward
    return lambda: module.__dict__.pop("forward", None)


def install(model: Any, **settings: Any) -> Callable[[], None]:
    """Captures the chosen layers of the model as they run. Returns a function that takes it all back."""
    chosen = Settings.read(**settings)
    writer = Writer("transformers", chosen)
    modules = [m for _, m in model.named_modules() if hasattr(m, "kv_b_proj") and hasattr(m, "qk_nope_head_dim")]
    undo = []
    for index, module in enumerate(modules):
        layer = getattr(module, "layer_idx", None)
        layer = index if layer is None else layer
        if chosen.has_layer(layer):
            undo.append(watch(module, layer, writer))
    if not undo:
        print(f"mla-scale hook: none of {len(modules)} latent attention layers is in '{chosen.layers}'", file=sys.stderr)
    return lambda: [step() for step in undo] and None
