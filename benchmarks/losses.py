"Alignment (6), forward + backward, B=32, K=30, 40×40: double sum against moments; diversity (8): loop against reductions"
import argparse, torch
from common import median_time, record
from fse_nb.losses import align_maps, align_maps_naive, diversity
from fse_nb.model import spatial_softmax
from fse_nb.warps import FACES

def diversity_loop(probs, m=5):
    B,K,h,w = probs.shape
    loss = 0.
    for b in range(B):
        for i in range(0, h, m):
            for j in range(0, w, m):
                top = probs[b,0,i:i+m,j:j+m].sum()
                for r in range(1, K): top = torch.maximum(top, probs[b,r,i:i+m,j:j+m].sum())
                loss = loss + top
    return K - loss/B

def main(B=32, K=30, size=40, extent=.8):
    torch.manual_seed(0)
    p1,p2 = (spatial_softmax(torch.randn(B,K,size,size)*3).requires_grad_() for _ in range(2))
    g2 = FACES.g2(B).grid(size, size, extent)
    def step(f):
        p1.grad = p2.grad = None
        l = f()
        l.backward()
        return l.item(),p1.grad,p2.grad
    naive = lambda: step(lambda: align_maps_naive(p1, p2, g2, extent, size/(2*extent)))
    fast  = lambda: step(lambda: align_maps(p1, p2, g2, extent, size/(2*extent)))
    a,b = naive(),fast()
    free = lambda g: g-g.mean((2,3), keepdim=True) # maps sum to one: a constant per map is no gradient
    err = max(abs(a[0]-b[0])/a[0], *((free(o)-free(q)).abs().max().item()/free(o).abs().max().item() for o,q in zip(a[1:],b[1:])))
    assert err<1e-4, err
    tn,tf = median_time(naive, n=5, warmup=1),median_time(fast, n=21, warmup=3)
    few = p1.detach()[:1].clone().requires_grad_()
    loop,red = lambda: diversity_loop(few).backward(),lambda: diversity(few).backward()
    dn,df = median_time(loop, n=5, warmup=1),median_time(red, n=21, warmup=3)
    print(f'alignment (6), B={B} K={K} {size}×{size}: naive {tn*1e3:.0f} ms, linear {tf*1e3:.2f} ms, {tn/tf:.0f}× (wanted: 40×); values and gradients agree to {err:.0e}')
    print(f'diversity (8), one image: loop {dn*1e3:.0f} ms, reductions {df*1e3:.2f} ms, {dn/df:.0f}×')
    record('losses', 'python benchmarks/losses.py', align_naive_s=tn, align_linear_s=tf, align_ratio=tn/tf, align_wanted=40, align_max_rel_diff=err,
           diversity_loop_s=dn, diversity_s=df, diversity_ratio=dn/df, torch_threads=torch.get_num_threads(), B=B, K=K, size=size)

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
