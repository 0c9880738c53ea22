"""Distil a detector (05b): train it to say of one view what it says on the average of several; one record

    python experiments/distil.py runs/annealed_unet_k10_s1.safetensors --pairs 16000 --test --name faces_k10
    python experiments/distil.py shoes-8 --data shoes --pairs 8000 --name shoes_k8

No annotation takes part. On faces the error of five points is followed over the run on 1,000 held-out rows of the cfp
*training* split, as in recipes.py, and measured before and after on those of MAFL's training part, too. Test splits are
opened once, at the end, with --test. The state is kept in runs/; the same command continues an interrupted run
(`--restart` begins anew). Landmarks of at most 300 held-out images go to results/points_NAME.json. `scatter_px` is how
far one view lies from the mean of eight, on 300 held-out images, pixels of the square."""
import torch

from common import (CATEGORIES, Folders, decoded, geometry_and_warps, held_rows, parser, percent, quiet_learner,
                    regressed)
from recipes import Clock, Curve, begun, held_points, labelled_rows, tests
from fse_nb.data import landmark_dls, mafl
from fse_nb.distil import consensus
from fse_nb.export import save_detector
from fse_nb.results import origin

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

def arguments():
    p = parser(__doc__)
    p.add_argument('detector', nargs='?', default='faces-10', help='name or file of the teacher')
    p.add_argument('--data', choices=CATEGORIES, default='celeba')
    p.add_argument('--pairs', type=int, default=16000, help='length of the run')
    p.add_argument('--n-epoch', type=int, default=4)
    p.add_argument('--views', type=int, default=4, help='of each image that the teacher sees')
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--var-weight', type=float, default=.1)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--every', type=int, default=1, help='epochs between two errors')
    p.add_argument('--name', help='of the record: distil_NAME; default: that of the detector')
    p.add_argument('--test', action='store_true', help='open the test splits at the end')
    p.add_argument('--restart', action='store_true', help='begin anew, although there is a checkpoint')
    return p

def main():
    args = arguments().parse_args()
    if args.smoke: args.data,args.pairs,args.n_epoch,args.views,args.bs,args.test = 'toy',32,2,2,8,True
    folders,start,category = Folders.of(args),origin(),CATEGORIES[args.data]
    args.start,args.trunk = args.detector,None
    model,chain = begun(args, None)
    name = f"distil_{args.name or args.detector.rpartition('/')[2].removesuffix('.safetensors')}"
    file = lambda suffix: folders.runs/f'{name}.{suffix}'
    geometry,warps = geometry_and_warps(args.data)
    train,held = (decoded(geometry, s, folders) for s in category.sets())
    epoch = args.pairs//args.n_epoch//args.bs*args.bs
    dls = landmark_dls(train, held[:200], bs=args.bs, val_bs=50, seed=args.seed, epoch_size=epoch, with_points=False)
    torch.manual_seed(args.seed)
    learn = quiet_learner(dls, model.config['n_landmarks'], warps=warps, seed=args.seed, model=model)
    rows = held_sets(args.data, geometry, folders)
    resume = file('checkpoint.safetensors').exists() and not args.restart
    before = measured(learn, held, rows)
    print('before', before, flush=True)
    curve = Curve(next(iter(rows.values()), None), file('curve.json'), args.every)
    learn.distil(args.n_epoch, args.views, args.lr, args.var_weight, checkpoint=file('checkpoint.safetensors'),
                 resume=resume, cbs=[Clock(file('clock.json')), curve])
    model,last,after = learn.model,curve.rows[-1],measured(learn, held, rows)
    print('after', after, flush=True)
    same = dict(config=learn.run_config|dict(views=args.views, lr=args.lr, var_weight=args.var_weight),
                n_epoch=args.n_epoch, epoch_size=epoch, chain=chain, pairs=last['pairs'],
                core_seconds=last['core_seconds'])
    numbers = dict(data=f'{args.data}, {len(train)} images, {len(held[:200])} held out', teacher=args.detector, **same,
                   chain_core_seconds=sum([o['core_seconds'] or 0 for o in chain], last['core_seconds']),
                   before=before, after=after, curve=curve.rows)
    save_detector(model, file('safetensors'), dict(data=args.data, record=name, **same))
    held_points(model, held[:300], name, folders)
    folders.record(name, start, **numbers)
    if args.test and rows:
        numbers['tests'] = tests(args.data, model, folders)
        print({which:percent(e['error']) for which,e in numbers['tests'].items()})
        folders.record(name, start, **numbers)

if __name__=='__main__': main()
