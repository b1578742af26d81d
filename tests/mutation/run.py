#!/usr/bin/env python3
"""Mutation run: changes one operator or constant of the library at a time and looks whether a test notices.

    tests/mutation/run.py scale --sample 100 --seed 1        needs a finished build of the dev preset
    tests/mutation/run.py scale --only survivors.txt         tries again what an earlier run printed

Each mutant is one object, compiled as compile_commands.json says and linked before the archive into the tests of its module
and, where the golden cases look at it, the program. It is killed when a test fails, crashes or takes too long; it survives when
all pass. Mutants that do not compile, or compile to the same code, do not count.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The tests that ought to notice, the fastest first.
MODULES = {
    "scale": {"tests": ["scale", "engines"], "cases": True},
    "engines": {"tests": ["engines"], "cases": True},
    "compare": {"tests": ["compare", "check"], "cases": False},
    "diagnose": {"tests": ["diagnose", "check"], "cases": False},
}

# Bounds of memory are no mutant's business, and take gigabytes of it.
SELECTION = ["~[large]"]

# clang-format puts blanks around binary operators and none around template brackets, so these are operators.
OPERATORS = [
    (r" < ", [" <= "]), (r" <= ", [" < "]), (r" > ", [" >= "]), (r" >= ", [" > "]), (r" == ", [" != "]), (r" != ", [" == "]),
    (r" \+ ", [" - "]), (r" - ", [" + "]), (r" \* ", [" / "]), (r" / ", [" * "]),
    (r" \+= ", [" -= "]), (r" -= ", [" += "]), (r" \*= ", [" /= "]),
    (r" && ", [" || "]), (r" \|\| ", [" && "]),
    (r"(?<=[( ])!(?=[a-z(*])", [""]),
    (r"\btrue\b", ["false"]), (r"\bfalse\b", ["true"]),
    (r"std::min\b", ["std::max"]), (r"std::max\b", ["std::min"]),
]
NUMBER = re.compile(r"(?<![\w.\"'])(\d+\.\d*(?:[eE][-+]?\d+)?|\d+(?:[eE][-+]?\d+)|\d+)(?![\w.'])")


def blanked(text):
    """The text with comments, strings, preprocessor lines and static assertions blanked, of the same length."""
    def blank(match):
        return re.sub(r"[^\n]", "\1", match.group())
    pattern = r'//[^\n]*|/\*.*?\*/|R"\(.*?\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|^[ \t]*#[^\n]*|static_assert\(.*?\);'
    return re.sub(pattern, blank, text, flags=re.S | re.M)


def sites(path):
    """Every (begin, end, replacement) of a file."""
    code = blanked(path.read_text())
    for pattern, replacements in OPERATORS:
        for match in re.finditer(pattern, code):
            for replacement in replacements:
                yield match.start(), match.end(), replacement
    for match in NUMBER.finditer(code):
        word = match.group()
        if "." in word or "e" in word.lower():
            yield match.start(), match.end(), repr(float(word) * 2 if float(word) else 1.0)
        else:
            yield match.start(), match.end(), str(int(word) + 1)


def run(command, timeout, cwd=ROOT):
    """(exit code, output); 124 when it took too long."""
    try:
        done = subprocess.run(command, cwd=cwd, timeout=timeout, capture_output=True, env=None)
        return done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        return 124, b""


class Build:
    def __init__(self, directory):
        self.directory = directory
        entries = json.loads((directory / "compile_commands.json").read_text())
        self.compile = {str(pathlib.Path(e["directory"], e["file"]).resolve()): e for e in entries}
        self.links = {}

    def object_for(self, source, text, to):
        """Compiles `text` in the place of `source`. False when it does not compile."""
        entry = self.compile[str(source)]
        mutant = to.with_suffix(".cpp")
        mutant.write_text(text)
        words = [w for w in shlex.split(entry["command"]) if w not in ("-Werror", "ccache") and not w.endswith("/ccache")]
        words[words.index("-o") + 1] = str(to)
        words[words.index("-c") + 1] = str(mutant)
        for flag in ("-MT", "-MF"):
            if flag in words:
                at = words.index(flag)
                del words[at:at + 2]
        words = [w for w in words if w != "-MD"] + ["-iquote", str(source.parent), "-w"]
        return run(words, 600, self.directory)[0] == 0

    def link(self, target, mutant, to):
        if target not in self.links:
            commands = subprocess.run(["ninja", "-t", "commands", target], cwd=self.directory, check=True, capture_output=True,
                                      text=True).stdout.splitlines()
            self.links[target] = commands[-1]
        line = self.links[target]
        line = line[line.index("&& ") + 3:] if line.startswith(": &&") else line
        words = shlex.split(line.split(" && ")[0])
        words[words.index("-o") + 1] = str(to)
        archive = next(i for i, w in enumerate(words) if w.endswith("libmla_scale.a"))
        words.insert(archive, str(mutant))
        code, output = run(words, 600, self.directory)
        if code != 0:
            sys.exit(output.decode())


def read_case(path):
    """A golden case of tests/cli; its file tells the form."""
    case = {"args": "", "env": {"COLUMNS": "80"}, "stdin": "", "exit": 0, "out": [], "err": []}
    section = None
    for line in path.read_text().splitlines():
        if line in ("--- stdout", "--- stderr"):
            section = case["out" if line.endswith("stdout") else "err"]
        elif section is not None:
            section.append(line)
        elif line.startswith("env: "):
            name, value = line[5:].split("=", 1)
            case["env"][name] = value
        elif ": " in line:
            key, value = line.split(": ", 1)
            case[key] = int(value) if key == "exit" else value
    return case


def case_passes(program, case):
    source = (ROOT / case["stdin"]).read_bytes() if case["stdin"] else b""
    try:
        done = subprocess.run([str(program)] + shlex.split(case["args"]), cwd=ROOT, input=source, capture_output=True, timeout=60,
                              env={**os.environ, **case["env"]})
    except subprocess.TimeoutExpired:
        return False
    return (done.returncode == case["exit"] and done.stdout.decode().splitlines() == case["out"]
            and done.stderr.decode().splitlines() == case["err"])


def killer(build, module, mutant, work, timeouts):
    """The name of what noticed the mutant, or None."""
    for test in module["tests"]:
        program = work / f"{test}_test"
        build.link(f"tests/unit/{test}/{test}_test", mutant, program)
        if run([str(program), "--abort", *SELECTION], timeouts[test])[0] != 0:
            return f"{test}_test"
    if module["cases"]:
        program = work / "mla-scale"
        build.link("apps/mla-scale/mla-scale", mutant, program)
        for path, case in module["golden"]:
            if not case_passes(program, case):
                return path.name
    return None


def code_of(path):
    """The machine code and constants of an object, without what names its source."""
    return subprocess.run(["objdump", "-s", "-r", str(path)],
                          capture_output=True).stdout.split(b"\n", 3)[-1]


class Mutant:
    """One change of one file."""

    def __init__(self, path, site):
        self.path = path
        self.begin, self.end, self.replacement = site
        self.before = path.read_text()

    def text(self):
        return self.before[:self.begin] + self.replacement + self.before[self.end:]

    def place(self):
        return self.before.count("\n", 0, self.begin) + 1, self.begin - self.before.rfind("\n", 0, self.begin)

    def __str__(self):
        line, column = self.place()
        change = f"'{self.before[self.begin:self.end].strip()}' -> '{self.replacement.strip()}'"
        return f"{self.path.relative_to(ROOT)}:{line}:{column}: {change}    {self.before.splitlines()[line - 1].strip()}"


def listed_in(path, everything):
    """The mutants that an earlier run printed as survivors. Lines may have moved since: of mutants that read the same it is the
    one nearest to the old place."""
    place = re.compile(r":(\d+)(?::(\d+))?: ")
    alike = collections.defaultdict(list)
    for mutant in everything:
        alike[place.sub(": ", str(mutant), 1)].append(mutant)
    names = [line.split(maxsplit=1)[1] for line in path.read_text().splitlines() if line.startswith("survived ")]
    chosen = []
    for name in names:
        listed = [int(number or 0) for number in place.search(name).groups()]
        if found := alike[place.sub(": ", name, 1)]:
            chosen.append(min(found, key=lambda mutant: [abs(a - b) for a, b in zip(mutant.place(), listed)]))
        else:
            print(f"not found {name}")
    print(f"{len(names) - len(chosen)} of {len(names)} listed mutants were not found again")
    return chosen


def judged(build, module, mutant, timeouts, plain):
    """"killed", "survived", or "skipped" when it does not compile or is the same program."""
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        binary = work / "mutant.o"
        if not build.object_for(mutant.path, mutant.text(), binary) or code_of(binary) == plain[mutant.path]:
            return "skipped"
        return "survived" if killer(build, module, binary, work, timeouts) is None else "killed"


def plain_code(build, path):
    with tempfile.TemporaryDirectory() as name:
        binary = pathlib.Path(name) / "mutant.o"
        build.object_for(path, path.read_text(), binary)
        return code_of(binary)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", choices=MODULES)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--only", type=pathlib.Path, help="the mutants that this file lists as survived, instead of a sample")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="+", default=[], metavar="NAME",
                        help="names or tags of Catch2: only these tests of the module's own program, which takes less time")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    parser.add_argument("--files", default="*.cpp", help="only files of this pattern")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no mutant after this time")
    options = parser.parse_args()
    module = MODULES[options.module]
    if options.tests:
        module = {"tests": [options.module], "cases": False}
        SELECTION[:] = [",".join(name.replace(",", "\\,") for name in options.tests)]
    build = Build(options.build.resolve())
    begin = time.monotonic()
    files = sorted((ROOT / "lib/mla_scale" / options.module).glob(options.files))
    everything = [Mutant(path, site) for path in files for site in sites(path)]
    if options.only:
        chosen = listed_in(options.only, everything)
    else:
        chosen = random.Random(options.seed).sample(everything, min(options.sample, len(everything)))
    origin = f"listed in {options.only}" if options.only else f"seed {options.seed}"
    print(f"{options.module}: {len(chosen)} of {len(everything)} possible mutants, {origin}", flush=True)
    timeouts = {}
    for test in module["tests"]:
        start = time.monotonic()
        code, output = run([str(build.directory / f"tests/unit/{test}/{test}_test"), *SELECTION], 3600)
        if code != 0 or b"No tests ran" in output:
            sys.exit(f"{test}_test fails without any mutant, or has no such test")
        timeouts[test] = 30 + 10 * (time.monotonic() - start)
    module["golden"] = []
    if module["cases"]:
        everything_passes = build.directory / "apps/mla-scale/mla-scale"
        for path in sorted((ROOT / "tests/cli/cases").glob("*.case")):
            case = read_case(path)
            # Some cases need what the C++ runner does for them; those that pass as they are count.
            if case_passes(everything_passes, case):
                module["golden"].append((path, case))
    count = dict(killed=0, survived=0, skipped=0)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        sources = sorted({mutant.path for mutant in chosen})
        plain = dict(zip(sources, pool.map(lambda path: plain_code(build, path), sources)))

        def outcome(mutant):
            late = time.monotonic() - begin > options.seconds
            return mutant, "not tried" if late else judged(build, module, mutant, timeouts, plain)

        for number, done in enumerate(concurrent.futures.as_completed([pool.submit(outcome, mutant) for mutant in chosen])):
            mutant, result = done.result()
            count[result] = count.get(result, 0) + 1
            if result == "survived":
                print(f"survived  {mutant}", flush=True)
            if number % 10 == 9:
                print(f"... {number + 1}: {count}", file=sys.stderr, flush=True)
    counted = count["killed"] + count["survived"]
    print(f"{options.module}: {count['killed']} of {counted} killed ({100 * count['killed'] / max(counted, 1):.1f} %), "
          f"{count['skipped']} do not count, {count.get('not tried', 0)} not tried")


if __name__ == "__main__":
    main()
