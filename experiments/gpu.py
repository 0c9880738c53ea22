"""Everything that wants a GPU, in one command: pack what a machine without a network needs, and run it there

    python experiments/gpu.py pack                                 # here: writes gpu_pack/, which git ignores
    python experiments/gpu.py run --minutes 9 --out DIR            # there: from a copy of the repository with gpu_pack/
    python experiments/gpu.py run --minutes 9 --out DIR --tar FILE # all that was written also in one file

The pack holds CelebA without MAFL's test images, cfp and MAFL as squares of 100 pixels (WebP, of the best quality with
which all fits into 35 MB; what that changes is measured and in `manifest.json`), and the wheels of fastai and what it
needs beside PyTorch 2.11 and torchvision on Python 3.12. Without FSE_DATA, drawn faces take their place.

The run does the most valuable first, and writes each part as it ends: (a) the notebooks of the library on the device,
cell by cell, those flagged `cuda` included; (b) pairs a second of the training step and of the bare network, by
precision, batch and K; (c) our recipe, K = 10, 30 and 50, distillation included, and (d) the paper's, K = 10, its
learning rate a tenth for the last fifth, side by side, as many pairs as fit. Each training leaves its curve, its
weights, and its errors on cfp and MAFL."""
import io, json, os, subprocess, sys, tarfile, time, traceback
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT/'gpu_pack'
#: not on the machine, where PyTorch, torchvision, pandas, scipy, matplotlib and scikit-learn are
WHEELS = 'fastai','fastcore','fastprogress','fasttransform','fastdownload','plum-dispatch','beartype'

def install():
    "Use the wheels of the pack where fastai is missing"
    from importlib.util import find_spec
    if find_spec('fastai') or not (PACK/'wheels').is_dir(): return
    site = ROOT/'gpu_pack'/'site'
    if not site.is_dir():
        wheels = sorted(map(str, (PACK/'wheels').glob('*.whl')))
        subprocess.run([sys.executable,'-m','pip','install','-q','--no-index','--no-deps','--no-compile',
                        '--target',str(site),*wheels], check=True)
    sys.path.append(str(site)) # what is installed comes first
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(ROOT),os.environ.get('PYTHONPATH'),str(site)]))

if __name__=='__main__': install()
os.environ.setdefault('MPLBACKEND', 'agg')
sys.path.insert(0, str(ROOT))

import numpy as np, torch
from fastai.basics import Callback, CancelFitException
from fastai.callback.schedule import ParamScheduler
from fastai.torch_core import default_device
from PIL import Image

from common import Folders, decoded, evaluation, parser, percent, quiet_learner
from fse_nb.data import EYES, Geometry, ImageCache, celeba, cfp, landmark_dls, mafl, toy_faces
from fse_nb.export import save_detector
from fse_nb.results import origin
from fse_nb.runs import plan_run
from fse_nb.store import write_bytes, write_json
from fse_nb.warps import FACES

# ---- the pack

def without_tests(s):
    "CelebA without MAFL's test images, whichever partition they are in"
    tests = set((Path(os.environ['FSE_DATA'])/'celeba'/'MAFL_testing.txt').read_text().split())
    return s[np.array([Path(f).name not in tests for f in s.files.items])]

def packed_sets():
    "name → images"
    both = celeba(mafl=True)
    return dict(celeba=without_tests(both.where(split='train')), held=without_tests(both.where(split='test')),
                cfp=cfp(), mafl=mafl())

def webp(square, quality):
    out = io.BytesIO()
    Image.fromarray(square).save(out, 'WEBP', quality=quality, method=6)
    return out.getvalue()

def unwebp(data): return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))

def best_quality(caches, room, qualities=range(95, 10, -5), n=200):
    "The best quality at which all images have room, guessed from `n` of each set"
    samples = [c[np.linspace(0, len(c)-1, min(n, len(c))).astype(int)] for c in caches]
    for q in qualities:
        size = sum(len(c)*np.mean([len(webp(o, q)) for o in s.images]) for c,s in zip(caches, samples))
        if size<room: return q
    raise SystemExit('the images do not fit, whatever the quality')

def pack_set(cache, file, quality):
    "One .npz: the images one after the other, where each ends, points, splits; returns what WebP changed"
    blobs = [webp(o, quality) for o in cache.images]
    out = io.BytesIO()
    arrays = dict(blobs=np.frombuffer(b''.join(blobs), np.uint8), ends=np.cumsum([len(b) for b in blobs]))
    if cache.points is not None: arrays['points'] = cache.points.astype(np.float32)
    if cache.split is not None: arrays['split'] = np.asarray(cache.split, str)
    np.savez(out, **arrays)
    write_bytes(file, out.getvalue())
    some = np.linspace(0, len(cache)-1, min(500, len(cache))).astype(int)
    change = np.stack([unwebp(blobs[i]).astype(float)-cache.images[i] for i in some])
    return dict(images=len(cache), megabytes=round(file.stat().st_size/1e6, 2), quality=quality,
                rms_grey_levels=round(float(np.sqrt((change**2).mean())), 2),
                mean_abs_grey_levels=round(float(np.abs(change).mean()), 2))

def unpack_set(file, geometry=Geometry()):
    "The `ImageCache` that was packed"
    with np.load(file, allow_pickle=False) as z:
        data,ends = z['blobs'].tobytes(),z['ends']
        more = {k:z[k] for k in ('points','split') if k in z.files}
    squares = np.stack([unwebp(data[a:b]) for a,b in zip([0,*ends[:-1]], ends)])
    names = [str(i) for i in range(len(squares))]
    points = more.get('points')
    return ImageCache(squares, names, np.tile([0,0,100,100], (len(squares),1)), points=points,
                      names=None if points is None else [f'p{i}' for i in range(points.shape[1])],
                      split=more.get('split'), geometry=geometry, name=file.stem)

def download_wheels(folder):
    platforms = [f'--platform=manylinux{o}_x86_64' for o in ('_2_28','_2_27','_2_17','2014','1')]
    subprocess.run([sys.executable,'-m','pip','download','-q','--no-deps','--only-binary=:all:','--python-version=3.12',
                    '--implementation=cp',*platforms,'-d',str(folder),*WHEELS], check=True)
    return sorted(folder.glob('*.whl'))

def pack(limit_mb=35.):
    "Write gpu_pack/"
    PACK.mkdir(exist_ok=True)
    wheels = download_wheels(PACK/'wheels')
    own = round(sum(f.stat().st_size for f in wheels)/1e6, 2)
    folders = Folders()
    folders.runs.mkdir(exist_ok=True)
    caches = {name:decoded(Geometry(), s, folders) for name,s in packed_sets().items()}
    quality = best_quality(caches.values(), (limit_mb-own-1)*1e6)
    sets = {name:pack_set(c, PACK/f'{name}.npz', quality) for name,c in caches.items()}
    total = sum(f.stat().st_size for f in PACK.glob('*.npz'))/1e6+own
    if total>limit_mb: raise SystemExit(f'{total:.1f} MB are more than {limit_mb:g}')
    said = dict(files=[f.name for f in wheels], megabytes=own)
    about = dict(origin(), sets=sets, wheels=said, megabytes=round(total, 2))
    write_json(PACK/'manifest.json', about)
    print(json.dumps(about['sets'], indent=1), f'{total:.1f} MB in {PACK.name}/', sep='\n')

def images(smoke):
    "Images to train on, held out, and (train, test) of labelled sets by name: of the pack, or drawn"
    if (PACK/'manifest.json').exists() and not smoke:
        sets = {f.stem:unpack_set(f) for f in PACK.glob('*.npz')}
        of = lambda c: [c[np.flatnonzero(c.split==k)] for k in ('train','test')]
        return sets['celeba'],sets['held'],{k:of(sets[k]) for k in ('cfp','mafl')}
    g,n = Geometry.of_size(40) if smoke else Geometry(),24 if smoke else 2000
    draw = lambda n, seed: g.decode(toy_faces(n, seed=seed, size=g.square))
    return draw(n, 0),draw(n//2, 1),dict(toy=[draw(n, 2),draw(n//2, 3)])

# ---- (a) every notebook of the library on the device

LIBRARY = '0[0-8]*.ipynb'

def cells_of(notebook):
    for i,c in enumerate(json.loads(notebook.read_text(encoding='utf-8'))['cells']):
        source = ''.join(c['source'])
        if c['cell_type']=='code' and source.strip() and 'get_ipython' not in source: yield i,source

def run_notebook(notebook, seconds):
    "Run the cells of a notebook that are not slow; how many, and what failed"
    import warnings
    warnings.simplefilter('ignore')
    os.chdir(ROOT/'nbs')
    space,failed,n,began = dict(__name__='__main__'),[],0,time.time()
    for i,source in cells_of(notebook):
        if '#| slow' in source or 'show_doc(' in source: continue
        if time.time()-began>seconds:
            failed.append(dict(cell=i, error='no time was left'))
            break
        n += 1
        try: exec(compile(source, f'{notebook.name} cell {i}', 'exec'), space)
        except BaseException as e:
            where = [f'{Path(f.filename).name}:{f.lineno}' for f in traceback.extract_tb(e.__traceback__)][-3:]
            failed.append(dict(cell=i, error=f'{type(e).__name__}: {str(e)[:200]}', where=where))
    return dict(cells=n, failed=failed, seconds=round(time.time()-began, 1))

def device_tests(run):
    "Each notebook in a process of its own, several at a time"
    notebooks = sorted((ROOT/'nbs').glob('00_*.ipynb' if run.smoke else LIBRARY))
    seconds,found,waiting,going = run.share(.2),{},list(notebooks),[]
    began = time.time()
    while waiting or going:
        while waiting and len(going)<max(1, (os.cpu_count() or 1)*3//4):
            nb = waiting.pop(0)
            out = run.out/'runs'/f'{nb.stem}.json'
            going.append((nb,out,run.spawn('notebook', nb.name, '--seconds', str(seconds), '--json', str(out))))
        for job in [o for o in going if o[2].poll() is not None or time.time()-began>2*seconds]:
            going.remove(job)
            if job[2].poll() is None: job[2].kill()
            nb,out,_ = job
            found[nb.stem] = json.loads(out.read_text()) if out.exists() else dict(cells=0, failed=['it did not end'])
        time.sleep(.05)
    bad = {k:v['failed'] for k,v in found.items() if v['failed']}
    print(f"{len(found)} notebooks, {sum(o['cells'] for o in found.values())} cells; failed: {json.dumps(bad)[:3000]}")
    run.record('gpu_device', notebooks=found, failed=sum(map(len, bad.values())))

# ---- (b) speed

def rate(step, bs, seconds, device):
    "Pairs a second of a step, after three that are not timed"
    wait = torch.cuda.synchronize if device.type=='cuda' else lambda: None
    for _ in range(3): step()
    wait()
    n,began = 0,time.perf_counter()
    while time.perf_counter()-began<seconds:
        for _ in range(1 if device.type=='cpu' else 5): step()
        n += 1 if device.type=='cpu' else 5
        wait()
    return round(n*bs/(time.perf_counter()-began), 1)

def steps_of(learn, x, precision, compiled, device):
    "The training step from bytes on, and that of the bare network: forward, a sum, backward, update"
    model,maker = learn.model.train(),learn.warp_pairs
    net = torch.compile(model) if compiled else model
    opt,generator = torch.optim.AdamW(model.parameters(), 1e-4),maker.generator(0)
    cast = lambda: torch.autocast(device.type, torch.bfloat16) if precision=='bfloat16' else nullcontext()
    ready = maker.make(x, generator)
    def whole():
        pairs = maker.make(x, generator)
        target = maker.target(pairs)
        with cast(): scores = net(pairs)
        learn.loss_func(scores.float(), target).backward()
        opt.step()
        opt.zero_grad()
    def bare():
        with cast(): net(ready).float().square().mean().backward()
        opt.step()
        opt.zero_grad()
    return whole,bare

def speed(run):
    "Pairs a second by K, batch and precision; the record is written after each row"
    train,_,_ = run.images
    g = train.geometry
    grid = [(k,bs,p,False) for k in (10,50) for bs in (16,64,128,256,512) for p in ('float32','bfloat16')]
    grid += [(10,bs,p,True) for bs in (64,256) for p in ('float32','bfloat16')]
    if run.smoke: grid = [(4,4,'float32',False),(4,4,'bfloat16',False)]
    rows,until = [],time.time()+run.share(.2)
    for k,bs,precision,compiled in grid:
        if time.time()>until: break
        row = dict(K=k, batch=bs, precision=precision, compiled=compiled)
        try:
            i = np.arange(bs)%len(train)
            x = torch.from_numpy(train.batch(i)).to(run.device).permute(0,3,1,2)/127.5-1
            learn = run.learner(k, bs, 'annealed')
            learn.model.geometry = g # full resolution
            learn.warp_pairs.learn = learn
            whole,bare = steps_of(learn, x, precision, compiled, run.device)
            seconds = .1 if run.smoke else .5
            row |= dict(pairs_per_second=rate(whole, bs, seconds, run.device),
                        bare_pairs_per_second=rate(bare, bs, seconds, run.device))
            row['of_bare'] = round(row['pairs_per_second']/row['bare_pairs_per_second'], 3)
        except Exception as e: row['error'] = f'{type(e).__name__}: {str(e)[:200]}'
        rows.append(row)
        print(row, flush=True)
        run.record('gpu_speed', rows=rows, size=g.size, crop=g.crop, arch=learn.run_config['arch']['arch'])

# ---- (c), (d) trainings

#: name → K, recipe, pairs in a batch, share of the run at a tenth of the rate (of the paper; ours distil instead)
TRAININGS = dict(
    ours_k10=(10, 'annealed', 64, None),
    ours_k30=(30, 'annealed', 64, None),
    ours_k50=(50, 'annealed', 64, None),
    paper_k10=(10, 'paper', 16, .2))

class Deadline(Callback):
    "End a run that would not be ready in time"
    def __init__(self, until): self.until = until
    def after_batch(self):
        if self.training and time.time()>self.until: raise CancelFitException

class Rows(Callback):
    "The curve, written after each epoch"
    order = 70
    def __init__(self, file): self.file,self.rows,self.began,self.pairs = file,[],time.time(),0
    def after_epoch(self):
        names,values = self.recorder.metric_names[1:-1],self.recorder.values[-1]
        self.pairs += len(self.dls.train)*self.dls.train.bs
        self.rows.append(dict(epoch=len(self.rows), pairs=self.pairs, seconds=round(time.time()-self.began, 1),
                              lr=self.opt.hypers[-1]['lr'], **{k:float(v) for k,v in zip(names, values)}))
        write_json(self.file, self.rows)

def train(run, name, seconds):
    "One training, as many pairs as fit into the seconds, and its errors"
    k,recipe,bs,drop = TRAININGS[name]
    if run.smoke: k,bs = min(k, 4),4
    until = time.time()+seconds
    torch.manual_seed(0)
    learn = run.learner(k, bs, recipe)
    n_epoch = 2 if run.smoke else 40
    n_distil = 0 if drop else 1 if run.smoke else 6 # epochs of each of two rounds
    plan = dict(epoch_size=2*bs) if run.smoke else plan_run(learn, .86*seconds/60, n_epoch, distil=2*n_distil/n_epoch)
    learn.dls.train.epoch_size = plan['epoch_size']
    rows = Rows(run.out/'runs'/f'{name}_curve.json')
    cbs = [rows,Deadline(until)]
    if drop is None:
        learn.fit_recipe(n_epoch, cbs=cbs)
        learn.distil(n_distil, rounds=2, cbs=cbs)
    else:
        lr = lambda pct: learn.recipe.lr*(1 if pct<1-drop else .1)
        learn.fit(n_epoch, lr=learn.recipe.lr, wd=learn.recipe.wd, cbs=[*cbs,ParamScheduler(dict(lr=lr))])
    learn.anneal.set(1.)
    model,pairs = learn.model.cpu().eval(),rows.pairs
    same = dict(config=learn.run_config, pairs=pairs, drop=drop,
                n_distil=2*n_distil, complete=len(rows.rows)==n_epoch+2*n_distil)
    save_detector(model, run.out/'runs'/f'{name}.safetensors', dict(record=f'gpu_{name}', **same))
    run.record(f'gpu_{name}', curve=rows.rows, **same)
    tests = {}
    for which,(fit,test) in run.images[2].items():
        tests[which] = evaluation(model, fit, test, EYES['five'])
        print(name, which, percent(tests[which]['error']), f'{pairs:,} pairs', flush=True)
    run.record(f'gpu_{name}', curve=rows.rows, tests=tests, **same)

def trainings(run):
    "All trainings side by side: their steps are too small to fill a large GPU"
    seconds = run.left()-(20 if not run.smoke else 0)
    if run.smoke:
        for name in ('ours_k10','paper_k10'): train(run, name, 60)
        return
    going = [run.spawn('train', name, '--seconds', str(seconds)) for name in TRAININGS]
    while any(o.poll() is None for o in going) and run.left()>0:
        time.sleep(2)
        run.tar()
    for o in going:
        if o.poll() is None: o.kill()

# ---- all of it

class Run:
    "A run's folder, device and time"
    def __init__(self, args):
        self.smoke,self.minutes,self.began,self.origin = args.smoke,args.minutes,time.time(),origin()
        self.folders = Folders.of(args)
        self.out,self.tar_file = self.folders.results.parent,args.tar
        self.device = torch.device('cpu') if args.smoke else default_device()
        self._images = None

    @property
    def images(self):
        if self._images is None: self._images = images(self.smoke)
        return self._images

    def left(self): return self.began+60*self.minutes-time.time()
    def share(self, of): return 60. if self.smoke else of*60*self.minutes

    def learner(self, k, bs, recipe, **kwargs):
        train,held,_ = self.images
        dls = landmark_dls(train, held[:200], bs=bs, val_bs=50, seed=0, with_points=False, device=self.device)
        return quiet_learner(dls, k, recipe, warps=FACES, seed=0, **kwargs)

    def record(self, name, **numbers):
        self.folders.record(name, self.origin, **numbers)
        self.tar()

    def tar(self):
        "All that was written so far, in one file"
        if self.tar_file is None: return
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode='w') as t:
            for f in sorted(self.out.rglob('*')):
                whole = f.suffix in ('.json','.safetensors') and not f.name.startswith('.')
                if whole: t.add(f, f.relative_to(self.out))
        write_bytes(self.tar_file, out.getvalue())

    def spawn(self, *command):
        "Part of the run in a process of its own"
        smoke = ['--smoke'] if self.smoke else []
        return subprocess.Popen([sys.executable,__file__,*command,'--out',str(self.out),*smoke], cwd=ROOT)

def main():
    p = parser(__doc__)
    p.add_argument('what', nargs='?', default='run', choices=('pack','run','train','notebook'))
    p.add_argument('name', nargs='?', help='of a training, or a notebook')
    p.add_argument('--minutes', type=float, default=9, help='that all of it may take')
    p.add_argument('--seconds', type=float, default=60, help='that one training, or notebook, may take')
    p.add_argument('--tar', type=Path, help='file that also holds all that was written')
    p.add_argument('--json', type=Path, help='file for what a notebook said')
    args = p.parse_args()
    if args.what=='pack': return pack()
    if args.what=='notebook': return write_json(args.json, run_notebook(ROOT/'nbs'/args.name, args.seconds))
    run = Run(args)
    print(f'on {run.device}', flush=True)
    if args.what=='train': return train(run, args.name, args.seconds)
    for part in (device_tests,speed,trainings):
        try: part(run)
        except Exception: print(traceback.format_exc(), flush=True)
        print(f'{part.__name__}: {time.time()-run.began:.0f} s after the start', flush=True)

if __name__=='__main__': main()
