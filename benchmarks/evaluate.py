"""Errors of detectors on labelled sets, and what supervision makes of the same labels: one results/eval_*.json each

    python benchmarks/evaluate.py faces-10 runs/annealed_k30_s0.safetensors --sets cfp mtfl 300w
    python benchmarks/evaluate.py faces-10 --methods             # fits for few labels, on rows of the cfp training split only
    python benchmarks/evaluate.py --supervised --sets cfp --n all 20 --minutes 20   # from scratch; continues an interrupted run

Sets. `cfp`: regressor from its training split, errors on its test split.
`mtfl`: the AFLW faces of MTFL, regressor from cfp training images cut to the middle until they are as tight: of the shares 1, .95, … .4 of the side
the one for which the landmarks that the detector finds are as spread out on cfp training images as on the AFLW faces. No point of MTFL is read for that.
`300w`: HELEN (trainset) and AFW to train, HELEN (testset) to test, 68 points. The margin around the box of points is set, on training images, such that
the pupils are as far apart, in widths of the crop, as the eyes of the cfp training images; errors once by outer corners, once by pupils.
Nothing is selected on a test split."""
import argparse, sys, warnings
import numpy as np, torch
from pathlib import Path
from common import record, ROOT
from fse_nb.data import cfp, mtfl, w300, decode_images
from fse_nb.export import load_detector
from fse_nb.regress import (EYES, FLIP, error_summary, few_shot, fit_few, fit_regressor, interocular_error, mean_shape_error, mirrored, point_errors,
                            predict_points, procrustes_mean, spline_weights, train_supervised, warped_copies, _draws)
from fse_nb.train import detect

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

def spread(model, c): # rms distance of the mean landmarks from their centre, [-1,1]
    m = procrustes_mean(detect(model, c).double())
    return (m-m.mean(0)).square().sum(1).mean().sqrt().item()

def sets(which, model): # name → (train, test, {eyes: (left,right)}, swap, note)
    size = model.geometry['size'] if model else 100
    if which=='cfp':
        c = cfp()
        return dec(c.where(split='train'), size),dec(c.where(split='test'), size),dict(eyes=EYES['five']),FLIP['five'],''
    if which=='mtfl':
        c,test = cfp(split='train'),dec(mtfl(split='test'), size)
        share,note = .65,'cfp cut to the middle .65 (no detector to match)'
        if model:
            want = spread(model, test[np.arange(0, len(test), 6)])
            some = c[np.arange(0, len(c), 20)]
            shares = np.arange(1, .39, -.05).round(2)
            got = [spread(model, dec(middle(some, o), size)) for o in shares]
            got = got[:int(np.argmax(got))+1] # tighter than at the peak the landmarks leave the face, and the spread falls again
            share = float(shares[np.argmin(np.abs(np.array(got)-want))])
            note = f'cfp cut to the middle {share:g} of its side: spread of landmarks {dict(zip(shares.tolist(), np.round(got, 3).tolist()))} against {want:.3f} on the AFLW faces'
        return dec(middle(c, share), size),test,dict(eyes=EYES['five']),FLIP['five'],note
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

def evaluate(name, which, draws, command, out=None):
    model = load_detector(name)
    label = Path(name).stem
    train,test,eyes,swap,note = sets(which, model)
    (x,y),(xs,ys) = ((detect(model, c),pts(c)) for c in (train,test))
    flip = mirrored(model, train, swap)
    for k,e in eyes.items():
        reg = fit_regressor(x, y, names=train.names)
        err = interocular_error(reg(xs), ys, *e)
        few = {w:few_shot(None, (x,y), (xs,ys), N, draws, left=e[0], right=e[1], flip=f) for w,f in (('few_shot',None), ('few_shot_flip',flip))}
        nums = dict(kind='evaluation', set=which, eyes=k, model=label, n_landmarks=x.shape[1], train_images=len(train), test_images=len(test), note=note, paper=PAPER[which],
            error=error_summary(err), mean_shape=error_summary(mean_shape_error(y, ys, left=e[0], right=e[1])),
            per_point=dict(zip(train.names, point_errors(reg(xs), ys, *e).nanmean(0).tolist())), draws=draws,
            **{w:{str(i):dict(mean=r['mean'], sd=r['sd']) for i,r in t.iterrows()} for w,t in few.items()})
        nums['ratio_to_all'] = {w:{i:v['mean']/nums[w]['all']['mean'] for i,v in nums[w].items()} for w in few}
        print(label, which, k, {'error':round(100*nums['error']['mean'], 2), **{w:{i:round(100*v['mean'], 2) for i,v in nums[w].items()} for w in few}}, flush=True)
        record(out or f"eval_{label}_{which}{'' if k=='eyes' else '_'+k}", command, prefix='', **nums)

def supervised(which, kind, n, minutes, command):
    train,test,eyes,*_ = sets(which, None)
    path = ROOT/'results'/f'eval_supervised_{kind}_{which}.json'
    res = {k:{} for k in eyes}
    for m in n:
        net = train_supervised(train[_draws(pts(train), m, 1, 0)[0]], kind, minutes=minutes, checkpoint=ROOT/'runs'/f'supervised_{kind}_{which}_{m}.safetensors')
        p = predict_points(net, test)
        for k,e in eyes.items(): res[k][str(m)] = round(100*interocular_error(p, pts(test), *e).nanmean().item(), 2)
        print(which, kind, m, {k:v[str(m)] for k,v in res.items()}, flush=True)
        for k in eyes:
            record(f"eval_supervised_{kind}_{which}{'' if k=='eyes' else '_'+k}", command, prefix='', kind='supervised', net=kind, set=which, eyes=k, minutes=minutes, percent=res[k])

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
    def whole(f): # without the images that a warp folded
        def g(x, y, u):
            ok = torch.isfinite(y).flatten(1).all(1)
            return f(x[ok], y[ok], u)
        return g
    rows = {'least squares, minimum norm':clean(ls(0.)), 'ridge, leave-one-out':clean(ridge_loo), 'affine weights (sum 1, shared by x and y), ridge':clean(shared),
        'sparse: affine weights of three landmarks':clean(sparse), 'affine only':clean(lambda *a: fit_few(*a, ridge=1e9, stiff=1e6)), 'spline only':clean(lambda *a: fit_few(*a, ridge=1e9)),
        'fit_few (spline + ridge on the shape)':clean(fit_few), 'fit_few, without unlabelled images':clean(lambda x,y,u: fit_few(x, y)),
        'fit_few, ridge 3':clean(lambda *a: fit_few(*a, ridge=3.)), 'fit_few, ridge 20':clean(lambda *a: fit_few(*a, ridge=20.)),
        'fit_few, mirror images too':lambda j: fit_few(torch.cat([x[j], flip[0][j]]), torch.cat([y[j], flip[1][j]]), u),
        'six warped copies, least squares':copies(whole(ls(0.))), 'six warped copies, ridge .01':copies(whole(ls(.01))), 'six warped copies, fit_few':copies(whole(lambda *a: fit_few(*a, ridge=25.)))}
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
    p.add_argument('--supervised', action='store_true', help='train networks from scratch')
    p.add_argument('--kind', default='detector', choices=('detector','small'))
    p.add_argument('--n', nargs='+', default=['all'], help='labels of the supervised networks')
    p.add_argument('--minutes', type=float, default=20, help='of each supervised network')
    a = p.parse_args()
    command = 'python benchmarks/evaluate.py '+' '.join(sys.argv[1:])
    (ROOT/'runs').mkdir(exist_ok=True)
    n = [o if o=='all' else int(o) for o in a.n]
    if a.supervised:
        for s in a.sets: supervised(s, a.kind, n, a.minutes, command)
    for m in a.models:
        if a.methods: methods(m, a.draws, command)
        else:
            for s in a.sets: evaluate(m, s, a.draws, command, a.out)

if __name__=='__main__': main()
