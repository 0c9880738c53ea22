"""How many images must be labelled, and which? Simulated labelling: results/annotate.json

    python experiments/annotate.py
    python experiments/annotate.py --detectors faces-10 --draws 20

The points that a person would set are the annotated ones. Toy faces, and rows of the cfp *training* split (never of
its test split): of each draw 500 images may be labelled, 1,000 others measure. `error`: mean over the draws and its
standard deviation, in % of the distance of the eyes, of the map of n labels. `chosen`: each image by `what_teaches`,
as fse_label chooses. `random`: in random order. `least_certain`: the image with the smallest mean confidence first.
`mean_shape`: no map; the points start at the mean of n random labels, as where every image is drawn from scratch.
`all`: the map of all images that may be labelled. `ratio`: error of n labels over that of all. The settings of
`what_teaches` were chosen on 3,000 rows of this split and on other toy faces."""
import numpy as np, torch

from common import Folders, chosen, decoded, parser, points_of
from fse_nb.annotate import what_teaches
from fse_nb.data import cfp, toy_faces
from fse_nb.detect import detect
from fse_nb.errors import interocular_error, mean_shape_error
from fse_nb.export import load_detector
from fse_nb.points import fit_points
from fse_nb.regress import fit_regressor
from fse_nb.results import origin

COUNTS = 1,2,3,5,7,10,15,20

def next_chosen(x, sure, labelled): return int(what_teaches(x, labelled, sure).argmax())
def next_random(x, sure, labelled): return len(labelled) # the pool is in random order
def next_uncertain(x, sure, labelled):
    sure = sure.clone()
    sure[labelled] = torch.inf
    return int(sure.argmin())

ORDERS = dict(chosen=next_chosen, random=next_random, least_certain=next_uncertain)

def percent(pred, true): return 100*interocular_error(pred, true).mean().item()

def simulated(next_one, x, y, sure, xs, ys, names, counts):
    "Test errors after so many labels in an order"
    labelled,errors = [],[]
    for n in range(1, max(counts)+1):
        labelled.append(next_one(x, sure, labelled))
        if n in counts: errors.append(percent(fit_points(x[labelled], y[labelled], names, unlabelled=x)(xs), ys))
    return errors

def draws_of(model, cache, args, counts):
    "Errors of every order in every draw: name → (draws, counts); and of all labels"
    (x,sure),y = detect(model, cache, with_confidence=True),points_of(cache)
    errors = {name:[] for name in (*ORDERS,'mean_shape','all')}
    for seed in range(args.draws):
        i = np.random.default_rng([seed,18]).permutation(len(x))
        pool,test = i[:args.pool],i[args.pool:args.pool+args.test]
        a,b,c,xs,ys = x[pool],y[pool],sure[pool].mean(1),x[test],y[test]
        for name,next_one in ORDERS.items():
            errors[name].append(simulated(next_one, a, b, c, xs, ys, cache.names, counts))
        errors['mean_shape'].append([100*mean_shape_error(b[:n], ys).mean().item() for n in counts])
        errors['all'].append(percent(fit_regressor(a, b, ridge=1e-3)(xs), ys))
    return {name:np.array(o) for name,o in errors.items()}

def table(errors, counts):
    "Rows for the record"
    whole = errors['all'].mean()
    curves = {name:[dict(n=n, **{k:round(float(v), 3) for k,v in
                    dict(error=e.mean(), sd=e.std(ddof=1), ratio=e.mean()/whole).items()})
                    for n,e in zip(counts, o.T)] for name,o in errors.items() if name!='all'}
    return dict(all=round(float(whole), 3), all_sd=round(float(errors['all'].std(ddof=1)), 3))|curves

def arguments():
    p = parser(__doc__)
    p.add_argument('--detectors', nargs='*', default=['faces-10','faces-30'], help='names or files')
    p.add_argument('--draws', type=int, default=10, help='random choices of the images')
    p.add_argument('--pool', type=int, default=500, help='images that may be labelled')
    p.add_argument('--test', type=int, default=1000, help='other images, to measure')
    return p

def main():
    args = arguments().parse_args()
    folders,start,counts = Folders.of(args),origin(),COUNTS
    if args.smoke: args.detectors,args.draws,args.pool,args.test,counts = ['faces-10'],2,20,20,(1,2,3)
    said = dict(config=dict(draws=args.draws, pool=args.pool, test=args.test))
    for detector in args.detectors:
        model,n = load_detector(detector),args.pool+args.test
        sets = dict(toy=toy_faces(n, seed=31))
        if not args.smoke: sets['cfp_train'] = chosen(cfp(split='train'), 2*n, seed=18)
        for name,images in sets.items():
            rows = table(draws_of(model, decoded(model.geometry, images, folders), args, counts), counts)
            said[f'{detector}_{name}'] = rows
            print(detector, name, 'all', rows['all'], {k:v[-1] for k,v in rows.items() if k[:3]!='all'}, flush=True)
    folders.record('annotate', start, **said)

if __name__=='__main__': main()
