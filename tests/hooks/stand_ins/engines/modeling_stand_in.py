"""A model file as transformers and remote code have them; which function runs is the module's choice."""
import math
from types import SimpleNamespace

import numbers_of_a_layer as layer
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def _batched(query, key, value, scale):
    """[B, H, T, D] tensors -> out [B][H][T][V] and lse [B][H][T]."""
    out, lse = [], []
    for q, k, v in zip(query.tolist(), key.tolist(), value.tolist()):
        out.append([])
        lse.append([])
        for q_head, k_head, v_head in zip(q, k, v):
            prefix = len(k_head) - len(q_head)
            found = [layer.attend(row, k_head[: prefix + i + 1], v_head[: prefix + i + 1], scale) for i, row in enumerate(q_head)]
            out[-1].append([o for o, _ in found])
            lse[-1].append([s for _, s in found])
    return out, lse


def _causal_softmax(rows, scale):
    result = []
    for i, row in enumerate(rows):
        seen = row[: len(row) - len(rows) + i + 1]
        weights = [math.exp(scale * (x - max(seen))) for x in seen]
        result.append([w / sum(weights) for w in weights] + [0.0] * (len(row) - len(seen)))
    return result


def sdpa(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    return torch.tensor(_batched(query, key, value, query.shape[-1] ** -0.5 if scale is None else scale)[0])


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    if module.breaks:
        raise RuntimeError("the model's own error")
    out, lse = _batched(query, key, value, scaling)
    return torch.tensor(out).transpose(1, 2).contiguous(), torch.tensor(lse) if module.returns_lse else None


def apply_rotary_pos_emb(q, k, cos, sin):
    """A quarter turn of each pair, which is enough to be another number."""
    turn = lambda x: torch.tensor([[[[line[1], -line[0]] for line in rows] for rows in heads] for heads in x.tolist()])  # noqa: E731
    return turn(q), turn(k)


class KvB(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weight, self.weights = torch.tensor(weights.kv_b), weights

    def forward(self, latent):
        return latent


class Attention(torch.nn.Module):
    def __init__(self, layer_idx, scaling, way="eager", returns_lse=False, breaks=False, caches_latent=False):
        super().__init__()
        self.layer_idx, self.scaling, self.way, self.returns_lse, self.breaks = layer_idx, scaling, way, returns_lse, breaks
        self.caches_latent = caches_latent
        self.config = SimpleNamespace(_attn_implementation=way if way in ALL_ATTENTION_FUNCTIONS else "eager", model_type="deepseek_v3")
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = layer.NOPE, layer.ROPE, layer.V
        self.softmax_scale = scaling
        self.kv_b_proj = KvB(layer.Weights())

    def forward(self, hidden_states, numbers=(), first=0, attention_mask=None, position_ids=None):
        heads = range(layer.HEADS)
        # transformers 5.17 caches the latent and expands all of it; before, only new tokens are.
        seen = 0 if self.caches_latent else first
        self.kv_b_proj(torch.tensor([n.kv_c[seen:] for n in numbers]))
        expanded = [[self.kv_b_proj.weights.expand(c, p) for c, p in zip(n.kv_c, n.k_pe)] for n in numbers]
        q = torch.tensor([[[row[h] for row in n.q[first:]] for h in heads] for n in numbers])
        k = torch.tensor([[[k[h] for k, _ in one] for h in heads] for one in expanded])
        v = torch.tensor([[[v[h] for _, v in one] for h in heads] for one in expanded])
        rope, key_rope = apply_rotary_pos_emb(q[..., layer.NOPE :], k[:, :1, :, layer.NOPE :], None, None)
        q = torch.cat([q[..., : layer.NOPE], rope], dim=-1)
        k = torch.cat([k[..., : layer.NOPE], torch.cat([key_rope] * layer.HEADS, dim=1)], dim=-1)
        if self.way == "sdpa_direct":
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scaling).transpose(1, 2)
        if self.way == "matmul":  # as the original code of DeepSeek's models
            logits = torch.matmul(q, k.transpose(2, 3))
            weights = [[_causal_softmax(rows, self.softmax_scale) for rows in heads] for heads in logits.tolist()]
            return torch.matmul(torch.tensor(weights), v).transpose(1, 2)
        function = ALL_ATTENTION_FUNCTIONS.get(self.config._attn_implementation, eager_attention_forward)
        return function(self, q, k, v, attention_mask, scaling=self.scaling)[0]


class Model(torch.nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = list(layers)

    def named_modules(self):
        return [(f"layers.{i}", module) for i, module in enumerate(self.layers)]
