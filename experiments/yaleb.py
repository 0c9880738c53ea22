"""Yale B (supplement of the paper): do landmarks keep their place when only the light changes?

    python experiments/yaleb.py original              # the detector as it is
    python experiments/yaleb.py warps --pairs 4000    # (a) fine-tuned by warps of one image
    python experiments/yaleb.py lights --pairs 4000   # (b) by two lights of one person, g2 = identity
    python experiments/yaleb.py both --pairs 4000     # (c) by two lights, the second warped
    python experiments/yaleb.py scales                # well lit faces of training people in squares of several sizes

28 people to train, 10 to test (fixed by --split-seed). One JSON a variant: results/yaleb_DETECTOR_VARIANT_sSEED.json.
On the test people, in pixels of the 100×100 image, by light subset (angle from the camera's axis up to 12, 25, 50,
77, above): `aligned`, the distance of a landmark to that of the same person under frontal light; `moved`, the same
when the image is warped by a held-out g2 and the landmark is carried back, which costs a landmark that ignores the
image; `static_moved`, what standing still would cost there."""
import time
from pathlib import Path

import numpy as np, pandas as pd, torch

from common import Folders, floats_of, nearest_px, parser, quiet_learner, rounded
from fse_nb.data import LandmarkSet, landmark_dls, light_pairs, load_image, toy_faces, yale_b
from fse_nb.detect import detect
from fse_nb.export import load_detector, save_detector
from fse_nb.results import origin
from fse_nb.train import GivenPairs, WarpPairs, stack_pairs
from fse_nb.warps import FACES, WarpSampler, warp_image

SUBSETS = (12,25,50,77,181) # upper ends of the light angle, degrees

def angle(meta):
    "Degrees between light and camera axis"
    azimuth,elevation = (np.deg2rad(meta[k].to_numpy(float)) for k in ('azimuth','elevation'))
    return np.rad2deg(np.arccos(np.cos(azimuth)*np.cos(elevation)))

def in_square(image, side):
    "The middle of an image in a square of `side` pixels; what is outside repeats the image's border"
    h,w = image.shape[:2]
    top,left = (side-h)//2,(side-w)//2
    around = ((max(top, 0),max(side-h-top, 0)),(max(left, 0),max(side-w-left, 0)),(0,0))
    image = np.pad(image, around, mode='edge')
    return image[max(-top, 0):,max(-left, 0):][:side,:side]

def faces(model, s, box):
    "Images of a set in squares of `box` pixels of the file, as the detector sees them"
    images = [load_image(f) for f in s.files] if s.images is None else s.images
    squares = np.stack([in_square(im, box) for im in images])
    return model.geometry.decode(LandmarkSet(s.files, meta=s.meta, images=squares, name='yale_b'), warn_small=False)

def people(s, n_test, seed):
    "Training and test people, and the names of the latter"
    who = np.array(sorted(s.meta.person.unique()))
    test = set(np.random.default_rng(seed).permutation(who)[:n_test])
    tested = s.meta.person.isin(test).to_numpy()
    return s[~tested],s[tested],sorted(test)

def evaluate(model, test, seed=1):
    "Numbers of the test people, by light subset and over all"
    x,light,who,px = floats_of(test),angle(test.meta),test.meta.person.to_numpy(),test.size/2
    front = np.array([np.flatnonzero((who==p)&(light==0))[0] for p in who])
    other = torch.from_numpy(np.arange(len(who))!=front)
    pts = detect(model, x)
    g = FACES.g2(len(x), generator=torch.Generator().manual_seed(seed))
    fields = g.grid(test.size, test.size)
    moved = detect(model, torch.cat([warp_image(b, f) for b,f in zip(x.split(64), fields.split(64))]))
    back,mean = g(moved),torch.cat([pts,moved]).mean(0)
    away = lambda a, b: px*(a-b).norm(dim=-1)
    distances = dict(aligned=away(pts, pts[front]), moved=away(back, pts[front]), warps=away(back, pts),
                     static_moved=away(g(mean.expand(len(x), -1, -1)), mean))
    subset = torch.from_numpy(np.searchsorted(SUBSETS, light))
    def summary(d):
        parts = [d[other&(subset==k)].mean().item() for k in range(5)] # NaN where there is no such light
        return dict(all=round(d[other].mean().item(), 3), by_subset=[None if p!=p else round(p, 3) for p in parts],
                    per_landmark=rounded(d[other].mean(0)))
    means = px*torch.stack([pts[torch.from_numpy(who==p)].mean(0) for p in np.unique(who)])
    ignores = distances['warps'].mean(0)>.5*distances['static_moved'].mean(0)
    return dict(subsets=list(SUBSETS), images=[int((subset==k).sum()) for k in range(5)],
                **{k:summary(d) for k,d in distances.items()}, nearest=nearest_px(pts, test.size),
                between_people=round(means.std(0).norm(dim=-1).mean().item(), 3), ignore_the_image=int(ignores.sum()))

def scales(model, train, boxes=(112,140,160,180,200,230), seed=1):
    "Equivariance on every sixth face of a light within 26°, in squares of several sizes; the cost of standing still"
    s = train[np.flatnonzero(angle(train.meta)<26)[::6]]
    g = FACES.g2(len(s), generator=torch.Generator().manual_seed(seed))
    rows = []
    for box in boxes:
        c = faces(model, s, box)
        x,px = floats_of(c),c.size/2
        p,q = detect(model, x),detect(model, warp_image(x, g.grid(c.size, c.size)))
        mean = torch.cat([p,q]).mean(0).expand_as(q)
        cost = lambda a, b: round(px*(a-b).norm(dim=-1).mean().item(), 3)
        rows.append(dict(box=box, px=cost(g(q), p), static_px=cost(g(mean), mean)))
        print(rows[-1], flush=True)
    return dict(images=len(s), rows=rows)

def finetuned(model, train, args):
    "The detector after fine-tuning on the pairs of a variant, and what it took"
    pair_maker,own = WarpPairs,train
    if args.variant!='warps': # as many pairs as images, drawn anew for every run
        pair_maker,own = GivenPairs,stack_pairs(train, light_pairs(train, min(args.pairs, 4000), args.seed))
    identity = WarpSampler(10, 0, 0, 0, 0, 0)
    warps = FACES._replace(g2=identity) if args.variant=='lights' else FACES
    dls = landmark_dls(own, own[:args.bs], bs=args.bs, seed=args.seed, epoch_size=args.pairs)
    end = dict(grow=None, gamma=.05, var_weight=.1) # of the schedule that it was trained with
    learn = quiet_learner(dls, model.config['n_landmarks'], model=model.train(), pair_maker=pair_maker, warps=warps,
                          seed=args.seed, lr=args.lr, **end)
    clock,core = time.time(),time.process_time()
    learn.fit_recipe(1)
    took = dict(seconds=round(time.time()-clock, 1), core_seconds=round(time.process_time()-core, 1))
    return learn.model.eval(),dict(config=learn.run_config, pairs=args.pairs, **took,
                                   train_loss=float(learn.recorder.values[-1][0]))

def toy_people(n=4):
    "Drawn faces, each under a few lights from the side"
    drawn,azimuths = toy_faces(n, seed=5, size=96),(-60,-20,0,20,60)
    images,meta = [],[]
    for i,face in enumerate(drawn.images):
        for a in azimuths:
            light = 1+np.linspace(-1, 1, 96)[None,:,None]*a/90
            images.append((face*light).clip(0, 255).astype(np.uint8))
            meta.append(dict(person=f'toy{i}', pose='P00', azimuth=a, elevation=0))
    names = [f'{i}' for i in range(len(images))]
    return LandmarkSet(names, images=np.stack(images), meta=pd.DataFrame(meta), name='toy')

def arguments():
    p = parser(__doc__)
    p.add_argument('variant', nargs='?', choices=('original','warps','lights','both','scales'), default='original')
    p.add_argument('--detector', default='faces-10-dilated', help='name or file')
    p.add_argument('--pairs', type=int, default=4000)
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--box', type=int, default=180, help='pixels of the file in a side of the image: 84 is the whole '
                   'width; 180 puts the eyes as far apart as in CelebA, 39 of 178')
    p.add_argument('--n-test', type=int, default=10)
    p.add_argument('--split-seed', type=int, default=0)
    p.add_argument('--hold', action='store_true', help='evaluate on 6 of the training people, to choose settings')
    p.add_argument('--name', help='of the record')
    return p

def one_variant(args, people_set, folders, start):
    "Fine-tune as a variant asks for, and measure"
    torch.manual_seed(args.seed)
    train,test,who = people(people_set, args.n_test, args.split_seed)
    if args.hold: train,test,who = people(train, 6, args.split_seed+1)
    model,label = load_detector(args.detector),f'yaleb_{Path(args.detector).stem}'
    if args.variant=='scales':
        return folders.record(args.name or f'{label}_scales', start, detector=args.detector, **scales(model, train))
    name = args.name or f'{label}_{args.variant}_s{args.seed}'
    said = dict(variant=args.variant, detector=args.detector, box=args.box, test_people=who,
                held_out_of_training=args.hold, train_images=len(train), test_images=len(test))
    test = faces(model, test, args.box)
    if args.variant!='original':
        model,took = finetuned(model, faces(model, train, args.box), args)
        said |= took
        run = dict(data='Extended Yale B, unsupervised', start=args.detector, variant=args.variant)
        save_detector(model, folders.runs/f'{name}.safetensors', run)
    said |= evaluate(model, test)
    print(args.variant, {k:said[k]['all'] for k in ('aligned','moved','warps','static_moved')})
    if not args.hold: folders.record(name, start, **said)

def main():
    args = arguments().parse_args()
    folders,start = Folders.of(args),origin()
    if not args.smoke: return one_variant(args, yale_b(), folders, start)
    args.pairs,args.bs,args.n_test,args.box = 16,8,2,100
    for args.variant in ('both','scales'): one_variant(args, toy_people(), folders, start)

if __name__=='__main__': main()
