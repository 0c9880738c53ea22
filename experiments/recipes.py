"""Train a detector: one run, one record in results/; on faces the error of five points is followed over the run

    python experiments/recipes.py annealed --arch unet --k 10 --pairs 96000 --seed 0 --every 4 --test
    python experiments/recipes.py annealed --data cats --pairs 26000
    python experiments/recipes.py annealed --minutes 20 --set bs=32 lr=0.001 --name bs32

The state is kept in runs/ every minute; the same command continues an interrupted run (`--restart` begins anew).
CelebA is taken without the test images of MAFL. The curve is measured on 1,000 held-out rows of the cfp *training*
split; test splits are opened once, at the end, with --test: cfp, MAFL (a map fitted on its training part), AFLW.
`core_seconds` is the time of training alone, `all_core_seconds` with validation, evaluation and decoding; a run that
starts from another detector (`--trunk`, `--start`) adds the time of that one in `chain`. The landmarks of at most 300
held-out images go to results/points_NAME.json."""
import ast, json, time

import numpy as np, torch
from fastai.basics import Callback, CancelFitException

from common import (CATEGORIES, Folders, decoded, detector_named, evaluation, geometry_and_warps, held_rows, labelled,
                    parser, percent, quiet_learner, regressed)
from fse_nb.coords import to_pixels
from fse_nb.data import cfp, landmark_dls
from fse_nb.detect import detect
from fse_nb.export import save_detector
from fse_nb.results import origin
from fse_nb.runs import plan_run
from fse_nb.store import write_json
from fse_nb.train import DEFAULT_ARCH, Checkpoint
from fse_nb.warps import WarpSampler

class Clock(Callback):
    "Seconds and core-seconds of the run over all its interruptions, kept in a file as often as the checkpoint is"
    order = Checkpoint.order+1
    def __init__(self, file, stop=None): self.file,self.stop = file,stop
    def before_fit(self):
        began = self.learn.start!=(0,0) and self.file.exists()
        self.kept = dict(seconds=0., core_seconds=0., all_core_seconds=time.process_time())
        if began: self.kept = json.loads(self.file.read_text())
        self.training_since,self.saved = None,self.learn.checkpoint.saved_at
        self.all_since = time.process_time()

    def before_train(self): self.training_since = time.time(),time.process_time()
    def after_train(self):
        self.kept = self.now()
        self.training_since,self.all_since = None,time.process_time()

    def now(self):
        "Time up to now"
        d,core = dict(self.kept),time.process_time()
        d['all_core_seconds'] += core-self.all_since
        if self.training_since:
            d['seconds'] += time.time()-self.training_since[0]
            d['core_seconds'] += core-self.training_since[1]
        return d

    def _keep(self):
        if self.learn.checkpoint.saved_at==self.saved: return
        self.saved = self.learn.checkpoint.saved_at
        write_json(self.file, self.now())
    def after_batch(self): self._keep()
    def after_epoch(self):
        self._keep()
        if self.stop and self.epoch+1>=self.stop: raise CancelFitException # only now that the checkpoint is written

class Curve(Callback):
    "After each epoch: time, metrics without labels and, after every `every`-th, the error on the held-out rows"
    order = Checkpoint.order-5 # an epoch counts as done when its row is written
    def __init__(self, labelled, file, every=1): self.labelled,self.file,self.every = labelled,file,every

    def before_fit(self): self.rows = json.loads(self.file.read_text()) if self.file.exists() else []
    def before_epoch(self): self.rows = [r for r in self.rows if r['epoch']<self.epoch]

    def row(self):
        "What is known without labels"
        loss,clock = self.learn.loss_func,self.learn.clock.now()
        names,values = self.recorder.metric_names[1:-1],self.recorder.values[-1]
        return dict(epoch=self.epoch, pairs=(self.epoch+1)*len(self.dls.train)*self.dls.train.bs,
                    **{k:round(v, 1) for k,v in clock.items()}, scale=self.learn.model.geometry.scale,
                    gamma=loss.gamma, var_weight=loss.var_weight, lr=self.opt.hypers[-1]['lr'],
                    **{k:float(v) for k,v in zip(names, values)})

    def after_epoch(self):
        row = self.row()
        if self.labelled and ((self.epoch+1)%self.every==0 or self.epoch+1==self.n_epoch):
            row['held_percent'] = 100*regressed(self.learn.model, *self.labelled).mean().item()
        self.rows.append(row)
        write_json(self.file, self.rows)
        self.say()

    def after_cancel_fit(self): # the plateau schedule ends a run before this callback has its turn
        if not self.rows or self.rows[-1]['epoch']<self.epoch: self.after_epoch()

    def say(self): print({k:round(v, 3) if isinstance(v, float) else v for k,v in self.rows[-1].items()}, flush=True)

    def measure_again(self, learn):
        """The last row of the finished detector: after its last epoch a run widens the maps (`Recipe.temperature`).
        The file keeps that of the epoch, which a run that goes on begins with."""
        self.rows[-1] |= learn.measure()
        if self.labelled: self.rows[-1]['held_percent'] = 100*regressed(learn.model, *self.labelled).mean().item()
        self.say()

def labelled_rows(category, geometry, folders):
    "(rows to fit on, rows to test on) of which the curve tells; None where a category has no labels"
    if category=='toy': return labelled('toy', None, folders, geometry)[:2]
    return held_rows(decoded(geometry, cfp(split='train'), folders)) if category=='celeba' else None

def tests(category, model, folders):
    "Errors on test splits, by name of the set"
    out = {}
    for which in ('cfp','mafl','mtfl') if category=='celeba' else ('toy',):
        s = labelled(which, model, folders)
        out[which] = evaluation(model, s.train, s.test, s.eyes['eyes'], note=s.note)
    return out

def held_points(model, held, name, folders, record=None):
    "Landmarks of held-out images in pixels of the square, for pictures without photographs"
    pts = to_pixels(detect(model, held), held.size, held.size)
    write_json(folders.results/f'points_{name}.json', dict(
        record=record or f'recipe_{name}', size=held.size, points=np.round(pts.numpy(), 1).tolist(),
        what=f'landmarks of {len(held)} held-out images, pixels of the square'))

def value(text):
    "A number, tuple, True, False or None as Python writes it; else the text"
    try: return ast.literal_eval(text)
    except (ValueError, SyntaxError): return text

def options(pairs): return {k:value(v) for k,v in (o.split('=', 1) for o in pairs)}

def arguments():
    p = parser(__doc__)
    p.add_argument('recipe', nargs='?', default='annealed', help='a name in RECIPES')
    p.add_argument('--minutes', type=float, default=20, help='length of the run, if --pairs is not given')
    p.add_argument('--pairs', type=int, help='length of the run')
    p.add_argument('--n-epoch', type=int, default=20)
    p.add_argument('--stop', type=int, help='end after this many epochs of the schedule')
    p.add_argument('--data', choices=CATEGORIES, default='celeba')
    p.add_argument('--arch', help='a name in ARCHS; default: that of the recipe, or of --trunk and --start')
    p.add_argument('--arch-options', nargs='*', default=[], metavar='NAME=VALUE', help='of the body, and `last`')
    p.add_argument('--k', '--n-landmarks', type=int, help="number of landmarks; default: the paper's smallest")
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--every', type=int, default=1, help='epochs between two errors')
    p.add_argument('--set', nargs='*', default=[], metavar='FIELD=VALUE', help='fields of the recipe to change')
    p.add_argument('--pose', action='store_true',
                   help='g1 turns, shifts and scales as well, so that no image of a pair is upright')
    p.add_argument('--trunk', help='start from the body of a detector (name, file, NAME@COMMIT), with a new last layer')
    p.add_argument('--start', help='go on training this detector (a name, a file, NAME@COMMIT)')
    p.add_argument('--name', help='of the record; default: RECIPE_ARCH_kK_sSEED')
    p.add_argument('--test', action='store_true', help='open the test splits at the end')
    p.add_argument('--restart', action='store_true', help='begin anew, although there is a checkpoint')
    return p

def smoke(args):
    "Settings that take seconds"
    args.data,args.pairs,args.n_epoch,args.bs,args.every,args.test = 'toy',64,2,8,1,True

def begun(args, k, folders):
    "The detector that a run starts from, or None, and the runs before it"
    if not (args.trunk or args.start): return None,[]
    old = detector_named(args.start or args.trunk, folders)
    chain = old.run.get('chain', [])+[{x:old.run.get(x) for x in ('record','name','pairs','core_seconds')}]
    return (old if args.start else old.with_landmarks(k)).train(),chain

def planned(learn, args, file, resume, origin):
    "Epochs, pairs an epoch and origin: as in `file` if the run goes on, otherwise from the arguments"
    if resume and file.exists(): plan = json.loads(file.read_text())
    else:
        if args.pairs: plan = dict(n_epoch=args.n_epoch, epoch_size=args.pairs//args.n_epoch//args.bs*args.bs)
        else: plan = plan_run(learn, args.minutes, args.n_epoch)
        if not plan['epoch_size']: raise SystemExit(f'too short: an epoch needs at least {args.bs} pairs, a batch')
        plan |= dict(origin=origin, calls=[])
    plan['calls'].append({k:origin[k] for k in ('started','commit')})
    write_json(file, plan)
    return plan

def main():
    args = arguments().parse_args()
    if args.smoke: smoke(args)
    folders,start,category = Folders.of(args),origin(),CATEGORIES[args.data]
    k = args.k or category.n_landmarks
    model,chain = begun(args, k, folders)
    arch = model.config['arch'] if model else args.arch or ('paper' if args.recipe=='paper' else DEFAULT_ARCH)
    name = args.name or f'{args.recipe if args.data=="celeba" else args.data}_{arch}_k{k}_s{args.seed}'
    file = lambda suffix: folders.runs/f'{name}.{suffix}'
    geometry,warps = geometry_and_warps(args.data)
    if args.pose: warps = warps._replace(g1=WarpSampler(10, .001, .001, 15., .1, .05))
    train,held = (decoded(geometry, s, folders) for s in category.sets())
    dls = landmark_dls(train, held[:200], bs=args.bs, val_bs=50, seed=args.seed, with_points=False)
    torch.manual_seed(args.seed)
    learn = quiet_learner(dls, k, args.recipe, warps=warps, seed=args.seed, model=model, arch=arch,
                          arch_options=options(args.arch_options), **category.changes|options(args.set))
    resume = file('checkpoint.safetensors').exists() and not args.restart
    plan = planned(learn, args, file('plan.json'), resume, start)
    dls.train.epoch_size = plan['epoch_size']
    curve = Curve(labelled_rows(args.data, geometry, folders), file('curve.json'), args.every)
    learn.fit_recipe(plan['n_epoch'], checkpoint=file('checkpoint.safetensors'), resume=resume,
                     cbs=[Clock(file('clock.json'), args.stop), curve])
    if learn.recipe.temperature!=1: curve.measure_again(learn)
    model,last = learn.model,curve.rows[-1]
    same = dict(config=learn.run_config, n_epoch=plan['n_epoch'], epoch_size=plan['epoch_size'], chain=chain,
                pairs=last['pairs'], core_seconds=last['core_seconds'])
    numbers = dict(data=f'{args.data}, {len(train)} images, {len(held[:200])} held out', trunk=args.trunk,
                   begun_from=args.start, pose=args.pose,
                   stopped_after=last['epoch']+1 if last['epoch']+1<plan['n_epoch'] else None, **same,
                   chain_core_seconds=sum([o['core_seconds'] or 0 for o in chain], last['core_seconds']),
                   all_core_seconds=last['all_core_seconds'], calls=plan['calls'], curve=curve.rows)
    save_detector(model, file('safetensors'), dict(data=args.data, record=f'recipe_{name}', **same))
    held_points(model, held[:300], name, folders)
    folders.record(f'recipe_{name}', plan['origin'], **numbers) # what is known before the test splits are opened
    if args.test and curve.labelled:
        numbers['tests'] = tests(args.data, model, folders)
        print({which:percent(e['error']) for which,e in numbers['tests'].items()})
        folders.record(f'recipe_{name}', plan['origin'], **numbers)

if __name__=='__main__': main()
