"""Detector forward + backward, 80×80, 16 pairs, float32: GFLOP/s beside those of a large matmul in the same run,
for both layouts: plain, in channels_last, and in channels_last with `reuse_memory` as training runs.

Only the multiply-adds of the convolutions are counted, so batch norm, ReLU and pooling are a loss. The matmul is square
(n = 4096), float32, with the same threads, alternating with the step. `cpu_ratio` is the same ratio in seconds of the
process's own threads instead of wall seconds: what else the machine does disturbs it less. `load` says how busy it was.

Where the rest goes on a CPU with AVX2 (scratch runs, one thread, core seconds): oneDNN's gradients of the weights reach
about 52 GFLOP/s where forward and data gradients of the same layers reach 86 to 95 and the matmul 86; batch norm and ReLU
take 3% of the step over the 256 channels. Tried: those gradients as k² matmuls over shifted maps, or in the blocked layout
(a fifth faster or slower, layer by layer, and nothing for the dilated layout); `torch.compile` (ratio 0.73 against 0.76,
after 156 s of compiling); transparent huge pages (nothing). Where the
matmul is faster, the convolutions do not keep up: on an idle Intel Xeon with AVX-512 (results/bench_model.json) the ratio is
0.62 (paper) and 0.66 (dilated), on a busy AMD EPYC without (results/bench_model_amd.json) 0.79 and 0.98. On the Xeon batch
norm and ReLU, which are bound by memory, are about a tenth of the step; nothing in eager PyTorch does them in fewer passes.

    python benchmarks/model.py"""
import argparse, os, statistics, time, torch
from common import record
from fse_nb.model import LAYOUTS, LandmarkDetector, layer_table, reuse_memory

def main(B=32, size=80, K=10, n=4096, rounds=7, warmup=8):
    torch.manual_seed(0)
    a,b,c = torch.randn(n,n),torch.randn(n,n),torch.empty(n,n)
    def matmul(): torch.mm(a, b, out=c)
    def once(f): # wall and core seconds
        t,c = time.perf_counter(),time.process_time()
        f()
        return time.perf_counter()-t,time.process_time()-c
    nums = {}
    for reuse,fmt in ((False,torch.contiguous_format), (False,torch.channels_last), (True,torch.channels_last)):
        if reuse and not reuse_memory(): continue # no glibc
        for layout in LAYOUTS:
            m = LandmarkDetector(K, layout=layout).to(memory_format=fmt)
            x,g = torch.randn(B,3,size,size).contiguous(memory_format=fmt),torch.randn(B,K,size//2,size//2).contiguous(memory_format=fmt)
            rows = layer_table(m, size)
            work = B*(3*sum(r['flops'] for r in rows) - rows[0]['flops']) # forward, and both gradients; none for the image
            def step():
                m.zero_grad()
                m(x).backward(g)
            for f in (*(step,)*warmup, matmul): f() # the heap grows during the first steps, and a page fault is dear in a virtual machine
            t = [once(f) for f in (matmul, *(step,matmul)*rounds)] # alternating: both see the same machine
            mm,st = [[(u+v)/2 for u,v in zip(a, b)] for a,b in zip(t[:-2:2], t[2::2])],t[1::2]
            rate,peak = (statistics.median(w/s/1e9 for s,_ in ts) for w,ts in ((work,st), (2*n**3,mm)))
            ratio,cpu = (statistics.median((work/s[i])/(2*n**3/m[i]) for s,m in zip(st, mm)) for i in (0,1))
            name = f"{layout}_{'nchw' if fmt is torch.contiguous_format else 'channels_last'}{'_reuse' if reuse else ''}"
            print(f"{name:27}: {work/1e9:5.1f} GFLOP in {work/rate/1e6:5.0f} ms = {rate:4.0f} GFLOP/s; matmul {peak:4.0f} GFLOP/s; ratio {ratio:.2f}, by core seconds {cpu:.2f}"
                  + (' (wanted: 0.70)' if reuse else ''), flush=True)
            nums.update({f'{name}_gflops':rate, f'{name}_matmul_gflops':peak, f'{name}_ratio':ratio, f'{name}_cpu_ratio':cpu})
    reuse_memory(False)
    record('model', 'python benchmarks/model.py', **nums, wanted=.7, B=B, size=size, K=K, matmul_n=n, torch_threads=torch.get_num_threads(), load=os.getloadavg()[0])

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
