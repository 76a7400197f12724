"""Runs a sweep in shards on a Dask cluster and merges them.

usage: dask_sweep.py --shards N --out DIR [--scheduler ADDRESS | --workers N] [--trial PROGRAM] -- SWEEP ARGUMENTS
example: dask_sweep.py --shards 16 --out /shared/night --scheduler tcp://head:8786 -- smoke --seeds 1000 --first-seed 1

DIR and the program must be the same for all workers. A shard whose worker dies is tried again elsewhere: the next attempt has a
folder of its own and goes on from the runs that the one before has written. `trial merge` counts each run once.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys

RETRIES = 5
# Of `trial`: 0 held; 1, 3 and 4 are results too; 2 is a mistake that no other worker mends.
RESULTS = (0, 1, 3, 4)


def attempts(out, shard):
    return sorted(out.glob(f"shard-{shard}.*"), key=lambda folder: int(folder.suffix[1:]))


def sweep(program, out, shard, shards, arguments):
    """One shard, on a worker; the exit code of `trial`."""
    before = attempts(out, shard)
    folder = out / f"shard-{shard}.{len(before)}"
    folder.mkdir(parents=True)
    command = [program, "sweep", *arguments, "--shard", f"{shard}/{shards}", "--jobs", "1", "--out", str(folder)]
    runs = [former / "runs.jsonl" for former in before if (former / "runs.jsonl").exists()]
    if runs:
        shutil.copy(runs[-1], folder)
        command.append("--resume")
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode not in RESULTS:
        raise RuntimeError(f"shard {shard}: {done.stderr.strip()}")
    return done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", help="of a Dask cluster; without, workers on this machine")
    where.add_argument("--workers", type=int, default=2, help="processes on this machine")
    parser.add_argument("--trial", default="target/release/trial", help="the program, as the workers find it")
    parser.add_argument("arguments", nargs="+", help="of `trial sweep`, --first-seed among them")
    given = parser.parse_args()
    if "--first-seed" not in given.arguments:
        parser.error("--first-seed is needed: every shard must have the same")

    from dask.distributed import Client, LocalCluster, as_completed

    cluster = given.scheduler or LocalCluster(n_workers=given.workers, threads_per_worker=1, dashboard_address=None)
    with Client(cluster) as client:
        shards = range(given.shards)
        futures = [
            client.submit(sweep, given.trial, given.out, shard, given.shards, given.arguments, retries=RETRIES, pure=False)
            for shard in shards
        ]
        for done in as_completed(futures):
            done.result()
            print(f"{sum(future.done() for future in futures)} of {given.shards} shards", file=sys.stderr, flush=True)
    made = [folder for shard in shards for folder in attempts(given.out, shard)]
    # One that was killed at once has written nothing.
    folders = [str(folder) for folder in made if (folder / "runs.jsonl").exists()]
    return subprocess.run([given.trial, "merge", *folders, "--out", str(given.out / "merged")]).returncode


if __name__ == "__main__":
    sys.exit(main())
