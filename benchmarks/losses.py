"""Alignment (6), forward and backward, against its double sum; diversity (8) against a loop

    python benchmarks/losses.py

B = 32, K = 30, 40×40 maps: the double sum over all pairs of pixels against moments, the loop against reductions."""
import argparse

import torch

from common import median_time, record
from fse_nb.losses import align_maps, align_maps_naive, diversity
from fse_nb.model import spatial_softmax
from fse_nb.warps import FACES

def diversity_loop(probs, m=5):
    "Equation (8) after sum pooling, window by window"
    B,K,h,w = probs.shape
    total = 0.
    for b in range(B):
        for i in range(0, h, m):
            for j in range(0, w, m):
                top = probs[b,0,i:i+m,j:j+m].sum()
                for r in range(1, K): top = torch.maximum(top, probs[b,r,i:i+m,j:j+m].sum())
                total = total+top
    return K-total/B

def apart(a, b):
    "Largest relative difference of values and of gradients; maps sum to one, so a constant per map is no gradient"
    free = lambda g: g-g.mean((2,3), keepdim=True)
    gradients = [((free(o)-free(q)).abs().max()/free(o).abs().max()).item() for o,q in zip(a[1:], b[1:])]
    return max(abs(a[0]-b[0])/a[0], *gradients)

def main(B=32, K=30, size=40, extent=.8):
    torch.manual_seed(0)
    p1,p2 = (spatial_softmax(torch.randn(B, K, size, size)*3).requires_grad_() for _ in range(2))
    g2 = FACES.g2(B).grid(size, size, extent)
    def step(loss):
        p1.grad = p2.grad = None
        value = loss(p1, p2, g2, extent, size/(2*extent))
        value.backward()
        return value.item(),p1.grad,p2.grad
    difference = apart(step(align_maps_naive), step(align_maps))
    assert difference<1e-4, difference
    naive = median_time(lambda: step(align_maps_naive), n=5, warmup=1)
    linear = median_time(lambda: step(align_maps), n=21, warmup=3)
    one = p1.detach()[:1].clone().requires_grad_()
    loop = median_time(lambda: diversity_loop(one).backward(), n=5, warmup=1)
    reductions = median_time(lambda: diversity(one).backward(), n=21, warmup=3)
    print(f'alignment (6), B={B} K={K} {size}×{size}: naive {naive*1e3:.0f} ms, linear {linear*1e3:.2f} ms, '
          f'{naive/linear:.0f}× (wanted: 40×); values and gradients agree to {difference:.0e}')
    print(f'diversity (8), one image: loop {loop*1e3:.0f} ms, reductions {reductions*1e3:.2f} ms, '
          f'{loop/reductions:.0f}×')
    record('losses', align_naive_s=naive, align_linear_s=linear, align_ratio=naive/linear, align_wanted=40,
           align_max_rel_diff=difference, diversity_loop_s=loop, diversity_s=reductions,
           diversity_ratio=loop/reductions, B=B, K=K, size=size)

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
