"""Is the confidence of a face detector calibrated, and does it find failures? results/eval_confidence_NAME.json

    python experiments/confidence.py faces-10
    python experiments/confidence.py --doubt         # results/doubt.json: which images every shipped detector doubts
    python experiments/confidence.py --ship          # the thresholds of that record, into the files of the detectors

Calibrated without labels on CelebA training images (`ship.py`); asked here of held-out CelebA images and of 1,000
held-out rows of the cfp *training* split (those of recipes.py). The linear maps to and from the five annotated points
are fitted on other rows of it.

The threshold of doubt (`fit_doubt`) is found on training images of a detector's category and their warps, against the
same images in pieces, noise, and training images of the other categories. It is asked of other images than these:
held-out ones of every category, whole cats, web faces (cfp), drawn faces, the pictures that scikit-image and
scikit-learn bring along, and scikit-image's 100 small faces and 100 pieces of the same photographs without a face.
Only this threshold is written: weights and all other text of a file stay as they are."""
import warnings
from pathlib import Path

import numpy as np, torch
from scipy.stats import rankdata

from common import CATEGORIES, Folders, chosen, decoded, geometry_and_warps, held_rows, labelled, parser, points_of
from fse_nb.confidence import fit_doubt, warp_returns
from fse_nb.data import LandmarkSet, cats, celeba, cfp, toy_faces
from fse_nb.detect import detect
from fse_nb.errors import interocular_error
from fse_nb.export import WEIGHTS, load_detector, pretrained
from fse_nb.regress import fit_regressor
from fse_nb.results import origin, read_record
from fse_nb.store import load_tensors, save_tensors

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

def under_warps(model, images, n):
    "Reliability under random warps of `n` images"
    spread,distance = warp_returns(model, images, n=n, seed=1, power=model.confidence.power)
    right = (distance<=model.confidence.within).numpy()
    sure = model.confidence.of_spread(spread).numpy()
    return reliability(sure.ravel(), right.ravel())|dict(images=min(n, len(images)))

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

# ---- doubt

#: category of a run → key of `CATEGORIES`; all faces are celeba
KINDS = 'celeba','cats','shoes','mnist3','mnist5','mnist6'

def kind_of(name):
    "The key of `CATEGORIES` that a shipped detector was trained on"
    what,number = name.split('-')[:2]
    return f'mnist{number}' if what=='digits' else dict(faces='celeba').get(what, what)

def public_pictures():
    "What scikit-image and scikit-learn bring along: a set of pictures, one of small faces, one of no faces"
    from skimage import data
    from sklearn.datasets import load_sample_images
    names = ('astronaut camera chelsea clock coffee coins colorwheel grass gravel brick horse '
             'hubble_deep_field immunohistochemistry logo moon page retina rocket text').split()
    rgb = lambda o: np.stack([o]*3, -1) if o.ndim==2 else o[...,:3]
    byte = lambda o: (255*o).astype(np.uint8) if o.dtype!=np.uint8 else o
    found = {name:rgb(byte(getattr(data, name)())) for name in names}
    found |= dict(zip(('china','flower'), load_sample_images().images))
    small = byte(data.lfw_subset())[...,None].repeat(3, -1)
    made = lambda images, names: LandmarkSet(names, images=images)
    return dict(pictures=made(list(found.values()), list(found)),
                small_faces=made(small[:100], [f'face{i}' for i in range(100)]),
                no_faces=made(small[100:], [f'none{i}' for i in range(100)]))

def doubt_sets(n):
    "Training images of each kind, and the images that are asked about"
    train,held = {},{}
    for kind in KINDS:
        a,b = CATEGORIES[kind].sets()
        train[kind],held[kind] = chosen(a, n, seed=1),chosen(b, n)
    asked = {f'{kind}, held out':s for kind,s in held.items()}
    return train,asked|dict(cfp=chosen(cfp(split='train'), n), whole_cats=chosen(cats(), n),
                            toy=toy_faces(n, seed=9), **public_pictures())

def doubt(args, folders, start):
    "Thresholds of all shipped detectors, and the share of each set that they doubt"
    names = ['faces-10'] if args.smoke else args.detectors or pretrained()
    if args.smoke:
        train = dict(celeba=toy_faces(12, seed=1), cats=toy_faces(12, seed=2, size=40))
        asked = dict(toy=toy_faces(12, seed=3))
    else: train,asked = doubt_sets(args.doubted)
    said = {}
    for name in names:
        model = load_detector(name)
        kind,see = kind_of(name),lambda s: model.geometry.decode(s, warn_small=False, progress=False)
        others = [see(s) for k,s in train.items() if k[:5]!=kind[:5]] # no digit against another
        model.confidence = fit_doubt(model, model.confidence, see(train[kind]), others,
                                     warps=geometry_and_warps(kind)[1], n=args.doubted)
        limit = model.confidence.doubt
        means = {k:detect(model, see(s), with_confidence=True)[1].mean(1).numpy() for k,s in asked.items()}
        said[name] = dict(doubt=limit, about=model.confidence.about,
                          doubtful={k:None if limit is None else float((v<limit).mean()) for k,v in means.items()},
                          images={k:len(v) for k,v in means.items()})
        if 'pictures' in asked:
            each = means['pictures'].astype(float).round(3).tolist()
            said[name]['pictures'] = dict(zip(map(str, asked['pictures'].files), each))
        print(name, limit, {k:v and round(v, 2) for k,v in said[name]['doubtful'].items()}, flush=True)
    file = folders.results/'doubt.json'
    before = read_record(file)['numbers']['detectors'] if args.detectors and file.is_file() else {}
    folders.record('doubt', start, detectors=before|said)

def ship(folders):
    "The thresholds of the record into the files of shipped detectors, all else of which stays"
    for name,said in read_record(folders.results/'doubt.json')['numbers']['detectors'].items():
        file = WEIGHTS/f'{name}.safetensors'
        tensors,meta = load_tensors(file)
        meta['confidence'] |= {k:said[k] for k in ('doubt','about')}
        save_tensors(file, tensors, meta)
        again,its = load_tensors(file)
        assert its==meta and all(torch.equal(v, again[k]) and v.dtype==again[k].dtype for k,v in tensors.items())
        print(file.name, said['doubt'])

def arguments():
    p = parser(__doc__)
    p.add_argument('--doubt', action='store_true', help='the thresholds of doubt of shipped detectors, instead')
    p.add_argument('--detectors', nargs='*', help='with --doubt: names; default: all; others stay as recorded')
    p.add_argument('--doubted', type=int, default=200, help='with --doubt: images of each kind')
    p.add_argument('--ship', action='store_true', help='write the thresholds of doubt.json into the files of detectors')
    p.add_argument('detector', nargs='?', default='faces-10', help='name or file')
    p.add_argument('--fit', type=int, default=1000, help='rows for the linear maps')
    p.add_argument('--warped', type=int, default=400, help='images for each reliability under warps')
    return p

def main():
    args = arguments().parse_args()
    folders,start = Folders.of(args),origin()
    if args.ship: return ship(folders)
    if args.doubt:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore') # parts of data sets that are not here
            return doubt(args, folders, start)
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
