"""Do windows get better from round to round? `fse_train --find faces-10 --rounds 3`, results/rounds.json

    python experiments/rounds.py

A folder of drawn faces at random places and sizes (0.2 to 1 of the shorter side) on cluttered ground, which faces-10,
a detector of photographed faces, finds for the first round. Each detector, faces-10 included, is then asked for 30
other scenes, as in find.py: `found` is the share of faces whose window overlaps with the true square by more than a
half, `octaves` by how much the sizes of the two differ, `error` that of annotated points by a linear map fitted on
squares. `trained_on` says the same of the scenes that the round was trained on, as the detector before found them.
The same command continues an interrupted run."""
import json

from common import Folders, parser, points_of
from find import asked, matches, sizes_off
from fse_nb.cli import fse_train
from fse_nb.data import LandmarkSet, toy_faces, toy_scenes
from fse_nb.detect import detect
from fse_nb.export import load_detector
from fse_nb.find import find_objects
from fse_nb.regress import fit_regressor
from fse_nb.results import origin

def windows_found(model, scenes, files):
    "How good the windows are that a detector finds in the scenes, which lie in files"
    found = find_objects(model, LandmarkSet(files))
    rows = matches(found, LandmarkSet(files, crop=scenes.crop))
    hit = rows>=0
    octaves = sizes_off(found, rows, scenes)[hit]
    return dict(scenes=len(files), found=float(hit.mean()), octaves=float(octaves.mean()) if hit.any() else None)

def measured(model, test):
    "What a detector finds in other scenes, and how well its landmarks predict points"
    squares = model.geometry.decode(toy_faces(min(400, 10*len(test)), seed=50), warn_small=False, progress=False)
    regressor = fit_regressor(detect(model, squares), points_of(squares))
    return asked(model, test, [regressor]*len(test))

def arguments():
    p = parser(__doc__)
    p.add_argument('--n', type=int, default=150, help='scenes to train on')
    p.add_argument('--epochs', type=int, default=180, help='of each round')
    p.add_argument('--rounds', type=int, default=3, help='at most')
    return p

def main():
    args = arguments().parse_args()
    if args.smoke: args.n,args.epochs,args.rounds = 8,1,2
    folders,start = Folders.of(args),origin()
    scenes,test = toy_scenes(args.n, seed=201),toy_scenes(2 if args.smoke else 30, seed=202)
    folder = folders.runs/'rounds'
    files = scenes.save_images(folder/'scenes').files
    out = folder/'run'
    if (out/'run.json').exists(): fse_train(resume=True, out=str(out))
    else: fse_train(str(folder/'scenes'), find='faces-10', rounds=args.rounds, epochs=args.epochs, out=str(out))
    rows,before = [],'faces-10'
    for k in range(args.rounds+1):
        file = out/f'round{k}'/'detector.safetensors'
        if k and not file.exists(): break
        row = dict(round=k, other_scenes=measured(load_detector(str(file) if k else 'faces-10'), test))
        if k:
            run = json.loads((file.parent/'run.json').read_text())
            row |= dict(trained_on=windows_found(load_detector(before), scenes, files), pairs=run['pairs'],
                        metrics=run['metrics'], same_windows=run['same_windows'])
            before = str(file)
        rows.append(row)
        print(row, flush=True)
    folders.record('rounds', start, rows=rows)

if __name__=='__main__': main()
