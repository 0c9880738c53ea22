"""Is the confidence of a face detector calibrated, and does it find failures? results/eval_confidence_NAME.json

    python benchmarks/confidence.py faces-10

Calibrated without labels on CelebA training images (`ship.py`); asked here of held-out CelebA images and of 1,000 held-out rows of
the cfp *training* split (those of recipes.py). The linear maps to and from the five annotated points are fitted on other rows of it."""
import argparse, sys
import numpy as np, torch
from common import record
from fse_nb.confidence import warp_returns
from fse_nb.data import celeba, cfp, decode_images
from fse_nb.export import load_detector
from fse_nb.regress import fit_regressor, interocular_error
from fse_nb.train import detect

def reliability(conf, right, bins=10):
    "Mean confidence and share of right ones in bins of equal size, and their mean distance (ECE)"
    i = np.argsort(conf, kind='stable')
    c,r = conf[i],right[i].astype(float)
    parts = np.array_split(np.arange(len(c)), bins)
    cs,rs = ([float(o[p].mean()) for p in parts] for o in (c,r))
    return dict(confidence=cs, right=rs, n=len(c), ece=float(np.mean(np.abs(np.subtract(cs, rs)))), mean_confidence=float(c.mean()), mean_right=float(r.mean()), auroc=auroc(-conf, ~right))

def auroc(score, bad):
    "Probability that a bad one scores higher than a good one"
    from scipy.stats import rankdata
    r,n = rankdata(score),int(bad.sum())
    return float((r[bad].sum()-n*(n+1)/2)/(n*(len(bad)-n))) if 0<n<len(bad) else None

def of_spread(model, spread): # the confidence from spreads that `warp_returns` measured
    c = model.confidence
    return torch.sigmoid(torch.tensor(c.bias)+torch.tensor(c.slope)*spread.clamp(min=1e-4).log()).numpy()

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('name', nargs='?', default='faces-10')
    p.add_argument('--fit', type=int, default=1000, help='rows for the linear maps')
    p.add_argument('--warped', type=int, default=400, help='images for each reliability under warps')
    a = p.parse_args()
    model = load_detector(a.name)
    size,within = model.geometry['size'],model.confidence.within
    c = cfp(split='train')
    i = np.random.default_rng(0).permutation(len(c))
    hold,fit = (decode_images(c[np.sort(j)], size=size) for j in (i[:1000], i[1000:1000+a.fit]))
    held = decode_images(celeba(split='test')[np.arange(a.warped)], size=size)
    out = dict(detector=a.name, within=within, fitted_on=model.confidence.about)
    for k,s in (('celeba',held), ('cfp',hold)):
        spread,d = warp_returns(model, s, n=a.warped, seed=1)
        out[k] = reliability(of_spread(model, spread).ravel(), (d<=within).numpy().ravel()) | dict(images=min(a.warped, len(s)))
        print(k, out[k], flush=True)
    (x,conf),xf = detect(model, hold, with_confidence=True),detect(model, fit)
    y,yf = torch.from_numpy(hold.points),torch.from_numpy(fit.points)
    ones = lambda t: torch.cat([t, torch.ones(len(t),1,2)], 1) # five points and a constant
    d = (fit_regressor(ones(yf), xf)(ones(y))-x).norm(dim=-1).numpy()/2*size/model.geometry['crop'] # share of the crop's side
    out['annotated'] = reliability(conf.numpy().ravel(), (d<=within).ravel()) | dict(images=len(hold),
        auroc_by_landmark=[auroc(-conf[:,k].numpy(), d[:,k]>within) for k in range(d.shape[1])])
    e,m = 100*interocular_error(fit_regressor(xf, yf)(x), y).numpy(),conf.mean(1).numpy()
    cover = np.linspace(.05, 1, 39)
    kept = lambda order: [float(e[order[:max(1, round(q*len(e)))]].mean()) for q in cover]
    by = np.argsort(-m)
    out |= dict(error=float(e.mean()), failures_10=float((e>10).mean()), failures_20=float((e>20).mean()), auroc_10=auroc(-m, e>10), auroc_20=auroc(-m, e>20),
                error_90=float(e[by[:900]].mean()), error_80=float(e[by[:800]].mean()), failures_20_found_in_last_tenth=float((e[by[900:]]>20).sum()/max(1,(e>20).sum())),
                coverage=cover.tolist(), kept_error=kept(by), kept_oracle=kept(np.argsort(e)), kept_random=[float(e.mean())]*len(cover))
    print({k:v for k,v in out.items() if isinstance(v, float)})
    record(f'eval_confidence_{a.name}', 'python benchmarks/confidence.py '+' '.join(sys.argv[1:]), prefix='', **out)

if __name__=='__main__': main()
