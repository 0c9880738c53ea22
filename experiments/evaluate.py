"""Errors of detectors on labelled sets, and what supervision makes of the same labels: one results/eval_*.json each

    python experiments/evaluate.py faces-10 runs/annealed_k30_s0.safetensors --sets cfp mafl mtfl 300w
    python experiments/evaluate.py faces-10 --methods    # fits for few labels, on rows of the cfp training split
    python experiments/evaluate.py faces-10 --frozen --sets mafl   # what the features under the landmarks know
    python experiments/evaluate.py --supervised --sets cfp --n all 20 --steps 1500   # from scratch

Which images a set has and how they are cut is told by `labelled` of common.py. A record holds the error of a linear map
without bias (`error`), with a warped copy of each training image (`error_warped`, the paper's augmentation), and of
landmarks that are means over four shifted copies of an image (`error_shifts`, `detect(shifts=4)`); those of the mean
shape and of its oracles; the forward and the backward error; few labels by several fits. On AFLW, where the
map comes from another set, `error_own_halves` is that of a map from one half of the test images, tested on the other.
Nothing is selected on a test split. Landmarks that were found are kept in runs/, and a supervised network continues
where it was interrupted: call the same command again."""
import json, time
from functools import partial
from pathlib import Path

import numpy as np, torch
import torch.nn.functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from common import SETS, Folders, decoded, floats_of, labelled, parser, percent, points_of
from fse_nb.data import FLIP, Geometry, cfp
from fse_nb.detect import detect
from fse_nb.errors import error_summary, interocular_error, mean_shape_error, oracle_error, point_errors
from fse_nb.export import load_detector
from fse_nb.many import fingerprint
from fse_nb.model import UNet, evaluating, soft_argmax, spatial_softmax
from fse_nb.points import fit_points
from fse_nb.regress import (LinearRegressor, draw_labelled, few_shot, fit_chosen, fit_few, fit_regressor, fit_ridge,
                            forward_backward_error, landmarks_under_warps, mirrored, warped_copies)
from fse_nb.results import origin
from fse_nb.supervised import point_loss, predict_points, train_supervised
from fse_nb.warps import FACES, ThinPlateWarp

FEW = 1,5,10,20

# ---- detectors

def seen(model, label, which, s, folders):
    "Landmarks of a set: training and test images, these with shifts, mirror images, and warps; kept in runs/"
    file = folders.runs/f'landmarks_{label}_{which}_{fingerprint(model)}.npz'
    if not file.exists():
        x,moved,warp = landmarks_under_warps(model, s.train, min(1000, len(s.train)))
        flipped = mirrored(model, s.train, s.mirror)[0]
        shifted = {f'{part}_shifts':detect(model, getattr(s, part), shifts=4) for part in ('train','test')}
        np.savez(file, train=detect(model, s.train), test=detect(model, s.test), flipped=flipped, x=x, moved=moved,
                 coef=warp.coef, ctrl=warp.ctrl, **shifted)
    d = {k:torch.from_numpy(v) for k,v in np.load(file).items()}
    mirror = d['flipped'],points_of(s.train)[:,s.mirror]*torch.tensor([-1.,1.])
    warps = d['x'],d['moved'],ThinPlateWarp(d['coef'], d['ctrl'])
    return (d['train'],d['test']),(d['train_shifts'],d['test_shifts']),mirror,warps

def fit_warped(x, y, copies):
    "The map from images as they are and warped copies of each, without ridge or bias (Sec. 4.1)"
    wx,wy = (o.flatten(0, 1) for o in copies)
    return fit_regressor(torch.cat([x,wx]), torch.cat([y,wy]))

def few_copies(model, train, y, draws, few, copies=20):
    "Draws of few labelled images, the numbers of all that are drawn, and landmarks and points of their warped copies"
    chosen = {n:draw_labelled(y, n, draws) for n in few}
    used = np.unique(np.concatenate([i for each in chosen.values() for i in each]))
    return chosen,used,warped_copies(model, train[used], copies)

def paper_few(x, y, xs, ys, eyes, drawn):
    "Mean and standard deviation over the draws of few labels, of the map fitted on warped copies of each image"
    chosen,used,(wx,wy) = drawn
    def error(i):
        at = np.searchsorted(used, i)
        return interocular_error(fit_warped(x[i], y[i], (wx[at],wy[at]))(xs), ys, *eyes).nanmean().item()
    errors = {str(n):[error(i) for i in each] for n,each in chosen.items()}
    return {n:dict(mean=float(np.mean(e)), sd=float(np.std(e, ddof=1)) if len(e)>1 else 0.) for n,e in errors.items()}

def with_few_labels(x, y, xs, ys, mirror, warps, eyes, draws, few):
    "Mean and standard deviation over draws of few labelled images, for several fits; fractions"
    flip = dict(n=few, flip=mirror)
    fits = dict(few_shot=dict(n=(*few,'all')), few_shot_ridge=dict(n=few, fitter=fit_ridge), few_shot_flip=flip,
                few_shot_chosen=flip|dict(fitter=fit_chosen),
                few_shot_follow=flip|dict(fitter=partial(fit_few, under_warps=warps)))
    known = dict(model=None, train=(x,y), test=(xs,ys), draws=draws, left=eyes[0], right=eyes[1])
    tables = {k:few_shot(**known, **kw) for k,kw in fits.items()}
    return {k:{str(n):dict(mean=r['mean'], sd=r['sd']) for n,r in t.iterrows()} for k,t in tables.items()}

def own_halves(xs, ys, eyes):
    "Errors of a map from one half of the test images on the other half: what landmarks know, whatever another set does"
    own = torch.empty_like(ys)
    parts = torch.randperm(len(ys), generator=torch.Generator().manual_seed(0)).chunk(2)
    for fit,at in (parts,parts[::-1]): own[at] = fit_regressor(xs[fit], ys[fit])(xs[at])
    return interocular_error(own, ys, *eyes)

def yardsticks(y, ys, eyes):
    "The mean shape, as it is and laid on the true points"
    eyes = dict(left=eyes[0], right=eyes[1])
    oracle = {f'oracle_{kind}':oracle_error(y, ys, kind, **eyes) for kind in ('similarity','affine')}
    return {k:error_summary(e) for k,e in dict(mean_shape=mean_shape_error(y, ys, **eyes), **oracle).items()}

def evaluate(name, which, args, folders, start):
    "Errors of one detector on one set, a record for each way to measure the distance of the eyes"
    model,label = load_detector(name),Path(name).stem
    s = labelled(which, model, folders)
    y,ys = points_of(s.train),points_of(s.test)
    (x,xs),(steady,steadies),mirror,warps = seen(model, label, which, s, folders)
    reg = fit_regressor(x, y, names=s.train.names)
    warped = fit_warped(x, y, warped_copies(model, s.train, 1))
    drawn = few_copies(model, s.train, y, args.draws, args.few)
    for k,eyes in s.eyes.items():
        summary = lambda reg, pts=xs: error_summary(interocular_error(reg(pts), ys, *eyes))
        error = summary(reg)
        few = with_few_labels(x, y, xs, ys, mirror, warps, eyes, args.draws, args.few)
        few['few_shot_paper'] = paper_few(x, y, xs, ys, eyes, drawn)
        ratio = {w:{n:v['mean']/error['mean'] for n,v in t.items()} for w,t in few.items()}
        each = point_errors(reg(xs), ys, *eyes).nanmean(0).tolist()
        both = forward_backward_error((x,y), (xs,ys), left=eyes[0], right=eyes[1])
        said = dict(kind='evaluation', set=which, eyes=k, model=label, run=model.run.get('record'),
                    n_landmarks=x.shape[1], train_images=len(s.train), test_images=len(s.test), note=s.note,
                    error=error, error_warped=summary(warped),
                    error_shifts=summary(fit_regressor(steady, y), steadies), **yardsticks(y, ys, eyes),
                    backward=error_summary(both['backward'].mean(1)),
                    per_point=dict(zip(s.train.names, each)), draws=args.draws, **few, ratio_to_all=ratio)
        if which in ('mtfl','toy'): said['error_own_halves'] = error_summary(own_halves(xs, ys, eyes))
        print(label, which, k, percent(error), {n:percent(v) for n,v in few['few_shot_follow'].items()})
        folders.record(args.name or f"eval_{label}_{which}{'' if k=='eyes' else '_'+k}", start, **said)

# ---- what the features know, without the landmarks

class MapsOnFeatures(torch.nn.Module):
    """Learned 1×1 maps on given features, their means, and a linear map to L points. Features come in one or several
    sizes: each has weights of its own, and their scores are added at the size of the last"""
    def __init__(self, channels, n_points, n_maps=50):
        super().__init__()
        self.maps = torch.nn.ModuleList(torch.nn.Conv2d(c, n_maps, 1) for c in channels)
        self.points = torch.nn.Linear(2*n_maps, 2*n_points)
    def means(self, levels):
        size = levels[-1].shape[-2:]
        scores = sum(F.interpolate(maps(f.float()), size=size, mode='bilinear') for maps,f in zip(self.maps, levels))
        return soft_argmax(spatial_softmax(scores)).flatten(1)
    def forward(self, levels): return self.points(self.means(levels)).unflatten(1, (-1,2))

def levels_of(body):
    "Names of the layers whose outputs are the features of a body: of a U-Net one for each size, down and up again"
    if not isinstance(body, UNet): return [name for name,_ in body.named_children()][-1:]
    return ['stem', *(f'{way}.{i}' for way in ('down','up') for i in range(len(getattr(body, way))))]

def features_of(model, names, cache, bs=100):
    "What layers of a body make of squares: a tensor (N,c,h,w) in half precision for each"
    body = create_feature_extractor(model.body, names)
    def one_batch(i):
        found = body(model.geometry.see(floats_of(cache[i:i+bs])))
        return [found[name].half() for name in names]
    with evaluating(model): batches = [one_batch(i) for i in range(0, len(cache), bs)]
    return [torch.cat(level) for level in zip(*batches)]

def fit_head(levels, y, epochs, bs):
    "Maps and a linear map, trained on all labels"
    torch.manual_seed(0)
    head = MapsOnFeatures([f.shape[1] for f in levels], y.shape[1])
    head.points.bias.data.copy_(y.nanmean(0).flatten())
    steps = -(-len(y)//bs)*epochs
    opt = torch.optim.Adam(head.parameters(), lr=.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, .01, total_steps=steps)
    for _ in range(steps):
        i = torch.randint(len(y), (bs,))
        point_loss(head([f[i] for f in levels]), y[i]).backward()
        opt.step()
        opt.zero_grad()
        schedule.step()
    return head

def frozen(name, which, args, folders, start, epochs=30, bs=64):
    """Error of learned maps on frozen features: all labels teach where to look, so it is no error of landmarks
    (the protocol of Thewlis et al., ICCV 2019, Sec. 4.1); on those of the last layer of the body, and on those of all
    sizes, whose use was first seen with faces-30 on 500 images of the training part of MAFL"""
    model,label = load_detector(name),Path(name).stem
    s = labelled(which, model, folders)
    y,ys = points_of(s.train),points_of(s.test)
    names = levels_of(model.body)
    f,fs = (features_of(model, names, o) for o in (s.train,s.test))
    predicted = {}
    for features,n in dict(last=1, all=len(names)).items():
        head = fit_head(f[-n:], y, epochs, bs)
        with torch.no_grad():
            predicted[features] = torch.cat([head([o[i:i+200] for o in fs[-n:]]) for i in range(0, len(ys), 200)])
    for k,eyes in s.eyes.items():
        error = {o:error_summary(interocular_error(p, ys, *eyes)) for o,p in predicted.items()}
        print(label, which, k, 'frozen features', {o:percent(e) for o,e in error.items()})
        folders.record(f"eval_frozen_{label}_{which}{'' if k=='eyes' else '_'+k}", start, kind='frozen features',
                       set=which, eyes=k, model=label, channels=dict(zip(names, [o.shape[1] for o in f])), n_maps=50,
                       train_images=len(y), test_images=len(ys), epochs=epochs, error=error)

# ---- networks trained from scratch

def supervised(which, n, args, folders, start):
    "One network on the first draw of `n` labels, added to the record of its set"
    s = labelled(which, None, folders, Geometry.of_size(args.size))
    train,remark = s.train[draw_labelled(points_of(s.train), n)[0]],'' if args.warps else ' without warps'
    run = f'{n}{remark}'
    file = folders.runs/f"supervised_{args.kind}_{which}_{run.replace(' ', '_')}_{args.size}_{args.steps}.safetensors"
    clock,core = time.time(),time.process_time()
    net = train_supervised(train, args.kind, steps=args.steps, warps=FACES.g2 if args.warps else None, checkpoint=file)
    spent = dict(seconds=round(time.time()-clock, 1), core_seconds=round(time.process_time()-core, 1))
    predicted,some = predict_points(net, s.test),train[:500]
    for k,eyes in s.eyes.items():
        error = error_summary(interocular_error(predicted, points_of(s.test), *eyes))
        own = interocular_error(predict_points(net, some), points_of(some), *eyes).nanmean().item()
        name = f"eval_supervised_{args.kind}_{which}{'' if k=='eyes' else '_'+k}"
        file = folders.results/f'{name}.json'
        runs = json.loads(file.read_text())['numbers'].get('runs', {}) if file.exists() else {}
        runs[run] = dict(command=start['command'], labels=len(train), steps=args.steps, images_seen=16*args.steps,
                         **spent, error=error, train_error=own)
        order = lambda o: (0 if o.startswith('all') else 1, -int(o.split()[0]) if o[0].isdigit() else 0, o)
        shape = mean_shape_error(points_of(s.train), points_of(s.test), left=eyes[0], right=eyes[1])
        print(args.kind, which, k, run, spent, percent(error), f'on its own images {100*own:.2f}%')
        folders.record(name, start, kind='supervised', net=args.kind, set=which, eyes=k, size=args.size,
                       mean_shape=error_summary(shape), runs={o:runs[o] for o in sorted(runs, key=order)})

# ---- fits for few labels, compared on rows of the cfp training split

def both_axes(weights): return LinearRegressor(torch.kron(weights, torch.eye(2).double()).float())

def _coordinates(x, y):
    "Rows of x and y coordinates of all images, (2N,K) and (2N,L)"
    return (o.double().transpose(1, 2).flatten(0, 1) for o in (x,y))

def _summing_to_one(A, B, ridge):
    "Weights a of the columns of A that explain B, which add up to one (a row of large numbers sees to that)"
    A,B = (torch.cat([o,1e3*o.new_ones(1, o.shape[1])]) for o in (A,B))
    return torch.linalg.solve(A.T@A+ridge*torch.eye(A.shape[1]).to(A), A.T@B)

def affine_weights(x, y, u=None):
    "Each point as a combination of the landmarks whose weights add up to one, the same for both axes"
    return both_axes(_summing_to_one(*_coordinates(x, y), 1e-2).T.contiguous())

def three_landmarks(x, y, u=None):
    "Affine weights of the three landmarks that fit best, chosen one by one"
    A,B = _coordinates(x, y)
    W = torch.zeros(y.shape[1], x.shape[1]).double()
    for point,b in enumerate(B.unbind(1)):
        use = []
        def fit(j): return _summing_to_one(A[:,[*use,j]], b[:,None], 1e-3)
        def cost(j):
            a = fit(j)
            return (A[:,[*use,j]]@a-b[:,None]).square().sum().item()+1e-3*a.square().sum().item()
        for _ in range(3): use.append(min(set(range(x.shape[1]))-set(use), key=cost))
        last = use.pop()
        W[point,[*use,last]] = fit(last)[:,0]
    return both_axes(W)

STRENGTHS = 10.**np.arange(-1, 3.01, .25)

def _spectrum(G, t):
    "Eigenvalues of the shapes, and what of the targets each explains, without the mean"
    e,U = torch.linalg.eigh(G)
    return e[1:].clamp(min=0),(U.T@t)[1:].square().sum(1)

def by_evidence(G, t, w, groups, scale):
    "Strength by the evidence of a Gaussian prior, its variance and that of the noise common to all points"
    e,c = _spectrum(G, t)
    cost = lambda s: t.shape[1]*((e+s).log().sum()+len(e)*(c/(e+s)).sum().log()).item()
    return min(scale*STRENGTHS, key=cost)

def by_gcv(G, t, w, groups, scale):
    "Strength by generalised cross-validation"
    e,c = _spectrum(G, t)
    return min(scale*STRENGTHS, key=lambda s: ((c/(e+s)**2).sum()/(1/(e+s)).sum()**2).item())

def whole(fit):
    "A fit that leaves out images of which a warp folded a point away"
    def of_whole(x, y, u):
        ok = torch.isfinite(y).flatten(1).all(1)
        return fit(x[ok], y[ok], u)
    return of_whole

def few_label_fits(x, y, u, mirror, copies, pairs):
    "name → function of the rows that are labelled, which returns a map"
    as_they_are = lambda fit: lambda j: fit(x[j], y[j], u)
    both = lambda a, b: torch.cat([a,b])
    def with_mirrors(**kw):
        groups = lambda j: np.tile(np.arange(len(j)), 2)
        return lambda j: fit_few(both(x[j], mirror[0][j]), both(y[j], mirror[1][j]), u, groups=groups(j), **kw)
    def with_copies(fit):
        return lambda j: whole(fit)(both(x[j], copies[0][j].flatten(0, 1)), both(y[j], copies[1][j].flatten(0, 1)), u)
    least = lambda ridge: lambda x, y, u: fit_regressor(x, y, ridge)
    strengths = {'strength 7 (set on other labelled faces)':7., 'strength by evidence':by_evidence,
                 'strength by GCV':by_gcv}
    return {
        'least squares, minimum norm':as_they_are(least(0.)),
        'ridge, leave-one-out':as_they_are(fit_ridge),
        'affine weights (sum 1, shared by x and y), ridge':as_they_are(affine_weights),
        'sparse: affine weights of three landmarks':as_they_are(three_landmarks),
        'affine only':as_they_are(partial(fit_few, ridge=1e9, stiff=1e6)),
        'spline only':as_they_are(partial(fit_few, ridge=1e9)),
        'fit_few (spline + ridge on the shape)':as_they_are(fit_few),
        'fit_few, without unlabelled images':as_they_are(lambda x, y, u: fit_few(x, y)),
        **{f'fit_few, {k}':as_they_are(partial(fit_few, ridge=v)) for k,v in strengths.items()},
        'fit_chosen (fit_few, ridge or the mean, by labels left out)':as_they_are(fit_chosen),
        'fit_points (what fse_regress --fit auto takes)':as_they_are(lambda x, y, u: fit_points(
            x, y, [str(i) for i in range(y.shape[1])], unlabelled=u)),
        'fit_few, mirror images too':with_mirrors(),
        **{f'fit_few, {k}, mirror images too':with_mirrors(ridge=v) for k,v in strengths.items()},
        'fit_few, mirror images, points made to follow':with_mirrors(under_warps=pairs),
        'six warped copies, least squares':with_copies(least(0.)),
        'six warped copies, ridge .01':with_copies(least(.01)),
        'six warped copies, fit_few, strength 25':with_copies(partial(fit_few, ridge=25.))}

def methods(name, args, folders, start):
    "Error of each fit on 1,000 rows, from few labels among 200 others and 800 without labels"
    model = load_detector(name)
    if args.smoke: c,cuts = labelled('toy', model, folders).train,(15,15,40,60)
    else: c,cuts = decoded(model.geometry, cfp(split='train'), folders),(1000,1500,1700,2600)
    i = np.random.default_rng(0).permutation(len(c))
    hold,pool,more = (np.sort(i[a:b]) for a,b in ((0,cuts[0]),cuts[1:3],cuts[2:4]))
    hold,pool,more,both = c[hold],c[pool],c[more],c[np.sort(np.concatenate([pool,more]))]
    xs,ys,y = detect(model, hold),points_of(hold),points_of(pool)
    u = torch.cat([detect(model, pool),detect(model, more)])
    x = u[:len(pool)]
    fits = few_label_fits(x, y, u, mirrored(model, pool, FLIP['five']), warped_copies(model, pool, 6),
                          landmarks_under_warps(model, both, min(1000, len(both))))
    rest = c[np.sort(i[cuts[1]:])]
    every = 100*interocular_error(fit_regressor(detect(model, rest), points_of(rest))(xs), ys).mean().item()
    error = lambda reg: 100*interocular_error(reg(xs), ys).mean().item()
    out = {}
    wanted = {k:fit for k,fit in fits.items() if not args.fits or any(word in k for word in args.fits)}
    for k,fit in wanted.items():
        out[k] = {str(n):float(np.mean([error(fit(j)) for j in draw_labelled(y, n, args.draws)])) for n in args.few}
        print(f'{k:55s}', ' '.join(f'{v:7.2f}' for v in out[k].values()), flush=True)
    print('all labels', round(every, 2))
    folders.record(args.name or 'eval_fewshot_methods', start, kind='methods', model=Path(name).stem, draws=args.draws,
                   held_out=len(hold), pool=len(pool), unlabelled=len(u), all_labels=every, all_images=len(rest),
                   percent=out)

def arguments():
    p = parser(__doc__)
    p.add_argument('models', nargs='*', help='names or files of detectors')
    p.add_argument('--sets', nargs='+', choices=SETS, default=['cfp','mafl','mtfl','300w'])
    p.add_argument('--name', help='of the record, instead of eval_<model>_<set> or eval_fewshot_methods')
    p.add_argument('--draws', type=int, default=20, help='random choices of few labelled images')
    p.add_argument('--few', type=int, nargs='+', help='labelled images; default: 1 5 10 20, and 2 with --methods')
    p.add_argument('--methods', action='store_true', help='compare fits for few labels, on the training split of cfp')
    p.add_argument('--fits', nargs='+', help='with --methods: only fits with one of these words in their name')
    p.add_argument('--frozen', action='store_true', help='learned maps on frozen features, their own protocol')
    p.add_argument('--supervised', action='store_true', help='train networks from scratch')
    p.add_argument('--kind', default='detector', choices=('detector','small'))
    p.add_argument('--n', nargs='+', default=['all'], help='labels of the supervised networks')
    p.add_argument('--steps', type=int, default=1500, help='of each supervised network, 16 images each')
    p.add_argument('--no-warps', dest='warps', action='store_false', help='train these on the images as they are')
    p.add_argument('--size', type=int, default=100, help='of the images that they are trained on')
    return p

def smoke(args, folders, start):
    "Every part on drawn faces"
    args.sets,args.draws,args.few,args.steps,args.kind,args.n,name = ['toy'],1,(2,),2,'small',['5'],'faces-10'
    evaluate(name, 'toy', args, folders, start)
    frozen(name, 'toy', args, folders, start, epochs=1, bs=8)
    supervised('toy', 5, args, folders, start)
    methods(name, args, folders, start)

def main():
    args = arguments().parse_args()
    folders,start = Folders.of(args),origin()
    if args.smoke: return smoke(args, folders, start)
    args.few = args.few or ((1,2,5,10,20) if args.methods else FEW)
    if args.supervised:
        for which in args.sets:
            for n in args.n: supervised(which, n if n=='all' else int(n), args, folders, start)
    for name in args.models:
        if args.methods: methods(name, args, folders, start)
        for which in () if args.methods else args.sets:
            (frozen if args.frozen else evaluate)(name, which, args, folders, start)

if __name__=='__main__': main()
