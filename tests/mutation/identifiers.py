#!/usr/bin/env python3
"""Breaks the formula of every identifier of the diagnosis, one at a time, and wants a test to notice.

    tests/mutation/identifiers.py                   needs a finished build of the dev preset
    tests/mutation/identifiers.py lse merge.base2   only what begins with these

An identifier has a row for each formula that it goes by. A row that stays green wants a test; one whose code is not found, or
found twice, wants to follow the code. Either fails the run, and so does an identifier of hypothesis.cpp without a row.
"""

import argparse
import collections
import pathlib
import re
import sys
import tempfile

from run import ROOT, Build, run

LIBRARY = ROOT / "lib/mla_scale"
SECONDS = 600

# (test, its filter), the quickest first: the section of the identifier alone, then all.
TESTS = {
    "diagnose": [("diagnose", ["every bug is named*", "--section", "{identifier}"]), ("diagnose", []), ("check", ["~[large]"])],
    "compare": [("compare", []), ("check", ["~[large]"])],
}

Row = collections.namedtuple("Row", "identifier right wrong")

# The wrong formula is one that somebody could have written: another width, another power, another sign or end.
ROWS = {
    "diagnose/scale_candidates.cpp": [
        Row("scale.latent_width", 'width("scale.latent_width", latent,',
            'width("scale.latent_width", dims.kv_lora_rank + dims.v_head_dim,'),
        Row("scale.latent_width_mscale", '"scale.latent_width_mscale", latent, 2', '"scale.latent_width_mscale", latent, 1'),
        Row("scale.kv_lora_width", '"scale.kv_lora_width", dims.kv_lora_rank, 0', '"scale.kv_lora_width", latent, 0'),
        Row("scale.kv_lora_width", '"scale.kv_lora_width", dims.kv_lora_rank, 2', '"scale.kv_lora_width", dims.kv_lora_rank, 1'),
        Row("scale.nope_width", '"scale.nope_width", dims.qk_nope_head_dim, 2', '"scale.nope_width", dims.qk_nope_head_dim, 1'),
        Row("scale.nope_width_plain", '"scale.nope_width_plain", dims.qk_nope_head_dim',
            '"scale.nope_width_plain", dims.v_head_dim'),
        Row("scale.v_width", '"scale.v_width", dims.v_head_dim, 0', '"scale.v_width", dims.qk_nope_head_dim, 0'),
        Row("scale.v_width", '"scale.v_width", dims.v_head_dim, 2', '"scale.v_width", dims.v_head_dim, 1'),
        Row("scale.rope_width", '"scale.rope_width", dims.qk_rope_head_dim, 0', '"scale.rope_width", dims.qk_rope_head_dim / 2, 0'),
        Row("scale.rope_width", '"scale.rope_width", dims.qk_rope_head_dim, 2', '"scale.rope_width", dims.qk_rope_head_dim, 1'),
        Row("scale.padded_width", "next_power_of_two(dims.qk_head_dim())", "next_power_of_two(dims.qk_nope_head_dim)"),
        Row("scale.padded_width", '"scale.padded_width", padded, 2', '"scale.padded_width", padded, 1'),
        Row("scale.mscale_omitted", '"scale.mscale_omitted", fmt::format("{}^-1/2", dims.qk_head_dim()), base)',
            '"scale.mscale_omitted", fmt::format("{}^-1/2", dims.qk_head_dim()), base / g)'),
        Row("scale.mscale_once", "base * g);", "base * std::sqrt(g));"),
        Row("scale.mscale_twice", "base * g * g * g * g", "base * g * g * g"),
        Row("scale.mscale_inverse", "base / (g * g)", "base / g"),
        Row("scale.mscale_wrong_key", "base * other * other", "base * other"),
        Row("scale.log2e_missing", "expected * std::numbers::ln2", "expected * std::numbers::log10e"),
        Row("scale.log2e_twice", "expected * std::numbers::log2e", "expected * std::numbers::ln10"),
        Row("scale.unit", '"scale.unit", "1", 1.0', '"scale.unit", "1", std::sqrt(expected)'),
        Row("scale.squared", "expected * expected", "expected * std::sqrt(expected)"),
        Row("scale.squared", "base * base * g * g", "base * base * g"),
        Row("scale.squared", "base * base)", "base * base * base)"),
        Row("scale.other", "std::ldexp(1.0, twos)", "std::ldexp(1.0, -twos)"),
    ],
    "diagnose/propose_linear.cpp": [
        Row("scale.other", 'make("scale.other", fitted,', 'make("scale.other", fitted * ratio,'),
        Row("rope.magnitude", "one(context, {1.0, value, 1.0}, cost", "one(context, {value, value, 1.0}, cost"),
        Row("rope.magnitude", "std::sqrt(std::abs(value))", "std::abs(value)"),
        Row("rope.dropped", "one(context, {1.0, 0.0, 1.0}", "one(context, {0.0, 1.0, 1.0}"),
        Row("rope.nope_dropped", "one(context, {0.0, 1.0, 1.0}", "one(context, {1.0, 0.0, 1.0}"),
        Row("value.gain", "const auto gain = fit(context, FitSource::out, along_gain()",
            "const auto gain = fit(context, FitSource::out, along_latent()"),
        Row("value.gain", "value *= gain;", "value /= gain;"),
        Row("latent.gain", "FitSource::out, along_latent()", "FitSource::out, along_gain()"),
        Row("latent.gain", "fit(context, source, along_nope(),", "fit(context, source, along_scale(),"),
    ],
    "diagnose/linear_fit.cpp": [
        Row("scale.other", "p * du * (u[key] - mean_u)", "p * du * u[key]"),
        Row("rope.magnitude", "p * dw * (w[key] - mean_w)", "p * dw * w[key]"),
    ],
    "diagnose/rotary.cpp": [
        Row("rope.interleave_swapped", "+ a * std::sin(angle_second)", "- a * std::sin(angle_second)"),
        Row("rope.interleave_swapped", "mixed ? second % half : pair", "mixed ? first % half : pair"),
        Row("rope.positions_shifted", "position + rotation.shift", "position - rotation.shift"),
    ],
    "diagnose/rope_variants.cpp": [
        Row("rope.interleave_swapped", "right.pairing == Pairing::interleaved ? Pairing::halves : Pairing::interleaved",
            "right.pairing == Pairing::interleaved ? Pairing::mixed : Pairing::halves"),
        Row("rope.interleave_swapped", '", in q alone", swapped, right', '", in q alone", right, swapped'),
        Row("rope.interleave_swapped", '", in k alone", right, swapped', '", in k alone", swapped, right'),
        Row("rope.frequencies_plain", "plain.frequencies = rotary.plain_inverse_frequencies",
            "plain.frequencies = rotary.inverse_frequencies"),
        Row("rope.not_applied", "none.frequencies.clear()", "none.frequencies = rotary.plain_inverse_frequencies"),
        Row("rope.not_applied", '"q as before RoPE", none, right', '"q as before RoPE", right, none'),
        Row("rope.not_applied", '"k as before RoPE", right, none', '"k as before RoPE", none, right'),
    ],
    "diagnose/before_rope.cpp": [
        Row("rope.positions_shifted", "moved.shift += restart", "moved.shift -= restart"),
    ],
    "diagnose/propose_rope.cpp": [
        Row("rope.positions_shifted", "shifted.query.shift = shift", "shifted.key.shift = shift"),
    ],
    "diagnose/explain_lse.cpp": [
        Row("lse.base2", "base_two(rules[at].expected, std::numbers::log2e", "base_two(rules[at].expected, std::numbers::ln10"),
        Row("lse.base2", "base_two(rules[at].expected, std::numbers::ln2", "base_two(rules[at].expected, std::numbers::log10e"),
        Row("lse.transposed", "row.head * rows + row.row : row.row * heads + row.head",
            "row.row * heads + row.head : row.row * heads + row.head"),
        Row("lse.transposed", "HeadRow{flat / rows, flat % rows}", "HeadRow{flat % heads, flat / heads}"),
        Row("lse.max_export", "outcome.lse + d * outcome.maximum", "outcome.lse - d * outcome.maximum"),
        Row("lse.max_export", "a * outcome.maximum + b * (outcome.lse - outcome.maximum)", "a * outcome.maximum + b * outcome.lse"),
    ],
    "diagnose/propose_merges.cpp": [
        Row("merge.base2", '"merge.base2", std::numbers::log2e', '"merge.base2", std::numbers::ln10'),
        Row("merge.base_e", '"merge.base_e", std::numbers::ln2', '"merge.base_e", std::numbers::log10e'),
        Row("merge.average", '"merge.average", 0.0', '"merge.average", 0.5'),
        Row("merge.average", "at += chunk", "at += chunk + 1"),
        Row("merge.context_dropped", "[](const Row& row) { return row.prefix; }", "[](const Row& row) { return row.prefix - 1; }"),
        Row("merge.context_dropped", "[at](const Row&) { return at; }", "[at](const Row&) { return at + 1; }"),
    ],
    "diagnose/propose_masks.cpp": [
        Row("mask.none", "std::pair{std::size_t{0}, row.keys}", "std::pair{std::size_t{0}, row.visible + 1}"),
        Row("mask.top_left", "row.local + 1", "row.local"),
        Row("mask.off_by_one_long", "candidates.push_back(offset_mask(context, 1))", "candidates.push_back(offset_mask(context, 2))"),
        Row("mask.off_by_one_long", "offset_mask(context, offset)", "offset_mask(context, offset + 1)"),
        Row("mask.off_by_one_short", "candidates.push_back(offset_mask(context, -1))", "candidates.push_back(offset_mask(context, -2))"),
        Row("mask.window", "row.visible - std::min(row.visible, window)", "row.visible - std::min(row.visible, window + 1)"),
    ],
    "diagnose/propose_pages.cpp": [
        Row("pages.missing", "change.change == Change::twice ? 2.0 : 0.0", "change.change == Change::twice ? 2.0 : 1.0"),
        Row("pages.missing", "return std::log(static_cast<double>(part.last - part.first));",
            "return static_cast<double>(part.last - part.first);"),
        Row("pages.duplicated", "change.source * change.size + key - part.first;", "change.source * change.size;"),
        Row("pages.duplicated", "change.change == Change::twice ? 2.0 : 0.0", "change.change == Change::twice ? 3.0 : 0.0"),
        Row("pages.duplicated", "times[key - change.size] += 1.0", "times[key - 1] += 1.0"),
    ],
    "diagnose/propose_extra_mass.cpp": [
        Row("softmax.sink", "one.alpha - (1.0 - share)", "one.alpha - share"),
        Row("softmax.sink", "[common](const Row&) { return common; }", "[common](const Row&) { return std::exp(common); }"),
        Row("softmax.padding_lanes", "const double mass = std::log(static_cast<double>(lanes));",
            "const double mass = static_cast<double>(lanes);"),
        Row("softmax.padding_lanes", "(tile - row.visible % tile) % tile", "row.visible % tile"),
        Row("softmax.padding_lanes", "row.keys - row.visible", "row.keys"),
    ],
    "diagnose/propose_temperature.cpp": [
        Row("temperature.by_position", "return 1.0 + law.beta * std::log1p(std::floor(row.position / law.original));",
            "return 1.0 + law.beta * std::log1p(row.position / law.original);"),
    ],
    "diagnose/propose_values.cpp": [
        Row("value.head_permuted", "sources[head] = best->first;", "sources[best->first] = head;"),
        Row("value.head_permuted", "whole ? other_predictor.predict(context.reference, other)",
            "whole ? context.predictor.predict(context.reference, row)"),
        Row("value.split_swapped", "values = both.leftCols(width)", "values = both.rightCols(width)"),
        Row("value.split_swapped", "context.capture.heads * nope + head * width", "context.capture.heads * nope + head * nope"),
    ],
    "diagnose/propose_output.cpp": [
        Row("output.stride", "flat / wide % heads, flat % wide", "flat / wide % heads, flat % width"),
        Row("output.stride", "Source{row, flat / wide, flat % wide}", "Source{row, flat / wide, flat % width}"),
        Row("output.stride", "Source{flat % rows, flat / rows, column}", "Source{flat / heads, flat % heads, column}"),
        Row("output.stride", "head * rows + row", "row * rows + head"),
    ],
    "diagnose/places.cpp": [
        Row("tail.uninitialised", "row.local < found->second", "row.local > found->second"),
        Row("tail.uninitialised", "first = column;", "first = column + 1;"),
    ],
    "diagnose/not_finite.cpp": [
        Row("tail.uninitialised", "last == sequence.query_end - 1", "last == sequence.query_end"),
        Row("output.nan", "return std::isnan(x);", "return std::isinf(x);"),
        Row("output.nan", "[](double x) { return std::isinf(x); }", "[](double x) { return std::isnan(x); }"),
    ],
    "diagnose/mechanism.cpp": [
        Row("precision.bf16_logits", "(n_l * (gain2 * bent + second * out_squared)", "(n_l * (second * out_squared)"),
    ],
    "compare/recipe.cpp": [
        Row("precision.truncated_probabilities", "Rounding::f16_cut : Rounding::bf16_cut", "Rounding::f16 : Rounding::bf16"),
    ],
}


def told_by(output):
    """The test case that failed, the last one that began, and what it had in hand."""
    names = re.findall(r'<TestCase name="([^"]*)"', output)
    hands = re.findall(r"<Info>\s*([^\s<]*)", output)
    return f"{names[-1] if names else 'crash or timeout'}{f' ({hands[-1].rstrip(chr(58))})' if hands else ''}"


def noticed_by(build, module, identifier, mutant, work):
    """The first test that is red with the object `mutant`, and what it said; None when all are green."""
    linked = set()
    for test, wanted in TESTS[module]:
        program = work / f"{test}_test"
        if test not in linked:
            build.link(f"tests/unit/{test}/{test}_test", mutant, program)
            linked.add(test)
        wanted = [word.format(identifier=identifier) for word in wanted]
        code, output = run([str(program), "--abort", "--reporter", "xml", *wanted], SECONDS)
        if code != 0:
            return f"{test}_test: {told_by(output.decode(errors='replace'))}"
    return None


def mutant_of(path, row):
    """The file's text with the wrong formula; None when the right one is not there once."""
    text = path.read_text()
    return text.replace(row.right, row.wrong) if text.count(row.right) == 1 else None


def identifiers():
    return re.findall(r'Hypothesis\{"([^"]+)"', (LIBRARY / "diagnose/hypothesis.cpp").read_text())


def verdict(build, file, row, work):
    """(fine?, what to print) of one row."""
    text = mutant_of(LIBRARY / file, row)
    if text is None:
        return False, f"not once in {file}: {row.right}"
    mutant = work / "mutant.o"
    if not build.object_for(LIBRARY / file, text, mutant):
        return False, f"does not compile in {file}: {row.wrong}"
    name = noticed_by(build, file.split("/")[0], row.identifier, mutant, work)
    return (True, name) if name else (False, f"GREEN with {row.wrong}    for {row.right} in {file}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="IDENTIFIER", help="or the beginning of one")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    options = parser.parse_args()
    build = Build(options.build.resolve())
    rows = [(file, row) for file, of_file in ROWS.items() for row in of_file]
    known = identifiers()
    failed = [f"{name} has no row" for name in known if all(row.identifier != name for _, row in rows)]
    failed += [f"{row.identifier} is no identifier" for _, row in rows if row.identifier not in known]
    chosen = [(file, row) for file, row in rows if not options.only or row.identifier.startswith(tuple(options.only))]
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        for file, row in chosen:
            fine, text = verdict(build, file, row, work)
            print(f"{row.identifier:34} {text}", flush=True)
            if not fine:
                failed.append(f"{row.identifier} {text}")
    print(f"{len(chosen)} wrong formulas, {len(failed)} failures", *failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
