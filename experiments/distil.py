"""Distil a detector (05b): train it to say of one view what it says on average over several; a record

    python experiments/distil.py faces-10@2d8d9ca --pairs 48000 --test --name faces_k10
    python experiments/distil.py shoes-8 --data shoes --pairs 24000 --name shoes_k8

No annotation takes part. On faces the error of five points is followed over the rounds on 1,000 held-out rows of the
cfp *training* split, as in recipes.py, and measured before and after on those of MAFL's training part, too. Test
splits are opened once, at the end, with --test. The state is kept in runs/; the same command continues an interrupted
run (`--restart` begins anew; of an interrupted round only the time since it went on is counted). Landmarks of at most
300 held-out images go to results/points_NAME.json. `scatter_px` is how far one view lies from the mean of eight, on
300 held-out images, pixels of the square."""
import json, time

import torch
from fastai.basics import Callback

from common import (CATEGORIES, Folders, decoded, geometry_and_warps, held_rows, parser, percent, quiet_learner,
                    regressed)
from recipes import begun, held_points, labelled_rows, tests
from fse_nb.data import landmark_dls, mafl
from fse_nb.distil import consensus
from fse_nb.export import save_detector
from fse_nb.results import origin
from fse_nb.store import write_json
from fse_nb.train import Checkpoint

def measured(learn, held, rows):
    "What a detector is worth: metrics of held-out pairs, scatter of views, errors of held-out labelled rows"
    model = learn.model
    said = learn.measure()
    scatter = consensus(model, held[:300], 8, learn.warp_pairs.warps.g2, seed=1)[1]
    said['scatter_px'] = scatter.square().mean().sqrt().item()*held.size/2
    return said|{f'{k}_held_percent':100*regressed(model, *parts).mean().item() for k,parts in rows.items()}

def held_sets(category, geometry, folders):
    "Name → (rows to fit on, rows to test on) of training splits; nothing where a category has no labels"
    known = labelled_rows(category, geometry, folders)
    if category!='celeba': return {category:known} if known else {}
    return dict(cfp=known, mafl=held_rows(decoded(geometry, mafl(split='train'), folders)))

class RoundRows(Callback):
    "After each epoch: round, pairs, time of training, metrics without labels, error on held-out rows; kept in a file"
    order = Checkpoint.order-5 # an epoch counts as done when its row is written
    def __init__(self, labelled, file):
        self.labelled,self.file = labelled,file
        self.rows = json.loads(file.read_text()) if file.exists() else []

    def before_train(self): self.since = time.process_time()
    def after_train(self): self.spent = time.process_time()-self.since
    def after_epoch(self):
        step = dict(round=self.warp_pairs.round, epoch=self.epoch)
        self.rows = [r for r in self.rows if (r['round'],r['epoch'])<tuple(step.values())]
        last = self.rows[-1] if self.rows else dict(pairs=0, core_seconds=0)
        row = step|dict(pairs=last['pairs']+len(self.dls.train)*self.dls.train.bs,
                        core_seconds=round(last['core_seconds']+self.spent, 1))
        row |= zip(self.recorder.metric_names[1:-1], map(float, self.recorder.values[-1]))
        if self.labelled: row['held_percent'] = 100*regressed(self.learn.model, *self.labelled).mean().item()
        self.rows.append(row)
        write_json(self.file, self.rows)
        print({k:round(v, 3) for k,v in row.items()}, flush=True)

def arguments():
    p = parser(__doc__)
    p.add_argument('detector', nargs='?', default='faces-10', help='the teacher: a name, a file, or NAME@COMMIT')
    p.add_argument('--data', choices=CATEGORIES, default='celeba')
    p.add_argument('--pairs', type=int, default=48000, help='length of the run, all rounds together')
    p.add_argument('--rounds', type=int, default=3, help='in each the student of the last one is the teacher')
    p.add_argument('--n-epoch', type=int, default=1, help='of a round')
    p.add_argument('--views', type=int, default=4, help='of each image that the teacher sees')
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--var-weight', type=float, default=.1)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--name', help='of the record: distil_NAME; default: that of the detector')
    p.add_argument('--test', action='store_true', help='open the test splits at the end')
    p.add_argument('--restart', action='store_true', help='begin anew, although there is a checkpoint')
    return p

def main():
    args = arguments().parse_args()
    if args.smoke: args.data,args.pairs,args.rounds,args.views,args.bs,args.test = 'toy',32,2,2,8,True
    folders,start,category = Folders.of(args),origin(),CATEGORIES[args.data]
    args.start,args.trunk = args.detector,None
    model,chain = begun(args, None, folders)
    name = f"distil_{args.name or args.detector.rpartition('/')[2].removesuffix('.safetensors')}"
    file = lambda suffix: folders.runs/f'{name}.{suffix}'
    geometry,warps = geometry_and_warps(args.data)
    train,held = (decoded(geometry, s, folders) for s in category.sets())
    epoch = args.pairs//args.rounds//args.n_epoch//args.bs*args.bs
    if not epoch: raise SystemExit(f'--pairs is {args.pairs}, but each epoch of each round needs a batch of {args.bs}')
    dls = landmark_dls(train, held[:200], bs=args.bs, val_bs=50, seed=args.seed, epoch_size=epoch, with_points=False)
    torch.manual_seed(args.seed)
    learn = quiet_learner(dls, model.config['n_landmarks'], warps=warps, seed=args.seed, model=model)
    rows = held_sets(args.data, geometry, folders)
    if args.restart: file('rows.json').unlink(missing_ok=True)
    before = measured(learn, held, rows)
    print('before', before, flush=True)
    curve = RoundRows(next(iter(rows.values()), None), file('rows.json'))
    learn.distil(args.n_epoch, args.rounds, args.views, args.lr, args.var_weight, cbs=[curve],
                 checkpoint=file('checkpoint.safetensors'), resume=not args.restart)
    model,after,last = learn.model,measured(learn, held, rows),curve.rows[-1]
    print('after', after, flush=True)
    settings = {k:getattr(args, k) for k in ('rounds','views','lr','var_weight')}
    same = dict(config=learn.run_config|settings, n_epoch=args.n_epoch, epoch_size=epoch, chain=chain,
                pairs=last['pairs'], core_seconds=last['core_seconds'])
    numbers = dict(data=f'{args.data}, {len(train)} images, {len(held[:200])} held out', teacher=args.detector, **same,
                   chain_core_seconds=sum([o['core_seconds'] or 0 for o in chain], last['core_seconds']),
                   before=before, after=after, curve=curve.rows)
    save_detector(model, file('safetensors'), dict(data=args.data, record=name, **same))
    held_points(model, held[:300], name, folders, name)
    folders.record(name, start, **numbers)
    if args.test and rows:
        numbers['tests'] = tests(args.data, model, folders)
        print({which:percent(e['error']) for which,e in numbers['tests'].items()})
        folders.record(name, start, **numbers)

if __name__=='__main__': main()
