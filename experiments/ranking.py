"""Which measure without labels ranks face detectors as annotated error does? results/ranking.json

    python experiments/ranking.py faces-10 faces-30 faces-30@def965f runs/slide_k30_s0.safetensors

A detector is a name, a file, or NAME@COMMIT (what was shipped as NAME then). The measures are taken on the
held-out images of CelebA; the errors are those of a linear map without bias, on 1,000 held-out rows of the cfp
*training* split and of MAFL's training part, fitted on 2,000 others. No test split is opened."""
from pathlib import Path

import numpy as np, torch
from scipy.stats import spearmanr

from common import Folders, chosen, decoded, detector_named, floats_of, held_rows, parser, regressed
from fse_nb.coords import pixel_grid
from fse_nb.data import celeba, cfp, mafl, toy_faces
from fse_nb.detect import detect
from fse_nb.regress import landmarks_under_warps, procrustes_mean
from fse_nb.results import origin
from fse_nb.warps import ThinPlateWarp, warp_image

#: measure → +1 where more should be better, -1 where less should be
MEASURES = dict(equivariance_px=-1, shape_to_noise=1, information=1, predicted_by_others=-1,
                mean_image_affine=1, mean_image_bent=1)

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
    images = floats_of(held)
    return dict(equivariance_px=40*noise.norm(dim=-1).mean().item(),
                shape_to_noise=(own.square().mean()/noise.square().mean()).sqrt().item(),
                information=information(pts, noise),
                predicted_by_others=predicted_by_others(pts),
                mean_image_affine=mean_image(images, pts, shape, bent=False),
                mean_image_bent=mean_image(images, pts, shape, bent=True))

def correlations(rows):
    "Spearman's rank correlation of every measure (its sign turned such that 1 is best) with every error"
    errors = [k for k in rows[0] if k.endswith('_percent')]
    return {m:{e:round(float(spearmanr([-sign*r[m] for r in rows], [r[e] for r in rows])[0]), 3) for e in errors}
            for m,sign in MEASURES.items()} if len(rows)>2 else {}

def main():
    p = parser(__doc__)
    p.add_argument('models', nargs='*', help='names, files, NAME@COMMIT')
    args = p.parse_args()
    start,folders = origin(),Folders.of(args)
    torch.manual_seed(0)
    rows = []
    for text in args.models or ['faces-10','faces-30','faces-50']:
        model = detector_named(text, folders)
        g,label = model.geometry,text if '@' in text else Path(text).stem
        if args.smoke:
            held,sets = g.decode(toy_faces(40, seed=1)),dict(toy=held_rows(g.decode(toy_faces(60, seed=2)), 20, 40))
        else:
            held = decoded(g, chosen(celeba(split='test', mafl=True), 1000), folders)
            sets = dict(cfp=held_rows(decoded(g, cfp(split='train'), folders)),
                        mafl=held_rows(decoded(g, mafl(split='train'), folders)))
        row = dict(detector=label, n_landmarks=model.config['n_landmarks'], arch=model.config['arch'])
        row |= measures(model, held, n_warps=40 if args.smoke else 1000)
        row |= {f'{k}_percent':100*regressed(model, *s).mean().item() for k,s in sets.items()}
        rows.append({k:round(v, 4) if isinstance(v, float) else v for k,v in row.items()})
        print(rows[-1], flush=True)
    folders.record('ranking', start, rows=rows, rank_correlation=correlations(rows),
                   images=f'{len(held)} held-out images of {"drawn faces" if args.smoke else "CelebA"}')

if __name__=='__main__': main()
