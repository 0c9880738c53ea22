"""Detector forward + backward, 80×80, 16 pairs, float32: GFLOP/s beside those of a large matmul in the same run,
for all bodies: plain, in channels_last, and in channels_last with `reuse_memory` as training runs.

    python benchmarks/model.py

Only the multiply-adds of the convolutions are counted, so batch norm, ReLU and pooling are a loss. The matmul is square
(n = 4096), float32, with the same threads, alternating with the step. `cpu_ratio` is the same ratio in seconds of the
process's own threads instead of wall seconds: what else the machine does disturbs it less. `load` says how busy it was.

Where the rest goes on a CPU with AVX2 (scratch runs, one thread, core seconds): oneDNN's gradients of the weights reach
about 52 GFLOP/s where forward and data gradients of the same layers reach 86 to 95 and the matmul 86; batch norm and
ReLU take 3% of the step over the 256 channels. Tried: those gradients as k² matmuls over shifted maps, or in the
blocked layout (a fifth faster or slower, layer by layer, and nothing for the dilated layout); `torch.compile` (ratio
0.73 against 0.76, after 156 s of compiling); transparent huge pages (nothing). Where the matmul is faster, the
convolutions do not keep up: on an idle Intel Xeon with AVX-512 (results/bench_model.json) the ratio is 0.62 (paper) and
0.66 (dilated), on a busy AMD EPYC without (results/bench_model_amd.json) 0.79 and 0.98. On the Xeon batch norm and
ReLU, which are bound by memory, are about a tenth of the step; nothing in eager PyTorch does them in fewer passes."""
import argparse, os, statistics, time

import torch

from common import record
from fse_nb.model import ARCHS, LandmarkDetector, layer_table, reuse_memory

FORMATS = dict(nchw=torch.contiguous_format, channels_last=torch.channels_last)

def once(f):
    "Wall and core seconds of a call"
    clock,core = time.perf_counter(),time.process_time()
    f()
    return time.perf_counter()-clock,time.process_time()-core

def step_of(arch, memory_format, B, size, K):
    "A forward and backward pass, and the multiply-adds x 2 of its convolutions"
    m = LandmarkDetector(K, arch=arch).to(memory_format=memory_format)
    x = torch.randn(B, 3, size, size).contiguous(memory_format=memory_format)
    gradient = torch.randn(B, K, size//m.stride, size//m.stride).contiguous(memory_format=memory_format)
    rows = layer_table(m, size)
    work = B*(3*sum(r['flops'] for r in rows)-rows[0]['flops']) # forward, and both gradients; none for the image
    def step():
        m.zero_grad()
        m(x).backward(gradient)
    return step,work

def measure(step, work, matmul, peak_work, rounds, warmup):
    "GFLOP/s of the step and of the matmul, and their ratio by wall and by core seconds; the two take turns"
    for f in (*(step,)*warmup, matmul): f() # the heap grows during the first steps, and a page fault is dear there
    times = [once(f) for f in (matmul, *(step,matmul)*rounds)]
    steps = times[1::2]
    beside = [[(u+v)/2 for u,v in zip(a, b)] for a,b in zip(times[:-2:2], times[2::2])] # the matmuls before and after
    rate,peak = (statistics.median(w/s/1e9 for s,_ in ts) for w,ts in ((work,steps),(peak_work,beside)))
    ratio,cpu_ratio = (statistics.median((work/s[i])/(peak_work/m[i]) for s,m in zip(steps, beside)) for i in (0,1))
    return dict(gflops=rate, matmul_gflops=peak, ratio=ratio, cpu_ratio=cpu_ratio)

def main(B=32, size=80, K=10, n=4096, rounds=7, warmup=8):
    torch.manual_seed(0)
    a,b,c = torch.randn(n, n),torch.randn(n, n),torch.empty(n, n)
    def matmul(): torch.mm(a, b, out=c)
    numbers = {}
    for reuse,layout in ((False,'nchw'), (False,'channels_last'), (True,'channels_last')):
        if reuse and not reuse_memory(): continue # no glibc
        for arch in ARCHS:
            step,work = step_of(arch, FORMATS[layout], B, size, K)
            found = measure(step, work, matmul, 2*n**3, rounds, warmup)
            name = f"{arch}_{layout}{'_reuse' if reuse else ''}"
            said = ', '.join(f'{k} {v:.2f}' for k,v in found.items())
            print(f'{name:27}: {work/1e9:5.1f} GFLOP; {said}', flush=True)
            numbers |= {f'{name}_{k}':v for k,v in found.items()}
    reuse_memory(False)
    record('model', **numbers, wanted=.7, B=B, size=size, K=K, matmul_n=n, load=os.getloadavg()[0])

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
