#!/usr/bin/env python3
"""Runs `mla-scale check` over the captures of inject.py and says how often it was right.

    python3 tests/gpu/judge.py DIR --tool PATH/mla-scale [--jobs N] [--only TEXT] [--keep TAR] [--near 0.001]

With --near, healthy captures are also judged against a scale that is off by this part, up and down, with and without their lse.

Prints a table by identifier and kernel (right / made), what was said instead, the errors of the fitted scale, and the
z-scores (fitted - true) / standard error. Exit code 1 when fewer than 99 % were right or a healthy capture was not.
"""
import argparse, collections, concurrent.futures, json, math, os, struct, subprocess, sys, tarfile, time


def check_command(tool, folder, row, file):
    phase = "decode" if row["kind"] == "decode" else "prefill"
    return [tool, "check", f"{folder}/models/{row['config']}", f"{folder}/{row['inputs']}", file, "--threads", "1", "--phase", phase,
            "-f", "json"]


def without_lse(path):
    """A copy of a safetensors file that holds `out` alone."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    begin, end = header["out"]["data_offsets"]
    kept = json.dumps({"out": dict(header["out"], data_offsets=[0, end - begin])}).encode()
    copy = path + ".out_alone.safetensors"
    with open(copy, "wb") as f:
        f.write(struct.pack("<Q", len(kept)) + kept + data[begin:end])
    return copy


def near(tool, folder, row, part):
    """Verdicts of a healthy capture against scales that are off by `part`, by the tensors it keeps."""
    results = []
    path = f"{folder}/{row['file']}"
    for kept, file in [("lse", path)] * bool(row["lse"]) + [("out", without_lse(path))]:
        for factor in (1 - part, 1 + part):
            command = check_command(tool, folder, row, file) + ["--scale", repr(row["scale_ref"] * factor), "--no-diagnose"]
            done = subprocess.run(command, capture_output=True, text=True)
            answer = json.loads(done.stdout) if done.stdout else {"verdict": done.stderr.strip()[:200]}
            fit = answer.get("fit") or {}
            error = fit.get("standard_error", math.inf) / row["scale_ref"]
            results.append(dict(row, kept=kept, factor=factor, verdict=answer["verdict"], error=error))
    return results


def near_report(results, part):
    print(f"healthy captures against a scale that is {100 * part:g} % off, called a mismatch / made:")
    groups = collections.defaultdict(list)
    for r in results:
        sharp = "error < part / 10" if r["error"] < part / 10 else "error larger"
        groups[r["kernel"], r["dtype"], r["kept"], sharp].append(r)
    for key in sorted(groups):
        group = groups[key]
        print(f"  {' '.join(key):48} {sum(r['verdict'] == 'mismatch' for r in group)}/{len(group)}  "
              f"{dict(collections.Counter(r['verdict'] for r in group))}")
        for r in group:
            if r["verdict"] != "mismatch" and "<" in key[3]:
                print(f"      {r['file']} {r['tq']} rows {r['heads']} heads, times {r['factor']:g}: error {r['error']:.1e}")


def judged(tool, folder, row):
    command = check_command(tool, folder, row, f"{folder}/{row['file']}")
    begin = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.time() - begin
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return dict(row, got=f"exit {done.returncode}", verdict="none", error=(done.stderr or done.stdout)[-300:], seconds=seconds)
    found = [d["id"] for d in answer["diagnosis"] if not d["id"].startswith("precision.")]
    got = found[0] if found else {"match": "healthy"}.get(answer["verdict"], answer["verdict"])
    fit = answer.get("fit") or {}
    return dict(row, got=got, found=found, verdict=answer["verdict"], code=done.returncode, fit=fit, seconds=seconds,
                reference=answer["reference"]["softmax_scale"], evidence=[d["evidence"] for d in answer["diagnosis"]],
                reasons=answer.get("reasons", [])[:3], unexplained=answer.get("unexplained", {}).get("text", ""),
                notes=row["notes"], parameters=[d["parameters"] for d in answer["diagnosis"]][:2])


def right(r):
    if abs(r.get("reference", 0) / r["scale_ref"] - 1) > 1e-9:
        return False
    if r["bug"] == "healthy":
        return r["verdict"] == "match"
    return r["verdict"] == "mismatch" and (r["got"] == r["bug"] or (r["bug"].startswith("scale.") and r["got"] in r["notes"].get("alike", [])))


def quantiles(values):
    values = sorted(values)
    at = lambda q: values[min(len(values) - 1, int(q * len(values)))]
    return f"n {len(values)}, median {at(0.5):.2g}, 95 % {at(0.95):.2g}, 99 % {at(0.99):.2g}, max {values[-1]:.2g}"


def scale_report(results):
    errors, scores = collections.defaultdict(list), collections.defaultdict(list)
    for r in results:
        whole_scale = r["bug"] == "healthy" or (r["bug"].startswith("scale.") and not {"where", "second"} & set(r["notes"]))
        fit = r.get("fit")
        if not (whole_scale and fit and fit.get("softmax_scale")) or r["notes"].get("scaled_query") or r["notes"].get("tf32"):
            continue
        true = r["notes"].get("scale") or r["scale_ref"]
        key = (r["kernel"], r["dtype"], fit["from"])
        errors[key].append(abs(fit["softmax_scale"] / true - 1))
        scores[key].append((fit["softmax_scale"] - true) / fit["standard_error"])
    for key in sorted(errors):
        z = scores[key]
        print(f"  {' '.join(key):24} |error| {quantiles(errors[key])}; z rms {math.sqrt(sum(x * x for x in z) / len(z)):.2f}, "
              f"mean {sum(z) / len(z):+.2f}, beyond 4: {sum(abs(x) > 4 for x in z)}")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("folder")
    a.add_argument("--tool", required=True)
    a.add_argument("--jobs", type=int, default=os.cpu_count())
    a.add_argument("--only", default="")
    a.add_argument("--keep", help="tar file for the captures that were judged wrongly, 15 MiB at most")
    a.add_argument("--near", type=float, help="also judge healthy captures against scales off by this part")
    a.add_argument("--results", help="file for one JSON line a capture")
    opt = a.parse_args()
    rows = [json.loads(line) for line in open(f"{opt.folder}/truth.jsonl")]
    rows = [r for r in rows if opt.only in r["file"]]
    with concurrent.futures.ThreadPoolExecutor(opt.jobs) as pool:
        results = list(pool.map(lambda r: judged(opt.tool, opt.folder, r), rows))
    if opt.results:
        with open(opt.results, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in results)
    kernels = sorted({r["kernel"] for r in results})
    table, made = collections.Counter(), collections.Counter()
    instead = collections.defaultdict(collections.Counter)
    for r in results:
        made[r["bug"], r["kernel"]] += 1
        table[r["bug"], r["kernel"]] += right(r)
        if not right(r):
            instead[r["bug"]][r["got"]] += 1
    print(f"{'':26}" + "".join(f"{k:>10}" for k in kernels))
    for bug in sorted({r["bug"] for r in results}):
        cells = "".join(f"{table[bug, k]:>6}/{made[bug, k]:<3}" if made[bug, k] else " " * 10 for k in kernels)
        print(f"{bug:26}{cells}  {dict(instead[bug]) or ''}")
    wrong = [r for r in results if not right(r)]
    for r in wrong:
        print(f"WRONG {r['file']} {r['tq']} rows {r['heads']} heads spread {r['spread']} {r.get('form', '')} {r.get('levels', r['kind'])} lse {r['lse']} "
              f"-> {r['got']} {r.get('found', [])[1:3]}\n    {json.dumps(r['notes'])[:160]}\n    "
              f"{(r.get('error') or r.get('unexplained') or ' | '.join(r.get('evidence', [])) or ' | '.join(r.get('reasons', [])))[:330]}")
    print("fitted scale:")
    scale_report(results)
    print("seconds:", quantiles([r["seconds"] for r in results]))
    healthy = [r for r in results if r["bug"] == "healthy"]
    if opt.near:
        with concurrent.futures.ThreadPoolExecutor(opt.jobs) as pool:
            off = list(pool.map(lambda r: near(opt.tool, opt.folder, r, opt.near), [r for r in healthy if r["verdict"] == "match"]))
        near_report([r for some in off for r in some], opt.near)
    alarms = [r for r in healthy if r["verdict"] == "mismatch" or r.get("found")]
    bugs = len(results) - len(healthy)
    named = bugs - sum(r["bug"] != "healthy" for r in wrong)
    print(f"first identifier right: {named} of {bugs} ({100 * named / max(1, bugs):.2f} %); healthy: {len(healthy)}, "
          f"false alarms {len(alarms)}, inconclusive {sum(r['verdict'] == 'inconclusive' for r in healthy)}")
    if opt.keep:
        with tarfile.open(opt.keep, "w:gz") as tar:
            size, kept = 0, set()
            for r in wrong:
                for name in (r["inputs"], r["file"]):
                    path = f"{opt.folder}/{name}"
                    if name not in kept and size + os.path.getsize(path) < (20 << 20):
                        tar.add(path, name)
                        kept.add(name)
                        size += os.path.getsize(path)
    sys.exit(1 if alarms or named < 0.99 * bugs else 0)


if __name__ == "__main__":
    main()
