"""Make the embedded detector from nothing: ``python -m yolocli.builtin.train``.

Writes the scenes, trains, strips the checkpoint of everything private, evaluates it on scenes of
a seed it never saw. The defaults are what the shipped weights were made with.
"""

# ruff: noqa: T201 (a command prints)

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from yolocli.builtin import WEIGHTS
from yolocli.builtin.extra import main

WATCH = 100  # scenes that Ultralytics validates on after each stage, of the seed after the training's


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m yolocli.builtin.train", description=__doc__)
    parser.add_argument("--scenes", type=int, default=7000, help="scenes by chance; of the others 6 for 7")
    parser.add_argument("--epochs", type=int, default=17, help="passes over them, all stages together")
    parser.add_argument("--imgsz", type=int, default=640, help="picture size of the last pass, pixels")
    parser.add_argument("--seed", type=int, default=0, help="of scenes, weights and shuffling")
    parser.add_argument("--device", default="cpu", help="as Ultralytics takes it: cpu, 0, mps")
    parser.add_argument("--workers", type=int, help="processes that make scenes (default: one a core)")
    parser.add_argument("--out", type=Path, default=Path("runs/codes"), help="folder for all that is made")
    parser.add_argument("--data", type=Path, help="train on scenes an earlier run wrote to OUT/scenes")
    parser.add_argument("--resume", action="store_true", help="go on after the stages that are finished in OUT")
    parser.add_argument("--check-scenes", type=int, default=500, help="scenes to evaluate on; 0 for none")
    parser.add_argument("--install", action="store_true", help=f"put the weights at {WEIGHTS.name}")
    return parser


def _run(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)

    from yolocli.builtin.evaluate import SEED, evaluate, report
    from yolocli.builtin.recipe import LATE, fit, stages
    from yolocli.builtin.scenes import write_split
    from yolocli.builtin.strip import strip

    if options.seed <= SEED <= options.seed + 2:
        print(f"seed {options.seed} makes the scenes of the evaluation: choose another", file=sys.stderr)
        return 2
    started = time.monotonic()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    folder: Path = options.data or out / "scenes"
    if options.data is None:
        write_split(folder, "train", options.scenes, options.seed, options.workers)
        write_split(folder, "val", min(WATCH, options.scenes), options.seed + 1, options.workers)
        write_split(folder, "late", -(-options.scenes * 6 // 7), options.seed + 2, options.workers, LATE)
        print(f"scenes made in {time.monotonic() - started:.0f} s", file=sys.stderr)
    plan = stages(options.imgsz, options.epochs)
    ends = fit(folder, out, plan, options.seed, options.device, options.workers or 0, options.resume)
    weights = out / WEIGHTS.name
    strip(ends, weights)
    print(f"{weights} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if options.check_scenes:
        found = evaluate(weights, options.check_scenes, SEED, options.imgsz, options.device, out)
        print(report(found))
    if options.install:
        shutil.copyfile(weights, WEIGHTS)
    return 0


if __name__ == "__main__":
    main(_run)
