"""Reading the annotation of a full CelebA: 202,599 rows of landmarks and partition, every name checked against the folder.
    python benchmarks/readers.py
The files are synthetic: names, partition and numbers in the original format, and as many empty images."""
import os,statistics,sys,tempfile,time
from pathlib import Path
import numpy as np
sys.path.insert(0, str(Path(__file__).parent))
from common import median_time,record
from fse_nb.data import celeba

N = 202599
with tempfile.TemporaryDirectory() as d:
    root = Path(d)/'celeba'; im = root/'img_align_celeba'; im.mkdir(parents=True)
    p = np.tile([69,109,106,113,77,142,73,152,108,154], (N,1))+np.random.default_rng(0).integers(-3,4,(N,10))
    names = [f'{i:06d}.jpg' for i in range(1,N+1)]
    for n in names: os.close(os.open(im/n, os.O_CREAT))
    (root/'list_landmarks_align_celeba.txt').write_text(f'{N}\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n'
        +'\n'.join(f'{n} '+' '.join(f'{v:4d}' for v in r) for n,r in zip(names,p.tolist()))+'\n')
    (root/'list_eval_partition.txt').write_text('\n'.join(f'{n} {0 if i<162770 else 1 if i<182637 else 2}' for i,n in enumerate(names))+'\n')
    s = celeba(root, strict=True)
    assert len(s)==N and (s.points.reshape(N,10)==p).all() and (s.split=='train').sum()==162770
    def cpu(): t = time.process_time(); celeba(root, strict=True); return time.process_time()-t
    c,t = statistics.median(cpu() for _ in range(5)),median_time(lambda: celeba(root, strict=True), n=5, warmup=1)
load = os.getloadavg()[0]/os.cpu_count()
print(f'{N:,} rows: {t:.2f} s, of which {c:.2f} s on the processor (bound: 2 s; load {load:.1f} per core)')
record('readers', 'python benchmarks/readers.py', rows=N, seconds=round(t,3), cpu_seconds=round(c,3), bound=2, load_per_core=round(load,2))
