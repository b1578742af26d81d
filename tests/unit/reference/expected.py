#!/usr/bin/env python3
"""Prints expected_values.hpp: attention by plain NumPy in float64, a full score matrix a head, no
code or formula shared with the program. Run: python3 expected.py > expected_values.hpp"""
import numpy as np


def numbers(seed, *shape):
    """A sequence that C++ reproduces exactly: multiples of 1/2048 in [-1, 1)."""
    n = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed * 1000003)
    x = (n * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    return ((x >> np.uint64(20)).astype(np.float64) / 2048 - 1).reshape(shape)


def attention(q, k, v, scale, causal=True, factor=None, sink=None):
    tq, heads, _ = q.shape
    tk = k.shape[0]
    out = np.zeros((tq, heads, v.shape[2]))
    lse = np.full((tq, heads), -np.inf)
    for h in range(heads):
        for i in range(tq):
            n = max(0, i + 1 + tk - tq) if causal else tk
            if n == 0:
                continue
            x = k[:n, h] @ q[i, h] * scale * (1 if factor is None else factor[i])
            m = x.max()
            e = np.exp(x - m)
            lse[i, h] = m + np.log(e.sum())
            out[i, h] = e @ v[:n, h] / e.sum()
            if sink is not None:
                out[i, h] *= np.exp(lse[i, h]) / (np.exp(lse[i, h]) + np.exp(sink[h]))
    return out, lse


def print_case(name, out, lse, rows):
    print(f"inline const std::vector<double> k_{name}_out = {{")
    print(",".join(repr(float(x)) for x in out[rows].ravel()))
    print("};")
    print(f"inline const std::vector<double> k_{name}_lse = {{")
    print(",".join("-std::numeric_limits<double>::infinity()" if np.isinf(x) else repr(float(x)) for x in lse.ravel()))
    print("};")


H, P, R, V, L = 3, 10, 6, 5, 12
T_Q, T_K = 7, 11
LONG = 700
q = 4 * numbers(1, T_Q, H, P + R)
k = numbers(2, T_K, H, P + R)
v = numbers(3, T_K, H, V)
kv_c = numbers(4, T_K, L)
k_pe = numbers(5, T_K, R)
w_uk = numbers(6, P, H, L)
w_uv = numbers(7, V, H, L)
scale = 0.37

print("#pragma once\n\n// Written by expected.py; do not edit.\n// clang-format off\n\n#include <limits>\n#include <vector>\n")
print_case("prefix", *attention(q, k, v, scale), slice(None))
print_case("non_causal", *attention(q, k, v, scale, causal=False), slice(None))
print_case("more_queries", *attention(q, k[:4], v[:4], scale), slice(None))
print_case("sink", *attention(q, k, v, scale, sink=np.array([0.5, -1.0, 2.0])), slice(None))
factor = 1 + 0.1 * np.log(1 + np.floor(np.arange(T_Q) / 3))
print_case("temperature", *attention(q, k, v, scale, factor=factor), slice(None))
full_k = np.concatenate([np.einsum("jl,phl->jhp", kv_c, w_uk), np.repeat(k_pe[:, None], H, 1)], 2)
full_v = np.einsum("jl,vhl->jhv", kv_c, w_uv)
print_case("latent", *attention(q, full_k, full_v, scale), slice(None))
q, k, v = 4 * numbers(8, LONG, 1, P + R), numbers(9, LONG, 1, P + R), numbers(10, LONG, 1, V)
print_case("long", *attention(q, k, v, scale), [0, 1, 63, 64, 255, 256, 511, 512, 699])
print("\n// clang-format on")
