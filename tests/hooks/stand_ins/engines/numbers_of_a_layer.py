"""One layer of latent attention over random numbers, computed in plain Python by its definition."""
import math
import random

HEADS, RANK, NOPE, ROPE, V = 4, 8, 4, 2, 4
RIGHT = (NOPE + ROPE) ** -0.5
LATENT_WIDTH = (RANK + ROPE) ** -0.5  # the scale of vLLM's regression


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def attend(query, keys, values, scale):
    """softmax(scale query . keys) values, and the natural log-sum-exp."""
    logits = [scale * dot(query, key) for key in keys]
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    total = math.fsum(weights)
    out = [math.fsum(w * value[i] for w, value in zip(weights, values)) / total for i in range(len(values[0]))]
    return out, top + math.log(total)


class Numbers:
    """The tensors of one request of `rows` tokens, as nested lists."""

    def __init__(self, rows, seed):
        draw = random.Random(seed)

        def normal(*shape):
            if len(shape) == 1:
                return [draw.gauss(0, 1) for _ in range(shape[0])]
            return [normal(*shape[1:]) for _ in range(shape[0])]

        self.q = normal(rows, HEADS, NOPE + ROPE)
        self.kv_c = normal(rows, RANK)
        self.k_pe = normal(rows, ROPE)


class Weights:
    def __init__(self, seed=1):
        draw = random.Random(seed)
        # kv_b_proj [H * (P + V), L], each head its P rows of W_UK and then its V rows of W_UV
        self.kv_b = [[draw.gauss(0, 1) * RANK**-0.5 for _ in range(RANK)] for _ in range(HEADS * (NOPE + V))]

    def uk(self, head):
        return self.kv_b[head * (NOPE + V) : head * (NOPE + V) + NOPE]

    def uv(self, head):
        return self.kv_b[head * (NOPE + V) + NOPE : (head + 1) * (NOPE + V)]

    def expand(self, kv_c, k_pe):
        """k [H][P + R] and v [H][V] of one token."""
        k = [[dot(row, kv_c) for row in self.uk(head)] + list(k_pe) for head in range(HEADS)]
        v = [[dot(row, kv_c) for row in self.uv(head)] for head in range(HEADS)]
        return k, v


def attention(weights, numbers, first, scale):
    """out [T][H][V] and lse [T][H] of the tokens from `first` on, each seeing all up to itself."""
    expanded = [weights.expand(c, p) for c, p in zip(numbers.kv_c, numbers.k_pe)]
    out, lse = [], []
    for row in range(first, len(numbers.q)):
        results = [
            attend(numbers.q[row][head], [k[head] for k, _ in expanded[: row + 1]], [v[head] for _, v in expanded[: row + 1]], scale)
            for head in range(HEADS)
        ]
        out.append([o for o, _ in results])
        lse.append([s for _, s in results])
    return out, lse
