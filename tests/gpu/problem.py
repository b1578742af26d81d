"""Random inputs of one attention call, as a model would produce them: geometry, RoPE, latent and expanded forms."""
import math

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

# yarn: (factor, original_max_position_embeddings, mscale, mscale_all_dim)
MODELS = {
    "v2lite": dict(type="deepseek_v2", heads=16, nope=128, rope=64, v=128, latent=512, theta=1e4, yarn=(40, 4096, 0.707, 0.707)),
    "v3": dict(type="deepseek_v3", heads=128, nope=128, rope=64, v=128, latent=512, theta=1e4, yarn=(40, 4096, 1.0, 1.0)),
    "kimi_k25": dict(type="kimi_k2", heads=64, nope=128, rope=64, v=128, latent=512, theta=5e4, yarn=(64, 4096, 1.0, 1.0)),
    "glm5": dict(type="glm_moe_dsa", heads=64, nope=192, rope=64, v=256, latent=512, theta=1e6, yarn=None),
    "minicpm3": dict(type="minicpm3", heads=40, nope=64, rope=32, v=64, latent=256, theta=1e4, yarn=None, interleaved=False),
    "longcat": dict(type="longcat_flash", heads=64, nope=128, rope=64, v=128, latent=512, theta=1e7, yarn=None),
    "madeup": dict(type="deepseek_v3", heads=48, nope=96, rope=48, v=80, latent=320, theta=5e5, yarn=(8, 2048, 0.8, 1.2)),
}


def g(factor, m):
    return 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1.0


def config(name):
    """config.json of a model, as its family spells it."""
    m = MODELS[name]
    c = dict(model_type=m["type"], num_attention_heads=m["heads"], num_key_value_heads=m["heads"], num_hidden_layers=2,
             q_lora_rank=768, kv_lora_rank=m["latent"], qk_nope_head_dim=m["nope"], qk_rope_head_dim=m["rope"],
             v_head_dim=m["v"], hidden_size=2048, max_position_embeddings=163840, rope_theta=m["theta"])
    if m["yarn"]:
        f, original, a, b = m["yarn"]
        c["rope_scaling"] = dict(type="yarn", factor=f, original_max_position_embeddings=original, beta_fast=32, beta_slow=1,
                                 mscale=a, mscale_all_dim=b)
    return c


def inverse_frequencies(m, plain=False):
    r, theta = m["rope"], m["theta"]
    base = theta ** (-torch.arange(0, r, 2, dtype=torch.float64) / r)
    if m["yarn"] is None or plain:
        return base
    factor, original = m["yarn"][0], m["yarn"][1]

    def dim(rotations):
        return r * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = max(math.floor(dim(32)), 0), min(math.ceil(dim(1)), r - 1)
    ramp = ((torch.arange(r // 2, dtype=torch.float64) - low) / max(high - low, 1e-3)).clamp(0, 1)
    return base * (1 - ramp) + base / factor * ramp


def rotate(x, positions, freqs, interleaved, layout, gain=1.0):
    """x [T, H, R] float64 before RoPE -> after; `layout` is that of the result: "pairs" or "halves"."""
    angle = positions.double()[:, None] * freqs[None]
    c, s = angle.cos()[:, None] * gain, angle.sin()[:, None] * gain
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
    else:
        a, b = x.chunk(2, -1)
    ra, rb = a * c - b * s, b * c + a * s
    if layout == "pairs":
        return torch.stack([ra, rb], -1).flatten(-2)
    return torch.cat([ra, rb], -1)


class Problem:
    """One sequence: inputs in the tensor dtype, and everything a bug may need."""

    def __init__(self, model, dtype, heads, tq, prefix, seed, spread=1.0, offset=0):
        gen = torch.Generator().manual_seed(seed)
        m = MODELS[model]
        self.m, self.model, self.dtype_name, self.seed = m, model, dtype, seed
        self.dtype, self.H, self.tq, self.p, self.tk = DTYPES[dtype], heads, tq, prefix, tq + prefix
        self.interleaved = m.get("interleaved", True)
        P, R, V, L = m["nope"], m["rope"], m["v"], m["latent"]
        self.d = P + R
        rnd = lambda *s: torch.randn(*s, generator=gen, dtype=torch.float64)
        dt = self.dtype
        self.in_batch = False  # one of several sequences in a call
        self.layout = "pairs" if self.interleaved and seed % 2 == 0 else "halves"
        self.kv_c = rnd(self.tk, L).to(dt)
        # Weights belong to the model, not to the sequence: several sequences share them.
        wgen = torch.Generator().manual_seed(heads)
        self.w = (torch.randn(heads, P + V, L, generator=wgen, dtype=torch.float64) / math.sqrt(L)).to(dt)
        self.kv_b = self.w.reshape(heads * (P + V), L)
        self.q_pre = (rnd(self.tq, heads, self.d) * spread).to(dt)
        self.k_pe_pre = rnd(self.tk, R).to(dt)
        self.pos_q = torch.arange(prefix, self.tk) + offset
        self.pos_k = torch.arange(self.tk) + offset
        kv = torch.einsum("tl,hcl->thc", self.kv_c.double(), self.w.double())
        self.k_nope, self.v = kv[..., :P].to(dt), kv[..., P:].contiguous().to(dt)
        self.q_pe, self.k_pe = self.roped()
        self.q = torch.cat([self.q_pre[..., :P], self.q_pe], -1)
        self.k = self.keys(self.k_nope, self.k_pe)
        self.base = self.d ** -0.5
        self.gm = g(m["yarn"][0], m["yarn"][3]) if m["yarn"] else 1.0
        self.s = self.base * self.gm**2

    def cos_sin(self):
        y = self.m["yarn"]
        return g(y[0], y[2]) / g(y[0], y[3]) if y else 1.0

    def keys(self, nope, pe):
        return torch.cat([nope, pe[:, None].expand(-1, self.H, -1)], -1).contiguous()

    def roped(self, plain=False, swap="", dq=0, dk=0, gain_q=1.0, gain_k=1.0, pos_k=None):
        """q_pe [Tq,H,R] and k_pe [Tk,R], roped another way; `swap` names those with the other pairs: "q", "k", "qk"."""
        f = inverse_frequencies(self.m, plain)
        P, cs = self.m["nope"], self.cos_sin()
        layout = "halves" if swap else self.layout
        # Pairs that only one of the two swaps must come out in one layout, else the columns do not meet.
        q = rotate(self.q_pre[..., P:].double(), self.pos_q + dq, f, self.interleaved != ("q" in swap), layout, cs * gain_q)
        k = rotate(self.k_pe_pre[:, None].double(), (self.pos_k if pos_k is None else pos_k) + dk, f,
                   self.interleaved != ("k" in swap), layout, cs * gain_k)
        return q.to(self.dtype), k[:, 0].to(self.dtype)

    def visible(self):
        i, j = torch.arange(self.tq)[:, None], torch.arange(self.tk)[None]
        return j <= i + self.p
