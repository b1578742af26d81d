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

from capture_writer import Content, NotCaptured, Settings, Writer


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
        def record(result: Any, _: Any, q: Any, k: Any, v: Any, mask: Any = None, *more: Any, **named: Any) -> None:
            mask = named.get("attention_mask", mask)
            scale = named.get("scaling", more[0] if more else None)
            out, lse = result if isinstance(result, tuple) else (result, None)
            if lse is not None and (lse.shape != q.shape[:3] or lse.dtype != torch.float32):
                lse = None  # the weights of every key, or an lse rounded to 16 bits
            self.calls.append(Call(self.kernel, q, k, v, mask, out, scale, lse))

        return self._outermost(function, record)

    def sdpa(self, function: Callable) -> Callable:
        def record(result: Any, q: Any, k: Any, v: Any, mask: Any = None, *_: Any, **named: Any) -> None:
            name, out = "scaled_dot_product_attention", result.transpose(1, 2)
            mask = named.get("attn_mask", mask)
            self.calls.append(Call(name, q, k, v, mask, out, named.get("scale")))

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
        for q, k, logits in self.products:  # [B, H, T, D] x [B, H, D, S], then [B, H, T, S] x [B, H, S, V]
            for weights, v, out in self.products:
                is_pair = weights.shape == logits.shape and v.shape[-1] == self.module.v_head_dim
                if is_pair and q.shape[-1] == width == k.shape[-2]:
                    scale = getattr(self.module, "softmax_scale", None)
                    return Call("matmul", q, k.transpose(2, 3), v, None, out.transpose(1, 2), scale)
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
        lines = allowed.tolist()
        hidden = max(0, queries - (end - first))
        # The rows of padding see nothing, or all since no softmax is over nothing. Others: a window.
        if any(0 < sum(line) < keys for line in lines[:hidden]):
            return 0, end, False
        for row, line in enumerate(lines[hidden:], hidden):
            seen_of_row = end - first - (queries - 1 - row)
            plain = plain and line[first:end] == [i < seen_of_row for i in range(end - first)]
    return first, end, plain


def capture(recorder: Recorder, writer: Writer, positions: Any) -> Content:
    """The tensors and facts of what the recorder saw."""
    module, call = recorder.module, recorder.call()
    heads, queries, keys = call.query.shape[1], call.query.shape[2], call.key.shape[2]
    if call.key.shape[1] != heads:
        raise NotCaptured(f"it has {call.key.shape[1]} heads of keys for {heads} of queries")
    first, end, plain = visible(call.mask, queries, keys)
    padding = max(0, queries - (end - first))  # query rows of left padding
    part = writer.parts([queries - padding], [end - first])[0]
    rows, columns = slice(padding, padding + part.queries), slice(first, first + part.keys)
    kept = writer.heads(heads)
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
    latent = recorder.latent  # [B, T, L], or [B, 1, T, L] of all keys where the cache holds the latent
    latent = None if latent is None else latent.reshape(call.key.shape[0], -1, latent.shape[-1])
    is_whole = latent is not None and latent.shape[1] == keys
    is_plain = weight is not None and weight.dtype.is_floating_point and weight.element_size() > 1
    if is_whole and is_plain:
        tensors["kv_c"] = latent[0, columns]
        tensors["k_pe"] = call.key[0, 0, columns, nope:]
        tensors["kv_b_proj"] = weight[: kept * (nope + module.v_head_dim)]
    q_pre = recorder.before_rotation(call.query[..., nope:])
    k_pre = recorder.before_rotation(call.key[:, :1, :, nope:])
    if queries == keys and positions is not None and q_pre is not None and k_pre is not None:
        tensors["q_pre"], tensors["k_pe_pre"] = by_token(q_pre, rows), k_pre[0, 0, columns]
        line = positions[0] if positions.dim() == 2 else positions
        tensors["positions_q"], tensors["positions_k"] = line[rows], line[columns]
    scale, told_by = call.scale, "the argument of the kernel"
    if call.kernel == "matmul":
        told_by = "the module, not seen in use"
    elif scale is None:
        scale, told_by = call.query.shape[-1] ** -0.5, "the default of the kernel"
    config = getattr(module, "config", None)
    facts = {
        "softmax_scale": None if scale is None else repr(float(scale)),
        "softmax_scale_from": told_by,
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
        original = getattr(owner, name, None)
        if original is not None:  # PyTorch 1 has no scaled_dot_product_attention
            setattr(owner, name, wrap(original))
            undo.append(lambda: setattr(owner, name, original))

    def wrap_all() -> None:
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
        latent = recorder.module.kv_b_proj
        undo.append(latent.register_forward_pre_hook(recorder.keep_latent).remove)

    try:
        try:
            wrap_all()
        except Exception:  # what could not be wrapped is not seen, and the layer says so
            pass
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
    """Captures the chosen layers of the model as they run. Returns a function that takes it back."""
    chosen = Settings.read(**settings)
    writer = Writer("transformers", chosen)
    modules = [module for _, module in model.named_modules() if hasattr(module, "kv_b_proj")]
    undo: List[Callable[[], None]] = []
    for index, module in enumerate(modules):
        layer = getattr(module, "layer_idx", None)
        layer = index if layer is None else layer
        if chosen.has_layer(layer):
            undo.append(watch(module, layer, writer))
    if not undo:
        count = len(modules)
        print(f"mla-scale hook: none of {count} latent layers is in '{chosen.layers}'", file=sys.stderr)

    def take_back() -> None:
        for step in undo:
            step()

    return take_back
