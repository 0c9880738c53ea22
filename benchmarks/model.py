"""Detector forward + backward, 80×80, 16 pairs, float32: GFLOP/s beside those of a large matmul in the same run,
for both layouts: plain, in channels_last, and in channels_last with `reuse_memory` as training runs.

    python benchmarks/model.py"""
import argparse, statistics, torch
from common import median_time, record
from fse_nb.model import LAYOUTS, LandmarkDetector, layer_table, reuse_memory

def main(B=32, size=80, K=10, n=4096, rounds=7):
    torch.manual_seed(0)
    a,b,c = torch.randn(n,n),torch.randn(n,n),torch.empty(n,n)
    def matmul(): torch.mm(a, b, out=c)
    once,nums = lambda f: median_time(f, n=1, warmup=0),{}
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
            for f in (step, matmul): median_time(f, n=1, warmup=2)
            t = [(once(matmul), once(step), once(matmul)) for _ in range(rounds)] # alternating: both see the same machine
            mm = [(u+v)/2 for u,_,v in t]
            rate,peak = (statistics.median(w/s/1e9 for s in ts) for w,ts in ((work,[o[1] for o in t]), (2*n**3,mm)))
            ratio = statistics.median((work/s)/(2*n**3/u) for u,(_,s,_) in zip(mm,t))
            name = f"{layout}_{'nchw' if fmt is torch.contiguous_format else 'channels_last'}{'_reuse' if reuse else ''}"
            print(f"{name:27}: {work/1e9:5.1f} GFLOP in {work/rate/1e6:5.0f} ms = {rate:4.0f} GFLOP/s; matmul {peak:4.0f} GFLOP/s; ratio {ratio:.2f}"
                  + (' (wanted: 0.70)' if reuse else ''), flush=True)
            nums.update({f'{name}_gflops':rate, f'{name}_matmul_gflops':peak, f'{name}_ratio':ratio})
    reuse_memory(False)
    record('model', 'python benchmarks/model.py', **nums, wanted=.7, B=B, size=size, K=K, matmul_n=n, torch_threads=torch.get_num_threads())

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
