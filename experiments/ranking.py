"""Which measure without labels ranks face detectors as annotated error does? results/ranking.json

    python experiments/ranking.py faces-10 faces-30 faces-30@def965f --groups new new old
    python experiments/ranking.py runs/a.safetensors runs/b.safetensors runs/c.safetensors --name ranking_seeds
    python experiments/ranking.py --data toy fse_out/seed*/detector.safetensors --name ranking_toy

A detector is a name, a file, or NAME@COMMIT (what was shipped as NAME then). `relative_error` (05c) is taken on 3,000
training images of CelebA, `unrelated_error` is the same where detectors of a group are not asked for each other's
landmarks; the other measures are taken on the held-out images. The errors are those of a linear map without bias, on
1,000 held-out rows of the cfp *training* split and of MAFL's training part, fitted on 2,000 others, or on 1,000 drawn
faces. No test split is opened."""
import functools
from pathlib import Path

import numpy as np, torch
from scipy.stats import spearmanr

from common import Folders, chosen, decoded, detector_named, floats_of, held_rows, parser, regressed, rounded
from fse_nb.choose import cross_errors, relative_errors
from fse_nb.coords import pixel_grid
from fse_nb.data import celeba, cfp, mafl, toy_faces
from fse_nb.detect import detect
from fse_nb.distil import consensus
from fse_nb.regress import landmarks_under_warps, procrustes_mean
from fse_nb.results import origin
from fse_nb.warps import ThinPlateWarp, warp_image

#: measure → +1 where more should be better, -1 where less should be
MEASURES = dict(relative_error=-1, unrelated_error=-1, scatter_px=-1, equivariance_px=-1, shape_to_noise=1,
                information=1, predicted_by_others=-1, mean_image_affine=1, mean_image_bent=1)

def aligned(pts, shape):
    "Shapes (N,K,2) moved, turned and scaled onto a shape (K,2) by least squares"
    to_complex = lambda p: torch.view_as_complex((p-p.mean(-2, keepdim=True)).contiguous())
    z,target = to_complex(pts),to_complex(shape)
    turn = (z.conj()*target).sum(-1)/z.abs().square().sum(-1)
    return torch.view_as_real(z*turn[:,None])+shape.mean(-2)

def information(pts, noise):
    "Bits that landmarks carry of one image against another, if both they and their noise were Gaussian"
    flat = lambda p: (p-p.mean(0)).flatten(1)
    signal,noise = (o.T@o/len(o) for o in (flat(pts),flat(noise)))
    noise = noise+1e-6*torch.eye(len(noise)).to(noise)
    return float((torch.linalg.slogdet(signal+noise)[1]-torch.linalg.slogdet(noise)[1]).item()/2/np.log(2))

def predicted_by_others(pts, ridge=1e-3):
    "RMS error, pixels of 80, of a linear map from all other landmarks to each, on images that it was not fitted on"
    p = pts-pts.mean(0)
    half,errors = len(p)//2,[]
    for r in range(p.shape[1]):
        x = torch.cat([p[:,:r],p[:,r+1:]], 1).flatten(1)
        gram = x[:half].T@x[:half]/half+ridge*torch.eye(x.shape[1]).to(x)
        w = torch.linalg.solve(gram, x[:half].T@p[:half,r]/half)
        errors.append((x[half:]@w-p[half:,r]).square().sum(-1).mean())
    return 40*torch.stack(errors).mean().sqrt().item()

def mean_image(images, pts, shape, bent):
    """Share of the grey values' variance that the mean of the aligned images keeps, within the landmarks' box: high
    where the landmarks lie on the same parts of different images (affine maps, or stiff splines where `bent`)"""
    n = len(images)
    if bent: warp = ThinPlateWarp.fit(shape.expand(n, -1, -1).float(), pts.float(), reg=.1)
    else:
        one = torch.cat([shape, torch.ones(len(shape), 1).to(shape)], 1)
        A = torch.linalg.lstsq(one.expand(n, -1, -1), pts).solution
    lo,hi = shape.amin(0),shape.amax(0)
    grid = ((pixel_grid(48, 48)+1)/2*(hi-lo)+lo).to(pts)
    if bent: field = warp(grid.reshape(-1, 2).float()).view(n, 48, 48, 2)
    else: field = (torch.cat([grid, torch.ones(48, 48, 1).to(grid)], -1)@A[:,None]).float()
    grey = warp_image(images.mean(1, keepdim=True), field, 'border').flatten(1)
    grey = (grey-grey.mean(1, keepdim=True))/grey.std(1, keepdim=True)
    return grey.mean(0).var(unbiased=False).item()

def measures(model, held, n_warps):
    "Every measure of `MEASURES` on held-out images"
    pts = detect(model, held).double()
    shape = procrustes_mean(pts)
    x,y,g = landmarks_under_warps(model, held, n=n_warps, seed=0)
    noise = (g(y)-x).double()
    own = aligned(pts, shape)-shape
    still = (g(y.mean(0).expand_as(y))-x.mean(0)).norm(dim=-1).mean(0) # what standing still would cost
    images = floats_of(held)
    scatter = consensus(model, held, seed=1)[1]
    return dict(equivariance_px=40*noise.norm(dim=-1).mean().item(),
                share_static=(noise.norm(dim=-1).mean(0)>.5*still).double().mean().item(),
                scatter_px=scatter.square().mean().sqrt().item()*held.size/2,
                shape_to_noise=(own.square().mean()/noise.square().mean()).sqrt().item(),
                information=information(pts, noise),
                predicted_by_others=predicted_by_others(pts),
                mean_image_affine=mean_image(images, pts, shape, bent=False),
                mean_image_bent=mean_image(images, pts, shape, bent=True))

def correlations(rows):
    "Spearman's rank correlation of every measure (its sign turned such that 1 is best) with every error"
    errors = [k for k in rows[0] if k.endswith('_percent')]
    known = {m:sign for m,sign in MEASURES.items() if m in rows[0]}
    return {m:{e:round(float(spearmanr([-sign*r[m] for r in rows], [r[e] for r in rows])[0]), 3) for e in errors}
            for m,sign in known.items()} if len(rows)>2 else {}

def images_of(args, g, folders):
    "Images to compare on, held-out images, and by name of a set (rows to fit on, rows to test on)"
    if args.data=='toy':
        draw = lambda n, seed: g.decode(toy_faces(40 if args.smoke else n, seed=1000+seed, size=g.square))
        labelled = draw(3000, 2)
        return draw(3000, 0),draw(400, 1),dict(toy=held_rows(labelled, len(labelled)//3, len(labelled)*2//3))
    sets = {s.name:held_rows(decoded(g, s, folders)) for s in (cfp(split='train'),mafl(split='train'))}
    return (decoded(g, chosen(celeba(split='train'), 3000), folders),
            decoded(g, chosen(celeba(split='test', mafl=True), 1000), folders), sets)

def main():
    p = parser(__doc__)
    p.add_argument('models', nargs='*', default=['faces-10','faces-30','faces-50'], help='names, files, NAME@COMMIT')
    p.add_argument('--groups', nargs='*', help='the training that each comes from')
    p.add_argument('--data', choices=('celeba','toy'), default='celeba')
    p.add_argument('--name', default='ranking', help='of the record')
    args = p.parse_args()
    if args.groups and len(args.groups)!=len(args.models): p.error('--groups names a training for each detector')
    if args.smoke: args.data = 'toy'
    start,folders = origin(),Folders.of(args)
    torch.manual_seed(0)
    rows,landmarks,sees = [],[],functools.cache(lambda g: images_of(args, g, folders)) # detectors often see alike
    for text in args.models:
        model = detector_named(text, folders)
        images,held,sets = sees(model.geometry)
        label = text if '@' in text else Path(text).stem
        if label=='detector': label = Path(text).parent.name # of fse_train
        row = dict(detector=label, n_landmarks=model.config['n_landmarks'], arch=model.config['arch'])
        row |= measures(model, held, n_warps=40 if args.smoke else 1000)
        row |= {f'{k}_percent':100*regressed(model, *s).mean().item() for k,s in sets.items()}
        rows.append({k:round(v, 4) if isinstance(v, float) else v for k,v in row.items()})
        landmarks.append(detect(model, images))
        print(rows[-1], flush=True)
    errors = cross_errors(landmarks)
    compared = dict(relative_error=relative_errors(errors))
    if args.groups: compared['unrelated_error'] = relative_errors(errors, args.groups)
    for name,relative in compared.items(): rows = [r|{name:e} for r,e in zip(rows, rounded(relative, 4))]
    about = f'{len(held)} held-out and {len(images)} other images of {"drawn faces" if args.data=="toy" else "CelebA"}'
    folders.record(args.name, start, rows=rows, rank_correlation=correlations(rows), groups=args.groups, images=about)

if __name__=='__main__': main()
