"""What `sample` must write, computed by NumPy from the formulas in sampling/sample.hpp and generator.hpp.

3 queries after 2 prefix tokens, 2 heads of a model with 4, rank 8, nope 4, rope 4, v 3; seed 42,
softmax scale 0.4, inverse frequencies 1 and 0.25, cos/sin factor 1.5. Values as float64.
"""

import numpy as np

M = 2**64


def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % M
    z = (z ^ z >> 27) * 0x94D049BB133111EB % M
    return z ^ z >> 31


G = 0x9E3779B97F4A7C15


def normal(stream, count, seed=42):
    key = mix((mix((seed + G) % M) + stream * G) % M)
    total = [sum(mix((key + (3 * i + j + 1) * G) % M) >> 16 * part & 0xFFFF
                 for j in range(3) for part in range(4)) for i in range(count)]
    return (np.array(total) - 393210) / 65536.0


def bf16(x):  # to nearest, ties to even, on the bits of float64
    m, e = np.frexp(x)
    return np.ldexp(np.rint(m * 256), e - 8)


ROUND = {"bf16": bf16, "fp16": lambda x: x.astype(np.float16).astype(float),
         "fp32": lambda x: x.astype(np.float32).astype(float)}
H, L, P, R, V, Tq, p, s = 2, 8, 4, 4, 3, 3, 2, 0.4
Tk, d = Tq + p, P + R
SHAPING = {"realistic": (1.6, 3.0, 1.5), "flat": (0.05, 0, 0)}


def dot(w, c):  # ascending, as documented
    total = 0.0
    for a, b in zip(w, c):
        total = total + a * b
    return total


def rope(x, positions, interleaved):
    out = x.copy()
    for i, f in enumerate((1.0, 0.25)):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + R // 2)
        angle = (positions * f).reshape((-1,) + (1,) * (x.ndim - 2))
        c, n = np.cos(angle) * 1.5, np.sin(angle) * 1.5
        out[..., a], out[..., b] = x[..., a] * c - x[..., b] * n, x[..., b] * c + x[..., a] * n
    return out


for name, dtype, distribution, interleaved in (("bf16", "bf16", "realistic", True),
                                               ("fp16", "fp16", "realistic", False),
                                               ("fp32", "fp32", "flat", True)):
    r = ROUND[dtype]
    sigma, sink, own = SHAPING[distribution]
    kv_c = r(normal(1, Tk * L)).reshape(Tk, L)
    w = r(normal(2, H * (P + V) * L) / np.sqrt(L)).reshape(H, P + V, L)
    k_pe_pre = r(normal(3, Tk * R)).reshape(Tk, R)
    k_pe = r(rope(k_pe_pre, np.arange(Tk), interleaved))
    kv = r(np.array([[[dot(row, c) for row in w[h]] for h in range(H)] for c in kv_c]))
    k_nope, v = kv[..., :P], kv[..., P:]
    k = np.concatenate([k_nope, np.broadcast_to(k_pe[:, None], (Tk, H, R))], axis=2)
    gain = sigma / (s * np.sqrt(d)) * (0.75 + np.arange(H) / (2 * max(H - 1, 1)))
    q_pre = gain[:, None] * normal(4, Tq * H * d).reshape(Tq, H, d)
    square = np.array([[dot(x, x) for x in row] for row in k_nope])[..., None]
    if sink:
        q_pre[..., :P] = (q_pre[..., :P] + sink / s / square[0] * k_nope[0]
                          + own / s / square[p:] * k_nope[p:])
    q_pre = r(q_pre)
    q = q_pre.copy()
    q[..., P:] = r(rope(q_pre[..., P:], p + np.arange(Tq), interleaved))
    np.savez(f"{name}.npz", q=q, k=k, v=v, kv_c=kv_c, k_pe=k_pe, kv_b_proj=w.reshape(-1, L),
             q_pre=q_pre, k_pe_pre=k_pe_pre, positions_q=p + np.arange(Tq), positions_k=np.arange(Tk))
