"""Causal MLA prefill in NumPy and PyTorch, printed in the bench's own measure (GFLOP/s).

Started by mla-scale-bench --python; needs NumPy, and PyTorch if it is there.
usage: compare.py THREADS
"""

import os
import sys
import time

THREADS = int(sys.argv[1])
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(THREADS)

import numpy as np  # noqa: E402  (the thread counts must be set first)

HEADS, LENGTH, KEY, VALUE, SCALE, ROUNDS = 16, 2048, 192, 128, 0.07, 5
FLOPS = LENGTH * (LENGTH + 1) / 2 * (KEY + VALUE) * 2 * HEADS


def best(run):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(FLOPS / t / 1e9 for t in times)


def show(name, rates):
    print(f"  {name:<32} {rates[len(rates) // 2]:8.1f} GFLOP/s [{rates[0]:.1f}, {rates[-1]:.1f}]", flush=True)


def numpy_heads(q, k, v):
    mask = np.triu(np.full((LENGTH, LENGTH), -np.inf, q.dtype), 1)
    out = np.empty((HEADS, LENGTH, VALUE), q.dtype)
    for h in range(HEADS):
        logits = q[h] @ k[h].T
        logits *= SCALE
        logits += mask
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        out[h] = logits @ v[h]
    return out


print(f"\nPython, prefill H={HEADS} S={LENGTH}, {THREADS} threads")
rng = np.random.default_rng(1)
arrays = [rng.uniform(-1, 1, (HEADS, LENGTH, width)) for width in (KEY, KEY, VALUE)]
for dtype in (np.float64, np.float32):
    q, k, v = (a.astype(dtype) for a in arrays)
    show(f"NumPy {np.__version__} {np.dtype(dtype).name}", best(lambda: numpy_heads(q, k, v)))

try:
    import torch
except ImportError:
    sys.exit(0)

torch.set_num_threads(THREADS)
attention = torch.nn.functional.scaled_dot_product_attention
for dtype in (torch.float64, torch.float32):
    q, k, v = (torch.from_numpy(a).to(dtype)[None] for a in arrays)
    padded = torch.nn.functional.pad(v, (0, KEY - VALUE))
    for name, value in (("", v), (", v padded to 192", padded)):
        rates = best(lambda: attention(q, k, value, is_causal=True, scale=SCALE))
        show(f"PyTorch {torch.__version__} {str(dtype)[6:]}{name}", rates)
