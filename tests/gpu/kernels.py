"""The kernels that bugs are injected into: q [Tq,H,D], k [Tk,H,D], v [Tk,H,V] -> out [Tq,H,V], lse [H,Tq] (natural)."""
import math

import torch
import torch.nn.functional as F

INF = float("inf")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

try:
    import triton
    import triton.language as tl

    @triton.jit
    def _attend(Q, K, V, O, L, tq, tk, scale_log2, offset, window, H,
                D: tl.constexpr, DV: tl.constexpr, BD: tl.constexpr, BDV: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
        start, head = tl.program_id(0), tl.program_id(1)
        rows, cols, dv = start * BM + tl.arange(0, BM), tl.arange(0, BD), tl.arange(0, BDV)
        q = tl.load(Q + (rows[:, None] * H + head) * D + cols[None], mask=(rows[:, None] < tq) & (cols[None] < D), other=0.0)
        top = tl.full([BM], -1e30, tl.float32)
        total = tl.zeros([BM], tl.float32)
        acc = tl.zeros([BM, BDV], tl.float32)
        for first in range(0, tk, BN):
            keys = first + tl.arange(0, BN)
            k = tl.load(K + (keys[:, None] * H + head) * D + cols[None], mask=(keys[:, None] < tk) & (cols[None] < D), other=0.0)
            x = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
            seen = (keys[None] < tk) & (keys[None] <= rows[:, None] + offset) & (keys[None] > rows[:, None] + offset - window)
            x = tl.where(seen, x, -1e30)
            higher = tl.maximum(top, tl.max(x, 1))
            p = tl.where(seen, tl.exp2(x - higher[:, None]), 0.0)
            shrink = tl.exp2(top - higher)
            total = total * shrink + tl.sum(p, 1)
            v = tl.load(V + (keys[:, None] * H + head) * DV + dv[None], mask=(keys[:, None] < tk) & (dv[None] < DV), other=0.0)
            acc = acc * shrink[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
            top = higher
        out = acc / total[:, None]
        tl.store(O + (rows[:, None] * H + head) * DV + dv[None], out.to(O.dtype.element_ty), mask=(rows[:, None] < tq) & (dv[None] < DV))
        tl.store(L + head * tq + rows, (top + tl.log2(total)) * 0.6931471805599453, mask=rows < tq)
except ImportError:
    triton = None

FUSED = ["flash", "cudnn", "efficient", "triton"]
MASKED = ["efficient", "math", "eager", "explicit", "triton"]
ANY = ["flash", "cudnn", "efficient", "triton", "math", "eager", "explicit"]


def power_of_two(n):
    return 1 << (n - 1).bit_length()


def by_triton(q, k, v, scale, offset, window):
    tq, heads, d = q.shape
    tk, dv = k.shape[0], v.shape[-1]
    out = torch.empty(tq, heads, dv, dtype=q.dtype, device="cuda")
    lse = torch.empty(heads, tq, dtype=torch.float32, device="cuda")
    block = (64, 64) if q.dtype != torch.float32 else (32, 32)
    _attend[((tq + block[0] - 1) // block[0], heads)](
        q.cuda().contiguous(), k.cuda().contiguous(), v.cuda().contiguous(), out, lse, tq, tk, scale * math.log2(math.e), offset,
        window, heads, D=d, DV=dv, BD=power_of_two(d), BDV=power_of_two(dv), BM=block[0], BN=block[1], num_stages=1)
    return out.cpu(), lse.cpu()


def kernel(which, q, k, v, scale, mask=None, causal=True, band=None):
    """`mask` [Tq,Tk] or [H,Tq,Tk] of booleans; else causal, bottom-right; `band` = (offset, window): keys (i + offset - window,
    i + offset]. Raises RuntimeError where the kernel cannot."""
    tq, tk, vd, dt = q.shape[0], k.shape[0], v.shape[-1], q.dtype
    if which == "triton":
        if triton is None or DEVICE == "cpu" or (mask is not None and band is None):
            raise RuntimeError("triton kernel takes bands only")
        offset, window = band or ((tk - tq, tk + tq + 1) if causal else (tk, 2 * (tk + tq)))
        return by_triton(q, k, v, scale, offset, window)
    Q, K, V = (x.to(DEVICE).transpose(0, 1)[None].contiguous() for x in (q, k, v))
    H = Q.shape[1]
    if which in ("flash", "cudnn"):
        if mask is not None or band is not None or (causal and tq != tk) or dt == torch.float32 or DEVICE == "cpu":
            raise RuntimeError("takes no mask")
        if which == "flash":
            Vp = F.pad(V, (0, Q.shape[-1] - vd)) if vd < Q.shape[-1] else V
            r = torch.ops.aten._scaled_dot_product_flash_attention(Q, K, Vp, 0.0, bool(causal), False, scale=scale)
            return r[0][0, :, :, :vd].transpose(0, 1).contiguous().cpu(), r[1][0].float()[:, :tq].cpu()
        r = torch.ops.aten._scaled_dot_product_cudnn_attention(Q, K, V, None, True, 0.0, bool(causal), False, scale=scale)
        return r[0][0].transpose(0, 1).contiguous().cpu(), r[1][0].float().reshape(H, tq).cpu()
    i, j = torch.arange(tq)[:, None], torch.arange(tk)[None]
    if band is not None and mask is None:
        mask = (j <= i + band[0]) & (j > i + band[0] - band[1])
    if causal and mask is None:
        mask = j <= i + tk - tq
    bias = None
    if mask is not None:
        m = mask.to(DEVICE)
        m = m[None] if m.dim() == 2 else m
        bias = torch.zeros(m.shape, device=DEVICE).masked_fill(~m, -INF)[None].expand(1, H, tq, tk)
    if which == "efficient":
        if DEVICE == "cpu":
            raise RuntimeError("no GPU")
        b = None
        if bias is not None:
            b = F.pad(bias.to(dt), (0, (-tk) % 16)).contiguous()[..., :tk]
        r = torch.ops.aten._scaled_dot_product_efficient_attention(Q, K, V, b, True, 0.0, False, scale=scale)
        return r[0][0].transpose(0, 1).contiguous().cpu(), r[1][0].float()[:, :tq].cpu()
    x = torch.einsum("hid,hjd->hij", Q[0].float(), K[0].float()) * scale
    if bias is not None:
        x = x + bias[0]
    if which == "math":  # its lse is not returned: float32 logits say what it was
        if DEVICE == "cpu":
            raise RuntimeError("no GPU")
        from torch.nn.attention import SDPBackend, sdpa_kernel
        with sdpa_kernel(SDPBackend.MATH):
            o = F.scaled_dot_product_attention(Q, K, V, None if mask is None else bias[0] > -1, scale=scale)
        return o[0].transpose(0, 1).contiguous().cpu(), torch.logsumexp(x, -1).cpu()
    if which == "explicit":  # float32 logits, P rounded to the dtype, float32 accumulation
        p = torch.softmax(x, -1).to(dt).float()
        o = torch.einsum("hij,hjd->hid", p, V[0].float()).to(dt)
        return o.transpose(0, 1).contiguous().cpu(), torch.logsumexp(x, -1).cpu()
    if which == "eager":  # what model code does: logits and probabilities in the dtype
        if DEVICE == "cpu":
            x = ((Q[0].float() @ K[0].float().transpose(1, 2)).to(dt).float() * scale).to(dt)
        else:
            x = torch.matmul(Q[0], K[0].transpose(1, 2)) * scale
        if bias is not None:
            x = x + bias[0].to(dt)
        lse = torch.logsumexp(x.float(), -1)
        p = torch.softmax(x.float(), -1).to(dt)
        o = (p.float() @ V[0].float()).to(dt) if DEVICE == "cpu" else torch.matmul(p, V[0])
        return o.transpose(0, 1).contiguous().cpu(), lse.cpu()
    raise ValueError(which)


def merge(parts, slope=1.0):
    """parts [(out, lse)], rows equal; weights are softmax(slope · lse). -> out, the right lse"""
    o = torch.stack([x[0].double() for x in parts])
    l = torch.stack([x[1].double() for x in parts])  # [n,H,T]
    w = torch.softmax(l * slope, 0)
    out = (o * w.transpose(1, 2)[..., None]).sum(0)
    return out.to(parts[0][0].dtype), torch.logsumexp(l, 0).float()


def split_parts(P, which, boundaries, scale, scale_context=None):
    """Keys in parts that end at `boundaries` and the rest, for rows that see all but the last: -> first such row, parts.
    Only the last part has a causal mask."""
    first = max(0, boundaries[-1] - P.p)
    rows = slice(first, P.tq)
    parts, begin = [], 0
    for end in boundaries:
        parts.append(kernel(which, P.q[rows], P.k[begin:end], P.v[begin:end], scale_context or scale, causal=False))
        begin = end
    parts.append(kernel(which, P.q[rows], P.k[begin:], P.v[begin:], scale))
    return first, parts


def whole(P, which, scale=None, mask=None, band=None, **kw):
    """All rows with the given kernel; flash and cudnn with a prefix go through a right merge."""
    scale = scale or P.s
    q, k, v = kw.get("q", P.q), kw.get("k", P.k), kw.get("v", P.v)
    if which in ("flash", "cudnn") and P.p and mask is None and band is None:
        a = kernel(which, q, k[: P.p], v[: P.p], scale, causal=False)
        b = kernel(which, q, k[P.p :], v[P.p :], scale)
        return merge([a, b])
    return kernel(which, q, k, v, scale, mask=mask, band=band)
