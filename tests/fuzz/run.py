"""Fuzzing of everything that reads a file.

    python tests/fuzz/run.py replay                       every file of the corpus
    python tests/fuzz/run.py mutate --executions 1000     random mutations of it, the same for the same seed
    python tests/fuzz/run.py cover model --seconds 600    coverage-guided, with Atheris (pip install atheris)

Names of targets after the verb choose among them. A file that breaks a promise is written to --findings, the working
folder by default, and the exit code is not 0: make it small, give it a name and put it into corpus/<target>/.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))


def corpus(name):
    """The files of a target, by name."""
    from targets import CORPUS
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def fail(args, name, data):
    path = args.findings / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    text = traceback.format_exc()
    path.with_suffix(".txt").write_text(text, "utf8", "backslashreplace")
    print(f"a finding, {path}: {text.strip().splitlines()[-1][:200]!r}", file=sys.stderr)


def replay(args, name):
    """Run every file; how many failed."""
    from targets import runner
    failed = 0
    with runner(name, args.backend) as run:
        for file, data in corpus(name).items():
            try:
                reason = run(data)
                assert not (reason and file.startswith("good")), f"a good file is refused: {reason}"
                assert reason or not file.startswith("bad"), "a bad file is read"
                if args.verbose:
                    print(f"{name}/{file}: {reason or 'read'}")
            except Exception:
                print(f"in {name}/{file}:", file=sys.stderr)
                traceback.print_exc()
                failed += 1
        print(f"{name}: {len(corpus(name))} files, {failed} failed")
    return failed


def mutate(args, name):
    """Run mutations of the corpus, and mutations of those that were new; how many failed."""
    from mutate import mutate as other
    from targets import runner
    random, files, reasons, failed = Random(f"{name} {args.seed}"), list(corpus(name).values()), {}, 0
    start, done, read = time.perf_counter(), 0, 0
    with runner(name, args.backend) as run:
        while done < args.executions and time.perf_counter() - start < args.seconds and failed < 20:
            pool = list(reasons.values()) if reasons and random.random() < 0.3 else files
            data = other(random, name, random.choice(pool))
            done += 1
            try:
                reason = run(data)
            except Exception:
                fail(args, name, data)
                failed += 1
                continue
            read += not reason
            if len(data) < 100_000:
                reasons.setdefault(re.sub("'.*?'|[^a-z ]", "", reason)[:40], data)  # another way through the code
    print(f"{name}: {done} executions, {read} read, {len(reasons)} kinds of answers, {failed} failed, "
          f"{time.perf_counter() - start:.1f} s")
    return failed


def cover(args, name):
    """Run Atheris, which ends this process."""
    import atheris
    if args.backend == "numba":
        import nnjit.kernels  # noqa: F401, before the others: Numba cannot compile what is instrumented
    with atheris.instrument_imports(include=["nnjit", "numpy", "zipfile", "json", "gzip", "csv"]):
        from mutate import mutate as other
        from targets import CORPUS, runner

    def another(data, most, seed):
        random = Random(seed)
        found = other(random, name, data) if random.random() < 0.7 else atheris.Mutate(data, most)
        return found if len(found) <= most else atheris.Mutate(data, most)

    with runner(name, args.backend) as run:
        def one(data):
            try:
                run(data)
            except Exception:
                fail(args, name, data)
                if not args.go_on:
                    os._exit(1)

        grown = args.grow or Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-grown-"))  # libFuzzer writes into the first
        grown.mkdir(parents=True, exist_ok=True)
        atheris.Setup([sys.argv[0], f"-max_total_time={args.seconds:.0f}", f"-seed={args.seed + 1}", "-max_len=20000",
                       "-print_final_stats=1", "-timeout=60", "-rss_limit_mb=4096",
                       f"-artifact_prefix={args.findings}/", str(grown),
                       str(CORPUS / name)], one, custom_mutator=another)
        atheris.Fuzz()


def main():
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("replay", "mutate", "cover"))
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--executions", type=int, default=sys.maxsize)
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--backend", default="numpy", help="numba: use models by the kernels, which must be compiled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path())
    parser.add_argument("--grow", type=Path, help="cover: a folder that keeps the files which reached new code")
    parser.add_argument("--go-on", action="store_true", help="cover: do not end at the first finding")
    parser.add_argument("--verbose", action="store_true", help="replay: what each file gave")
    args = parser.parse_args()
    args.findings.mkdir(parents=True, exist_ok=True)
    if args.verb == "cover":
        if len(args.targets) != 1:
            parser.error("cover takes one target")
        cover(args, args.targets[0])
        return 0
    from targets import TARGETS
    return int(bool(sum(globals()[args.verb](args, name) for name in args.targets or TARGETS)))


if __name__ == "__main__":
    sys.exit(main())
