"Detector forward + backward, 80×80, 16 pairs, float32: GFLOP/s beside those of a large matmul in the same run"
import argparse, statistics, torch
from common import median_time, record
from fse_nb.model import LAYOUTS, LandmarkDetector, layer_table

def main(B=32, size=80, K=10, n=4096, rounds=7):
    torch.manual_seed(0)
    a,b = torch.randn(n,n),torch.randn(n,n)
    once = lambda f: median_time(f, n=1, warmup=0)
    nums = {}
    for layout in LAYOUTS:
        for fmt in (torch.channels_last, torch.contiguous_format):
            m = LandmarkDetector(K, layout=layout).to(memory_format=fmt)
            x,g = torch.randn(B,3,size,size).contiguous(memory_format=fmt),torch.randn(B,K,size//2,size//2).contiguous(memory_format=fmt)
            rows = layer_table(m, size)
            work = B*(3*sum(r['flops'] for r in rows) - rows[0]['flops']) # no gradient for the image
            def step():
                m.zero_grad()
                m(x).backward(g)
            for f in (step, lambda: a@b): median_time(f, n=1, warmup=2)
            t = [(once(step), once(lambda: a@b)) for _ in range(rounds)]         # alternating, so that both see the same machine
            rate,peak = (statistics.median(w/s/1e9 for s in ts) for w,ts in zip((work, 2*n**3), zip(*t)))
            ratio = statistics.median((work/s)/(2*n**3/u) for s,u in t)
            name = f"{layout}_{'channels_last' if fmt is torch.channels_last else 'nchw'}"
            print(f'{name:22}: {work/1e9:5.1f} GFLOP in {work/rate/1e9*1e3:5.0f} ms = {rate:5.0f} GFLOP/s; matmul {peak:5.0f} GFLOP/s; ratio {ratio:.2f}'
                  + (' (wanted: 0.70)' if fmt is torch.channels_last else ''))
            nums.update({f'{name}_gflops':rate, f'{name}_matmul_gflops':peak, f'{name}_ratio':ratio})
    record('model', 'python benchmarks/model.py', **nums, wanted=.7, B=B, size=size, K=K, matmul_n=n, threads=torch.get_num_threads())

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
