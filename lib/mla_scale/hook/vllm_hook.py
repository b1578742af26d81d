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
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Set, Tuple

import torch
from safetensors.torch import save_file

from capture_writer import Content, NotCaptured, Part, Settings, Writer, offsets_of


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
    expanded: Dict[str, Any]  # what the prefill backend saw: q, k, v, lse


def counts(offsets: Any) -> List[int]:
    """Rows of each request, from a tensor of offsets."""
    values = offsets.tolist()
    return [end - begin for begin, end in zip(values, values[1:])]


def cached_rows(step: Step, block_table: Any, rows: int) -> Any:
    """The first rows of a request, [rows, L + R], from the paged cache."""
    width = step.layer.kv_lora_rank + step.layer.qk_rope_head_dim
    if step.cache.dim() != 3 or step.cache.shape[-1] != width:
        raise NotCaptured(f"its cache {list(step.cache.shape)} is not [blocks, block size, {width}]")
    size = step.cache.shape[1]
    blocks = block_table[: (rows + size - 1) // size].tolist()
    found = torch.cat([step.cache[block] for block in blocks])[:rows]
    if found.dtype == torch.uint8:
        found = found.view(torch.float8_e4m3fn)
    if found.element_size() == 1:  # fp8: what the kernel computes with is the value times the scale
        scale = getattr(step.layer, "_k_scale_float", None) or getattr(step.layer, "_k_scale", 1.0)
        found = found.float() * float(scale)
    return found


def weights(step: Step, kept: int) -> Dict[str, Any]:
    """w_uk [L, H, P] and w_uv [L, H, V] of the first heads, as the engine dequantised them."""
    for owner in (step.layer, step.impl):
        uk, uv = getattr(owner, "W_UK_T", None), getattr(owner, "W_UV", None)  # [H, P, L], [H, L, V]
        if uk is not None and uv is not None:
            return {"w_uk": uk[:kept].permute(2, 0, 1), "w_uv": uv[:kept].transpose(0, 1)}
    weight = getattr(step.layer.kv_b_proj, "weight", None)
    if weight is None or weight.element_size() == 1:
        raise NotCaptured("neither W_UK_T and W_UV nor an unquantised kv_b_proj.weight is there")
    return {"kv_b_proj": weight[: kept * (step.layer.qk_nope_head_dim + step.layer.v_head_dim)]}


def rows_of(parts: Sequence[Part], begins: Sequence[int]) -> List[slice]:
    """The query rows of each part, where those of request i begin at begins[i]."""
    return [slice(begins[part.request], begins[part.request] + part.queries) for part in parts]


def assemble(
    step: Step, writer: Writer, parts: Sequence[Part], begins: Sequence[int], latent: Sequence[Any]
) -> Content:
    """The latent form of the chosen parts. latent: [keys, L + R] of each."""
    kept = writer.heads(step.layer.num_heads)
    rows = rows_of(parts, begins)
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
    facts = {
        "module": type(step.layer).__name__,
        "layer_name": getattr(step.layer, "layer_name", None),
        "heads": f"{kept} of {step.layer.num_heads} of this rank, from the first",
        "vllm": getattr(sys.modules.get("vllm"), "__version__", None),
    }
    return tensors, facts


def capture_prefill(step: Step, writer: Writer) -> Content:
    prefill, first = step.metadata.prefill, step.metadata.num_decode_tokens
    queries = counts(prefill.query_start_loc)
    context = prefill.chunked_context
    before = [0] * len(queries)
    if context is not None:  # the chunks of the context of each request add up to it
        before = [sum(rows) for rows in zip(*(counts(chunk) for chunk in context.cu_seq_lens))]
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
    backend = prefill_backend(step.layer, step.metadata) or step.impl
    tensors, facts = assemble(step, writer, parts, begins, latent)
    facts.update(
        softmax_scale=repr(float(backend.scale)),
        softmax_scale_from=f"{type(backend).__name__}.scale",
        decode_softmax_scale=repr(float(step.impl.scale)),
        kernel=type(backend).__name__,
        context=[before[part.request] for part in parts],
    )
    seen = step.expanded
    kept = tensors["q"].shape[1]
    new = step.q[first : step.metadata.num_actual_tokens]
    if seen and not any(before) and seen["q"].shape == new.shape:
        rows = rows_of(parts, prefill.query_start_loc.tolist())
        for name in ("k", "v"):
            tensors[name] = torch.cat([seen[name][window, :kept] for window in rows])
        if seen.get("lse") is not None:  # [H, T]
            tensors["lse"] = torch.cat([seen["lse"][:kept, window] for window in rows], dim=-1)
    return tensors, facts


def capture_decode(step: Step, writer: Writer) -> Content:
    decode = step.metadata.decode
    keys = decode.seq_lens.tolist()[: step.metadata.num_decodes]
    each = step.metadata.num_decode_tokens // max(1, step.metadata.num_decodes)
    parts = [part for part in writer.parts([each] * len(keys), keys) if part.queries == each]
    if not parts:
        raise NotCaptured("its first request is too long", again=True)
    begins = [each * request for request in range(len(keys))]
    latent = [cached_rows(step, decode.block_table[part.request], part.keys) for part in parts]
    tensors, facts = assemble(step, writer, parts, begins, latent)
    name = type(step.impl).__name__
    facts.update(softmax_scale=repr(float(step.impl.scale)), softmax_scale_from=name + ".scale", kernel=name)
    return tensors, facts


def capture_step(step: Step, writer: Writer, number: int) -> None:
    metadata = step.metadata
    for phase, capture, is_there in (
        ("prefill", capture_prefill, getattr(metadata, "num_prefills", 0)),
        ("decode", capture_decode, getattr(metadata, "num_decodes", 0)),
    ):
        if is_there and writer.wants(number, phase):

            def make(capture: Callable[[Step, Writer], Content] = capture) -> Content:
                if getattr(step.impl, "dcp_world_size", 1) not in (None, -1, 0, 1):
                    raise NotCaptured("decode context parallelism splits the cache over ranks")
                return capture(step, writer)

            writer.attempt(number, phase, make)


def layer_number(layer: Any) -> int:
    """3 of a layer named model.layers.3.self_attn.attn."""
    found = re.search(r"\d+", str(getattr(layer, "layer_name", "")))
    return int(found.group()) if found else 0


def prefill_backend(layer: Any, metadata: Any) -> Any:
    """The prefill backend that this step runs: that of the metadata, which several layers share."""
    shared = getattr(getattr(metadata, "prefill", None), "prefill_backend", None)
    return getattr(layer, "prefill_backend", None) if shared is None else shared


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
                named = dict(zip("qkv", [arg for arg in args if hasattr(arg, "dim")]), **kwargs)
                if all(hasattr(named.get(name), "dim") for name in "qkv"):
                    self.seen = {name: named[name] for name in "qkv"}
                    self.seen["lse"] = result[1] if isinstance(result, tuple) else None
                return result

            setattr(self._owner, self._method, wrapped)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._method and self._own is not None:
            setattr(self._owner, self._method, self._own)
        elif self._method:
            self._owner.__dict__.pop(self._method, None)


# The arguments that both generations of vLLM share, in this order.
ARGUMENTS = ("q", "k_c_normed", "k_pe", "kv_cache", "attn_metadata", "output")


def wrap_layer(original: Callable, writer: Writer) -> Callable:
    """MLAAttention.forward_impl(self, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, ...)"""

    def forward_impl(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = dict(zip(ARGUMENTS, args), **kwargs)
        number, metadata = layer_number(self), named.get("attn_metadata")
        wanted = writer.wants(number, "prefill") or writer.wants(number, "decode")
        if metadata is None or not wanted:
            return original(self, *args, **kwargs)
        with Backend(prefill_backend(self, metadata), "run_prefill_new_tokens") as watched:
            result = original(self, *args, **kwargs)
        seen = [named.get(name) for name in ARGUMENTS]
        capture_step(Step(self, self.impl, *seen, watched.seen), writer, number)
        return result

    return forward_impl


def wrap_impl(original: Callable, writer: Writer) -> Callable:
    """MLACommonImpl.forward(self, layer, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, ...)"""

    def forward(self: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
        named = dict(zip(ARGUMENTS, args), **kwargs)
        number, metadata = layer_number(layer), named.get("attn_metadata")
        wanted = writer.wants(number, "prefill") or writer.wants(number, "decode")
        if metadata is None or not wanted:
            return original(self, layer, *args, **kwargs)
        with Backend(self, "_run_prefill_new_tokens") as watched:
            result = original(self, layer, *args, **kwargs)
        # Here the implementation knows the widths; the layer only its name.
        seen = [named.get(name) for name in ARGUMENTS]
        capture_step(Step(self, self, *seen, watched.seen), writer, number)
        return result

    return forward


def install(**settings: Any) -> Callable[[], None]:
    """Captures the chosen layers of vLLM in this process. Returns a function that takes it back."""
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
