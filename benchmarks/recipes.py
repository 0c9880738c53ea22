"""Train a detector, one run, one JSON in results/; on faces follow the error of five `cfp` points over training time

    python benchmarks/recipes.py annealed --minutes 20 --seed 0
    python benchmarks/recipes.py annealed --data cats --pairs 26000
    python benchmarks/recipes.py annealed --minutes 20 --set bs=32 lr=0.001 --name bs32

The curve is measured on 1,000 held-out rows of the cfp *training* split; the test split is opened once, at the end, with --test.
Evaluation does not count as training time. `--resume` continues an interrupted run. The landmarks of at most 300 held-out
images go to results/points_NAME.json."""
import argparse, ast, json, time
import numpy as np, torch
from pathlib import Path
from fastai.basics import Callback, CancelFitException, noop
from common import record, ROOT
from fse_nb.cli import plan_run
from fse_nb.coords import to_pixels
from fse_nb.data import cats, celeba, cfp, decode_for, decode_images, landmark_dls, mnist, shoes
from fse_nb.export import load_detector, save_detector
from fse_nb.regress import fit_regressor, interocular_error, mean_shape_error
from fse_nb.train import detect, landmark_learner
from fse_nb.warps import DIGITS, FACES, WarpSampler

def digit(d): return lambda: [mnist(digit=d).where(split=k) for k in ('train','valid')]
def apart(s): return [s.where(split=k) for k in ('train','valid')]
#: training and held-out images, geometry, warps, K, fields of the recipe that the paper or the small image changes
DATA = dict(celeba=(lambda: [celeba(split='train'), celeba(split='test')], 'faces', FACES, 10, {}),
            cats=(lambda: apart(cats(heads=True)), 'cats', FACES, 10, {}),
            shoes=(lambda: shoes().random_split(.1, seed=0), 'shoes', FACES, 8, {}),
            **{f'mnist{d}':(digit(d), 'digits', DIGITS, 7, dict(pool=3, grow=None)) for d in (3,5,6)})

class Curve(Callback):
    "After some epochs: seconds of training, metrics without labels, error on the held-out rows"
    order = 75
    def __init__(self, sets, file, every=1, stop=None): self.sets,self.file,self.every,self.stop = sets,file,every,stop
    def before_fit(self):
        old = json.loads(self.file.read_text()) if self.file.exists() and self.learn.start!=(0,0) else []
        self.rows = [r for r in old if r['epoch']<self.learn.start[0]]
        self.seconds,self.cpu = (self.rows[-1]['seconds'],self.rows[-1]['core_seconds']) if self.rows else (0.,0.)
    def before_train(self): self.t,self.c = time.time(),time.process_time()
    def after_train(self):
        self.seconds += time.time()-self.t
        self.cpu += time.process_time()-self.c # not disturbed by what else the machine does
    def after_epoch(self):
        loss,scale = self.learn.loss_func,self.learn.warp_pairs.scale
        row = dict(epoch=self.epoch, pairs=(self.epoch+1)*len(self.dls.train)*self.dls.train.bs, seconds=round(self.seconds, 1), core_seconds=round(self.cpu, 1), scale=scale,
            gamma=loss.gamma, var_weight=loss.var_weight, lr=self.opt.hypers[-1]['lr'], **{k:float(v) for k,v in zip(self.recorder.metric_names[1:-1], self.recorder.values[-1])})
        if self.sets and ((self.epoch+1)%self.every==0 or self.epoch+1==self.n_epoch):
            row['cfp_percent'] = 100*errors(self.learn.model, *self.sets).mean().item()
        self.rows.append(row)
        self.file.write_text(json.dumps(self.rows))
        print({k:round(v, 3) if isinstance(v, float) else v for k,v in row.items()}, flush=True)
        if self.stop and self.epoch+1>=self.stop: raise CancelFitException

def errors(model, train, test):
    "Inter-ocular errors (N,) of a linear map fitted on one `ImageCache` and applied to another"
    pts = [torch.from_numpy(s.points) for s in (train,test)]
    return interocular_error(fit_regressor(detect(model, train), pts[0])(detect(model, test)), pts[1])

def points(model, held, name):
    "Landmarks of held-out images in pixels of the square, for pictures without photographs"
    pts = to_pixels(detect(model, held), held.size, held.size)
    (ROOT/'results'/f'points_{name}.json').write_text(json.dumps(dict(record=f'recipe_{name}', size=held.size,
        what=f'landmarks of {len(held)} held-out images, pixels of the square', points=np.round(pts.numpy(), 1).tolist()), separators=(',',':'))+'\n')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('recipe')
    p.add_argument('--minutes', type=float, default=20)
    p.add_argument('--pairs', type=int, help='instead of minutes')
    p.add_argument('--n-epoch', type=int, default=20)
    p.add_argument('--stop', type=int, help='end after this many epochs of the schedule')
    p.add_argument('--data', choices=DATA, default='celeba')
    p.add_argument('--n-landmarks', type=int, help='default: the paper\'s smallest')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--every', type=int, default=1, help='epochs between two errors')
    p.add_argument('--set', nargs='*', default=[], metavar='FIELD=VALUE', help='fields of the recipe to change')
    p.add_argument('--pose', action='store_true', help='g1 turns, shifts and scales as well, as it does for digits, so that no image of a pair is upright')
    p.add_argument('--trunk', help='start from the lower five layers of this detector (name or file)')
    p.add_argument('--name')
    p.add_argument('--test', action='store_true', help='open the cfp test split at the end')
    p.add_argument('--resume', action='store_true')
    a = p.parse_args()
    changes = {k:ast.literal_eval(v) if v[0] in "([-.0123456789'NTF" else v for k,v in (o.split('=', 1) for o in a.set)}
    sets,geometry,warps,K,own = DATA[a.data]
    K = a.n_landmarks or K
    if a.pose: warps = warps._replace(g1=WarpSampler(10, .001, .001, 15., .1, .05))
    name = a.name or f'{a.recipe if a.data=="celeba" else a.data}_k{K}_s{a.seed}'
    runs = ROOT/'runs'
    runs.mkdir(exist_ok=True)
    dec = lambda s: decode_for(geometry, s, cache=runs/'cache')
    train,held = map(dec, sets())
    labelled = None
    if geometry=='faces':
        c = cfp()
        labelled,test = (dec(c.where(split=k)) for k in ('train','test'))
        i = np.random.default_rng(0).permutation(len(labelled))
        labelled_parts = labelled[np.sort(i[1000:3000])],labelled[np.sort(i[:1000])]
    dls = landmark_dls(train, held[:200], bs=a.bs, val_bs=50, seed=a.seed)
    torch.manual_seed(a.seed)
    start = load_detector(a.trunk).with_landmarks(K).train() if a.trunk else None
    learn = landmark_learner(dls, K, a.recipe, seed=a.seed, warps=warps, model=start, **own|changes)
    learn.remove_cb(learn.progress)
    learn.logger = noop
    plan_file,ck = runs/f'{name}.plan.json',runs/f'{name}.checkpoint.safetensors'
    if a.resume and plan_file.exists(): plan = json.loads(plan_file.read_text())
    else:
        plan = dict(n_epoch=a.n_epoch, epoch_size=a.pairs//a.n_epoch//a.bs*a.bs) if a.pairs else plan_run(learn, a.minutes, a.n_epoch)
        plan_file.write_text(json.dumps(plan))
    dls.train.epoch_size = plan['epoch_size']
    curve = Curve(labelled and labelled_parts, runs/f'{name}.curve.json', a.every, a.stop)
    learn.fit_recipe(plan['n_epoch'], checkpoint=ck, resume=a.resume, cbs=curve)
    nums = dict(trunk=a.trunk, pose=a.pose, data=f'{a.data}, {len(train)} images, {len(held[:200])} held out', config=learn.run_config, **plan, stopped_after=a.stop, curve=curve.rows)
    if a.test and labelled:
        e = errors(learn.model, labelled, test)
        nums |= dict(cfp_test_percent=100*e.mean().item(), cfp_test_images=len(test), cfp_train_images=len(labelled),
                     mean_shape_percent=100*mean_shape_error(*(torch.from_numpy(s.points) for s in (labelled,test))).mean().item())
        print({k:nums[k] for k in ('cfp_test_percent','mean_shape_percent')})
    save_detector(learn.model, runs/f'{name}.safetensors', dict(data=a.data, record=f'recipe_{name}', config=learn.run_config, **plan))
    points(learn.model, held[:300], name)
    record(f'recipe_{name}', 'python benchmarks/recipes.py '+' '.join(__import__('sys').argv[1:]), **nums)

if __name__=='__main__': main()
