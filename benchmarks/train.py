"""A full training step with data against the detector's own forward and backward; memory over epochs on many images

    python benchmarks/train.py"""
import argparse, tempfile, time
from pathlib import Path

import numpy as np, torch
from fastai.basics import Callback, noop

from common import median_time, record
from fse_nb.data import ImageCache, landmark_dls
from fse_nb.train import landmark_learner

def resident_mb():
    "MB that this process holds now, without file pages that the kernel can drop"
    lines = Path('/proc/self/status').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(('RssAnon','RssShmem')))/1024

def noise(shape, seed): return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

def cache(n, size=100, file=None):
    "n noise images; in a file, written in pieces"
    if file is None: images = noise((n,size,size,3), 0)
    else:
        images = np.lib.format.open_memmap(file, 'w+', np.uint8, (n,size,size,3))
        for i in range(0, n, 5000): images[i:i+5000] = noise((1,size,size,3), i)
        del images
        images = np.load(file, mmap_mode='r')
    return ImageCache(images, [str(i) for i in range(n)], np.zeros((n,4)))

class Times(Callback):
    "When each training batch starts: from one to the next are data, warps, loss, optimiser and all callbacks"
    order = -100
    def before_fit(self): self.starts = []
    def before_batch(self):
        if self.training: self.starts.append(time.perf_counter())

class Memory(Callback):
    def before_fit(self): self.mb = []
    def after_epoch(self): self.mb.append(resident_mb())

def learner(images, epoch_size, cbs, arch='paper'):
    dls = landmark_dls(images, images[:32], epoch_size=epoch_size, bs=16, val_bs=32)
    learn = landmark_learner(dls, 10, 'paper', cbs=cbs, arch=arch)
    learn.logger = noop
    learn.remove_cb(learn.progress)
    return learn

def step(arch, steps):
    "Seconds of a training step, of the network alone, and their ratio"
    times = Times()
    learn = learner(cache(2000), 16*steps, [times], arch)
    learn.fit(1)
    whole = float(np.median(np.diff(times.starts)[3:]))
    x = torch.randn(32, 3, 80, 80).contiguous(memory_format=torch.channels_last)
    learn.model.train()
    gradient = torch.randn_like(learn.model(x))
    def own():
        learn.model.zero_grad()
        learn.model(x).backward(gradient)
    alone = median_time(own, n=steps)
    return {f'{arch}_step_s':whole, f'{arch}_own_s':alone, f'{arch}_ratio':whole/alone}

def memory(n, epochs=8):
    "MB after each of some epochs on `n` images in a file"
    with tempfile.TemporaryDirectory() as d:
        before,images,held = resident_mb(),cache(n, file=Path(d)/'cache.npy'),Memory()
        learner(images, 64, [held]).fit(epochs)
        return dict(images=n, cache_file_mb=images.data.nbytes/2**20, memory_before_mb=before,
                    memory_per_epoch_mb=held.mb, memory_growth_mb=held.mb[-1]-held.mb[2])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--steps', type=int, default=15)
    p.add_argument('--images', type=int, default=200_000)
    args = p.parse_args()
    r = step('paper', args.steps)|step('dilated', args.steps)|memory(args.images)
    print(f"training step / detector's own forward+backward: paper {r['paper_ratio']:.3f}, "
          f"dilated {r['dilated_ratio']:.3f} (wanted: at most 1.10)")
    print(f"memory over epochs on {args.images:,} images in a file of {r['cache_file_mb']:.0f} MB: "
          +' '.join(f'{o:.0f}' for o in r['memory_per_epoch_mb'])+' MB')
    record('train', **r)

if __name__=='__main__': main()
