"""Does a detector find its object in whole photographs? results/find.json

    python experiments/find.py
    python experiments/find.py --ship [NAME …]   # constellations of shipped detectors, into their files

Asked of pictures that no setting was chosen on: drawn faces and MAFL test faces at random places and sizes (0.2 to 1
of the shorter side) on cluttered ground, two drawn faces in a picture, the 24 annotated photographs of cats, the
pictures that scikit-image and scikit-learn bring along, and pictures without the object. Settings of `fse_nb.find`
were chosen by hand on scenes of other seeds, with CelebA and cat training images and other drawn faces on them.

A window counts as found where its overlap with the true square is more than a half. `error` is that of annotated
points by a linear map, in % of the distance of the eyes, in the windows that were found, and `error_given` in the true
squares of the same objects. The map of faces is fitted on squares; that of cats on the other 23 photographs, cut as
the training heads were. Seconds are those of the processor, so that others on the machine do not count."""
import time, warnings
from pathlib import Path

import numpy as np, torch

from common import CATEGORIES, Folders, chosen, parser, points_of
from confidence import kind_of, public_pictures
from fse_nb.data import cats, mafl, toy_faces, toy_scenes
from fse_nb.detect import detect
from fse_nb.errors import interocular_error
from fse_nb.export import WEIGHTS, load_detector, pretrained
from fse_nb.find import find_objects, fit_constellation, overlap
from fse_nb.regress import fit_few, fit_regressor
from fse_nb.results import origin
from fse_nb.store import load_tensors, save_tensors

def timed(model, pictures, **kwargs):
    "What is found in pictures, and the seconds of the processor that one takes"
    began = time.process_time()
    found = find_objects(model, pictures, **kwargs)
    return found,(time.process_time()-began)/len(pictures)

def as_windows(crops):
    "(N,4) edges as (N,3) centres and half sides"
    c = torch.as_tensor(np.asarray(crops, np.float64))
    return torch.stack([(c[:,0]+c[:,2])/2,(c[:,1]+c[:,3])/2,(c[:,2]-c[:,0])/2], 1)

def matches(found, truth):
    "For each true object the row of the window that overlaps most with it by more than a half, or -1; each row once"
    rows = np.full(len(truth), -1)
    for name in dict.fromkeys(map(str, truth.files)):
        of = lambda s: np.flatnonzero([str(f)==name for f in s.files])
        mine,its = of(truth),of(found)
        common = overlap(as_windows(truth.crop[mine]), as_windows(found.crop[its])).numpy()
        for i,k in sorted(np.ndindex(common.shape), key=lambda o: -common[o]):
            if common[i,k]>.5 and rows[mine[i]]<0 and its[k] not in rows: rows[mine[i]] = its[k]
    return rows

def errors(model, s, truth, regressors):
    "Error of each object, whose points are made by its own map, in % of the distance of the eyes"
    cache = model.geometry.decode(s, warn_small=False, progress=False)
    x = detect(model, cache)
    made = torch.stack([regress(x[i:i+1])[0] for i,regress in enumerate(regressors)])
    there = torch.as_tensor(cache.to_original(slice(None), made.numpy()))
    return 100*interocular_error(there, torch.as_tensor(truth.points).double(), 0, 1)

def asked(model, truth, regressors, parts=None, **kwargs):
    "What is found of the objects of a set, whose `crop` is the truth; and of parts of it, name → mask"
    photographs = truth[[i for i,f in enumerate(truth.files) if f not in list(truth.files[:i])]]
    found,seconds = timed(model, photographs, **kwargs)
    rows,doubtful = matches(found, truth),found.meta.doubtful.to_numpy(bool)
    hit = rows>=0
    given = errors(model, truth, truth, regressors).numpy()
    got = np.full(len(truth), np.nan)
    if hit.any(): got[hit] = errors(model, found[rows[hit]], truth[hit], [r for r,h in zip(regressors, hit) if h])
    octaves = sizes_off(found, rows, truth)
    false = sum(not d for k,d in enumerate(doubtful) if k not in rows)
    said = {}
    for name,part in {'':np.ones(len(truth), bool), **(parts or {})}.items():
        both = part&hit
        mean = lambda o: float(np.mean(o)) if len(o) else None
        sure = mean((hit&~doubtful[rows])[part])
        said[name] = dict(objects=int(part.sum()), found=mean(hit[part]), found_and_sure=sure, error=mean(got[both]),
                          error_given=mean(given[both]), octaves=mean(octaves[both]))
    return said.pop('')|dict(pictures=len(photographs), false_and_sure=false/len(photographs), seconds=seconds,
                             pictures_per_second=1/seconds, parts=said)

def side(s): return s.crop[:,2]-s.crop[:,0]

def sizes_off(found, rows, truth):
    "By how many octaves the window of each object is too large or too small; `rows` as of `matches`"
    return np.abs(np.log2(side(found)[rows]/side(truth)))

def by_size(truth, bounds=(.2,.4,.7,1.001)):
    "Parts of a set of scenes by the share of the picture that a face takes"
    share = side(truth)/np.array([min(im.shape[:2]) for im in truth.images])
    return {f'{a:.1f} to {b:.1f}':(share>=a)&(share<b) for a,b in zip(bounds, bounds[1:])}

def without(model, pictures):
    "Share of pictures without the object that are called doubtful, and what each scores"
    found,seconds = timed(model, pictures)
    return dict(pictures=len(pictures), doubtful=float(found.meta.doubtful.mean()), seconds=seconds,
                scores=dict(zip([f.name for f in map(Path, found.files)], found.meta.score.round(3).tolist())))

def head_windows(s):
    "Photographs of cats with the squares in which the heads of the training images lie (the card of cats-10)"
    left,right = s.points[:,0],s.points[:,1]
    side = np.linalg.norm(right-left, axis=1)/.45
    corner = (left+right)/2+.5-side[:,None]*(.5,.4)
    s.crop = np.concatenate([corner,corner+side[:,None]], 1).astype(np.float32)
    return s

def cat_regressors(model, truth):
    "For each photograph the map that is fitted on the others"
    cache = model.geometry.decode(truth, warn_small=False, progress=False)
    x,y = detect(model, cache),points_of(cache)
    others = lambda i: np.delete(np.arange(len(x)), i)
    return [fit_few(x[others(i)], y[others(i)]) for i in range(len(x))]

def squares(s, side=178):
    "Images of a set as squares in memory"
    return s.as_squares(side, warn_small=False, progress=False)

def face_numbers(model, args):
    "Faces, drawn and photographed"
    n,k = (4,2) if args.smoke else (args.n,args.n//2)
    fit = model.geometry.decode(toy_faces(20 if args.smoke else 400, seed=50))
    drawn = fit_regressor(detect(model, fit), points_of(fit))
    one = toy_scenes(n, seed=101)
    said = dict(drawn=asked(model, one, [drawn]*n, by_size(one)))
    print('drawn', said['drawn'], flush=True)
    two = toy_scenes(k, seed=102, shares=(.2,.5), faces=2)
    said['two drawn'] = asked(model, two, [drawn]*len(two), max_objects=4)
    said['no face'] = without(model, toy_scenes(k, seed=103, faces=0))
    print(said, flush=True)
    if args.smoke: return said
    train,test = (chosen(mafl(split=o), m, seed=2) for o,m in (('train',1000),('test',200)))
    cache = model.geometry.decode(train, warn_small=False, progress=False)
    real = fit_regressor(detect(model, cache), points_of(cache))
    scenes = toy_scenes(n, seed=104, objects=squares(test))
    said['mafl'] = asked(model, scenes, [real]*n, by_size(scenes))
    said['cats'] = without(model, cats(margin=None))
    said['pictures'] = without(model, public_pictures()['pictures'])
    return said

def cat_numbers(model, args):
    "Whole cats"
    truth = head_windows(cats(margin=None))
    said = dict(cats=asked(model, truth, cat_regressors(model, truth)))
    print('cats', said, flush=True)
    said['pictures'] = without(model, public_pictures()['pictures'])
    return said|{'no cat':without(model, toy_scenes(args.n//4, seed=103, faces=0))}

def with_constellation(model, name, n=200):
    "A shipped detector that knows how its landmarks lie, measured on training images"
    images = chosen(CATEGORIES[kind_of(name)].sets()[0], n, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model.run['constellation'] = fit_constellation(model, images, n).state()
    return model

def ship(names):
    "Constellations into the files of shipped detectors, all else of which stays"
    for name in names or pretrained():
        file = WEIGHTS/f'{name}.safetensors'
        tensors,meta = load_tensors(file)
        meta['run']['constellation'] = with_constellation(load_detector(name), name).run['constellation']
        save_tensors(file, tensors, meta)
        again,its = load_tensors(file)
        assert its==meta and all(torch.equal(v, again[k]) and v.dtype==again[k].dtype for k,v in tensors.items())
        print(file.name, meta['run']['constellation']['doubt'], flush=True)

def arguments():
    p = parser(__doc__)
    p.add_argument('--ship', nargs='*', metavar='NAME', help='write constellations into the files of detectors')
    p.add_argument('--n', type=int, default=30, help='scenes of a kind')
    return p

def main():
    args = arguments().parse_args()
    if args.ship is not None: return ship(args.ship)
    folders,start = Folders.of(args),origin()
    model = load_detector('faces-10')
    if args.smoke: model.run['constellation'] = fit_constellation(model, toy_faces(12, seed=0)).state()
    said = {}
    for name,ask in dict(faces=face_numbers, cats=cat_numbers).items():
        if name=='cats' and args.smoke: continue
        said[f'{name}-10'] = ask(model if name=='faces' else load_detector('cats-10'), args)
        folders.record('find', start, detectors=said)

if __name__=='__main__': main()
