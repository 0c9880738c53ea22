"""How well landmarks follow their object (Figures 3 to 5, supplement 3 to 8): held-out images of a category, warps never trained on

    python benchmarks/categories.py shoes runs/shoes_k8_s0.safetensors
    python benchmarks/categories.py cats runs/cats_k10_s0.safetensors
    python benchmarks/categories.py mnist3 runs/mnist3_k7_s0.safetensors
    python benchmarks/categories.py celeba faces-10

`rotations`: the image turned about its centre by -50° to 50°; `warps`: held-out draws of the category's own g2, three an image. Both
in pixels of the square image: the distance between a landmark and its place in the warped image, carried back; `still` is what
a landmark would pay that stands at its mean place. `inside`: shifts by 9% of the width and turns by 12°, after which a crop of 80
of 100 pixels still lies within the photograph, so that no seam of the reflection betrays the warp. For cats also what their 24
annotated photographs say, each warped --copies times by held-out draws of g2, leaving one photograph out at a time: `forward`, the
annotated points from the landmarks, and `backward`, each landmark from those points, in per cent of the distance of the eyes, each
beside the error of always saying the mean place. They are cut by the eyes, whose middle is put at half the width and 0.4 of the
height: `heads`, their distance 0.44 of the width, as the unannotated heads were cut (at least 14 of the 24 are among them, levelled); the
ears are then outside, so only eyes and mouth are asked for; `loose`, 0.27, with all nine points in the frame. A ridge of 0.1
(best for both on draws of 24 training faces of cfp) holds the maps. For faces the linear map from the landmarks to the five points of cfp, fitted to 2,000 of
its training images, with the mean of both: what Figures 6 and 7 draw. To results/category_DETECTOR.json."""
import argparse, sys
import numpy as np, torch
from pathlib import Path
from common import record
from recipes import DATA
from fse_nb.data import cats, cfp, decode_for
from fse_nb.export import load_detector
from fse_nb.regress import fit_regressor, forward_backward_error
from fse_nb.train import detect
from fse_nb.warps import FACES, ThinPlateWarp, warp_image

def unit(cache, n=None): return torch.from_numpy(np.array(cache[:n or len(cache)].images)).permute(0,3,1,2)/127.5-1

def follow(model, x, pts, g):
    "Errors (N,K) of the landmarks of images warped by g, in pixels, and the cost of standing still"
    px,mu = x.shape[-1]/2,pts.mean(0).expand_as(pts)
    pts2 = detect(model, warp_image(x, g.grid(*x.shape[-2:])))
    return (g(pts2)-pts).norm(dim=-1)*px, (g(mu)-mu).norm(dim=-1)*px

def numbers(e, s): return dict(px=round(e.mean().item(), 3), still=round(s.mean().item(), 3), per_landmark=[round(o, 3) for o in e.mean(0).tolist()])

def inside(model, x, pts, shift=.18, turn=12.):
    "`follow` under shifts and turns that leave nothing of the frame of the photograph in the crop"
    n = len(x)
    g = [ThinPlateWarp.similarity(translate=torch.tensor(t).expand(n, 2)) for t in ((shift,0.),(-shift,0.),(0.,shift),(0.,-shift))]
    h = [ThinPlateWarp.similarity(rotate=torch.full((n,), t)) for t in (turn,-turn)]
    return {k:numbers(*map(torch.cat, zip(*(follow(model, x, pts, w) for w in ws)))) for k,ws in (('shifts',g),('turns',h))}

def annotated_cats(model, eyes=.44, points=3, copies=4, seed=1, ridge=.1):
    "Forward and backward consistency on warped photographs with their first `points` points, leaving one photograph out; per cent of the distance of the eyes"
    s = cats(margin=None)
    l,r = s.points[:,0]+.5,s.points[:,1]+.5
    side = np.linalg.norm(r-l, axis=1, keepdims=True)/eyes
    tl = (l+r)/2-side*(.5,.4)
    s.crop = np.concatenate([tl,tl+side], 1).astype(np.float32)
    c = decode_for('cats', s, warn_small=False)
    x,y = unit(c).repeat_interleave(copies, 0),torch.from_numpy(c.points[:,:points]).float().repeat_interleave(copies, 0)
    g = FACES.g2(len(x), generator=torch.Generator().manual_seed(seed))
    x,y = detect(model, warp_image(x, g.grid(*x.shape[-2:]))),g.inverse(y)
    who = torch.arange(len(c)).repeat_interleave(copies)
    ok = torch.isfinite(y).flatten(1).all(1)
    x,y,who = x[ok],y[ok],who[ok]
    folds = [who!=i for i in range(len(c))]
    fb = [forward_backward_error((x[k],y[k]), (x[~k],y[~k]), ridge) for k in folds]
    dist = (y[:,0]-y[:,1]).norm(dim=-1)[:,None]
    fix = lambda o: torch.cat([(o[~k]-o[k].mean(0)).norm(dim=-1)/dist[~k] for k in folds])
    d = {k:torch.cat([f[k] for f in fb]) for k in ('forward','backward')} | dict(forward_mean=fix(y), backward_mean=fix(x))
    return dict(photographs=len(c), copies=copies, used=len(x), eyes=eyes, names=s.names[:points], ridge=ridge, percent={k:round(100*v.mean().item(), 2) for k,v in d.items()}, by_point={k:[round(100*o, 2) for o in v.mean(0).tolist()] for k,v in d.items()})

def explained(model, n=2000, seed=0):
    "The map from landmarks to the five points of cfp, and both in the mean, coordinates in [-1,1]"
    s = cfp().where(split='train')
    s = decode_for('faces', s[np.sort(np.random.default_rng(seed).permutation(len(s))[:n])], warn_small=False)
    x,y = detect(model, s),torch.from_numpy(s.points)
    reg = fit_regressor(x, y, names=s.names)
    r = lambda o: np.round(o.numpy(), 4).tolist()
    return dict(images=len(s), names=s.names, W=r(reg.W), landmarks=r(x.mean(0)), points=r(y.mean(0)))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data', choices=DATA)
    p.add_argument('detector', help='name or file')
    p.add_argument('--n', type=int, default=100, help='held-out images')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--copies', type=int, default=4, help='warps of each annotated cat')
    p.add_argument('--name')
    a = p.parse_args()
    sets,geometry,warps,*_ = DATA[a.data]
    held = decode_for(geometry, sets()[1][-a.n:] if a.data!='celeba' else sets()[1][200:200+a.n], warn_small=False)
    model,x = load_detector(a.detector),unit(held)
    pts = detect(model, x)
    rot = {}
    for deg in range(-50, 51, 10): rot[deg] = numbers(*follow(model, x, pts, ThinPlateWarp.similarity(rotate=torch.full((len(x),), float(deg)))))
    gen = torch.Generator().manual_seed(a.seed)
    w = [follow(model, x, pts, warps.g2(len(x), generator=gen)) for _ in range(3)]
    e,s = (torch.cat(o) for o in zip(*w))
    near = torch.cdist(pts, pts)
    near.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nums = dict(data=a.data, detector=a.detector, n_landmarks=pts.shape[1], size=held.size, images=len(x), seed=a.seed, rotations=rot, warps=numbers(e, s),
                warps_still_per_landmark=[round(o, 3) for o in s.mean(0).tolist()], nearest=round((near.amin(-1)*held.size/2).mean().item(), 3), inside=inside(model, x, pts))
    if a.data=='cats': nums['annotated'] = dict(heads=annotated_cats(model, .44, 3, a.copies), loose=annotated_cats(model, .27, 9, a.copies))
    if a.data=='celeba': nums['cfp'] = explained(model)
    print(nums['warps'], {k:v['px'] for k,v in rot.items()}, {k:v['px'] for k,v in nums['inside'].items()}, {k:v['percent'] for k,v in nums.get('annotated', {}).items()})
    record(f'category_{a.name or Path(a.detector).stem}', 'python benchmarks/categories.py '+' '.join(sys.argv[1:]), prefix='', **nums)

if __name__=='__main__': main()
