"""DeepseekV2AttentionMLA of SGLang: multi-head over new tokens, or absorbed over the token pool."""
from types import SimpleNamespace

import numbers_of_a_layer as layer
import torch
from sglang.srt.layers.radix_attention import RadixAttention


class Batch:
    """`requests`: (rows in the pool before, new rows) of each."""

    def __init__(self, requests, decode=False, mha_return_lse=False):
        self.requests = [layer.Numbers(old + new, seed) for seed, (old, new) in enumerate(requests, 30)]
        self.first = [old for old, _ in requests]
        self.mha_return_lse = mha_return_lse
        self.forward_mode = SimpleNamespace(is_decode=lambda: decode, is_extend=lambda: not decode)
        self.seq_lens = torch.tensor([old + new for old, new in requests], dtype=torch.int32)
        self.extend_seq_lens = None if decode else torch.tensor([new for _, new in requests], dtype=torch.int32)
        total = sum(old + new for old, new in requests)
        slots = iter([(7 * i + 3) % (total + 4) for i in range(total + 4)] if (total + 4) % 7 else range(total))
        pool = [[[5.0] * (layer.RANK + layer.ROPE)] for _ in range(total + 4)]
        longest = max(len(r.q) for r in self.requests)
        table = [[0] * longest]  # row 0 belongs to nobody
        for request in self.requests:
            line = []
            for c, p in zip(request.kv_c, request.k_pe):
                slot = next(slots)
                pool[slot] = [c + p]
                line.append(slot)
            table.append(line + [0] * (longest - len(line)))
        self.token_to_kv_pool = SimpleNamespace(get_key_buffer=lambda layer_id: torch.tensor(pool))
        self.req_to_token_pool = SimpleNamespace(req_to_token=torch.tensor(table, dtype=torch.int32))
        self.req_pool_indices = torch.tensor([1 + i for i in range(len(requests))], dtype=torch.int64)
        self.positions = torch.tensor([i for r, first in zip(self.requests, self.first) for i in range(first, len(r.q))])

    def backend(self, radix, q, k, v, **kwargs):
        weights = layer.Weights()
        out, lse = [], []
        for request, first in zip(self.requests, self.first):
            o, s = layer.attention(weights, request, first, radix.scaling)
            out, lse = out + o, lse + s
        if radix.v_head_dim == layer.RANK:  # absorbed: weights over the latent, [T][H][L]
            out = []
            for request, first in zip(self.requests, self.first):
                for row in range(first, len(request.q)):
                    out.append([])
                    for head in range(layer.HEADS):
                        absorbed = [layer.dot(request.q[row][head][: layer.NOPE], column) for column in zip(*weights.uk(head))]
                        query = absorbed + request.q[row][head][layer.NOPE :]
                        keys = [c + p for c, p in zip(request.kv_c[: row + 1], request.k_pe[: row + 1])]
                        out[-1].append(layer.attend(query, keys, request.kv_c[: row + 1], radix.scaling)[0])
            lse = None
        return out, lse


class Linear(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x), None


class DeepseekV2AttentionMLA(torch.nn.Module):
    def __init__(self, scaling, layer_id=1, separate_rope=True):
        super().__init__()
        self.layer_id, self.num_local_heads, self.kv_lora_rank = layer_id, layer.HEADS, layer.RANK
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = layer.NOPE, layer.ROPE, layer.V
        self.separate_rope, self.current_attention_backend = separate_rope, "fa3"
        width = layer.NOPE + layer.ROPE
        self.attn_mha = RadixAttention(layer.HEADS, width, scaling, layer.HEADS, layer_id, layer.V)
        self.attn_mqa = RadixAttention(layer.HEADS, layer.RANK + layer.ROPE, scaling, 1, layer_id, layer.RANK)
        weights = layer.Weights()
        self.weights = weights
        self.w_kc = torch.tensor([weights.uk(head) for head in range(layer.HEADS)])
        self.w_vc = torch.tensor([weights.uv(head) for head in range(layer.HEADS)]).transpose(1, 2)
        # Before RoPE: another rotated part than the one that attention sees.
        self.q_b_proj = Linear(lambda batch: torch.tensor([[x for head in r.q[i] for x in head[: layer.NOPE] + [8.0] * layer.ROPE] for r, i in batch]))
        self.o_proj = Linear(lambda x: x)

    def forward(self, positions, hidden_states, forward_batch, zero_allocator=None):
        new = [(r, i) for r, first in zip(forward_batch.requests, forward_batch.first) for i in range(first, len(r.q))]
        self.q_b_proj(new)
        if forward_batch.forward_mode.is_extend() and not any(forward_batch.first):
            expanded = [self.weights.expand(r.kv_c[i], r.k_pe[i]) for r, i in new]
            q = torch.tensor([r.q[i] for r, i in new])
            out = self.attn_mha(q, torch.tensor([k for k, _ in expanded]), torch.tensor([v for _, v in expanded]), forward_batch, save_kv_cache=False)
            return self.o_proj(out[0] if isinstance(out, tuple) else out)[0]
        latent = torch.tensor([[r.kv_c[i]] for r, i in new])
        rope = torch.tensor([[head[layer.NOPE :] for head in r.q[i]] for r, i in new])
        absorbed = torch.tensor([[[layer.dot(head[: layer.NOPE], column) for column in zip(*self.weights.uk(h))] for h, head in enumerate(r.q[i])] for r, i in new])
        if self.separate_rope:
            out = self.attn_mqa(absorbed, latent, latent, forward_batch, q_rope=rope, k_rope=torch.tensor([[r.k_pe[i]] for r, i in new]))
        else:
            out = self.attn_mqa(torch.cat([absorbed, rope], dim=-1), latent, latent, forward_batch)
        rows = out.reshape(out.shape[0], layer.HEADS, layer.RANK).tolist()
        up = [[layer.dot(value, self.weights.uv(h)[j]) for h, value in enumerate(row) for j in range(layer.V)] for row in rows]
        return self.o_proj(torch.tensor(up))[0]
