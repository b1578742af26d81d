#!/usr/bin/env python3
"""Makes attention captures on a GPU: healthy ones, and ones with one injected bug (a few with two).

    python3 tests/gpu/inject.py --out DIR [--seed N] [--problems N] [--bugs N]

Needs torch >= 2.4 with CUDA (without: the kernels "eager" and "explicit" alone). Writes DIR/models/<name>/config.json,
one inputs file a problem, one file a capture named <model>_<dtype>_p<prefix>_s<seed>.<n>.<bug>.<kernel>, and truth.jsonl.
judge.py says what the binary makes of them.
"""
import argparse, collections, json, os, random, struct, time, traceback

import torch

from bugs import bugs, healthy
from decode import decode_bugs
from kernels import DEVICE, whole
from problem import MODELS, Problem, config, inverse_frequencies

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64", torch.int32: "I32", torch.float64: "F64"}


def save(tensors, path):
    """safetensors, so that only torch is needed."""
    header, blobs, at = {}, [], 0
    for name, x in tensors.items():
        x = x.detach().cpu().contiguous()
        blob = x.reshape(-1).view(torch.uint8 if x.dtype != torch.bool else torch.bool).numpy().tobytes() if x.numel() else b""
        header[name] = dict(dtype=NAMES[x.dtype], shape=list(x.shape), data_offsets=[at, at + len(blob)])
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def shape_inputs(t, form, rng):
    """The same tensors as other frameworks hand them over. -> tensors, function for out"""
    same = lambda o: o
    if form == "thd":
        return t, same
    if form in ("bthd", "bhtd"):
        turn = (lambda x: x[None]) if form == "bthd" else (lambda x: x.transpose(0, 1)[None])
        names = dict(q="query_states", k="key_states", v="value_states") if form == "bhtd" else {}
        return {names.get(n, n): turn(x) if n in ("q", "k", "v", "q_pre") else x for n, x in t.items()}, (lambda o: o[None])
    if form == "flat":
        return t, lambda o: o.flatten(1)
    if form == "padded":
        d = t["q"].shape[-1]
        if "v" not in t or t["v"].shape[-1] >= d:
            return t, same
        pad = lambda x: torch.nn.functional.pad(x, (0, d - x.shape[-1]))
        return {n: pad(x) if n == "v" else x for n, x in t.items()}, pad
    raise ValueError(form)


class Varlen:
    """Several sequences of one model in one call: a kernel's result for each, laid end to end."""

    def __init__(self, parts):
        self.parts = parts

    def jobs(self, rng):
        draws = rng.random()
        lists = [list(healthy(P, random.Random(1))) + list(bugs(P, random.Random(draws))) for P in self.parts]
        by_name = [collections.defaultdict(list) for _ in lists]
        for named, jobs in zip(by_name, lists):
            for name, kernels, run in jobs:
                named[name].append((kernels, run))
        wanted = ["healthy", "healthy", "scale.latent_width", "scale.mscale_omitted", "scale.other", "mask.none", "mask.top_left",
                  "merge.base2", "merge.context_dropped", "rope.dropped", "value.gain", "mask.off_by_one_long"]
        for name in wanted:
            holders = [named[name][0] if named[name] and (P.p or not name.startswith("merge.")) else None for P, named in zip(self.parts, by_name)]
            if not any(holders):
                continue

            def run(kern, holders=holders):
                results = []
                for P, one in zip(self.parts, holders):
                    results.append(one[1](kern)[:2] if one else whole(P, kern))
                notes = next(one[1](kern)[2] for one in holders if one)
                return torch.cat([r[0] for r in results]), torch.cat([r[1] for r in results], 1), dict(notes, varlen=True)
            yield name, ["explicit", "triton", "efficient"] if DEVICE == "cuda" else ["explicit"], run


def tensors_of(P, with_expanded, with_latent, with_pre):
    t = dict(q=P.q)
    if with_expanded:
        t.update(k=P.k, v=P.v)
    if with_latent:
        t.update(kv_c=P.kv_c, k_pe=P.k_pe, kv_b_proj=P.kv_b)
    if with_pre:
        t.update(q_pre=P.q_pre, k_pe_pre=P.k_pe_pre, positions_q=P.pos_q, positions_k=P.pos_k)
    return t


def draw_tiny(seed):
    """A problem small enough to be kept in a repository."""
    rng = random.Random(seed)
    model = ["minicpm3", "v3", "madeup", "v2lite"][seed % 4]
    return rng, model, ["bf16", "bf16", "fp16"][seed % 3], 2, 44 + seed % 9, [0, 24][seed % 2], 1.0, "plain"


def draw(seed):
    """A problem at random, all of it from the seed."""
    rng = random.Random(seed)
    model = list(MODELS)[seed % len(MODELS)]
    dtype = rng.choice(["bf16", "bf16", "bf16", "fp16", "fp32"])
    heads = rng.choice([h for h in (1, 2, 3, 4, 6, 8, 12, 16) if MODELS[model]["heads"] % h == 0 and h <= MODELS[model]["heads"]])
    tq = rng.choice([64, 72, 96, 128, 160, 192, 192, 256, 300, 384, 512])
    while heads * tq > 2400:
        tq = max(64, tq // 2)
    prefix = rng.choice([0, 0, 24, 32, 64, 96, 128, 200])
    spread = rng.choice([1.0, 1.0, 1.0, 0.5, 1.5])
    kind = rng.choice(["plain"] * 6 + ["varlen", "decode"])
    return rng, model, dtype, heads, tq, prefix, spread, kind


def problem_jobs(seed, opt):
    rng, model, dtype, heads, tq, prefix, spread, kind = (draw_tiny if opt.tiny else draw)(seed)
    meta = dict(config=model, dtype=dtype, heads=heads, tq=tq, prefix=prefix, seed=seed, spread=spread, kind=kind)
    if kind == "decode":
        jobs, tensors, s = decode_bugs(model, dtype, heads, seed, spread, rng)
        return meta, tensors, jobs, lambda o: o, s, rng
    if kind == "varlen":
        lengths = [(rng.randrange(24, 90), rng.choice([0, 17, 32, 64])) for _ in range(rng.choice([2, 3]))]
        parts = [Problem(model, dtype, heads, n, p, seed * 10 + at, spread) for at, (n, p) in enumerate(lengths)]
        for P in parts:
            P.in_batch = True
        for P in parts[1:]:
            P.layout = parts[0].layout
            P.q_pe, P.k_pe = P.roped()
            P.q, P.k = torch.cat([P.q_pre[..., : P.m["nope"]], P.q_pe], -1), P.keys(P.k_nope, P.k_pe)
        all_t = [tensors_of(P, True, False, rng.random() < 2) for P in parts]
        tensors = {n: torch.cat([t[n] for t in all_t]) for n in all_t[0]}
        ends = lambda xs: torch.tensor([0] + [sum(xs[: i + 1]) for i in range(len(xs))], dtype=torch.int32)
        tensors["cu_seqlens_q"], tensors["cu_seqlens_k"] = ends([n for n, _ in lengths]), ends([n + p for n, p in lengths])
        meta.update(tq=sum(n for n, _ in lengths), prefix=[p for _, p in lengths])
        return meta, tensors, list(Varlen(parts).jobs(rng)), lambda o: o, parts[0].s, rng
    P = Problem(model, dtype, heads, tq, prefix, seed, spread, offset=rng.choice([0, 0, 0, 3000]))
    form = rng.choice(["thd"] * 5 + ["bthd", "bhtd", "flat", "padded"])
    latent, expanded = rng.random() < 0.5, rng.random() < 0.9
    pre = rng.random() < 0.85
    if opt.tiny:
        form, latent, expanded, pre = "thd", False, True, True
    if not expanded:
        form, latent = "thd", True
    meta.update(form=form, levels=("latent " if latent else "") + ("expanded" if expanded else ""), pre=pre, offset=int(P.pos_k[0]))
    tensors, shape_out = shape_inputs(tensors_of(P, expanded, latent, pre), form, rng)
    return meta, tensors, list(healthy(P, rng)) + list(bugs(P, rng)), shape_out, P.s, rng


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--out", required=True)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--problems", type=int, default=70)
    a.add_argument("--bugs", type=int, default=16, help="bugs of each problem, drawn so that all get their turn")
    a.add_argument("--healthy", type=int, default=5)
    a.add_argument("--tiny", action="store_true", help="small problems, for testdata")
    a.add_argument("--seconds", type=float, default=1e9)
    opt = a.parse_args()
    begin = time.time()
    torch.backends.cuda.matmul.allow_tf32 = False
    for name in MODELS:
        os.makedirs(f"{opt.out}/models/{name}", exist_ok=True)
        with open(f"{opt.out}/models/{name}/config.json", "w") as f:
            json.dump(config(name), f, indent=1)
    made, errors = collections.Counter(), collections.Counter()
    pairs = collections.Counter()
    with open(f"{opt.out}/truth.jsonl", "w") as truth:
        for seed in range(opt.seed, opt.seed + opt.problems):
            if time.time() - begin > opt.seconds:
                print("stopped before seed", seed)
                break
            torch.manual_seed(seed)
            try:
                meta, tensors, jobs, shape_out, s, rng = problem_jobs(seed, opt)
            except Exception:
                errors[traceback.format_exc(limit=3)] += 1
                continue
            prefix = meta["prefix"] if isinstance(meta["prefix"], int) else sum(meta["prefix"])
            name = f"{meta['config']}_{meta['dtype']}_p{prefix}_s{seed}"
            inputs = f"{name}.inputs.safetensors"
            save(tensors, f"{opt.out}/{inputs}")
            # What has been made least comes first; the bugs that this problem alone can show are among them.
            order = list(range(len(jobs)))
            rng.shuffle(order)
            order.sort(key=lambda x: made[jobs[x][0]])
            left = dict(healthy=opt.healthy, bug=opt.bugs)
            for at in order:
                identifier, kernels, run = jobs[at]
                group = "healthy" if identifier == "healthy" else "bug"
                if left[group] <= 0 or (identifier.startswith("rope.") and not meta.get("pre", True) and identifier not in
                                        ("rope.magnitude", "rope.dropped", "rope.nope_dropped")):
                    continue
                kernels = rng.sample(kernels, len(kernels))
                kernels.sort(key=lambda k: pairs[identifier, k])
                for kern in kernels:
                    try:
                        out, lse, notes = run(kern)
                        if DEVICE == "cuda":
                            torch.cuda.synchronize()
                    except Exception as e:
                        errors[f"{kern} {meta['dtype']} {identifier if 'takes' not in str(e) else ''}: {str(e).splitlines()[0][:140] if str(e) else repr(e)}"] += 1
                        continue
                    with_lse = identifier.startswith("lse.") or notes.get("second", "").startswith("lse.") or rng.random() < 0.7
                    file = f"{name}.{at:02d}.{identifier}.{kern}.safetensors"
                    t = dict(out=shape_out(out).contiguous())
                    if with_lse and lse is not None:
                        t["lse"] = lse.float().contiguous() if rng.random() < 0.8 or lse.shape[0] == lse.shape[1] else lse.float().T.contiguous()
                    save(t, f"{opt.out}/{file}")
                    made[identifier] += 1
                    pairs[identifier, kern] += 1
                    left[group] -= 1
                    truth.write(json.dumps(dict(meta, file=file, inputs=inputs, bug=identifier, kernel=kern, scale_ref=s, lse=with_lse, notes=notes)) + "\n")
                    break
    print(f"{sum(made.values())} captures, {made['healthy']} healthy, {time.time() - begin:.0f} s")
    for text, count in errors.most_common(25):
        print(f"  {count} x {text}")


if __name__ == "__main__":
    main()
