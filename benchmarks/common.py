"What the benchmarks share: medians within one run, and one record a benchmark in results/"
import statistics, time
from pathlib import Path

import torch

from fse_nb.results import origin, write_record

ROOT = Path(__file__).resolve().parents[1]

def median_time(f, n=7, warmup=2):
    "Median seconds of `n` calls of `f` after `warmup` calls; waits for the accelerator where one was used"
    sync = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    def once():
        sync()
        began = time.perf_counter()
        f()
        sync()
        return time.perf_counter()-began
    for _ in range(warmup): once()
    return statistics.median(once() for _ in range(n))

def record(name, *packages, **numbers):
    "Write results/bench_NAME.json, with the versions of the packages that were compared, and return its path"
    return write_record(ROOT/'results'/f'bench_{name}.json', origin(*packages), **numbers)
