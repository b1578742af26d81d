"""What the two stand-ins of vLLM's attention share: a batch of requests over a paged cache."""
from types import SimpleNamespace

import numbers_of_a_layer as layer
import torch

BLOCK = 4


class Batch:
    """Decode requests first, then prefills, as vLLM orders them. `decodes`: keys of each, the last of
    them the new token; `prefills`: (tokens in the cache, new tokens) of each."""

    def __init__(self, decodes, prefills, chunks=1):
        self.requests = [layer.Numbers(rows, seed) for seed, rows in enumerate(decodes, 10)]
        self.requests += [layer.Numbers(old + new, seed) for seed, (old, new) in enumerate(prefills, 50)]
        self.first = [keys - 1 for keys in decodes] + [old for old, _ in prefills]
        tables, blocks, free = [], [], []
        longest = max(len(r.q) for r in self.requests)
        for request in self.requests:
            needed = (len(request.q) + BLOCK - 1) // BLOCK
            free.append(needed)
        order = list(range(sum(free)))[::-1]  # no request has its blocks in order
        blocks = [[[9.0] * (layer.RANK + layer.ROPE)] * BLOCK for _ in order]
        for request, needed in zip(self.requests, free):
            mine, order = order[:needed], order[needed:]
            rows = [c + p for c, p in zip(request.kv_c, request.k_pe)]
            rows += [[7.0] * (layer.RANK + layer.ROPE)] * (needed * BLOCK - len(rows))
            for i, block in enumerate(mine):
                blocks[block] = rows[i * BLOCK : (i + 1) * BLOCK]
            tables.append(mine + [0] * ((longest + BLOCK - 1) // BLOCK - needed))
        self.cache = torch.tensor(blocks)
        new = [(r, i) for r, begin in zip(self.requests, self.first) for i in range(begin, len(r.q))]
        self.q = torch.tensor([r.q[i] for r, i in new])
        self.kv_c = torch.tensor([r.kv_c[i] for r, i in new])
        self.k_pe = torch.tensor([[r.k_pe[i]] for r, i in new])
        begins = [0]
        for old, count in prefills:
            begins.append(begins[-1] + count)
        context = None
        if any(old for old, _ in prefills):  # the context of each in `chunks` pieces
            pieces = []
            for chunk in range(chunks):
                line = [0]
                for old, _ in prefills:
                    line.append(line[-1] + old * (chunk + 1) // chunks - old * chunk // chunks)
                pieces.append(line)
            context = SimpleNamespace(cu_seq_lens=torch.tensor(pieces, dtype=torch.int32))
        self.metadata = SimpleNamespace(
            num_decodes=len(decodes), num_decode_tokens=len(decodes), num_prefills=len(prefills), num_actual_tokens=len(new),
            prefill=SimpleNamespace(query_start_loc=torch.tensor(begins, dtype=torch.int32), block_table=torch.tensor(tables[len(decodes) :], dtype=torch.int32), chunked_context=context) if prefills else None,
            decode=SimpleNamespace(block_table=torch.tensor(tables[: len(decodes)], dtype=torch.int32), seq_lens=torch.tensor([len(r.q) for r in self.requests[: len(decodes)]], dtype=torch.int32)) if decodes else None,
        )


def projections(weights):
    """W_UK_T [H, P, L] and W_UV [H, L, V]."""
    uk = torch.tensor([weights.uk(head) for head in range(layer.HEADS)])
    uv = torch.tensor([weights.uv(head) for head in range(layer.HEADS)]).transpose(1, 2)
    return uk, uv


def run(batch, weights, decode_scale, prefill):
    """The output rows [T][H * V]; prefill(q, k, v) runs attention among new tokens alone."""
    decodes, rows = batch.metadata.num_decodes, []
    for number, (request, first) in enumerate(zip(batch.requests, batch.first)):
        if number < decodes or any(batch.first[decodes:]):
            scale = decode_scale if number < decodes else prefill.scale
            rows += layer.attention(weights, request, first, scale)[0]
    alone = [r for r, first in zip(batch.requests[decodes:], batch.first[decodes:]) if not first]
    if alone and not any(batch.first[decodes:]):
        tokens = [(r.q[i], weights.expand(r.kv_c[i], r.k_pe[i])) for r in alone for i in range(len(r.q))]
        out = prefill.run([q for q, _ in tokens], [k for _, (k, _) in tokens], [v for _, (_, v) in tokens])
        rows += out
    return [[x for head in row for x in head] for row in rows]


def causal(lengths, q, k, v, scale):
    """Attention of packed requests: out [T][H][V] and lse [H][T]."""
    out, lse, begin = [], [], 0
    for length in lengths:
        for row in range(begin, begin + length):
            found = [layer.attend(q[row][h], [x[h] for x in k[begin : row + 1]], [x[h] for x in v[begin : row + 1]], scale) for h in range(layer.HEADS)]
            out.append([o for o, _ in found])
            lse.append([s for _, s in found])
        begin += length
    return out, [list(line) for line in zip(*lse)]
