#!/usr/bin/env python3
"""Writes the list that diagnose_sweep reads, from the truth.json of inject.py.

    python3 tests/gpu/make_list.py FOLDER > LIST
"""
import json, math, os, sys

folder = sys.argv[1]
truth = json.load(open(os.path.join(folder, "truth.json")))


def g(f, m):
    return 1.0 if f <= 1 else 0.1 * m * math.log(f) + 1


for c in truth["captures"]:
    m = truth["models"][c["config"]]
    y = m["yarn"]
    base = (m["nope"] + m["rope"]) ** -0.5
    gm = g(y[0], y[3]) if y else 1.0
    other = g(y[0], y[2]) if y else 0
    cs = g(y[0], y[2]) / g(y[0], y[3]) if y else 1.0
    fields = [os.path.join(folder, c["file"]), os.path.join(folder, c["inputs"]), c["bug"], m["heads"], m["nope"], m["rope"], m["v"],
              m["latent"], repr(c["scale_ref"]), repr(base), repr(gm), repr(other), int(m["interleaved"]), repr(cs),
              repr(c["notes"].get("scale", 0.0)), ",".join(map(repr, m["inv_freq"])), ",".join(map(repr, m["inv_freq_plain"]))]
    print(*fields)
