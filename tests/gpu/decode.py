"""Absorbed decode: one new token for each of several requests, attention over the latent cache."""
import torch

from bugs import LOG2E, alike, scale_values
from problem import Problem


def decode_bugs(model, dtype, heads, seed, spread, rng):
    """-> jobs, input tensors (latent level, varlen with one query row each), the right scale"""
    lengths = [rng.randrange(40, 400) for _ in range(rng.choice([1, 2, 4, 6]))]
    parts = [Problem(model, dtype, heads, 1, n - 1, seed * 10 + at, spread) for at, n in enumerate(lengths)]
    for P in parts[1:]:
        P.layout = parts[0].layout
        P.q_pe, P.k_pe = P.roped()
        P.q = torch.cat([P.q_pre[..., : P.m["nope"]], P.q_pe], -1)
    first = parts[0]
    n, v = first.m["nope"], first.m["v"]
    dt = first.dtype

    def one(P, scale, rounded, drop=0, rope=1.0, gain=1.0, last=None):
        w = P.w.double()
        q_latent = torch.einsum("qhp,hpl->qhl", P.q[..., :n].double(), w[:, :n])
        q_latent = q_latent.to(dt).double() if rounded else q_latent
        c, pe = P.kv_c[drop:last].double(), P.k_pe[drop:last].double()
        x = scale * (torch.einsum("qhl,tl->hqt", q_latent, c) + rope * torch.einsum("qhr,tr->hqt", P.q_pe.double(), pe))
        p = torch.softmax(x, -1)
        p = p.to(dt).double()
        o = torch.einsum("hqt,tl->qhl", p, c)
        o = o.to(dt).double() if rounded else o
        return gain * torch.einsum("qhl,hvl->qhv", o, w[:, n:]), torch.logsumexp(x, -1)

    def job(scale=None, **kw):
        def run(kern):
            results = [one(P, scale or P.s, kern == "absorbed", **kw) for P in parts]
            return torch.cat([o for o, _ in results]).to(dt), torch.cat([l for _, l in results], 1).float(), dict(scale=scale or first.s, alike=alike(first, scale) if scale else [])
        return run

    both = ["absorbed", "exact"]
    jobs = [("healthy", [k], job()) for k in both]
    for name, values in scale_values(first).items():
        for value in values[:1]:
            if value < 4 * first.s:
                jobs.append(("scale." + name, both, job(value)))
    jobs.append(("rope.dropped", both, job(rope=0.0)))
    jobs.append(("value.gain", both, job(gain=0.5)))

    def base_two(kern):
        o, l, notes = job()(kern)
        return o, l * LOG2E, notes
    jobs.append(("lse.base2", both, base_two))
    if min(lengths) > 40:
        jobs.append(("mask.off_by_one_short", both, job(last=-1)))
    tensors = dict(q=torch.cat([P.q for P in parts]), kv_c=torch.cat([P.kv_c for P in parts]), k_pe=torch.cat([P.k_pe for P in parts]),
                   kv_b_proj=first.kv_b)
    if len(parts) > 1:
        ends = lambda xs: torch.tensor([0] + [sum(xs[: i + 1]) for i in range(len(xs))], dtype=torch.int32)
        tensors["cu_seqlens_q"], tensors["cu_seqlens_k"] = ends([1] * len(parts)), ends(lengths)
    return jobs, tensors, first.s
