"""Causal MLA prefill in NumPy and PyTorch, for mla-scale-bench --python.

usage: compare.py HEADS LENGTH ROUNDS SECONDS THREADS[,THREADS...]

Prints a line for each way to compute it: precision, threads, rates in FLOP/s (median, least, most),
name. NumPy runs on the last number of threads only: its BLAS takes the number at its start. After
SECONDS nothing more is begun; what one thread would take comes last.
"""

import os
import sys
import time

HEADS, LENGTH, ROUNDS, SECONDS = (int(argument) for argument in sys.argv[1:5])
THREADS = [int(count) for count in sys.argv[5].split(",")]
END = time.monotonic() + SECONDS
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(THREADS[-1])

try:
    import numpy as np  # noqa: E402  (the thread counts must be set first)
except ImportError:
    sys.exit("compare.py: needs NumPy")

KEY, VALUE, SCALE = 192, 128, 0.07
LONG = 3.0  # seconds after which one round must do
FLOPS = LENGTH * (LENGTH + 1) / 2 * (KEY + VALUE) * 2 * HEADS


def measure(name, precision, threads, run):
    times = []
    if time.monotonic() > END:
        print("compare.py: no time left for", name, "on", threads, "threads", file=sys.stderr)
        return
    while len(times) < ROUNDS + 1:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        if times[-1] > LONG:
            break
    # The first run pays for fresh memory; it counts only where it is the only one.
    rates = sorted(FLOPS / t for t in times[1:] or times)
    print(precision, threads, rates[len(rates) // 2], rates[0], rates[-1], name, flush=True)


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


rng = np.random.default_rng(1)
arrays = [rng.uniform(-1, 1, (HEADS, LENGTH, width)) for width in (KEY, KEY, VALUE)]
for dtype in (np.float64, np.float32):
    q, k, v = (a.astype(dtype) for a in arrays)
    precision = np.dtype(dtype).name
    measure(f"NumPy {np.__version__} {precision}", precision, THREADS[-1], lambda: numpy_heads(q, k, v))

try:
    import torch
except ImportError:
    sys.exit(0)

attention = getattr(torch.nn.functional, "scaled_dot_product_attention", None)
if attention is None:
    print(f"compare.py: PyTorch {torch.__version__} has no scaled_dot_product_attention", file=sys.stderr)
    sys.exit(0)
with torch.inference_mode():
    for threads in reversed(THREADS):
        torch.set_num_threads(threads)
        for dtype in (torch.float64, torch.float32):
            precision = str(dtype)[6:]
            q, k, v = (torch.from_numpy(a).to(dtype)[None] for a in arrays)
            padded = torch.nn.functional.pad(v, (0, KEY - VALUE))
            for name, value in ((", V padded to 192", padded), ("", v)):
                measure(f"PyTorch {torch.__version__} {precision}{name}", precision, threads,
                        lambda: attention(q, k, value, is_causal=True, scale=SCALE))
