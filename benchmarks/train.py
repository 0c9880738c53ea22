"A full training step with data against the detector's own forward and backward; memory over epochs and of a 200k-image cache"
import argparse, resource, tempfile, time
from pathlib import Path
import numpy as np, torch
from fastai.basics import Callback, noop
from common import median_time, record
from fse_nb.data import ImageCache, landmark_dls
from fse_nb.train import landmark_learner

def rss(): # MB that this process holds now, without file pages that the kernel can drop
    return sum(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(('RssAnon','RssShmem')))/1024

def cache(n, size=100, file=None):
    "n noise images; in a file, written in pieces"
    if file is None: a = np.random.default_rng(0).integers(0, 256, (n,size,size,3), dtype=np.uint8)
    else:
        a = np.lib.format.open_memmap(file, 'w+', np.uint8, (n,size,size,3))
        for i in range(0, n, 5000): a[i:i+5000] = np.random.default_rng(i).integers(0, 256, (1,size,size,3), dtype=np.uint8)
        del a
        a = np.load(file, mmap_mode='r')
    return ImageCache(a, [str(i) for i in range(n)], np.zeros((n,4)))

class Times(Callback):
    "Seconds from the start of one training batch to the start of the next: data, warps, loss, optimiser and all callbacks"
    order = -100
    def before_fit(self): self.t = []
    def before_batch(self):
        if self.training: self.t.append(time.perf_counter())

class Memory(Callback):
    def before_fit(self): self.mb = []
    def after_epoch(self): self.mb.append(rss())

def learner(c, epoch_size, cbs, recipe='paper', **kw):
    dls = landmark_dls(c, c[:32], epoch_size=epoch_size, bs=16, val_bs=32)
    learn = landmark_learner(dls, 10, recipe, cbs=cbs, **kw)
    learn.logger = noop
    learn.remove_cb(learn.progress)
    return learn

def step(layout, steps):
    t = Times()
    learn = learner(cache(2000), 16*steps, [t], layout=layout)
    learn.fit(1)
    whole = float(np.median(np.diff(t.t)[3:]))
    x = torch.randn(32, 3, 80, 80).contiguous(memory_format=torch.channels_last)
    learn.model.train()
    g = torch.randn_like(learn.model(x))
    def own():
        learn.model.zero_grad()
        learn.model(x).backward(g)
    own = median_time(own, n=steps)
    return {f'{layout}_step_s':whole, f'{layout}_own_s':own, f'{layout}_ratio':whole/own}

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--steps', type=int, default=15)
    p.add_argument('--images', type=int, default=200_000)
    a = p.parse_args()
    r = step('paper', a.steps) | step('dilated', a.steps)
    with tempfile.TemporaryDirectory() as d:
        before = rss()
        c = cache(a.images, file=Path(d)/'cache.npy')
        m = Memory()
        learner(c, 64, [m]).fit(8)
        r |= dict(images=a.images, cache_file_mb=c.data.nbytes/2**20, memory_before_mb=before, memory_per_epoch_mb=m.mb,
                  memory_growth_mb=m.mb[-1]-m.mb[2])
    print(f"training step / detector's own forward+backward: paper {r['paper_ratio']:.3f}, dilated {r['dilated_ratio']:.3f} (wanted: at most 1.10)")
    print(f"memory over 8 epochs on {a.images:,} images in a file of {r['cache_file_mb']:.0f} MB: " + ' '.join(f'{o:.0f}' for o in r['memory_per_epoch_mb']) + ' MB')
    record('train', 'python benchmarks/train.py', **r)
