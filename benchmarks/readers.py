"""Reading the annotation of a full CelebA: 202,599 rows of points and partition, every name looked for in the folder

    python benchmarks/readers.py

The files are synthetic: names, partition and numbers in the original format, and as many empty images."""
import argparse, os, statistics, tempfile, time
from pathlib import Path

import numpy as np

from common import median_time, record
from fse_nb.data import celeba

N = 202_599
HEADER = 'lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y'

def partition(i): return 0 if i<162_770 else 1 if i<182_637 else 2

def write_celeba(root):
    "A folder like CelebA's; returns its points (N,10)"
    images = root/'img_align_celeba'
    images.mkdir(parents=True)
    points = np.tile([69,109,106,113,77,142,73,152,108,154], (N,1))+np.random.default_rng(0).integers(-3, 4, (N,10))
    names = [f'{i:06d}.jpg' for i in range(1, N+1)]
    for n in names: os.close(os.open(images/n, os.O_CREAT))
    rows = [f'{n} '+' '.join(f'{v:4d}' for v in row) for n,row in zip(names, points.tolist())]
    (root/'list_landmarks_align_celeba.txt').write_text('\n'.join([str(N),HEADER,*rows])+'\n')
    (root/'list_eval_partition.txt').write_text('\n'.join(f'{n} {partition(i)}' for i,n in enumerate(names))+'\n')
    return points

def main():
    with tempfile.TemporaryDirectory() as d:
        root = Path(d)/'celeba'
        points = write_celeba(root)
        s = celeba(root, strict=True)
        assert len(s)==N and (s.points.reshape(N, 10)==points).all() and (s.split=='train').sum()==162_770
        def processor():
            began = time.process_time()
            celeba(root, strict=True)
            return time.process_time()-began
        core = statistics.median(processor() for _ in range(5))
        clock = median_time(lambda: celeba(root, strict=True), n=5, warmup=1)
    load = os.getloadavg()[0]/os.cpu_count()
    print(f'{N:,} rows: {clock:.2f} s, of which {core:.2f} s on the processor (bound: 2 s; load {load:.1f} per core)')
    record('readers', rows=N, seconds=round(clock, 3), cpu_seconds=round(core, 3), bound=2,
           load_per_core=round(load, 2))

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
