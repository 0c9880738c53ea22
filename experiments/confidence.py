"""Is the confidence of a face detector calibrated, and does it find failures? results/eval_confidence_NAME.json

    python experiments/confidence.py faces-10

Calibrated without labels on CelebA training images (`ship.py`); asked here of held-out CelebA images and of 1,000
held-out rows of the cfp *training* split (those of recipes.py). The linear maps to and from the five annotated points
are fitted on other rows of it."""
from pathlib import Path

import numpy as np, torch
from scipy.stats import rankdata

from common import Folders, decoded, held_rows, labelled, parser, points_of
from fse_nb.confidence import warp_returns
from fse_nb.data import celeba, cfp, toy_faces
from fse_nb.detect import detect
from fse_nb.errors import interocular_error
from fse_nb.export import load_detector
from fse_nb.regress import fit_regressor
from fse_nb.results import origin

def auroc(score, bad):
    "Probability that a bad one scores higher than a good one; None where there are only good or only bad ones"
    ranks,n = rankdata(score),int(bad.sum())
    return float((ranks[bad].sum()-n*(n+1)/2)/(n*(len(bad)-n))) if 0<n<len(bad) else None

def reliability(conf, right, bins=10):
    "Mean confidence and share of right ones in bins of equal size, and their mean distance (ECE)"
    order = np.argsort(conf, kind='stable')
    c,r = conf[order],right[order].astype(float)
    parts = np.array_split(np.arange(len(c)), bins)
    said,true = ([float(o[p].mean()) for p in parts] for o in (c,r))
    return dict(confidence=said, right=true, n=len(c), ece=float(np.mean(np.abs(np.subtract(said, true)))),
                mean_confidence=float(c.mean()), mean_right=float(r.mean()), auroc=auroc(-conf, ~right))

def of_spread(confidence, spread):
    "The confidence (N,K) from spreads that `warp_returns` measured"
    bias,slope = torch.tensor(confidence.bias),torch.tensor(confidence.slope)
    return torch.sigmoid(bias+slope*spread.clamp(min=1e-4).log()).numpy()

def under_warps(model, images, n):
    "Reliability under random warps of `n` images"
    spread,distance = warp_returns(model, images, n=n, seed=1)
    right = (distance<=model.confidence.within).numpy()
    return reliability(of_spread(model.confidence, spread).ravel(), right.ravel())|dict(images=min(n, len(images)))

def found_from_points(x, y, fit_x, fit_y):
    "Distance (N,K) of each landmark from where a linear map of the annotated points puts it, [-1,1]"
    with_one = lambda t: torch.cat([t, torch.ones(len(t), 1, 2)], 1) # a constant beside the points
    return (fit_regressor(with_one(fit_y), fit_x)(with_one(y))-x).norm(dim=-1).numpy()

def coverage(errors, confidence):
    "Mean error of the share of the images that is kept, the surest first, in another order, and in the best one"
    shares = np.linspace(.05, 1, 39)
    kept = lambda order: [float(errors[order[:max(1, round(q*len(errors)))]].mean()) for q in shares]
    surest = np.argsort(-confidence)
    tail = errors[surest[round(.9*len(errors)):]]
    first = lambda share: float(errors[surest[:round(share*len(errors))]].mean())
    above = {f'failures_{limit}':float((errors>limit).mean()) for limit in (10,20)}
    return dict(error=float(errors.mean()), **above,
                auroc_10=auroc(-confidence, errors>10), auroc_20=auroc(-confidence, errors>20),
                error_90=first(.9), error_80=first(.8),
                failures_20_found_in_last_tenth=float((tail>20).sum()/max(1, (errors>20).sum())),
                coverage=shares.tolist(), kept_error=kept(surest), kept_oracle=kept(np.argsort(errors)),
                kept_random=[float(errors.mean())]*len(shares))

def arguments():
    p = parser(__doc__)
    p.add_argument('detector', nargs='?', default='faces-10', help='name or file')
    p.add_argument('--fit', type=int, default=1000, help='rows for the linear maps')
    p.add_argument('--warped', type=int, default=400, help='images for each reliability under warps')
    return p

def main():
    args = arguments().parse_args()
    folders,start = Folders.of(args),origin()
    model = load_detector(args.detector)
    geometry,within = model.geometry,model.confidence.within
    if args.smoke:
        args.warped = 8
        fit,hold = labelled('toy', model, folders)[:2]
        sets = dict(toy=geometry.decode(toy_faces(8, seed=1)))
    else:
        fit,hold = (decoded(geometry, s, folders) for s in held_rows(cfp(split='train'), 1000, args.fit))
        sets = dict(celeba=decoded(geometry, celeba(split='test')[np.arange(args.warped)], folders), cfp=hold)
    said = dict(detector=args.detector, within=within, fitted_on=model.confidence.about)
    for name,images in sets.items():
        said[name] = under_warps(model, images, args.warped)
        print(name, {k:said[name][k] for k in ('ece','mean_confidence','mean_right')}, flush=True)
    (x,conf),fit_x = detect(model, hold, with_confidence=True),detect(model, fit)
    conf = conf.numpy()
    away = found_from_points(x, points_of(hold), fit_x, points_of(fit))
    away = away/2*geometry.size/geometry.crop # share of the crop's side
    each = [auroc(-conf[:,k], away[:,k]>within) for k in range(away.shape[1])]
    said['annotated'] = reliability(conf.ravel(), (away<=within).ravel())|dict(images=len(hold), auroc_by_landmark=each)
    predicted = fit_regressor(fit_x, points_of(fit))(x)
    said |= coverage(100*interocular_error(predicted, points_of(hold)).numpy(), conf.mean(1))
    print({k:v for k,v in said.items() if isinstance(v, float)})
    folders.record(f'eval_confidence_{Path(args.detector).stem}', start, **said)

if __name__=='__main__': main()
