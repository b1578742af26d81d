"""Every identifier of the diagnosis as arguments of a kernel, in the readings that people have seen.

bugs(P, rng) yields (identifier, kernels that can, function(kernel) -> out, lse, notes). The formulas are written from what
the identifiers mean; they share nothing with the C++ that is tested on the result.
"""
import math
import random

import torch
import torch.nn.functional as F

from kernels import ANY, INF, MASKED, kernel, merge, split_parts, whole
from problem import g

LOG2E = math.log2(math.e)


def scale_values(P):
    m, f, d, y = P.m, P.gm, P.d, P.m["yarn"]
    padded = 1 << (d - 1).bit_length()
    out = {
        "latent_width": [(m["latent"] + m["rope"]) ** -0.5],
        "kv_lora_width": [m["latent"] ** -0.5],
        "nope_width": [m["nope"] ** -0.5 * f**2],
        "v_width": [m["v"] ** -0.5 * f**2],
        "rope_width": [m["rope"] ** -0.5, m["rope"] ** -0.5 * f**2],
        "log2e_missing": [P.s * math.log(2)],
        "log2e_twice": [P.s * LOG2E],
        "unit": [1.0],
        "squared": [P.s**2],
        "other": [P.s * 1.13, P.s * 0.97, P.s * 2.5, P.s * 1.004],
        "padded_width": [padded**-0.5],
    }
    if y:
        out["kv_lora_width"].append(m["latent"] ** -0.5 * f**2)
        out["padded_width"].append(padded**-0.5 * f**2)
        out["v_width"].append(m["v"] ** -0.5)
        out.update(latent_width_mscale=[out["latent_width"][0] * f**2], nope_width_plain=[m["nope"] ** -0.5], mscale_omitted=[P.base],
                   mscale_once=[P.base * f], mscale_twice=[P.base * f**4], mscale_inverse=[P.base / f**2])
        if y[2] != y[3]:
            out["mscale_wrong_key"] = [P.base * g(y[0], y[2]) ** 2]
    return {k: [x for x in v if abs(x / P.s - 1) > 1e-6] for k, v in out.items()}


def alike(P, value):
    """All names that a scale has in this model: no capture can tell them apart."""
    return ["scale." + k for k, v in scale_values(P).items() for x in v if abs(x / value - 1) < 1e-9]


def scales(P, rng):
    for name, values in scale_values(P).items():
        if values:
            value = rng.choice(values)
            yield "scale." + name, ANY, lambda kern, x=value: (*whole(P, kern, x), dict(scale=x, alike=alike(P, x)))
    value = rng.choice([x for n, v in scale_values(P).items() for x in v if n != "other" and not 0.9 < x / P.s < 1.1 and x < 2 * P.s])
    name = alike(P, value)[0]
    notes = dict(scale=value, alike=alike(P, value))

    def with_base_two(kern):
        o, l = whole(P, kern, value)
        return o, l * LOG2E, dict(notes, second="lse.base2")
    yield name, ANY, with_base_two

    def later_rows(kern):
        r = rng.randrange(P.tq // 4, 3 * P.tq // 4)
        (o, l), (o2, l2) = whole(P, kern), whole(P, kern, value)
        o[r:], l[:, r:] = o2[r:], l2[:, r:]
        return o, l, dict(notes, where="rows", first=r)
    yield name, ANY, later_rows
    if P.H > 1:
        def one_head(kern):
            h = rng.randrange(P.H)
            (o, l), (o2, l2) = whole(P, kern), whole(P, kern, value)
            o[:, h], l[h] = o2[:, h], l2[h]
            return o, l, dict(notes, where="head", head=h)
        yield name, ANY, one_head
    if P.p:
        def phase(kern):
            in_context = rng.random() < 0.5
            _, parts = split_parts(P, kern, [P.p], value if not in_context else P.s, value if in_context else P.s)
            return (*merge(parts), dict(notes, where="context" if in_context else "new"))
        yield name, ANY, phase

        def with_mask(kern, value=value):
            i, j = torch.arange(P.tq)[:, None], torch.arange(P.tk)[None]
            return (*whole(P, kern, value, mask=j <= i), dict(notes, second="mask.top_left"))
        yield name, [k for k in MASKED if k != "triton"], with_mask


def ropes(P, rng):
    m, n = P.m, P.m["nope"]

    def qk(q_pe, k_pe, q_nope=None):
        return dict(q=torch.cat([P.q_pre[..., :n] if q_nope is None else q_nope, q_pe], -1), k=P.keys(P.k_nope, k_pe))

    def run(notes, *pe, **kw):
        return lambda kern: (*whole(P, kern, **qk(*pe, **kw)), notes)

    mu = P.gm if P.gm != 1 else 1.2
    gq, gk = rng.choice([(mu, mu), (mu, mu), (1 / mu, 1 / mu), (mu, 1.0), (1.5, 1.5)])
    yield "rope.magnitude", ANY, run(dict(ratio=gq * gk), *P.roped(gain_q=gq, gain_k=gk))
    yield "rope.dropped", ANY, run({}, P.q_pe * 0, P.k_pe)
    yield "rope.nope_dropped", ANY, run({}, P.q_pe, P.k_pe, q_nope=P.q_pre[..., :n] * 0)
    side = rng.choice(["qk", "qk", "q", "k"])
    yield "rope.interleave_swapped", ANY, run(dict(side=side), *P.roped(swap=side))
    side = rng.choice(["qk", "qk", "q", "k"])
    if m["yarn"]:
        (q0, k0), (q1, k1) = P.roped(), P.roped(plain=True)
        yield "rope.frequencies_plain", ANY, run(dict(side=side), q1 if "q" in side else q0, k1 if "k" in side else k0)
    cs = P.cos_sin()
    q1, k1 = ((x.double() * cs).to(P.dtype) for x in (P.q_pre[..., n:], P.k_pe_pre))
    side = rng.choice(["qk", "qk", "q", "k"])
    if side != "qk":  # the unrotated side keeps the columns of q_pre, the other the layout of the capture
        order = torch.arange(m["rope"])
        if P.interleaved and P.layout == "halves":
            order = torch.cat([order[0::2], order[1::2]])
        q1, k1 = q1[..., order], k1[..., order]
    yield "rope.not_applied", ANY, run(dict(side=side), q1 if "q" in side else P.q_pe, k1 if "k" in side else P.k_pe)
    choices = [(1, 0), (0, 1), (-1, 0), (rng.randrange(2, 40), 0), (0, rng.choice([64, 100, 256]))]
    if P.p:
        choices += [(-P.p, 0)] * 2
    dq, dk = rng.choice(choices)
    yield "rope.positions_shifted", ANY, run(dict(dq=dq, dk=dk), *P.roped(dq=dq, dk=dk))
    if P.p:  # the positions of the new tokens start again at 0
        pos_k = torch.cat([P.pos_k[: P.p], P.pos_k[P.p :] - P.p])
        yield "rope.positions_shifted", ANY, run(dict(dq=-P.p, restart=True), *P.roped(dq=-P.p, pos_k=pos_k))


def lses(P, rng):
    def run(change, **notes):
        def go(kern):
            o, l = whole(P, kern)
            return o, change(l), notes
        return go

    yield "lse.base2", ANY, run(lambda l: l * LOG2E)
    if P.H > 1:
        yield "lse.transposed", ANY, run(lambda l: l.T.contiguous().reshape(l.shape))
    wrong = rng.choice([P.base if P.gm != 1 else 0.8 * P.s, 1.0, P.s * LOG2E])

    def max_export(kern):
        o, l = whole(P, kern)
        x = torch.einsum("ihd,jhd->hij", P.q.double(), P.k.double()).masked_fill(~P.visible()[None], -INF).amax(-1)
        return o, (l.double() + (wrong - P.s) * x).float(), dict(exported_scale=wrong)
    yield "lse.max_export", ANY, max_export


def merges(P, rng):
    for how, slope in (("base2", LOG2E), ("base_e", math.log(2)), ("average", 0.0)):
        if P.p > 1:
            cuts = rng.choice([[P.p], [P.p], [P.p // 2, P.p]])
            cuts = [P.p] if P.in_batch else cuts
        else:
            cuts = [rng.choice([32, 64, P.tq // 2])]
        cuts = [c for c in cuts if 0 < c < P.tk]
        lse_kind = rng.choice(["right", "right", "wrong"])

        def run(kern, slope=slope, cuts=cuts, lse_kind=lse_kind):
            o, l = whole(P, kern)
            first, parts = split_parts(P, kern, cuts, P.s)
            o[first:] = merge(parts, slope)[0]
            if lse_kind == "wrong" and slope:
                l[:, first:] = torch.logsumexp(torch.stack([x[1].double() for x in parts]) * slope, 0).float()
            return o, l, dict(boundaries=cuts, lse=lse_kind)
        yield "merge." + how, ANY, run
    if P.p:
        def dropped(kern):
            o, l = whole(P, kern)
            _, parts = split_parts(P, kern, [P.p], P.s)
            keep = rng.random() < 0.3
            return parts[1][0], (l if keep else parts[1][1]), dict(boundary=P.p, right_lse=keep)
        yield "merge.context_dropped", ANY, dropped


def masks(P, rng):
    tq, tk, p = P.tq, P.tk, P.p
    i, j = torch.arange(tq)[:, None], torch.arange(tk)[None]
    band = lambda offset, window=10**6: lambda kern: (*whole(P, kern, band=(offset, window)), dict(offset=offset, window=window))
    yield "mask.none", MASKED, band(tk)
    if p:
        yield "mask.top_left", MASKED, band(0)
    yield "mask.off_by_one_long", MASKED, band(p + 1)
    yield "mask.off_by_one_short", MASKED, band(p - 1)
    w = rng.choice([16, 32, 64, 100, 128, tk // 8, tk // 4, tk // 2, tk * 3 // 4])
    w = w if w < tk - 4 else tk // 3
    yield "mask.window", MASKED, band(p, w)


def pages(P, rng):
    tq, tk, p = P.tq, P.tk, P.p
    vis = P.visible()
    j = torch.arange(tk)[None]
    masked_kernels = [k for k in MASKED if k != "triton"]
    size = rng.choice([16, 32, 64] if tk >= 192 else [8, 16, 32] if tk >= 96 else [8, 16])
    pages = tk // size
    page = rng.randrange(0 if p > 2 * size else 1, max(2, pages * 2 // 3))  # never all of the prefix
    count = rng.choice([1, 1, 2]) if (page + 2) * size < tk * 3 // 4 else 1
    inside = (j >= page * size) & (j < (page + count) * size)
    yield "pages.missing", masked_kernels, lambda kern: (*whole(P, kern, mask=vis & ~inside), dict(page=page, size=size, count=count))

    def zeroed(kern):
        k, v = P.k.clone(), P.v.clone()
        k[page * size : (page + 1) * size] = 0
        v[page * size : (page + 1) * size] = 0
        return (*whole(P, kern, k=k, v=v), dict(page=page, size=size, zeroed=True))
    yield "pages.missing", ANY, zeroed

    def overwritten(kern):
        src = rng.choice([x for x in range(pages) if x != page] + [max(0, page - 1)] * 4)
        src = src if src != page else page + 1
        idx = torch.arange(tk)
        idx[page * size : (page + 1) * size] = torch.arange(src * size, (src + 1) * size)
        return (*whole(P, kern, k=P.k[idx], v=P.v[idx]), dict(page=page, size=size, source=src))
    yield "pages.duplicated", ANY, overwritten

    def twice(kern):
        idx = torch.cat([torch.arange(tk), torch.arange(page * size, (page + 1) * size)])
        return (*whole(P, kern, k=P.k[idx], v=P.v[idx], mask=vis[:, idx]), dict(page=page, size=size, twice=True))
    yield "pages.duplicated", masked_kernels, twice


def softmaxes(P, rng):
    tq, tk, H = P.tq, P.tk, P.H
    vis = P.visible()
    masked_kernels = [k for k in MASKED if k != "triton"]

    def sink(kern):
        o, l = whole(P, kern)
        # A sink far below lse moves out by less than its rounding.
        low, high = rng.choice([(0.5, 3.0), (2.0, 5.0), (-1.0, 1.0) if P.p == 0 else (3.0, 4.0)])
        z = torch.tensor([rng.uniform(low, high) for _ in range(H)], dtype=torch.float64)
        if rng.random() < 0.3:
            z[:] = z[0]
        o = (o.double() * torch.sigmoid(l.double() - z[:, None]).T[..., None]).to(P.dtype)
        included = rng.random() < 0.5
        if included:
            l = torch.logaddexp(l.double(), z[:, None]).float()
        return o, l, dict(sink=z.tolist(), lse_includes=included)
    yield "softmax.sink", ANY, sink

    def lanes(kern):
        n_pad = rng.choice([8, 17, 40, 64, (-tk) % 64 or 64, (-tk) % 128 or 128])
        k2 = torch.cat([P.k, torch.zeros(n_pad, *P.k.shape[1:], dtype=P.dtype)])
        v2 = torch.cat([P.v, torch.zeros(n_pad, *P.v.shape[1:], dtype=P.dtype)])
        mask = torch.cat([vis, torch.ones(tq, n_pad, dtype=torch.bool)], 1)
        return (*whole(P, kern, k=k2, v=v2, mask=mask), dict(lanes=n_pad))
    yield "softmax.padding_lanes", masked_kernels, lanes

    def tile_lanes(kern):  # masked keys of the last tile have logit 0 and no value, or those of the whole future
        tile = rng.choice([32, 64, 128, 0])
        o, l = whole(P, kern)
        seen = torch.arange(tq) + P.p + 1
        n = (-seen) % tile if tile else tk - seen
        z = torch.log(n.double())
        o = (o.double() * torch.sigmoid(l.double() - z[None]).T[..., None]).to(P.dtype)
        return o, torch.logaddexp(l.double(), z[None].expand_as(l)).float(), dict(tile=tile)
    yield "softmax.padding_lanes", ANY, tile_lanes

    def temperature(kern):
        pos = P.pos_q.double()
        law = rng.choice(["llama4", "llama4", "llama4", "log", "linear"])
        beta, orig = rng.choice([(0.1, 32), (0.1, 64), (0.2, 48), (0.1, 16), (0.05, 20), (0.3, 100)])
        if pos[-1] < 1.5 * orig:
            orig = 16
        if pos[0] > 1000:  # far out, the other laws hardly change over the capture: they are a scale
            law = "linear"
        if law == "llama4":
            t = 1 + beta * torch.log(1 + torch.floor(pos / orig))
        elif law == "log":
            t = (torch.log(pos + 1) / math.log(64)).clamp(min=1)
        else:
            t = 1 + 0.3 * (pos - pos[0]) / len(pos)
        return (*whole(P, kern, q=(P.q.double() * t[:, None, None]).to(P.dtype)), dict(law=law, beta=beta, original=orig))
    yield "temperature.by_position", ANY, temperature


def values(P, rng):
    m, H = P.m, P.H
    gain = rng.choice([0.5, 2.0, 0.0625, 1.7, 0.9, 1.05])
    yield "value.gain", ANY, lambda kern: (*whole(P, kern, v=(P.v.double() * gain).to(P.dtype)), dict(gain=gain))
    if H > 1:
        perm = rng.choice([list(range(H))[::-1], [(h + 1) % H for h in range(H)], [h ^ 1 if h ^ 1 < H else h for h in range(H)], [0] * H,
                           [h // 2 for h in range(H)]])
        yield "value.head_permuted", ANY, lambda kern: (*whole(P, kern, v=P.v[:, perm]), dict(permutation=perm))

        def out_permuted(kern):
            o, l = whole(P, kern)
            return o[:, perm].contiguous(), l, dict(permutation=perm, of="out")
        yield "value.head_permuted", ANY, out_permuted

    def split_swapped(kern):
        kv = torch.cat([P.k_nope, P.v], -1)
        v2, k2 = kv[..., : m["v"]].contiguous(), kv[..., m["v"] :].contiguous()
        return (*whole(P, kern, k=P.keys(k2, P.k_pe), v=v2), {})
    yield "value.split_swapped", ANY, split_swapped
    if m["nope"] == m["v"]:
        yield "value.split_swapped", ANY, lambda kern: (*whole(P, kern, v=P.k_nope), dict(only="v"))

    def latent(kern):
        gain, keys_only = rng.choice([2.0, 0.5, 4.0, 3.0, 1.1]), rng.random() < 0.3
        k = P.keys((P.k_nope.double() * gain).to(P.dtype), P.k_pe)
        v = P.v if keys_only else (P.v.double() * gain).to(P.dtype)
        return (*whole(P, kern, k=k, v=v), dict(gain=gain, keys_only=keys_only))
    yield "latent.gain", ANY, latent


def outputs(P, rng):
    m, H, tq = P.m, P.H, P.tq

    def stride(kern):
        o, l = whole(P, kern)
        if P.d > m["v"] and rng.random() < 0.6:
            wide = F.pad(o, (0, P.d - m["v"]))
            return wide.flatten()[: o.numel()].reshape(o.shape).clone(), l, dict(width=P.d)
        if H == 1:
            wide = F.pad(o, (0, 64))
            return wide.flatten()[: o.numel()].reshape(o.shape).clone(), l, dict(width=m["v"] + 64)
        return o.transpose(0, 1).contiguous().reshape(o.shape), l, dict(transposed=True)
    yield "output.stride", ANY, stride

    def tail(kern):
        o, l = whole(P, kern)
        n_bad = rng.choice([2, 7, 16, tq % 64 or 32])
        kind = rng.choice(["zero", "random", "stale", "huge", "nan", "columns"])
        rows = slice(tq - n_bad, tq)
        if kind == "zero":
            o[rows] = 0
        elif kind == "random":
            o[rows] = torch.randn(o[rows].shape).to(P.dtype)
        elif kind == "stale":
            o[rows] = o[:n_bad].clone()
        elif kind == "nan":
            o[rows] = float("nan")
        elif kind == "columns":
            n_bad = m["v"] // 4
            o[..., -n_bad:] = torch.randn(o[..., -n_bad:].shape).to(P.dtype)
        else:
            o[rows] = (torch.randn(o[rows].shape) * 1e4).to(P.dtype)
        return o, l, dict(rows=n_bad, kind=kind)
    yield "tail.uninitialised", ANY, tail

    def nan(kern):
        o, l = whole(P, kern)
        r = rng.randrange(0, tq - 1)
        kind = rng.choice(["row", "element", "inf", "head", "rows"])
        if kind == "row":
            o[r] = float("nan")
        elif kind == "element":
            o[r, 0, 3] = float("nan")
        elif kind == "inf":
            o[r, H - 1] = -INF
        elif kind == "rows":
            o[0:r + 1 : 3] = float("nan")
        else:
            o[:, H - 1] = float("nan")
        return o, l, dict(kind=kind, row=r)
    yield "output.nan", ANY, nan


def bugs(P, rng):
    draw = rng.random()
    for family in (scales, ropes, lses, merges, masks, pages, softmaxes, values, outputs):
        yield from family(P, random.Random(f"{draw}{family.__name__}"))


def healthy(P, rng):
    """Right results in the ways in which kernels are right."""
    run = lambda **kw: lambda kern: (*whole(P, kern, **kw), {})
    for kern in ANY:
        yield "healthy", [kern], run()

    def chunked(kern):
        b = P.p if P.p else P.tq // 2
        o, l = whole(P, kern)
        first, parts = split_parts(P, kern, [b], P.s)
        o[first:], l[:, first:] = merge(parts)
        return o, l, dict(chunk=b)
    yield "healthy", ["flash", "triton", "explicit"], chunked

    def scaled_query(kern):  # the scale folded into q; rounded to 16 bits its mean moves by up to 1e-4: no longer healthy
        return (*whole(P, kern, 1.0, q=(P.q.double() * P.s).to(P.dtype)), dict(scaled_query=True))
    if P.dtype == torch.float32:
        yield "healthy", ["efficient", "eager", "explicit"], scaled_query

    def tf32(kern):
        torch.backends.cuda.matmul.allow_tf32 = True
        try:
            return (*whole(P, kern), dict(tf32=True))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = False
    if P.dtype == torch.float32:
        yield "healthy", ["eager", "explicit"], tf32

    def wide_out(kern):  # float32 outputs over 16-bit inputs, as split kernels keep their partial results
        q, k, v = (x.float() for x in (P.q, P.k, P.v))
        return (*kernel(kern, q, k, v, P.s), dict(out="float32"))
    if P.dtype != torch.float32:
        yield "healthy", ["explicit"], wide_out
