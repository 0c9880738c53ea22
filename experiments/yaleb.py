"""Yale B (supplement of the paper): do landmarks keep their place when only the light changes?

    python benchmarks/yaleb.py original              # the detector as it is
    python benchmarks/yaleb.py warps --pairs 4000    # (a) fine-tuned by warps of one image
    python benchmarks/yaleb.py lights --pairs 4000   # (b) by two lights of one person, g2 = identity
    python benchmarks/yaleb.py both --pairs 4000     # (c) by two lights, the second warped
    python benchmarks/yaleb.py scales                # well lit faces of training people in squares of several sizes

28 people to train, 10 to test (fixed by --split-seed). One JSON a variant: results/yaleb_DETECTOR_VARIANT_sSEED.json. On the test
people, in pixels of the 100×100 image, by light subset (angle from the camera's axis up to 12, 25, 50, 77, above): `aligned`, the
distance of a landmark to that of the same person under frontal light; `moved`, the same when the image is warped by a held-out g2 and
the landmark is carried back, which costs a landmark that ignores the image; `still_moved`, what standing still would cost there."""
import argparse, sys, time
import numpy as np, torch
from pathlib import Path
from fastai.basics import noop
from common import record, ROOT
from fse_nb.coords import crop_extent
from fse_nb.data import LandmarkSet, decode_images, landmark_dls, light_pairs, load_image, yale_b
from fse_nb.export import load_detector, save_detector
from fse_nb.train import GivenPairs, WarpPairs, detect, landmark_learner, stack_pairs
from fse_nb.warps import FACES, WarpSampler, warp_image

SUBSETS = (12,25,50,77,181) # upper ends of the light angle, degrees

def angle(meta):
    "Degrees between light and camera axis"
    a,e = (np.deg2rad(meta[k].to_numpy(float)) for k in ('azimuth','elevation'))
    return np.rad2deg(np.arccos(np.cos(a)*np.cos(e)))

def faces(s, box):
    "Images of a set in squares of `box` pixels of the file, 84×96; what is outside repeats the border"
    def square(f):
        im = load_image(f)
        h,w = im.shape[:2]
        t,l = (box-h)//2,(box-w)//2
        im = np.pad(im, ((max(t,0),max(box-h-t,0)),(max(l,0),max(box-w-l,0)),(0,0)), mode='edge')
        return im[max(-t,0):,max(-l,0):][:box,:box]
    return decode_images(LandmarkSet(s.files, meta=s.meta, images=np.stack([square(f) for f in s.files]), name='yale_b'), size=100, warn_small=False)

def people(s, n_test, seed):
    "Masks of training and test people"
    who = np.array(sorted(s.meta.person.unique()))
    test = set(np.random.default_rng(seed).permutation(who)[:n_test])
    m = s.meta.person.isin(test).to_numpy()
    return ~m,m,sorted(test)

def unit(cache): return torch.from_numpy(np.ascontiguousarray(cache.images)).permute(0,3,1,2)/127.5-1

def evaluate(model, test, seed=1):
    "Numbers of the test people, by light subset and over all"
    x,a = unit(test),angle(test.meta)
    who = test.meta.person.to_numpy()
    front = np.array([np.flatnonzero((who==p)&(a==0))[0] for p in who])
    other = torch.from_numpy(np.arange(len(who))!=front)
    pts = detect(model, x)*50
    g = FACES.g2(len(x), generator=torch.Generator().manual_seed(seed))
    moved = torch.cat([warp_image(b, o) for b,o in zip(x.split(64), g.grid(100, 100).split(64))])
    pts2 = detect(model, moved)
    back = g(pts2)*50
    mu = torch.cat([pts,pts2*50]).mean(0)
    dist = dict(aligned=(pts-pts[front]).norm(dim=-1), moved=(back-pts[front]).norm(dim=-1), warps=(back-pts).norm(dim=-1),
                still_moved=(g(mu.expand(len(x),-1,-1)/50)*50-mu).norm(dim=-1))
    sub = torch.from_numpy(np.searchsorted(SUBSETS, a))
    near = torch.cdist(pts, pts)
    near.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    means = torch.stack([pts[torch.from_numpy(who==p)].mean(0) for p in np.unique(who)])
    return dict(subsets=list(SUBSETS), images=[int((sub==k).sum()) for k in range(5)],
        **{k:dict(all=round(d[other].mean().item(), 3), by_subset=[round(d[other&(sub==i)].mean().item(), 3) for i in range(5)],
                  per_landmark=[round(o, 3) for o in d[other].mean(0).tolist()]) for k,d in dist.items()},
        nearest=round(near.amin(-1).mean().item(), 3), between_people=round(means.std(0).norm(dim=-1).mean().item(), 3),
        ignore_the_image=int((dist['warps'].mean(0)>.5*dist['still_moved'].mean(0)).sum()))

def scales(model, train, boxes=(112,140,160,180,200,230), seed=1):
    "Equivariance of a detector on every sixth face of a light within 26°, in squares of several sizes, and the cost of standing still"
    s = train[np.flatnonzero(angle(train.meta)<26)[::6]]
    g = FACES.g2(len(s), generator=torch.Generator().manual_seed(seed))
    rows = []
    for b in boxes:
        x = unit(faces(s, b))
        p,q = detect(model, x),detect(model, warp_image(x, g.grid(100, 100)))
        mu = torch.cat([p,q]).mean(0).expand_as(q)
        rows.append(dict(box=b, px=round(50*(g(q)-p).norm(dim=-1).mean().item(), 3), still=round(50*(g(mu)-mu).norm(dim=-1).mean().item(), 3)))
        print(rows[-1], flush=True)
    return dict(images=len(s), rows=rows)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('variant', choices=('original','warps','lights','both','scales'))
    p.add_argument('--detector', default='faces-10', help='name or file')
    p.add_argument('--pairs', type=int, default=4000)
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--box', type=int, default=180, help='pixels of the file in a side of the image: 84 is the whole width; 180 puts the eyes as far apart as in CelebA, 39 of 178')
    p.add_argument('--n-test', type=int, default=10)
    p.add_argument('--split-seed', type=int, default=0)
    p.add_argument('--hold', action='store_true', help='evaluate on 6 of the training people instead of the test people, to choose settings')
    p.add_argument('--name')
    a = p.parse_args()
    torch.manual_seed(a.seed)
    s = yale_b()
    train,test,who = people(s, a.n_test, a.split_seed)
    train,test = s[train],s[test]
    if a.variant=='scales':
        record(a.name or f'yaleb_{Path(a.detector).stem}_scales', 'python benchmarks/yaleb.py '+' '.join(sys.argv[1:]), prefix='', detector=a.detector, **scales(load_detector(a.detector), train))
        return
    if a.hold: fit,h,who = people(train, 6, a.split_seed+1); train,test = train[fit],train[h]
    test = faces(test, a.box)
    if a.variant!='original': train = faces(train, a.box)
    model = load_detector(a.detector)
    nums = dict(variant=a.variant, detector=a.detector, box=a.box, test_people=who, held_out_of_training=a.hold, train_images=len(train), test_images=len(test))
    if a.variant!='original':
        pairs,own = WarpPairs,train
        if a.variant!='warps': # as many pairs as images, drawn anew for every run
            pairs,own = GivenPairs,stack_pairs(train, light_pairs(train, min(a.pairs, 4000), a.seed))
        warps = FACES._replace(g2=WarpSampler(10, 0, 0, 0, 0, 0)) if a.variant=='lights' else FACES
        dls = landmark_dls(own, own[:a.bs], bs=a.bs, seed=a.seed, epoch_size=a.pairs)
        learn = landmark_learner(dls, model.config['n_landmarks'], model=model.train(), pairs=pairs, warps=warps, seed=a.seed, lr=a.lr,
                                 grow=None, gamma=.05, var_weight=.1) # the end of the schedule that it was trained with
        learn.remove_cb(learn.progress)
        learn.logger = noop
        t,c = time.time(),time.process_time()
        learn.fit_recipe(1)
        nums |= dict(config=learn.run_config, pairs=a.pairs, seconds=round(time.time()-t, 1), core_seconds=round(time.process_time()-c, 1), train_loss=float(learn.recorder.values[-1][0]))
        model = learn.model.eval()
    nums |= evaluate(model, test)
    name = a.name or f'yaleb_{Path(a.detector).stem}_{a.variant}_s{a.seed}'
    print({k:nums[k] for k in ('aligned','moved','warps','still_moved','nearest','between_people','ignore_the_image')})
    if a.variant!='original': save_detector(model, ROOT/'runs'/f'{name}.safetensors', dict(data='Extended Yale B, unsupervised', start=a.detector, variant=a.variant))
    if not a.hold: record(name, 'python benchmarks/yaleb.py '+' '.join(sys.argv[1:]), prefix='', **nums)

if __name__=='__main__': main()
