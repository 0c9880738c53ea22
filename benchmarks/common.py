"What the benchmarks share: medians within one run, and one JSON record a benchmark in results/"
import json,os,platform,statistics,subprocess,sys,time
from importlib.metadata import packages_distributions,version
from pathlib import Path
import torch

ROOT = Path(__file__).resolve().parents[1]

def median_time(f, n=7, warmup=2):
    "Median seconds of `n` calls of `f` after `warmup` calls; waits for the accelerator where one was used"
    sync = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    def one():
        sync(); t = time.perf_counter(); f(); sync()
        return time.perf_counter()-t
    for _ in range(warmup): one()
    return statistics.median(one() for _ in range(n))

def _git(*a): return subprocess.run(('git',*a), cwd=ROOT, capture_output=True, text=True).stdout.strip()

def _cpu():
    info = Path('/proc/cpuinfo')
    names = [l.split(':',1)[1].strip() for l in info.read_text().splitlines() if l.startswith('model name')] if info.exists() else []
    return (names or [platform.processor() or platform.machine()])[0]

def record(name, command, prefix='bench_', **numbers):
    "Write results/`prefix``name`.json (command, commit, machine, versions of what was imported, numbers) and return its path"
    known = packages_distributions()
    use = ('torch','numpy','scipy','skimage','kornia','fastai','fastcore')
    d = dict(command=command, commit=_git('rev-parse','HEAD') + ('+changes' if _git('status','--porcelain','fse_nb','benchmarks') else ''),
             machine=dict(cpu=_cpu(), cores=os.cpu_count(), threads=torch.get_num_threads(), system=platform.platform(),
                          gpu=torch.cuda.get_device_name() if torch.cuda.is_initialized() else None),
             versions=dict(python=platform.python_version(), **{m:version(known[m][0]) for m in use if m in sys.modules and m in known}), numbers=numbers)
    path = ROOT/'results'/f"{'' if name.startswith('recipe_') else prefix}{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(d, indent=1)+'\n')
    return path
