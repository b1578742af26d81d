"""Captures what Multi-head Latent Attention computed in SGLang, for `mla-scale check`.

    mkdir mla_hook; mla-scale hook sglang > mla_hook/hook.py; touch mla_hook/__init__.py
    MLA_CAPTURE=1 PYTHONPATH=. SGLANG_EXTERNAL_MODEL_PACKAGE=mla_hook python -m sglang.launch_server \
        --model-path MODEL --disable-cuda-graph --disable-piecewise-cuda-graph
    mla-scale check MODEL mla-captures/layer0.prefill.rank0.safetensors      # and layer0.decode.rank0

NOT YET RUN AGAINST A REAL SGLang: written from its source, tested against stand-ins of the same signatures.

Each scheduler process imports this file as an external model package (it defines no model); with
MLA_CAPTURE=1 in the environment the import installs the hook, otherwise it does nothing and
install(layers="0,5-7", folder="mla-captures", tokens=1024, heads=16, requests=4,
phases="prefill,decode") does. What is not given comes from MLA_CAPTURE_LAYERS, _DIR, _TOKENS, _HEADS,
_REQUESTS, _PHASES. No CUDA graphs, since they replay without Python. Each chosen layer is captured once
in each phase, and only the heads of this rank; results are never changed, and a capture that does not
work is one line on stderr.

Written: where the layer ran multi-head attention (attn_mha): q, k, v, out and, where it returned one,
lse, as they were given to RadixAttention; where it ran absorbed (attn_mqa): q from q_b_proj or q_proj
with its rotated part, kv_c and k_pe from the token pool through req_to_token, w_uk and w_uv, and out as
o_proj was given it; cu_seqlens_q, cu_seqlens_k and positions_q; in the metadata RadixAttention.scaling.

Works by wrapping DeepseekV2AttentionMLA.forward (sglang/srt/models/deepseek_v2.py) and
RadixAttention.forward (sglang/srt/layers/radix_attention.py). Not captured: the prefix of a chunked
prefix (its new tokens are, when they attend to themselves alone), rotary embedding fused into the
kernel, sparse attention, fp8 caches.
"""

import os
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import torch
from safetensors.torch import save_file

from capture_writer import Content, NotCaptured, Part, Settings, Writer, offsets_of


class Call(NamedTuple):
    """One call of RadixAttention."""

    layer: Any
    q: Any
    k: Any
    v: Any
    q_rope: Any
    keywords: Tuple[str, ...]
    out: Any  # [T, H * V], or a pair with lse


class Recorder:
    """What is seen while one attention module runs."""

    def __init__(self) -> None:
        self.calls: List[Call] = []
        self.query: Any = None  # [T, H * (P + R)] before RoPE
        self.out: Any = None  # [T, H * V]

    def keep_query(self, _: Any, __: Any, result: Any) -> None:
        self.query = result[0] if isinstance(result, tuple) else result

    def keep_out(self, _: Any, args: Sequence[Any]) -> None:
        self.out = args[0] if args else None


_active: "ContextVar[Optional[Recorder]]" = ContextVar("mla_scale_recorder", default=None)


def is_mha(call: Call, module: Any) -> bool:
    return call.layer is getattr(module, "attn_mha", None)


def rows_of(batch: Any) -> Tuple[List[int], List[int]]:
    """Query and key rows of each request."""
    keys = batch.seq_lens.tolist()
    if batch.forward_mode.is_decode():
        return [1] * len(keys), keys
    return [int(n) for n in batch.extend_seq_lens.tolist()], keys


def begins_of(rows: Sequence[int]) -> List[int]:
    return offsets_of(rows).tolist()


def packed(tensor: Any, begins: Sequence[int], parts: Sequence[Part], rows: Sequence[int]) -> Any:
    """The first rows of each part, where those of request i begin at begins[i]."""
    windows = [slice(begins[part.request], begins[part.request] + n) for part, n in zip(parts, rows)]
    return torch.cat([tensor[window] for window in windows])


def capture_mha(call: Call, batch: Any, writer: Writer) -> Dict[str, Any]:
    """q, k, v of multi-head attention: the new tokens alone, or with all that came before them."""
    layer = call.layer
    queries, keys = rows_of(batch)
    heads = layer.tp_q_head_num
    q, k, v = (x.reshape(x.shape[0], heads, -1) for x in (call.q, call.k, call.v))
    if k.shape[0] < sum(keys):  # a prefix that is not among k, or padding
        keys = queries
    parts = writer.parts(queries, keys)
    kept = writer.heads(heads)
    out, lse = call.out if isinstance(call.out, tuple) else (call.out, None)
    out = out.reshape(out.shape[0], heads, -1)
    query_rows, key_rows = [part.queries for part in parts], [part.keys for part in parts]
    tensors = {
        "q": packed(q, begins_of(queries), parts, query_rows)[:, :kept],
        "k": packed(k, begins_of(keys), parts, key_rows)[:, :kept],
        "v": packed(v, begins_of(keys), parts, key_rows)[:, :kept],
        "out": packed(out, begins_of(queries), parts, query_rows)[:, :kept],
    }
    if lse is not None:  # [T, H]
        tensors["lse"] = packed(lse, begins_of(queries), parts, query_rows)[:, :kept]
    return finish(tensors, batch, parts, queries)


def capture_absorbed(
    module: Any, recorder: Recorder, call: Call, batch: Any, writer: Writer
) -> Dict[str, Any]:
    """The latent form: q before absorption, the rows of the token pool, the halves of kv_b_proj."""
    if "cos_sin_cache" in call.keywords:
        raise NotCaptured("its kernel rotates q and k itself")
    if "topk_indices" in call.keywords:
        raise NotCaptured("its attention is sparse")
    if recorder.query is None or recorder.out is None:
        raise NotCaptured("q_b_proj or o_proj did not run as modules")
    if module.w_kc is None or module.w_kc.element_size() == 1:
        raise NotCaptured("w_kc is quantised")
    queries, keys = rows_of(batch)
    parts = writer.parts(queries, keys)
    heads, nope, rope = module.num_local_heads, module.qk_nope_head_dim, module.qk_rope_head_dim
    kept = writer.heads(heads)
    query = recorder.query.reshape(-1, heads, nope + rope)
    rotated = call.q_rope
    if rotated is None:  # behind the absorbed part, in one tensor
        rotated = call.q.reshape(query.shape[0], heads, -1)[..., module.kv_lora_rank :]
    query = torch.cat([query[..., :nope], rotated.reshape(query.shape[0], heads, rope)], dim=-1)
    out = recorder.out.reshape(recorder.out.shape[0], heads, -1)
    cache = batch.token_to_kv_pool.get_key_buffer(call.layer.layer_id)
    if cache.element_size() == 1:
        raise NotCaptured("its cache is fp8")
    latent = []
    for part in parts:
        line = int(batch.req_pool_indices[part.request])
        slots = batch.req_to_token_pool.req_to_token[line, : part.keys]
        latent.append(cache[slots.to(torch.int64)].reshape(part.keys, -1))
    both = torch.cat(latent)
    query_rows = [part.queries for part in parts]
    tensors = {
        "q": packed(query, begins_of(queries), parts, query_rows)[:, :kept],
        "kv_c": both[:, : module.kv_lora_rank],
        "k_pe": both[:, module.kv_lora_rank : module.kv_lora_rank + rope],
        "w_uk": module.w_kc[:kept].permute(2, 0, 1),  # [H, P, L] -> [L, H, P]
        "w_uv": module.w_vc[:kept].permute(1, 0, 2),  # [H, L, V] -> [L, H, V]
        "out": packed(out, begins_of(queries), parts, query_rows)[:, :kept],
    }
    return finish(tensors, batch, parts, queries)


def finish(
    tensors: Dict[str, Any], batch: Any, parts: Sequence[Part], queries: Sequence[int]
) -> Dict[str, Any]:
    """Adds where each request begins and its positions."""
    rows = [part.queries for part in parts]
    tensors["cu_seqlens_q"] = offsets_of(rows)
    tensors["cu_seqlens_k"] = offsets_of([part.keys for part in parts])
    if getattr(batch, "positions", None) is not None:
        tensors["positions_q"] = packed(batch.positions, begins_of(queries), parts, rows)
    return tensors


def capture(module: Any, recorder: Recorder, batch: Any, writer: Writer) -> Content:
    # Of a chunked prefix, the call for the new tokens is the first; its chunks are not causal.
    if not recorder.calls:
        raise NotCaptured("RadixAttention was not called")
    call = recorder.calls[0]
    if is_mha(call, module):
        tensors = capture_mha(call, batch, writer)
    else:
        tensors = capture_absorbed(module, recorder, call, batch, writer)
    kept = tensors["q"].shape[1]
    facts = {
        "softmax_scale": repr(float(call.layer.scaling)),
        "softmax_scale_from": "attn_mha.scaling" if is_mha(call, module) else "attn_mqa.scaling",
        "kernel": getattr(module, "current_attention_backend", None),
        "module": type(module).__name__,
        "heads": f"{kept} of {module.num_local_heads} of this rank, from the first",
        "sglang": getattr(sys.modules.get("sglang"), "__version__", None),
    }
    return tensors, facts


@contextmanager
def watched(module: Any, recorder: Recorder) -> Iterator[None]:
    """Lets the recorder see RadixAttention, q_b_proj or q_proj, and o_proj while a module runs."""
    handles = []
    token = _active.set(recorder)
    try:
        for name in ("q_b_proj", "q_proj"):
            if getattr(module, name, None) is not None:
                handles.append(getattr(module, name).register_forward_hook(recorder.keep_query))
                break
        if getattr(module, "o_proj", None) is not None:
            handles.append(module.o_proj.register_forward_pre_hook(recorder.keep_out))
        yield
    finally:
        _active.reset(token)
        for handle in handles:
            handle.remove()


def wrap_module(original: Callable, writer: Writer) -> Callable:
    """DeepseekV2AttentionMLA.forward(self, positions, hidden_states, forward_batch, ...)"""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        batch = kwargs.get("forward_batch", args[2] if len(args) > 2 else None)
        if batch is None:
            return original(self, *args, **kwargs)
        mode = batch.forward_mode
        phase = "decode" if mode.is_decode() else "prefill" if mode.is_extend() else ""
        if not phase or not writer.wants(self.layer_id, phase):
            return original(self, *args, **kwargs)
        recorder = Recorder()
        with watched(self, recorder):
            result = original(self, *args, **kwargs)
        writer.attempt(self.layer_id, phase, lambda: capture(self, recorder, batch, writer))
        return result

    return forward


def wrap_radix(original: Callable) -> Callable:
    """RadixAttention.forward(self, q, k, v, forward_batch, save_kv_cache=True, ...)"""

    def forward(self: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, q, k, v, *args, **kwargs)
        recorder = _active.get()
        if recorder is not None and len(recorder.calls) < 2:
            given = tuple(name for name, value in kwargs.items() if value is not None)
            recorder.calls.append(Call(self, q, k, v, kwargs.get("q_rope"), given, result))
        return result

    return forward


def install(**settings: Any) -> Callable[[], None]:
    """Captures the chosen layers of SGLang in this process. Returns a function that takes it back."""
    from sglang.srt.layers.radix_attention import RadixAttention
    from sglang.srt.models.deepseek_v2 import DeepseekV2AttentionMLA

    writer = Writer("sglang", Settings.read(**settings))
    originals = DeepseekV2AttentionMLA.forward, RadixAttention.forward
    DeepseekV2AttentionMLA.forward = wrap_module(originals[0], writer)
    RadixAttention.forward = wrap_radix(originals[1])

    def undo() -> None:
        DeepseekV2AttentionMLA.forward, RadixAttention.forward = originals

    return undo


if os.environ.get("MLA_CAPTURE") == "1":
    install()
