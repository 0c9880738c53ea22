"""Errors of detectors on labelled sets, and what supervision makes of the same labels: one results/eval_*.json each

    python benchmarks/evaluate.py faces-10 runs/annealed_k30_s0.safetensors --sets cfp mtfl 300w
    python benchmarks/evaluate.py faces-10 --methods             # fits for few labels, on rows of the cfp training split only
    python benchmarks/evaluate.py faces-10 faces-30 faces-50 --halves # what the map from cfp costs on AFLW
    python benchmarks/evaluate.py --supervised --sets cfp --n all 20 --steps 1500   # from scratch; continues an interrupted run

Sets. `cfp`: regressor from its training split, errors on its test split.
`mtfl`: the AFLW faces of MTFL. They are larger in their frames than the faces of CelebA, so the frame may fill less than the detector's image, with a
mirrored border: of borders of 0, 5, 10 pixels the one with which the landmarks are as spread out as on CelebA. Regressor from cfp training images cut to
the middle, with the same border: of the shares 1, .95, … .4 of the side the one for which the landmarks are as spread out as on the AFLW faces. No point
of MTFL is read for either. (The copy here was scaled from 150 pixels to 80, its lists with it: hence `origin`.) Two regressors: from the images as they are, and with a warped copy of each, the paper's augmentation.
`300w`: HELEN (trainset) and AFW to train, HELEN (testset) to test, 68 points. The margin around the box of points is set, on training images, such that
the pupils are as far apart, in widths of the crop, as the eyes of the cfp training images; errors once by outer corners, once by pupils.
Nothing is selected on a test split."""
import argparse, hashlib, json, sys, time, warnings
import numpy as np, torch
from functools import partial
from pathlib import Path
from common import record, ROOT
from fse_nb.data import ImageCache, celeba, cfp, mtfl, w300, decode_images
from fse_nb.export import load_detector
from fse_nb.regress import (EYES, FLIP, error_summary, few_shot, fit_few, fit_regressor, interocular_error, mean_shape_error, mirrored, point_errors,
                            predict_points, procrustes_mean, spline_weights, train_supervised, warped_copies, warped_pairs, _draws)
from fse_nb.train import detect
from fse_nb.warps import FACES, ThinPlateWarp

PAPER = dict(cfp='MAFL (5 points): K=10/30/50 7.95/7.15/6.67; 20/10/5/1 labels, K=30: 8.06/8.49/9.25/10.82', mtfl='AFLW (51 landmarks): 10.53',
             **{'300w':'300-W, full set (68 points): 9.30, fine-tuned 7.97'})
CACHE = ROOT/'runs'/'cache'
N = (1,5,10,20,'all')

def dec(s, size=100):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore') # small images are enlarged
        return decode_images(s, size=size, cache=CACHE)
def pts(c): return torch.from_numpy(np.asarray(c.points))

def middle(s, share, side=128): # a set cut to the middle `share` of its images
    s = s[:]
    a = side*(1-share)/2
    s.crop = np.array([a,a,side-a,side-a], np.float32)
    return s

def shown(s, size, border): # decoded to fill the square but for a mirrored border
    if not border: return dec(s, size)
    c = dec(s, size-2*border)
    a = np.pad(np.asarray(c.images), ((0,0),(border,border),(border,border),(0,0)), mode='symmetric')
    return ImageCache(a, c.files, c.boxes, c.points*np.float32(c.size/size), c.names, c.split, c.meta)

def spread(model, c): # rms distance of the mean landmarks from their centre, [-1,1]
    m = procrustes_mean(detect(model, c).double())
    return (m-m.mean(0)).square().sum(1).mean().sqrt().item()

def sets(which, model, size=100): # name → (train, test, {eyes: (left,right)}, swap, note)
    if model: size = model.geometry['size']
    if which=='cfp':
        c = cfp()
        return dec(c.where(split='train'), size),dec(c.where(split='test'), size),dict(eyes=EYES['five']),FLIP['five'],''
    if which=='mtfl':
        c,test,border,share,note = cfp(split='train'),mtfl(split='test', origin=.5+.5*80/150),10,.85,'cfp cut to the middle .85 (no detector to match)'
        if model:
            want = spread(model, dec(celeba(split='train')[np.arange(0, 15000, 50)], size))
            got = {b:spread(model, shown(test[np.arange(0, len(test), 12)], size, b)) for b in (0,5,10)}
            border = min(got, key=lambda b: abs(got[b]-want))
            note = f'border of {border} px: spread of landmarks {({b:round(v, 3) for b,v in got.items()})} against {want:.3f} on CelebA; '
            want,some,got = got[border],c[np.arange(0, len(c), 20)],{}
            for o in np.arange(1, .39, -.05).round(2).tolist():
                got[o] = spread(model, shown(middle(some, o), size, border))
                if got[o]<max(got.values()): break # tighter than at the peak the landmarks leave the face, and the spread falls again
            share = min(got, key=lambda o: abs(got[o]-want))
            note += f'cfp cut to the middle {share:g} of its side: {({o:round(v, 3) for o,v in got.items()})} against {want:.3f} on the AFLW faces'
        return shown(middle(c, share), size, border),shown(test, size, border),dict(eyes=EYES['five']),FLIP['five'],note
    if which=='300w':
        c = cfp(split='train').points
        want = (np.linalg.norm(c[:,0]-c[:,1], axis=1)/128).mean()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore') # parts that are not here
            s = w300(margin=None)
        p = s.where(split='train').points
        l,r = (p[:,list(o)].mean(1) for o in EYES['pupils'])
        ratio = (np.linalg.norm(l-r, axis=1)/(p.max(1)-p.min(1)).max(1)).mean()
        margin = max(0., float((ratio/want-1)/2))
        s = s.crop_to_points(margin)
        return dec(s.where(split='train'), size),dec(s.where(split='test'), size),{k:EYES[k] for k in ('outer_corners','pupils')},FLIP['w300'],f'margin {margin:.3f}: pupils {want:.3f} of the side apart, as the eyes of cfp'
    raise ValueError(f"unknown set '{which}'; known: cfp, mtfl, 300w")

def seen(model, label, which, train, test, flipped, swap):
    "Landmarks on both sets, on the mirror images of `flipped` training images (NaN elsewhere), and warped pairs of a thousand training images; kept in runs/"
    f = ROOT/'runs'/f"landmarks_{label}_{which}_{hashlib.sha1(b''.join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()[:10]}.npz"
    if not f.exists():
        u,v,g = warped_pairs(model, train, 1000)
        np.savez(f, x=detect(model, train), xs=detect(model, test), m=mirrored(model, train[flipped], swap)[0], u=u, v=v, coef=g.coef, ctrl=g.ctrl)
    d = {k:torch.from_numpy(v) for k,v in np.load(f).items()}
    fx,fy = torch.full_like(d['x'], torch.nan),pts(train)[:,swap]*torch.tensor([-1.,1.])
    fx[flipped] = d['m']
    return d['x'],d['xs'],(fx,fy),(d['u'],d['v'],ThinPlateWarp(d['coef'], d['ctrl']))

def flipped(y, draws): # training images whose mirror images `few_shot` will ask for
    return np.unique(np.concatenate([i for n in N[:-1] for i in _draws(y, n, draws, 0)]))

def fit_warped(model, train, x): # W from the images as they are and a warped copy of each
    wx,wy = warped_copies(model, train, 1)
    return fit_regressor(torch.cat([x, wx[:,0]]), torch.cat([pts(train), wy[:,0]]))

def evaluate(name, which, draws, command, out=None):
    model = load_detector(name)
    label = Path(name).stem
    train,test,eyes,swap,note = sets(which, model)
    y,ys = pts(train),pts(test)
    x,xs,flip,pairs = seen(model, label, which, train, test, flipped(y, draws), swap)
    warped = fit_warped(model, train, x) if which=='mtfl' else None
    for k,e in eyes.items():
        reg = fit_regressor(x, y, names=train.names)
        few = dict(few_shot=few_shot(None, (x,y), (xs,ys), N, draws, left=e[0], right=e[1]),
                   few_shot_flip=few_shot(None, (x,y), (xs,ys), N[:-1], draws, left=e[0], right=e[1], flip=flip),
                   few_shot_flip_fixed=few_shot(None, (x,y), (xs,ys), N[:-1], draws, left=e[0], right=e[1], flip=flip, fit=partial(fit_few, ridge=7.)),
                   few_shot_follow=few_shot(None, (x,y), (xs,ys), N[:-1], draws, left=e[0], right=e[1], flip=flip, fit=partial(fit_few, pairs=pairs)))
        nums = dict(kind='evaluation', set=which, eyes=k, model=label, n_landmarks=x.shape[1], train_images=len(train), test_images=len(test), note=note, paper=PAPER[which],
            error=error_summary(interocular_error(reg(xs), ys, *e)), **({'error_warped':error_summary(interocular_error(warped(xs), ys, *e))} if warped else {}),
            mean_shape=error_summary(mean_shape_error(y, ys, left=e[0], right=e[1])),
            per_point=dict(zip(train.names, point_errors(reg(xs), ys, *e).nanmean(0).tolist())), draws=draws,
            **{w:{str(i):dict(mean=r['mean'], sd=r['sd']) for i,r in t.iterrows()} for w,t in few.items()})
        nums['ratio_to_all'] = {w:{i:v['mean']/nums['error']['mean'] for i,v in nums[w].items()} for w in few}
        print(label, which, k, {o:round(100*nums[o]['mean'], 2) for o in ('error','error_warped') if o in nums}, {w:{i:round(100*v['mean'], 2) for i,v in nums[w].items()} for w in few}, flush=True)
        record(out or f"eval_{label}_{which}{'' if k=='eyes' else '_'+k}", command, prefix='', **nums)

def halves(names, draws, command):
    "What landmarks know of the AFLW faces: a map fitted on one half of them and tested on the other, beside the map from cfp"
    rows = {}
    for name in names:
        model = load_detector(name)
        train,test,eyes,swap,_ = sets('mtfl', model)
        e,y,ys = eyes['eyes'],pts(train),pts(test)
        x,xs,*_ = seen(model, Path(name).stem, 'mtfl', train, test, flipped(y, draws), swap)
        from_cfp,own,h = fit_regressor(x, y)(xs),torch.empty_like(ys),torch.randperm(len(ys), generator=torch.Generator().manual_seed(0)).chunk(2)
        for fit,at in (h,h[::-1]): own[at] = fit_regressor(xs[fit], ys[fit])(xs[at])
        rows[Path(name).stem] = {k:dict(percent=100*interocular_error(p, ys, *e).mean().item(), per_point=dict(zip(train.names, (100*point_errors(p, ys, *e).nanmean(0)).tolist())),
            offset_px=((p-ys).mean((0,1))*test.size/2).tolist()) for k,p in (('from_cfp',from_cfp),('own_halves',own))}
        print(name, rows[Path(name).stem], flush=True)
    record('eval_aflw_halves', command, prefix='', kind='halves', images=len(ys), detectors=rows)

def supervised(which, kind, n, steps, size, warps, command):
    train,test,eyes,*_ = sets(which, None, size)
    for m in n:
        use,key = train[_draws(pts(train), m, 1, 0)[0]],f"{m}{'' if warps else ' without warps'}" # the first draw of `few_shot`
        t,c = time.time(),time.process_time()
        net = train_supervised(use, kind, steps=steps, warps=FACES.g2 if warps else None, checkpoint=ROOT/'runs'/f"supervised_{kind}_{which}_{key.replace(' ', '_')}_{size}_{steps}.safetensors")
        run = dict(labels=len(use), steps=steps, images_seen=16*steps, seconds=round(time.time()-t, 1), core_seconds=round(time.process_time()-c, 1))
        p,own = predict_points(net, test),use[:500]
        q = predict_points(net, own)
        for k,e in eyes.items():
            err = error_summary(interocular_error(p, pts(test), *e))
            name = f"eval_supervised_{kind}_{which}{'' if k=='eyes' else '_'+k}"
            f = ROOT/'results'/f'{name}.json'
            runs = json.loads(f.read_text())['numbers'].get('runs', {}) if f.exists() else {}
            runs[key] = dict(command=command, **run, error=err, train_error=interocular_error(q, pts(own), *e).nanmean().item())
            runs = {i:runs[i] for i in sorted(runs, key=lambda o: (-1e9 if o[:3]=='all' else -int(o.split()[0]), o))}
            record(name, command, prefix='', kind='supervised', net=kind, set=which, eyes=k, size=size, crop=net.config['crop'], paper=PAPER[which],
                   mean_shape=error_summary(mean_shape_error(pts(train), pts(test), left=e[0], right=e[1])), runs=runs)
            print(kind, which, k, key, {**run, 'error':round(100*err['mean'], 2), 'on its own images':round(100*runs[key]['train_error'], 2)}, flush=True)

# ---- fits for few labels, compared on rows of the cfp training split

def ridge_loo(x, y, u=None): # plain ridge, λ by leave-one-out
    if len(x)==1: return fit_regressor(x, y, ridge=1e-3)
    X,Y = x.flatten(1).double(),y.flatten(1).double()
    lams = 10.**np.arange(-6, 1.1, .5)
    def loo(l):
        H = X@torch.linalg.solve(X.T@X+l*len(X)*X.square().mean()*torch.eye(X.shape[1]).double(), X.T)
        E = (Y-H@Y)/(1-H.diagonal())[:,None]
        return E.unflatten(1, (-1,2)).norm(dim=-1).mean().item()
    return fit_regressor(x, y, ridge=float(lams[np.argmin([loo(l) for l in lams])]))

def shared(x, y, u=None, lam=1e-2): # affine combinations y = Σ a_k x_k, Σ a = 1, the same for both axes; ridge on a
    A,B = x.double().transpose(1, 2).flatten(0,1),y.double().transpose(1, 2).flatten(0,1)
    A,B = torch.cat([A, 1e3*torch.ones(1, A.shape[1]).double()]),torch.cat([B, 1e3*torch.ones(1, B.shape[1]).double()])
    a = torch.linalg.solve(A.T@A+lam*torch.eye(A.shape[1]).double(), A.T@B).T.contiguous()
    return as_regressor(torch.kron(a, torch.eye(2).double()))

def sparse(x, y, u=None, k=3): # affine combinations of the k landmarks that fit best, chosen one by one
    L,K,n = y.shape[1],x.shape[1],len(x)
    A,B = x.double().transpose(1, 2).flatten(0,1),y.double().transpose(1, 2).flatten(0,1)
    W = torch.zeros(L, K).double()
    for l in range(L):
        use = []
        for _ in range(k):
            def fit(j):
                q = torch.cat([A[:,[*use,j]], 1e3*torch.ones(1, len(use)+1).double()]),torch.cat([B[:,l], torch.tensor([1e3]).double()])
                a = torch.linalg.solve(q[0].T@q[0]+1e-3*torch.eye(len(use)+1).double(), q[0].T@q[1])
                return ((A[:,[*use,j]]@a-B[:,l]).square().sum()+1e-3*a.square().sum()).item(),a
            j = min((j for j in range(K) if j not in use), key=lambda j: fit(j)[0])
            a = fit(j)[1]
            use.append(j)
        W[l,use] = a
    return as_regressor(torch.kron(W, torch.eye(2).double()))

def _spectrum(G, t): # eigenvalues of the shapes, and what of the targets each explains, without the mean
    e,U = torch.linalg.eigh(G)
    return e[1:].clamp(min=0),(U.T@t)[1:].square().sum(1)

STRENGTHS = 10.**np.arange(-1, 3.01, .25)

def by_evidence(G, t, w, groups, scale): # Gaussian prior on B, its variance and that of the noise common to all points
    e,c = _spectrum(G, t)
    return min(scale*STRENGTHS, key=lambda s: t.shape[1]*((e+s).log().sum()+len(e)*(c/(e+s)).sum().log()).item())

def by_gcv(G, t, w, groups, scale): # generalised cross-validation
    e,c = _spectrum(G, t)
    return min(scale*STRENGTHS, key=lambda s: ((c/(e+s)**2).sum()/(1/(e+s)).sum()**2).item())

def as_regressor(W):
    r = fit_regressor(torch.eye(2)[None], torch.eye(2)[None])
    r.W = W.float()
    return r

def methods(name, draws, command):
    model = load_detector(name)
    c = dec(cfp(split='train'), model.geometry['size'])
    i = np.random.default_rng(0).permutation(len(c))
    hold,pool,more = c[np.sort(i[:1000])],c[np.sort(i[1500:1700])],c[np.sort(i[1800:2600])]
    xs,ys,u = detect(model, hold),pts(hold),torch.cat([detect(model, pool), detect(model, more)])
    x,y = u[:len(pool)],pts(pool)
    flip,(wx,wy) = mirrored(model, pool, FLIP['five']),warped_copies(model, pool, 6)
    clean = lambda f: lambda j: f(x[j], y[j], u)
    copies = lambda f: lambda j: (lambda a,b: f(a, b, u))(torch.cat([x[j], wx[j].flatten(0,1)]), torch.cat([y[j], wy[j].flatten(0,1)]))
    ls = lambda ridge: lambda x,y,u: fit_regressor(x, y, ridge)
    mirror = lambda f: lambda j: f(torch.cat([x[j], flip[0][j]]), torch.cat([y[j], flip[1][j]]), u, groups=np.tile(np.arange(len(j)), 2))
    pairs = warped_pairs(model, c[np.sort(np.concatenate([i[1500:1700],i[1800:2600]]))], 1000)
    strengths = {'fit_few, strength 7 (set on other labelled faces)':7., 'fit_few, strength by evidence':by_evidence, 'fit_few, strength by GCV':by_gcv}
    def whole(f): # without the images that a warp folded
        def g(x, y, u):
            ok = torch.isfinite(y).flatten(1).all(1)
            return f(x[ok], y[ok], u)
        return g
    rows = {'least squares, minimum norm':clean(ls(0.)), 'ridge, leave-one-out':clean(ridge_loo), 'affine weights (sum 1, shared by x and y), ridge':clean(shared),
        'sparse: affine weights of three landmarks':clean(sparse), 'affine only':clean(lambda *a: fit_few(*a, ridge=1e9, stiff=1e6)), 'spline only':clean(lambda *a: fit_few(*a, ridge=1e9)),
        'fit_few (spline + ridge on the shape)':clean(fit_few), 'fit_few, without unlabelled images':clean(lambda x,y,u: fit_few(x, y)), **{k:clean(partial(fit_few, ridge=v)) for k,v in strengths.items()},
        'fit_few, mirror images too':mirror(fit_few), **{k+', mirror images too':mirror(partial(fit_few, ridge=v)) for k,v in strengths.items()},
        'fit_few, mirror images, points made to follow':mirror(partial(fit_few, pairs=pairs)),
        'six warped copies, least squares':copies(whole(ls(0.))), 'six warped copies, ridge .01':copies(whole(ls(.01))), 'six warped copies, fit_few, strength 25':copies(whole(lambda *a: fit_few(*a, ridge=25.)))}
    full = fit_regressor(detect(model, c[np.sort(i[1500:])]) if draws>=20 else u, pts(c[np.sort(i[1500:])]) if draws>=20 else torch.cat([y, pts(more)]))
    every = 100*interocular_error(full(xs), ys).mean().item()
    out = {}
    for k,f in rows.items():
        out[k] = {str(n):float(np.mean([100*interocular_error(f(j)(xs), ys).mean().item() for j in _draws(y, n, draws, 0)])) for n in (1,2,5,10,20)}
        print(f'{k:50s}', ' '.join(f'{v:7.2f}' for v in out[k].values()), flush=True)
    print('all labels', every)
    record('eval_fewshot_methods', command, prefix='', kind='methods', model=Path(name).stem, draws=draws, held_out=len(hold), pool=len(pool), unlabelled=len(u), all_labels=every,
        all_images=len(c)-1500 if draws>=20 else len(u), percent=out)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('models', nargs='*', help='names or files of detectors')
    p.add_argument('--sets', nargs='+', default=['cfp','mtfl','300w'])
    p.add_argument('--out', help='name of the result instead of eval_<model>_<set>')
    p.add_argument('--draws', type=int, default=20)
    p.add_argument('--methods', action='store_true', help='compare fits for few labels, on the training split of cfp')
    p.add_argument('--halves', action='store_true', help='fit on one half of the AFLW faces, test on the other')
    p.add_argument('--supervised', action='store_true', help='train networks from scratch')
    p.add_argument('--kind', default='detector', choices=('detector','small'))
    p.add_argument('--n', nargs='+', default=['all'], help='labels of the supervised networks')
    p.add_argument('--steps', type=int, default=1500, help='of each supervised network, 16 images each')
    p.add_argument('--no-warps', action='store_true', help='train the supervised networks on the images as they are')
    p.add_argument('--size', type=int, default=100, help='of the images that the supervised network is trained on')
    a = p.parse_args()
    command = 'python benchmarks/evaluate.py '+' '.join(sys.argv[1:])
    (ROOT/'runs').mkdir(exist_ok=True)
    n = [o if o=='all' else int(o) for o in a.n]
    if a.supervised:
        for s in a.sets: supervised(s, a.kind, n, a.steps, a.size, not a.no_warps, command)
    if a.halves: return halves(a.models, a.draws, command)
    for m in a.models:
        if a.methods: methods(m, a.draws, command)
        else:
            for s in a.sets: evaluate(m, s, a.draws, command, a.out)

if __name__=='__main__': main()
