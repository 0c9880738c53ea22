"""Landmarks of softened score maps: are they better between the pixels of the map? results/temperature.json

    python experiments/temperature.py faces-10 faces-30 faces-50

The scores are divided by a temperature T before the softmax, with the weights as they are. Errors are those of a
linear map without bias, on 1,000 held-out rows of the cfp *training* split and of MAFL's training part, fitted on 2,000
others. `near_centres` is the share of coordinates within a tenth of a map pixel of a pixel's centre; a landmark that
lies anywhere has 0.2. No test split is opened."""
import torch

from common import Folders, decoded, held_rows, maps_of, parser, points_of
from fse_nb.coords import to_pixels
from fse_nb.data import cfp, mafl, toy_faces
from fse_nb.errors import error_summary, interocular_error
from fse_nb.export import load_detector
from fse_nb.model import soft_argmax, spatial_softmax
from fse_nb.regress import fit_regressor
from fse_nb.results import origin

TEMPERATURES = 1., 1.5, 2., 3., 4.

def landmarks(scores, temperature, bs=100):
    "Landmarks (N,K,2) in the frame of the map"
    return torch.cat([soft_argmax(spatial_softmax(o.float()/temperature)) for o in scores.split(bs)])

def near_centres(pts, h, w):
    "Share of the coordinates within a tenth of a pixel of the middle of a pixel of the map"
    at = to_pixels(pts, h, w)
    return ((at-at.round()).abs()<.1).float().mean().item()

def softened(model, fit, test):
    "A row for each temperature"
    scores,rows = [maps_of(model, model, o) for o in (fit,test)],[]
    for t in TEMPERATURES:
        x,xs = (landmarks(o, t) for o in scores)
        error = interocular_error(fit_regressor(x, points_of(fit))(xs), points_of(test), 0, 1)
        share = near_centres(xs, *scores[1].shape[-2:])
        rows.append(dict(temperature=t, error=error_summary(error), near_centres=share))
    return rows

def main():
    p = parser(__doc__)
    p.add_argument('models', nargs='*', help='names or files of detectors')
    args = p.parse_args()
    start,folders,rows = origin(),Folders.of(args),[]
    for name in args.models or ['faces-10','faces-30','faces-50']:
        model = load_detector(name)
        decode = lambda images: decoded(model.geometry, images, folders)
        if args.smoke: sets = dict(toy=held_rows(model.geometry.decode(toy_faces(60, seed=2)), 20, 40))
        else: sets = {k:held_rows(decode(read(split='train'))) for k,read in dict(cfp=cfp, mafl=mafl).items()}
        for which,parts in sets.items():
            for row in softened(model, *parts):
                rows.append(dict(detector=name, set=which)|row)
                print(name, which, row['temperature'], f"{100*row['error']['mean']:.2f}%", flush=True)
    folders.record('temperature', start, rows=rows)

if __name__=='__main__': main()
