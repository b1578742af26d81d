"""Captures what Multi-head Latent Attention computed in vLLM (V1), for `mla-scale check`.

    mla-scale hook vllm > mla_hook.py
    MLA_CAPTURE=1 PYTHONPATH=. vllm serve MODEL --enforce-eager --worker-extension-cls mla_hook.WorkerExtension
    mla-scale check MODEL mla-captures/layer0.prefill.rank0.safetensors      # and layer0.decode.rank0

NOT YET RUN AGAINST A REAL vLLM: written from its source, tested against stand-ins of the same signatures.

Each worker process imports this file as its extension; with MLA_CAPTURE=1 in the environment the import
installs the hook, otherwise it does nothing and install(layers="0,5-7", folder="mla-captures",
tokens=1024, heads=16, requests=4, phases="prefill,decode") does. What is not given comes from
MLA_CAPTURE_LAYERS, _DIR, _TOKENS, _HEADS, _REQUESTS, _PHASES. --enforce-eager, since CUDA graphs replay
without Python. Each chosen layer is captured once in each phase, and only the heads of this rank;
results are never changed, and a capture that does not work is one line on stderr.

Written: q after RoPE; kv_c and k_pe of the new tokens, and of those before them from the paged cache
through the block table; w_uk and w_uv; out as the layer returned it, chunks of a long context merged;
for a prefill without context also k, v and, where the backend returned one, lse; cu_seqlens_q and
cu_seqlens_k; in the metadata the scale that the prefill backend or the decode kernel was built with.

Works by wrapping MLAAttention.forward_impl (vllm/model_executor/layers/attention/mla_attention.py) or,
before that existed, MLACommonImpl.forward (vllm/v1/attention/backends/mla/common.py). Not captured:
sparse attention, decode context parallelism, caches of layout fp8_ds_mla.
"""

import os
import re
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import torch
from safetensors.torch import save_file

from capture_writer import NotCaptured, Part, Settings, Writer, offsets_of


class Step(NamedTuple):
    """One call of attention of one layer: prefill and decode tokens of a batch, decode first."""

    layer: Any  # num_heads, scale and the widths; W_UK_T and W_UV
    impl: Any  # the backend that runs decode
    q: Any  # [T, H, P + R] after RoPE
    kv_c: Any  # [T, L] after its norm
    k_pe: Any  # [T, 1, R] or [T, R] after RoPE
    cache: Any  # [blocks, block_size, L + R]
    metadata: Any
    out: Any  # [T, H * V]
    expanded: Dict[str, Any]  # what the prefill backend saw: q, k, v, out, lse


def counts(offsets: Any) -> List[int]:
    """Rows of each request, from a tensor of offsets."""
    values = offsets.tolist()
    return [end - begin for begin, end in zip(values, values[1:])]


def cached_rows(step: Step, block_table: Any, rows: int) -> Any:
    """The first rows of a request, [rows, L + R], from the paged cache."""
    if step.cache.dim() != 3 or step.cache.shape[-1] != step.layer.kv_lora_rank + step.layer.qk_rope_head_dim:
        raise NotCaptured(f"its cache of shape {list(step.cache.shape)} is not [blocks, block size, latent width]")
    size = step.cache.shape[1]
    blocks = block_table[: (rows + size - 1) // size].tolist()
    found = torch.cat([step.cache[block] for block in blocks])[:rows]
    if found.dtype == torch.uint8:
        found = found.view(torch.float8_e4m3fn)
    if found.element_size() == 1:  # fp8: what the kernel computes with is the value times the scale
        found = found.float() * float(getattr(step.layer, "_k_scale_float", None) or step.layer._k_scale)
    return found


def weights(step: Step, kept: int) -> Dict[str, Any]:
    """w_uk [L, H, P] and w_uv [L, H, V] of the first heads, as the engine dequantised them."""
    for owner in (step.layer, step.impl):
        if getattr(owner, "W_UK_T", None) is not None and getattr(owner, "W_UV", None) is not None:
            return {"w_uk": owner.W_UK_T[:kept].permute(2, 0, 1), "w_uv": owner.W_UV[:kept].transpose(0, 1)}
    weight = getattr(step.layer.kv_b_proj, "weight", None)
    if weight is None or weight.element_size() == 1:
        raise NotCaptured("neither W_UK_T and W_UV nor an unquantised kv_b_proj.weight is there")
    return {"kv_b_proj": weight[: kept * (step.layer.qk_nope_head_dim + step.layer.v_head_dim)]}


def assemble(step: Step, writer: Writer, parts: Sequence[Part], query_begins: Sequence[int], latent: Sequence[Any], facts: Dict[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """The latent form of the chosen parts. latent: [keys, L + R] of each."""
    kept = writer.heads(step.layer.num_heads)
    rows = [slice(query_begins[part.request], query_begins[part.request] + part.queries) for part in parts]
    out = step.out.reshape(step.out.shape[0], step.layer.num_heads, -1)
    rank = step.layer.kv_lora_rank
    both = torch.cat(list(latent))
    tensors = {
        "q": torch.cat([step.q[window, :kept] for window in rows]),
        "kv_c": both[:, :rank],
        "k_pe": both[:, rank:],
        "out": torch.cat([out[window, :kept] for window in rows]),
        "cu_seqlens_q": offsets_of([part.queries for part in parts]),
        "cu_seqlens_k": offsets_of([part.keys for part in parts]),
    }
    tensors.update(weights(step, kept))
    facts.update(
        module=type(step.layer).__name__,
        layer_name=getattr(step.layer, "layer_name", None),
        heads=f"{kept} of {step.layer.num_heads} of this rank, from the first",
        vllm=getattr(sys.modules.get("vllm"), "__version__", None),
    )
    return tensors, facts


def capture_prefill(step: Step, writer: Writer) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    prefill, first = step.metadata.prefill, step.metadata.num_decode_tokens
    queries = counts(prefill.query_start_loc)
    context = prefill.chunked_context
    before = [0] * len(queries)
    if context is not None:  # the chunks of the context of each request add up to it
        before = [sum(chunks) for chunks in zip(*(counts(offsets) for offsets in context.cu_seq_lens))]
    parts = writer.parts(queries, [old + new for old, new in zip(before, queries)])
    begins = [first + begin for begin in prefill.query_start_loc.tolist()]
    latent = []
    for part in parts:
        new = slice(begins[part.request], begins[part.request] + part.queries)
        rows = torch.cat([step.kv_c[new], step.k_pe[new].reshape(part.queries, -1)], dim=-1)
        if before[part.request]:
            old = cached_rows(step, prefill.block_table[part.request], before[part.request])
            rows = torch.cat([old.to(rows.dtype), rows])
        latent.append(rows)
    backend = getattr(prefill, "prefill_backend", None) or getattr(step.layer, "prefill_backend", None) or step.impl
    facts = {
        "softmax_scale": repr(float(backend.scale)),
        "softmax_scale_from": f"{type(backend).__name__}.scale",
        "decode_softmax_scale": repr(float(step.impl.scale)),
        "kernel": type(backend).__name__,
        "context": str([before[part.request] for part in parts]),
    }
    tensors, facts = assemble(step, writer, parts, begins, latent, facts)
    seen = step.expanded
    kept = tensors["q"].shape[1]
    if seen and not any(before) and tuple(seen["q"].shape) == tuple(step.q[first : step.metadata.num_actual_tokens].shape):
        rows = [slice(begin, begin + part.queries) for part in parts for begin in [begins[part.request] - first]]
        for name in ("k", "v"):
            tensors[name] = torch.cat([seen[name][window, :kept] for window in rows])
        if seen.get("lse") is not None:  # [H, T]
            tensors["lse"] = torch.cat([seen["lse"][:kept, window] for window in rows], dim=-1)
    return tensors, facts


def capture_decode(step: Step, writer: Writer) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    decode = step.metadata.decode
    keys = decode.seq_lens.tolist()[: step.metadata.num_decodes]
    each = step.metadata.num_decode_tokens // max(1, step.metadata.num_decodes)
    parts = [part for part in writer.parts([each] * len(keys), keys) if part.queries == each]
    if not parts:
        raise NotCaptured("its first request is too long", again=True)
    begins = [each * request for request in range(len(keys))]
    latent = [cached_rows(step, decode.block_table[part.request], part.keys) for part in parts]
    facts = {"softmax_scale": repr(float(step.impl.scale)), "softmax_scale_from": f"{type(step.impl).__name__}.scale", "kernel": type(step.impl).__name__}
    return assemble(step, writer, parts, begins, latent, facts)


def capture_step(step: Step, writer: Writer, number: int) -> None:
    metadata = step.metadata
    for phase, capture, is_there in (
        ("prefill", capture_prefill, getattr(metadata, "num_prefills", 0)),
        ("decode", capture_decode, getattr(metadata, "num_decodes", 0)),
    ):
        if is_there and writer.wants(number, phase):

            def make() -> Tuple[Dict[str, Any], Dict[str, Any]]:
                if getattr(step.impl, "dcp_world_size", 1) not in (None, -1, 0, 1):
                    raise NotCaptured("decode context parallelism splits the cache over ranks")
                return capture(step, writer)

            writer.attempt(number, phase, make)


def layer_number(name: str) -> int:
    found = re.search(r"\d+", name)
    return int(found.group()) if found else 0


class Backend:
    """Keeps what the prefill backend of one call saw, and puts its method back."""

    def __init__(self, owner: Any, method: str) -> None:
        self.seen: Dict[str, Any] = {}
        self._owner = owner
        self._method = method if callable(getattr(owner, method, None)) else None
        self._own = getattr(owner, "__dict__", {}).get(method)  # set on the object, not its class

    def __enter__(self) -> "Backend":
        if self._method:
            original = getattr(self._owner, self._method)

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                result = original(*args, **kwargs)
                named = dict(zip(("q", "k", "v"), [a for a in args if hasattr(a, "dim")]), **kwargs)
                out, lse = result if isinstance(result, tuple) else (result, None)
                self.seen = {"q": named.get("q"), "k": named.get("k"), "v": named.get("v"), "out": out, "lse": lse}
                if any(self.seen[name] is None for name in ("q", "k", "v")):
                    self.seen = {}
                return result

            setattr(self._owner, self._method, wrapped)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._method and self._own is not None:
            setattr(self._owner, self._method, self._own)
        elif self._method:
            self._owner.__dict__.pop(self._method, None)


def wrap_layer(original: Callable, writer: Writer) -> Callable:
    """MLAAttention.forward_impl(self, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, ...)"""

    def forward_impl(self: Any, q: Any, k_c_normed: Any, k_pe: Any, kv_cache: Any, attn_metadata: Any, output: Any, *args: Any, **kwargs: Any) -> Any:
        number = layer_number(str(self.layer_name))
        if attn_metadata is None or not (writer.wants(number, "prefill") or writer.wants(number, "decode")):
            return original(self, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, *args, **kwargs)
        prefill = getattr(attn_metadata, "prefill", None)
        backend = getattr(prefill, "prefill_backend", None) or getattr(self, "prefill_backend", None)
        with Backend(backend, "run_prefill_new_tokens") as watched:
            result = original(self, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, *args, **kwargs)
        capture_step(Step(self, self.impl, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, watched.seen), writer, number)
        return result

    return forward_impl


def wrap_impl(original: Callable, writer: Writer) -> Callable:
    """MLACommonImpl.forward(self, layer, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, ...)"""

    def forward(self: Any, layer: Any, q: Any, k_c_normed: Any, k_pe: Any, kv_cache: Any, attn_metadata: Any, output: Any = None, *args: Any, **kwargs: Any) -> Any:
        number = layer_number(str(getattr(layer, "layer_name", "0")))
        if attn_metadata is None or not (writer.wants(number, "prefill") or writer.wants(number, "decode")):
            return original(self, layer, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, *args, **kwargs)
        with Backend(self, "_run_prefill_new_tokens") as watched:
            result = original(self, layer, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, *args, **kwargs)
        # Here the implementation knows the widths; the layer only its name and the cache's scale.
        step = Step(self, self, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, watched.seen)
        capture_step(step, writer, number)
        return result

    return forward


def install(**settings: Any) -> Callable[[], None]:
    """Captures the chosen layers of the vLLM in this process. Returns a function that takes it back."""
    writer = Writer("vllm", Settings.read(**settings))
    try:
        from vllm.model_executor.layers.attention.mla_attention import MLAAttention as owner

        name, wrap = "forward_impl", wrap_layer
        original = owner.forward_impl
    except (ImportError, AttributeError):
        from vllm.v1.attention.backends.mla.common import MLACommonImpl as owner

        name, wrap = "forward", wrap_impl
        original = owner.forward
    setattr(owner, name, wrap(original, writer))
    return lambda: setattr(owner, name, original)


class WorkerExtension:
    """For --worker-extension-cls, which makes every worker import this file."""


if os.environ.get("MLA_CAPTURE") == "1":
    install()
