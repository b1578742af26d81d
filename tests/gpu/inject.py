#!/usr/bin/env python3
"""Makes attention captures on a GPU: healthy ones, and ones with exactly one (or two) injected bugs.

Needs torch >= 2.4 with CUDA and safetensors. Writes captures and truth.json, packed as tar files:

    python3 tests/gpu/inject.py --out DIR [--seconds N] [--megabytes N]

Every bug is injected into the arguments of a real kernel (SDPA flash, cudnn, efficient, math), or into an
explicit softmax where no kernel takes the bug as an argument. The formulas here are written from what the
identifiers mean; they share nothing with the C++ that is tested on the result.
"""
import argparse, json, math, os, random, tarfile, time, traceback

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

INF = float("inf")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

# name: heads, nope, rope, v, latent, theta, yarn (factor, original, mscale, mscale_all_dim) or None, interleaved
MODELS = {
    "v2lite": dict(heads=16, nope=128, rope=64, v=128, latent=512, theta=1e4, yarn=(40, 4096, 0.707, 0.707), interleaved=True),
    "v3": dict(heads=128, nope=128, rope=64, v=128, latent=512, theta=1e4, yarn=(40, 4096, 1.0, 1.0), interleaved=True),
    "kimi_k25": dict(heads=64, nope=128, rope=64, v=128, latent=512, theta=5e4, yarn=(64, 4096, 1.0, 1.0), interleaved=True),
    "glm5": dict(heads=64, nope=192, rope=64, v=256, latent=512, theta=1e6, yarn=None, interleaved=True),
    "minicpm3": dict(heads=40, nope=64, rope=32, v=64, latent=256, theta=1e4, yarn=None, interleaved=False),
    "longcat": dict(heads=64, nope=128, rope=64, v=128, latent=512, theta=1e7, yarn=None, interleaved=True),
    "madeup": dict(heads=6, nope=96, rope=48, v=80, latent=320, theta=5e5, yarn=(8, 2048, 0.8, 1.2), interleaved=True),
}


def g(factor, m):
    return 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1.0


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
    """One set of inputs on the GPU, in the tensor dtype; everything a bug may need."""

    def __init__(self, name, model, dtype, heads, tq, prefix, seed, spread=1.0, offset=0):
        gen = torch.Generator().manual_seed(seed)
        m = MODELS[model]
        self.m, self.model, self.dtype_name, self.seed = m, model, dtype, seed
        self.dtype, self.H, self.tq, self.p, self.tk = DTYPES[dtype], heads, tq, prefix, tq + prefix
        self.name = name
        P, R, V, L = m["nope"], m["rope"], m["v"], m["latent"]
        self.d = P + R
        rnd = lambda *s: torch.randn(*s, generator=gen, dtype=torch.float64)
        dt = self.dtype
        self.layout = "pairs" if m["interleaved"] and seed % 2 == 0 else "halves"
        self.kv_c = rnd(self.tk, L).to(dt)
        w = (rnd(heads, P + V, L) / math.sqrt(L)).to(dt)
        self.kv_b = w.reshape(heads * (P + V), L)
        self.q_pre = (rnd(self.tq, heads, self.d) * spread).to(dt)
        self.k_pe_pre = rnd(self.tk, R).to(dt)
        self.pos_q = torch.arange(prefix, self.tk) + offset
        self.pos_k = torch.arange(self.tk) + offset
        kv = torch.einsum("tl,hcl->thc", self.kv_c.double(), w.double())
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

    def roped(self, plain=False, swap=False, dq=0, dk=0, gain=1.0):
        """q_pe [Tq,H,R] and k_pe [Tk,R], roped another way."""
        inter = self.m["interleaved"] != swap
        f = inverse_frequencies(self.m, plain)
        layout = self.layout if not swap else "halves"
        P = self.m["nope"]
        gain *= self.cos_sin()
        q = rotate(self.q_pre[..., P:].double(), self.pos_q + dq, f, inter, layout, gain)
        k = rotate(self.k_pe_pre[:, None].double(), self.pos_k + dk, f, inter, layout, gain)
        return q.to(self.dtype), k[:, 0].to(self.dtype)

    def inputs(self, weights):
        t = dict(q=self.q, k=self.k, v=self.v, q_pre=self.q_pre, k_pe_pre=self.k_pe_pre, positions_q=self.pos_q, positions_k=self.pos_k)
        if weights:
            t.update(kv_c=self.kv_c, k_pe=self.k_pe, kv_b_proj=self.kv_b)
        return {k: v.contiguous() for k, v in t.items()}

    def visible(self):
        i, j = torch.arange(self.tq)[:, None], torch.arange(self.tk)[None]
        return j <= i + self.p


def kernel(which, q, k, v, scale, mask=None, causal=None):
    """q [Tq,H,D], k [Tk,H,D], v [Tk,H,V] -> out [Tq,H,V] in their dtype, lse [H,Tq] float32 (natural)."""
    tq, tk, vd, dt = q.shape[0], k.shape[0], v.shape[-1], q.dtype
    Q, K, Vv = (x.cuda().transpose(0, 1)[None].contiguous() for x in (q, k, v))
    if mask is None and causal is None:
        causal = True
    square = tq == tk
    if which == "flash":
        if mask is not None or (causal and not square) or dt == torch.float32:
            raise RuntimeError("flash cannot")
        Vp = F.pad(Vv, (0, Q.shape[-1] - vd)) if vd < Q.shape[-1] else Vv
        r = torch.ops.aten._scaled_dot_product_flash_attention(Q, K, Vp, 0.0, bool(causal), False, scale=scale)
        return r[0][0, :, :, :vd].transpose(0, 1).contiguous().cpu(), r[1][0].float()[:, :tq].cpu()
    if which == "cudnn":
        if mask is not None or (causal and not square) or dt == torch.float32:
            raise RuntimeError("cudnn cannot")
        r = torch.ops.aten._scaled_dot_product_cudnn_attention(Q, K, Vv, None, True, 0.0, bool(causal), False, scale=scale)
        return r[0][0].transpose(0, 1).contiguous().cpu(), r[1][0].float().reshape(Q.shape[1], tq).cpu()
    if causal and mask is None:
        i, j = torch.arange(tq)[:, None], torch.arange(tk)[None]
        mask = j <= i + tk - tq
    bias = None
    if mask is not None:
        m = mask.cuda()
        m = m[None] if m.dim() == 2 else m
        bias = torch.zeros(m.shape, device="cuda").masked_fill(~m, -INF)[None].expand(1, Q.shape[1], tq, tk)
    if which == "efficient":
        pad = (-tk) % 16
        b = None
        if bias is not None:
            b = F.pad(bias.to(dt), (0, pad)).contiguous()[..., :tk]
        r = torch.ops.aten._scaled_dot_product_efficient_attention(Q, K, Vv, b, True, 0.0, False, scale=scale)
        return r[0][0].transpose(0, 1).contiguous().cpu(), r[1][0].float()[:, :tq].cpu()
    if which == "explicit":  # float32 logits, P rounded to the dtype, float32 accumulation
        x = torch.einsum("hid,hjd->hij", Q[0].float(), K[0].float()) * scale
        if bias is not None:
            x = x + bias[0]
        lse = torch.logsumexp(x, -1)
        p = torch.softmax(x, -1).to(dt).float()
        o = torch.einsum("hij,hjd->hid", p, Vv[0].float()).to(dt)
        return o.transpose(0, 1).contiguous().cpu(), lse.cpu()
    if which == "eager":  # what model code does: logits and probabilities in the dtype
        x = torch.matmul(Q[0], K[0].transpose(1, 2)) * scale
        if bias is not None:
            x = x + bias[0].to(dt)
        lse = torch.logsumexp(x.float(), -1)
        p = torch.softmax(x, -1, dtype=torch.float32).to(dt)
        return torch.matmul(p, Vv[0]).transpose(0, 1).contiguous().cpu(), lse.cpu()
    raise ValueError(which)


def merge(parts, how="right"):
    """parts [(out, lse)], rows equal. how: right | base2 (2^lse read as e^) | base_e | average"""
    o = torch.stack([x[0].float() for x in parts])
    l = torch.stack([x[1].double() for x in parts])  # [n,H,T]
    if how == "average":
        w = torch.full_like(l, 1 / len(parts))
    else:
        w = torch.softmax(l * {"right": 1.0, "base2": math.log2(math.e), "base_e": math.log(2)}[how], 0)
    out = (o.double() * w.transpose(1, 2)[..., None]).sum(0)
    return out.to(parts[0][0].dtype), torch.logsumexp(l, 0).float()


def split_parts(P, kern, b, scale, scale_prefix=None):
    """Prefix [0,b) without a mask and the rest causal, for rows that see all of the prefix; -> first such row, parts"""
    first = max(0, b - P.p)
    rows = slice(first, P.tq)
    a = kernel(kern, P.q[rows], P.k[:b], P.v[:b], scale_prefix or scale, causal=False)
    if kern in ("flash", "cudnn") and P.p == b:
        c = kernel(kern, P.q[rows], P.k[b:], P.v[b:], scale)
    else:
        k2 = kern if kern not in ("flash", "cudnn") or (P.tq - first) == (P.tk - b) else "efficient"
        c = kernel(k2, P.q[rows], P.k[b:], P.v[b:], scale)
    return first, a, c


def whole(P, kern, scale=None, **kw):
    """All rows with the given kernel; flash and cudnn with a prefix go through a right merge."""
    scale = scale or P.s
    q, k, v = kw.get("q", P.q), kw.get("k", P.k), kw.get("v", P.v)
    if kern in ("flash", "cudnn") and P.p and kw.get("mask") is None:
        a = kernel(kern, q, k[: P.p], v[: P.p], scale, causal=False)
        b = kernel(kern, q, k[P.p :], v[P.p :], scale)
        return merge([a, b])
    return kernel(kern, q, k, v, scale, mask=kw.get("mask"))


def scale_values(P):
    m, f = P.m, P.gm
    d = P.d
    y = m["yarn"]
    out = {
        "latent_width": (m["latent"] + m["rope"]) ** -0.5,
        "kv_lora_width": m["latent"] ** -0.5,
        "nope_width": m["nope"] ** -0.5 * f**2,
        "v_width": m["v"] ** -0.5 * f**2,
        "rope_width": m["rope"] ** -0.5,
        "log2e_missing": P.s * math.log(2),
        "log2e_twice": P.s / math.log(2),
        "unit": 1.0,
        "squared": P.s**2,
        "other": P.s * 1.13,
        "padded_width": (1 << (d - 1).bit_length()) ** -0.5,
    }
    if y:
        out.update(latent_width_mscale=out["latent_width"] * f**2, nope_width_plain=m["nope"] ** -0.5, mscale_omitted=P.base,
                   mscale_once=P.base * f, mscale_twice=P.base * f**4, mscale_inverse=P.base / f**2)
        if y[2] != y[3]:
            out["mscale_wrong_key"] = P.base * g(y[0], y[2]) ** 2
    return {k: v for k, v in out.items() if abs(v / P.s - 1) > 1e-6}


def bugs(P, rng):
    """Yields (identifier, kernels to choose from, function(kernel) -> out, lse, notes)."""
    m, n, tq, tk, p, H = P.m, P.m["nope"], P.tq, P.tk, P.p, P.H
    anyk = ["flash", "cudnn", "efficient", "eager", "explicit"]
    maskk = ["efficient", "eager", "explicit"]
    i, j = torch.arange(tq)[:, None], torch.arange(tk)[None]
    vis = P.visible()
    ref = lambda kern: whole(P, kern)

    for name, value in scale_values(P).items():
        yield "scale." + name, anyk, lambda kern, value=value: (*whole(P, kern, value), dict(scale=value))

    def qk(q_pe, k_pe, q_nope=None, k_nope=None):
        q = torch.cat([P.q_pre[..., :n] if q_nope is None else q_nope, q_pe], -1)
        return dict(q=q, k=P.keys(P.k_nope if k_nope is None else k_nope, k_pe))

    mu = P.gm if P.gm != 1 else 1.2
    yield "rope.magnitude", anyk, lambda kern: (*whole(P, kern, **qk(*P.roped(gain=mu))), dict(ratio=mu * mu))
    yield "rope.dropped", anyk, lambda kern: (*whole(P, kern, **qk(P.q_pe * 0, P.k_pe)), {})
    yield "rope.nope_dropped", anyk, lambda kern: (*whole(P, kern, **qk(P.q_pe, P.k_pe, P.q_pre[..., :n] * 0)), {})
    yield "rope.interleave_swapped", anyk, lambda kern: (*whole(P, kern, **qk(*P.roped(swap=True))), {})
    if m["yarn"]:
        yield "rope.frequencies_plain", anyk, lambda kern: (*whole(P, kern, **qk(*P.roped(plain=True))), {})
    cs = P.cos_sin()
    yield "rope.not_applied", anyk, lambda kern: (*whole(P, kern, **qk((P.q_pre[..., n:].double() * cs).to(P.dtype), (P.k_pe_pre.double() * cs).to(P.dtype))), {})
    shifts = [(1, 0), (0, 1), (-1, 0), (rng.randrange(2, 40), 0)] + ([(-p, 0)] if p else [(0, 5)])
    dq, dk = rng.choice(shifts)
    yield "rope.positions_shifted", anyk, lambda kern: (*whole(P, kern, **qk(*P.roped(dq=dq, dk=dk))), dict(dq=dq, dk=dk))

    def with_lse(change):
        def run(kern):
            o, l = ref(kern)
            return o, change(l), {}
        return run

    yield "lse.base2", anyk, with_lse(lambda l: l * math.log2(math.e))
    yield "lse.transposed", anyk, with_lse(lambda l: l.T.contiguous().reshape(l.shape))

    def max_export(kern):
        o, l = ref(kern)
        x = torch.einsum("ihd,jhd->hij", P.q.double(), P.k.double()).masked_fill(~vis[None], -INF).amax(-1)
        wrong = P.base if P.gm != 1 else 0.8 * P.s
        return o, (l.double() + (wrong - P.s) * x).float(), dict(exported_scale=wrong)

    yield "lse.max_export", anyk, max_export

    b = p if p else rng.choice([32, 64])
    for how in ("base2", "base_e", "average"):
        def merged(kern, how=how):
            o, l = ref(kern)
            first, x, y = split_parts(P, kern, b, P.s)
            mo, ml = merge([x, y], how)
            o[first:] = mo
            return o, l, dict(boundary=b)
        yield "merge." + how, anyk, merged

    def dropped(kern):
        o, l = ref(kern)
        first, x, y = split_parts(P, kern, b, P.s)
        o[first:] = y[0]
        l[:, first:] = y[1]
        return o, l, dict(boundary=b)
    if p:
        yield "merge.context_dropped", anyk, dropped

    masked = lambda mask, **kw: lambda kern: (*whole(P, kern, mask=mask), kw)
    yield "mask.none", maskk, masked(torch.ones(tq, tk, dtype=torch.bool))
    if p:
        yield "mask.top_left", maskk, masked(j <= i)
    yield "mask.off_by_one_long", maskk, masked(j <= i + p + 1)
    yield "mask.off_by_one_short", maskk, masked(j <= i + p - 1)
    w = rng.choice([tk // 8, tk // 4, tk // 2])
    yield "mask.window", maskk, masked(vis & (j > i + p - w), window=w)

    size = rng.choice([16, 32] if tk >= 96 else [8, 16])
    page = rng.randrange(0 if p >= size else 1, max(2, (tk * 2 // 3) // size))
    inside = (j >= page * size) & (j < (page + 1) * size)
    yield "pages.missing", maskk, masked(vis & ~inside, page=page, size=size)

    def overwritten(kern):
        src = (page + 1 + rng.randrange(0, max(1, tk // size - 2))) % (tk // size)
        src = src if src != page else (page + 1) % (tk // size)
        idx = torch.arange(tk)
        idx[page * size : (page + 1) * size] = torch.arange(src * size, (src + 1) * size)
        return (*whole(P, kern, k=P.k[idx], v=P.v[idx]), dict(page=page, size=size, source=src))
    yield "pages.duplicated", anyk, overwritten

    def twice(kern):
        idx = torch.cat([torch.arange(tk), torch.arange(page * size, (page + 1) * size)])
        return (*whole(P, kern, k=P.k[idx], v=P.v[idx], mask=vis[:, idx]), dict(page=page, size=size, twice=True))
    yield "pages.duplicated", maskk, twice

    def sink(kern):
        o, l = ref(kern)
        z = torch.tensor([rng.uniform(0.5, 3.0) for _ in range(H)], dtype=torch.float64)
        o = (o.double() * torch.sigmoid(l.double() - z[:, None]).T[..., None]).to(P.dtype)
        included = rng.random() < 0.5
        if included:
            l = torch.logaddexp(l.double(), z[:, None]).float()
        return o, l, dict(sink=z.tolist(), lse_includes=included)
    yield "softmax.sink", ["flash", "efficient", "explicit"], sink

    def lanes(kern):
        n_pad = rng.choice([8, 17, 40, 64])
        k2 = torch.cat([P.k, torch.zeros(n_pad, *P.k.shape[1:], dtype=P.dtype)])
        v2 = torch.cat([P.v, torch.zeros(n_pad, *P.v.shape[1:], dtype=P.dtype)])
        o, l = whole(P, kern, k=k2, v=v2, mask=torch.cat([vis, torch.ones(tq, n_pad, dtype=torch.bool)], 1))
        return o, l, dict(lanes=n_pad)
    yield "softmax.padding_lanes", maskk, lanes

    def temperature(kern):
        beta, orig = rng.choice([(0.1, 32), (0.1, 64), (0.2, 48)])
        t = 1 + beta * torch.log(1 + torch.floor(P.pos_q.double() / orig))
        return (*whole(P, kern, q=(P.q.double() * t[:, None, None]).to(P.dtype)), dict(beta=beta, original=orig))
    yield "temperature.by_position", anyk, temperature

    gain = rng.choice([0.5, 0.0625, 1.7, 0.9])
    yield "value.gain", anyk, lambda kern: (*whole(P, kern, v=(P.v.double() * gain).to(P.dtype)), dict(gain=gain))
    perm = list(range(H))[::-1] if rng.random() < 0.5 else [(h + 1) % H for h in range(H)]
    yield "value.head_permuted", anyk, lambda kern: (*whole(P, kern, v=P.v[:, perm]), dict(permutation=perm))

    def out_permuted(kern):
        o, l = ref(kern)
        return o[:, perm].contiguous(), l, dict(permutation=perm, of="out")
    yield "value.head_permuted", anyk, out_permuted

    def split_swapped(kern):
        kv = torch.cat([P.k_nope, P.v], -1)
        v2, k2 = kv[..., : m["v"]].contiguous(), kv[..., m["v"] :].contiguous()
        return (*whole(P, kern, k=P.keys(k2, P.k_pe), v=v2), {})
    yield "value.split_swapped", anyk, split_swapped
    if m["nope"] == m["v"]:
        yield "value.split_swapped", anyk, lambda kern: (*whole(P, kern, v=P.k_nope), dict(only="v"))

    lg = rng.choice([2.0, 0.5, 4.0, 3.0])
    def latent(kern):
        return (*whole(P, kern, k=P.keys((P.k_nope.double() * lg).to(P.dtype), P.k_pe), v=(P.v.double() * lg).to(P.dtype)), dict(gain=lg))
    yield "latent.gain", anyk, latent

    def stride(kern):
        o, l = ref(kern)
        wide = F.pad(o, (0, max(P.d, m["v"] + 64) - m["v"]))
        return wide.flatten()[: o.numel()].reshape(o.shape).clone(), l, dict(width=wide.shape[-1])
    yield "output.stride", anyk, stride

    def tail(kern):
        o, l = ref(kern)
        n_bad = rng.choice([1, 7, 16, tq % 64 or 32])
        kind = rng.choice(["zero", "random", "stale", "huge"])
        if kind == "zero":
            o[-n_bad:] = 0
        elif kind == "random":
            o[-n_bad:] = torch.randn(o[-n_bad:].shape).to(P.dtype)
        elif kind == "stale":
            o[-n_bad:] = o[:n_bad].clone()
        else:
            o[-n_bad:] = (torch.randn(o[-n_bad:].shape) * 1e4).to(P.dtype)
        return o, l, dict(rows=n_bad, kind=kind)
    yield "tail.uninitialised", anyk, tail

    def nan(kern):
        o, l = ref(kern)
        r = rng.randrange(1, tq)
        kind = rng.choice(["row", "element", "inf", "head"])
        if kind == "row":
            o[r] = float("nan")
        elif kind == "element":
            o[r, 0, 3] = float("nan")
        elif kind == "inf":
            o[r, H - 1] = INF
        else:
            o[:, H - 1] = float("nan")
        return o, l, dict(kind=kind, row=r)
    yield "output.nan", anyk, nan

    def two(kern):  # wrong scale and base-2 lse
        o, l = whole(P, kern, scale_values(P)["latent_width"])
        return o, l * math.log2(math.e), dict(second="lse.base2", scale=scale_values(P)["latent_width"])
    yield "scale.latent_width", anyk, two

    if p:
        def phase(kern):  # the context chunk computed with another scale than the new tokens
            value = scale_values(P)["latent_width"]
            _, x, y = split_parts(P, kern, p, P.s, scale_prefix=value)
            return (*merge([x, y]), dict(where="context", scale=value))
        yield "scale.latent_width", anyk, phase

    def rows(kern):  # the last rows went another way, with another scale
        value = scale_values(P)["latent_width"]
        o, l = ref(kern)
        o2, l2 = whole(P, kern, value)
        r = tq // 2
        o[r:], l[:, r:] = o2[r:], l2[:, r:]
        return o, l, dict(where="rows", first=r, scale=value)
    yield "scale.latent_width", anyk, rows


class Packer:
    """Files into a few tar files, none over a limit, with a total."""

    def __init__(self, folder, total, each=14 << 20):
        self.folder, self.total, self.each = folder, total, each
        self.index, self.used, self.tar, self.size = 0, 0, None, 0
        os.makedirs(folder, exist_ok=True)

    def add(self, path, name):
        n = os.path.getsize(path) + 1536
        if self.used + n > self.total:
            return False
        if self.tar is None or self.size + n > self.each:
            if self.tar:
                self.tar.close()
            self.tar = tarfile.open(os.path.join(self.folder, f"captures{self.index}.tar"), "w")
            self.index, self.size = self.index + 1, 0
        self.tar.add(path, name)
        self.size, self.used = self.size + n, self.used + n
        os.remove(path)
        return True


def wide_problems():
    """The second set: longer, more heads, weak and strong logits, many more healthy captures."""
    yield "w_v3_bf16", "v3", "bf16", 2, 384, 128, 70, 1.0, 0, 1
    yield "w_v2lite_fp16", "v2lite", "fp16", 4, 160, 0, 71, 0.3, 0, 1
    yield "w_kimi_bf16", "kimi_k25", "bf16", 8, 64, 192, 72, 1.0, 0, 1
    yield "w_glm5_fp16", "glm5", "fp16", 2, 96, 32, 73, 1.6, 0, 1
    yield "w_minicpm3_bf16", "minicpm3", "bf16", 10, 96, 16, 74, 0.15, 0, 1
    yield "w_longcat_bf16", "longcat", "bf16", 2, 192, 0, 75, 2.0, 0, 1
    yield "w_madeup_bf16", "madeup", "bf16", 2, 300, 20, 76, 1.0, 0, 1
    yield "w_minicpm3_fp16", "minicpm3", "fp16", 2, 512, 0, 77, 1.0, 0, 1
    for seed in range(80, 128):
        model = list(MODELS)[seed % 7]
        dtype = ["bf16", "fp16", "bf16", "fp32", "bf16"][seed % 5]
        yield f"g{seed}_{model}_{dtype}", model, dtype, 2, 24 + (seed * 37) % 90, [0, 8, 0, 64][seed % 4], seed, [0.05, 0.3, 1.0, 2.5][seed % 4 if seed % 3 else 2], 0, 0


def problems():
    """(name, model, dtype, heads, tq, prefix, seed, spread, offset, depth): depth 2 all bugs, 1 some, 0 healthy only"""
    yield "v2lite_bf16_p0", "v2lite", "bf16", 2, 128, 0, 10, 1.0, 0, 2
    yield "v3_bf16_p64", "v3", "bf16", 4, 72, 64, 11, 1.0, 0, 2
    yield "madeup_fp16_p0", "madeup", "fp16", 3, 112, 0, 12, 1.0, 0, 2
    yield "minicpm3_fp32_p48", "minicpm3", "fp32", 2, 100, 48, 13, 1.0, 0, 2
    yield "glm5_bf16_p0", "glm5", "bf16", 2, 80, 0, 14, 1.0, 0, 2
    yield "longcat_bf16_p32", "longcat", "bf16", 2, 120, 32, 15, 1.0, 0, 2
    yield "kimi_fp16_p96", "kimi_k25", "fp16", 2, 64, 96, 16, 0.6, 0, 2
    yield "madeup_bf16_p64", "madeup", "bf16", 6, 64, 64, 17, 0.5, 0, 2
    yield "v2lite_fp32_p0", "v2lite", "fp32", 2, 56, 0, 18, 1.0, 0, 2
    yield "minicpm3_bf16_p0", "minicpm3", "bf16", 4, 144, 0, 19, 0.4, 0, 2
    yield "kimi_bf16_far", "kimi_k25", "bf16", 2, 160, 0, 20, 1.0, 8000, 1
    yield "v3_fp16_p0", "v3", "fp16", 2, 96, 0, 21, 2.0, 0, 1
    yield "glm5_fp32_p16", "glm5", "fp32", 2, 64, 16, 22, 1.0, 0, 1
    for seed in range(30, 54):
        model = list(MODELS)[seed % 7]
        heads = {"minicpm3": 2, "madeup": 3}.get(model, 2)
        dtype = ["bf16", "fp16", "bf16", "fp32"][seed % 4]
        yield f"h{seed}_{model}_{dtype}", model, dtype, heads, 40 + (seed * 17) % 40, [0, 0, 24, 57][seed % 4 if seed % 3 else 0], seed, [0.3, 1.0, 2.0][seed % 3], 0, 0


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--out", required=True)
    a.add_argument("--seconds", type=float, default=400)
    a.add_argument("--megabytes", type=float, default=50)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--wide", action="store_true", help="the second set of problems")
    opt = a.parse_args()
    begin = time.time()
    torch.backends.cuda.matmul.allow_tf32 = False
    pack = Packer(opt.out, int(opt.megabytes * 2**20))
    truth, errors, full = [], [], False
    for name, model, dtype, heads, tq, p, seed, spread, offset, depth in (wide_problems() if opt.wide else problems()):
        if full or time.time() - begin > opt.seconds:
            errors.append(f"stopped before {name}")
            break
        try:
            P = Problem(name, model, dtype, heads, tq, p, seed + 1000 * opt.seed, spread, offset)
        except Exception:
            errors.append(f"{name}: {traceback.format_exc(limit=3)}")
            continue
        rng = random.Random(seed + 1000 * opt.seed)
        inputs = f"{name}.inputs.safetensors"
        save_file(P.inputs(weights=name in ("madeup_bf16_p64", "minicpm3_bf16_p0")), "/tmp/inject.tmp")
        full = not pack.add("/tmp/inject.tmp", inputs)
        jobs = [("healthy", [k], lambda kern: (*whole(P, kern), {})) for k in ("flash", "cudnn", "efficient", "eager", "explicit")]
        if opt.wide:
            def chunked(kern, P=P):
                b = P.p if P.p else P.tq // 2
                o, l = whole(P, kern)
                first, x, y = split_parts(P, kern, b, P.s)
                o[first:], l[:, first:] = merge([x, y])
                return o, l, dict(chunk=b)

            def tf32(kern, P=P):
                torch.backends.cuda.matmul.allow_tf32 = True
                try:
                    return (*whole(P, kern), dict(tf32=True))
                finally:
                    torch.backends.cuda.matmul.allow_tf32 = False

            def scaled_query(kern, P=P):  # scale folded into q, rounded
                return (*whole(P, kern, 1.0, q=(P.q.double() * P.s).to(P.dtype)), dict(scaled_query=True))

            jobs += [("healthy", [k], chunked) for k in ("flash", "eager")] + [("healthy", [k], scaled_query) for k in ("flash", "eager")]
            if dtype == "fp32":
                jobs += [("healthy", [k], tf32) for k in ("eager", "efficient", "explicit")]
        if depth:
            jobs += list(bugs(P, rng))
        for count, (identifier, kernels, run) in enumerate(jobs):
            if full:
                break
            if depth == 1 and identifier != "healthy" and rng.random() < 0.6:
                continue
            order = kernels if identifier == "healthy" else rng.sample(kernels, len(kernels))
            failed = []
            for kern in order:
                try:
                    out, lse, notes = run(kern)
                    torch.cuda.synchronize()
                except Exception as e:
                    failed.append(f"{kern}: {str(e).splitlines()[0][:120] if str(e) else type(e).__name__}")
                    continue
                lse_free = not identifier.startswith("lse.") and rng.random() < 0.3
                file = f"{name}.{count:02d}.{identifier}.{kern}.safetensors"
                tensors = dict(out=out.contiguous())
                if not lse_free:
                    tensors["lse"] = lse.float().contiguous()
                save_file(tensors, "/tmp/inject.tmp")
                if not pack.add("/tmp/inject.tmp", file):
                    full = True
                    break
                y = P.m["yarn"]
                truth.append(dict(file=file, inputs=inputs, config=model, bug=identifier, kernel=kern, dtype=dtype, scale_ref=P.s, lse=not lse_free,
                                  prefix=p, notes=notes, spread=spread))
                break
            else:
                errors.append(f"{name} {identifier}: {failed}")
    models = {k: dict(v, inv_freq=inverse_frequencies(v).tolist(), inv_freq_plain=inverse_frequencies(v, True).tolist()) for k, v in MODELS.items()}
    with open("/tmp/inject.tmp", "w") as f:
        json.dump(dict(captures=truth, models=models, errors=errors, torch=torch.__version__, device=torch.cuda.get_device_name()), f, indent=1)
    pack.total += 8 << 20
    pack.add("/tmp/inject.tmp", "truth.json")
    pack.tar.close()
    print(f"{len(truth)} captures, {pack.used / 2**20:.1f} MiB in {pack.index} files, {len(errors)} errors, {time.time() - begin:.0f} s")
    for e in errors[:40]:
        print(" ", e)


if __name__ == "__main__":
    main()
