"What the experiments share: folders, data sets as a detector sees them, training, errors of regressed points"
import argparse, subprocess, tempfile, warnings
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np, torch
from fastai.basics import noop

from fse_nb.data import DATASETS, EYES, FLIP, Geometry, ImageCache, cats, celeba, cfp, load_image, mafl, mnist, mtfl
from fse_nb.data import shoes, toy_faces, w300
from fse_nb.detect import detect
from fse_nb.errors import error_summary, interocular_error, mean_shape_error
from fse_nb.export import load_detector
from fse_nb.model import evaluating
from fse_nb.regress import fit_regressor, procrustes_mean
from fse_nb.results import write_record
from fse_nb.store import write_bytes
from fse_nb.train import landmark_learner

ROOT = Path(__file__).resolve().parents[1]

# ---- folders and arguments

@dataclass
class Folders:
    "Where records and the large files of runs go"
    results:Path = ROOT/'results'
    runs:Path = ROOT/'runs'

    @classmethod
    def of(cls, args):
        "Those of the project, or those below `--out`; with `--smoke` a temporary folder"
        if args.smoke and args.out is None: args.out = tempfile.mkdtemp(prefix='fse-smoke-')
        own = cls() if args.out is None else cls(Path(args.out)/'results', Path(args.out)/'runs')
        own.runs.mkdir(parents=True, exist_ok=True)
        return own

    @property
    def cache(self): return self.runs/'cache'

    def record(self, name, origin, **numbers):
        "Write results/NAME.json and say so"
        path = write_record(self.results/f'{name}.json', origin, **numbers)
        print(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path, flush=True)
        return path

def parser(doc):
    "An `ArgumentParser` with what every experiment takes"
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, metavar='FOLDER', help='put results/ and runs/ there instead of in the project')
    p.add_argument('--smoke', action='store_true', help='a few drawn faces, into a temporary folder: does it run?')
    return p

def percent(summary): return f"{100*summary['mean']:.2f}%"

def rounded(numbers, digits=3): return [round(o, digits) for o in numbers.tolist()]

def detector_named(text, folders):
    "The detector of a name, of a file, or of NAME@COMMIT: what was shipped as NAME then"
    if '@' not in str(text): return load_detector(text)
    name,commit = text.split('@')
    file = folders.runs/f'{name}_{commit}.safetensors'
    if not file.exists():
        shown = subprocess.run(['git','show',f'{commit}:fse_nb/weights/{name}.safetensors'], cwd=ROOT, check=True,
                               capture_output=True)
        write_bytes(file, shown.stdout)
    return load_detector(file)

# ---- categories to train on

#: `sets`: function of training and held-out images; `dataset`: name in `DATASETS`, for geometry and warps;
#: `n_landmarks`: the paper's smallest; `changes`: fields of the recipe that the paper or the small image changes
Category = namedtuple('Category', 'sets dataset n_landmarks changes')

def _parts(s): return [s.where(split=k) for k in ('train','valid')]
def _celeba():
    "CelebA without the test images of MAFL"
    s = celeba(mafl=True)
    return [s.where(split=k) for k in ('train','test')]
def _digit(digit): return lambda: _parts(mnist(digit=digit))
def _toy(n=60): return [toy_faces(n, seed=0), toy_faces(n//2, seed=1)]

CATEGORIES = dict(
    celeba=Category(_celeba, 'celeba', 10, {}),
    cats=Category(lambda: _parts(cats(heads=True)), 'cats', 10, {}),
    shoes=Category(lambda: shoes().random_split(.1, seed=0), 'shoes', 8, {}),
    **{f'mnist{d}':Category(_digit(d), 'mnist', 7, dict(pool=3, grow=None)) for d in (3,5,6)},
    toy=Category(_toy, 'toy', 4, {}))

def geometry_and_warps(category):
    dataset = DATASETS[CATEGORIES[category].dataset]
    return dataset.geometry,dataset.warps

def quiet_learner(dls, n_landmarks, recipe='annealed', **kwargs):
    "`landmark_learner` without a progress bar and a table"
    learn = landmark_learner(dls, n_landmarks, recipe, **kwargs)
    learn.remove_cb(learn.progress)
    learn.logger = noop
    return learn

# ---- images as a detector sees them

def decoded(geometry, images, folders):
    "Squares of a set, kept in runs/cache"
    return geometry.decode(images, cache=folders.cache, warn_small=False, progress=False)

def both_parts(read, geometry, folders): return [decoded(geometry, read(k), folders) for k in ('train','test')]

def points_of(cache): return torch.from_numpy(np.asarray(cache.points))

def floats_of(cache):
    "Squares (N,3,S,S) in [-1,1]"
    return torch.from_numpy(np.array(cache.batch(range(len(cache))))).permute(0,3,1,2)/127.5-1

def maps_of(model, part, cache, bs=100):
    "What a part of a detector (its body, or all of it) makes of squares: (N,c,h,w) in half precision"
    one_batch = lambda i: part(model.geometry.see(floats_of(cache[i:i+bs]))).half()
    with evaluating(model): return torch.cat([one_batch(i) for i in range(0, len(cache), bs)])

def chosen(s, n, seed=0):
    "`n` random rows of a set, in their order"
    return s[np.sort(np.random.default_rng(seed).permutation(len(s))[:n])]

def held_rows(s, n_test=1000, n_fit=2000, seed=0):
    "Two disjoint parts of a training split: rows to fit a map on, rows to test it on"
    i = np.random.default_rng(seed).permutation(len(s))
    return s[np.sort(i[n_test:n_test+n_fit])],s[np.sort(i[:n_test])]

def nearest_px(pts, size):
    "Mean distance of a landmark to its nearest neighbour, pixels of the square"
    d = torch.cdist(pts, pts)
    d.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return round((d.amin(-1)*size/2).mean().item(), 3)

# ---- labelled sets: images to fit a map on, images to test it on

#: `eyes`: name → (left, right) by whose distance errors are divided; `mirror`: partner of each point; `note`: on crops
Labelled = namedtuple('Labelled', 'train test eyes mirror note')

def middle(s, share):
    "A set of equally large square images, cut to their middle `share`"
    s = s[:]
    side = load_image(s.files[0]).shape[0]
    a = side*(1-share)/2
    s.crop = np.array([a,a,side-a,side-a], np.float32)
    return s

def bordered(s, geometry, border, folders):
    "Squares of a set of which a mirrored border takes up `border` pixels on every side"
    if not border: return decoded(geometry, s, folders)
    c = decoded(Geometry.of_size(geometry.size-2*border), s, folders)
    around = ((0,0),(border,border),(border,border),(0,0))
    squares = np.pad(np.asarray(c.images), around, mode='symmetric')
    return ImageCache(squares, c.files, c.boxes, points=c.points*np.float32(c.size/geometry.size), names=c.names,
                      split=c.split, meta=c.meta, geometry=geometry, name=c.name)

def spread(model, cache):
    "Root mean square distance of the mean landmarks from their centre, [-1,1]"
    mean = procrustes_mean(detect(model, cache).double())
    return (mean-mean.mean(0)).square().sum(1).mean().sqrt().item()

def _aflw(model, geometry, folders):
    train,test = cfp(split='train'),mtfl(split='test')
    if model is None: border,share,note = 10,.85,'cfp cut to the middle .85 (no detector to match)'
    else:
        squares = lambda s, every, border=0: bordered(s[np.arange(0, len(s), every)], geometry, border, folders)
        want = spread(model, squares(celeba(split='train'), 50))
        got = {b:spread(model, squares(test, 12, b)) for b in (0,5,10)}
        border = min(got, key=lambda b: abs(got[b]-want))
        said = {b:round(v, 3) for b,v in got.items()}
        note = f'border of {border} px: spread of landmarks {said} against {want:.3f} on CelebA; '
        want,got = got[border],{}
        for o in np.arange(1, .39, -.05).round(2).tolist():
            got[o] = spread(model, squares(middle(train, o), 20, border))
            if got[o]<max(got.values()): break # tighter than at the peak the landmarks leave the face
        share = min(got, key=lambda o: abs(got[o]-want))
        said = {o:round(v, 3) for o,v in got.items()}
        note += f'cfp cut to the middle {share:g} of its side: {said} against {want:.3f} on the AFLW faces'
    train,test = (bordered(s, geometry, border, folders) for s in (middle(train, share),test))
    return Labelled(train, test, dict(eyes=EYES['five']), FLIP['five'], note)

def _w300(geometry, folders):
    faces = cfp(split='train')
    side = load_image(faces.files[0]).shape[0]
    want = (np.linalg.norm(faces.points[:,0]-faces.points[:,1], axis=1)/side).mean()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore') # parts that are not here
        s = w300(margin=None)
    p = s.where(split='train').points
    left,right = (p[:,list(o)].mean(1) for o in EYES['pupils'])
    ratio = (np.linalg.norm(left-right, axis=1)/(p.max(1)-p.min(1)).max(1)).mean()
    margin = max(0., float((ratio/want-1)/2))
    s = s.crop_to_points(margin)
    note = f'margin {margin:.3f}: pupils {want:.3f} of the side apart, as the eyes of cfp'
    eyes = {k:EYES[k] for k in ('outer_corners','pupils')}
    return Labelled(*both_parts(lambda k: s.where(split=k), geometry, folders), eyes, FLIP['w300'], note)

SETS = 'cfp','mafl','mtfl','300w','toy'

def labelled(
    which,   # one of `SETS`
    model,   # by whose landmarks crops of AFLW are chosen; None: a network that is yet to be trained
    folders, # for the cache
    geometry=None # default: the model's
)->Labelled:
    """`cfp`, `mafl`: the splits of the sets.
    `mtfl`: the AFLW faces of MTFL. They are larger in their frames than the faces of CelebA, so the frame may fill
    less than the detector's square, with a mirrored border: of borders of 0, 5, 10 pixels the one with which the
    landmarks are as spread out as on CelebA. The map comes from cfp training images cut to the middle, with the same
    border: of the shares 1, .95, … .4 of the side the one for which the landmarks are as spread out as on the AFLW
    faces. No point of MTFL is read for either.
    `300w`: HELEN (trainset) and AFW to train, HELEN (testset) to test, 68 points. The margin around the box of points
    is set, on training images, such that the pupils are as far apart, in widths of the crop, as the eyes of cfp."""
    geometry = geometry or model.geometry
    five = dict(eyes=EYES['five'])
    if which=='cfp':
        return Labelled(*both_parts(lambda k: cfp(split=k), geometry, folders), five, FLIP['five'], '')
    if which=='mafl':
        train,test = both_parts(lambda k: mafl(split=k), geometry, folders)
        return Labelled(train, test, five, FLIP['five'], f'{len(test)} of the 1,000 test images')
    if which=='mtfl': return _aflw(model, geometry, folders)
    if which=='300w': return _w300(geometry, folders)
    if which=='toy':
        parts = [geometry.decode(toy_faces(n, seed=seed)) for n,seed in ((60,2),(30,3))]
        return Labelled(*parts, five, FLIP['five'], 'drawn faces')
    raise ValueError(f"unknown set '{which}'; known: {', '.join(SETS)}")

def regressed(
    model,
    train, test, # `ImageCache`s with points
    eyes=(0,1)   # left, right: by whose distance errors are divided
):               # (N,) fractions
    "Errors of a linear map without bias, fitted on one set and applied to another"
    reg = fit_regressor(detect(model, train), points_of(train))
    return interocular_error(reg(detect(model, test)), points_of(test), *eyes)

def evaluation(model, train, test, eyes=(0,1), **more):
    "What a record says of one labelled set: errors as fractions, beside those of the mean shape"
    shape = mean_shape_error(points_of(train), points_of(test), left=eyes[0], right=eyes[1])
    return dict(n_landmarks=model.config['n_landmarks'], train_images=len(train), test_images=len(test),
                error=error_summary(regressed(model, train, test, eyes)), mean_shape=error_summary(shape), **more)
