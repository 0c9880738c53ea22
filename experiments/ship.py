"""Ship a trained detector: weights in float16 with confidence and provenance, and the card beside them, into fse_nb/weights/

    python benchmarks/ship.py runs/annealed_k30_s0.safetensors faces-30 --category face
    python benchmarks/ship.py fse_nb/weights/faces-10.safetensors faces-10 --category face   # again, from what ships
    python benchmarks/ship.py --cards   # write all cards anew from the metadata

What the run recorded in results/ (the file's `record`, or --record) goes into the metadata: command, commit, machine, errors.
The confidence is calibrated on unlabelled training images of the run's data set (FSE_DATA), under warps of a new seed."""
import argparse, json, sys
import numpy as np, torch
from pathlib import Path
from common import ROOT
from fse_nb.confidence import fit_confidence
from fse_nb.data import decode_for
from fse_nb.export import WEIGHTS, load_detector, model_card, pretrained, pretrained_table, save_detector
from fse_nb.train import detect

#: use and limits of a category
ABOUT = dict(
    face=dict(use='Landmarks of one upright, roughly centred face, the eyes about a fifth of the width apart, as a first step before a few annotated points are regressed. Research only, as the data set. Not meant to identify, to judge or to watch people.',
              limits='Fails on faces that are much smaller in the frame than that; profiles and faces upside down were hardly in training. Learnt from photographs of celebrities, who do not stand for people at large; errors by group were not measured.'),
    cat=dict(use='Landmarks of one upright cat head seen from the front, cut as those in training: the eyes 40 to 50% of the width apart, their middle at half the width and two fifths of the height. Research only, as the data set.',
             limits='Fails where the head is smaller in the frame, as with both ears in it. Other animals and whole cats were not in training.'),
    shoe=dict(use='Landmarks of one shoe on a white ground, seen from the side as in a shop. Research only, as the data set.', limits='Learnt from 740 product photographs: landmarks follow turns up to about 30 degrees and are lost beyond; shoes that are worn, or on another ground, were not in training.'),
    digit=dict(use='Landmarks of one handwritten digit, white on black, of the class it was trained for.', limits='Other digits give other points without warning.'))
#: data set of a run: what it is called, the licence of the data, geometry
DATA = dict(
    celeba=('CelebA (aligned), partition 0, without its labels', 'CelebA is available for non-commercial research only and may not be redistributed (Liu et al., ICCV 2015)', 'faces'),
    cats=('cat heads cut from the CAT data set (Zhang et al., ECCV 2008), without its labels', 'published for research, without a licence text', 'cats'),
    shoes=('product photographs of shoes, without labels', 'not stated by the source; research only', 'shoes'),
    mnist=('MNIST', 'CC BY-SA 3.0 (LeCun, Cortes, Burges)', 'digits'))

def recorded(run, record=None):
    "What results/ says of a run"
    name = Path(record or run.get('record') or '').stem
    f = ROOT/'results'/f'{name}.json'
    if not name or not f.is_file(): return {}
    d = json.loads(f.read_text())
    n,last = d['numbers'],d['numbers']['curve'][-1]
    m = d['machine']
    out = dict(command=d['command'], commit=d['commit'], machine=f"{m['cpu']}, {m['cores']} cores" + (f", {m['gpu']}" if m['gpu'] else ''), pairs=last['pairs'],
               equivariance_px=last['equivariance'], train_seconds=last['seconds'], record=f'results/{name}.json')
    return out | {k:n[k] for k in ('cfp_test_percent','mean_shape_percent','trunk') if n.get(k) is not None}

def cards():
    for n in pretrained(): (WEIGHTS/f'{n}.md').write_text(model_card(load_detector(n), n), encoding='utf-8')

def training_images(key):
    "Unlabelled training images of a data set of recipes.py"
    from recipes import DATA as SETS
    return SETS[key][0]()[0],SETS[key][2]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('file', nargs='?', help='detector of a run: runs/X.safetensors')
    p.add_argument('name', nargs='?', help='what it will be called')
    p.add_argument('--category', choices=ABOUT)
    p.add_argument('--data', help='data set of the run, as in recipes.py; default: what the file says, or celeba for faces')
    p.add_argument('--licence', help='of the data; default: that of the data set')
    p.add_argument('--use'); p.add_argument('--limits')
    p.add_argument('--record', help='results/*.json of the run; default: what the file says')
    p.add_argument('--images', type=int, default=600, help='for the calibration')
    p.add_argument('--no-confidence', action='store_true')
    p.add_argument('--out', type=Path, default=WEIGHTS, help='folder')
    p.add_argument('--cards', action='store_true')
    a = p.parse_args()
    if a.cards: return cards()
    if not (a.file and a.name and a.category): p.error('give FILE, NAME and --category, or --cards')
    model = load_detector(a.file)
    key = a.data or (model.run.get('data') if model.run.get('data') in ('celeba','cats','shoes') or str(model.run.get('data','')).startswith('mnist') else None) or dict(face='celeba', cat='cats', shoe='shoes', digit='mnist3')[a.category]
    what,licence,geometry = DATA[key.rstrip('0123456789')]
    found = recorded(model.run, a.record)
    if a.category!='face' and found.get('trunk'): # all chains begin there
        what_from,licence = '; the lower five layers start from faces-10, learnt from CelebA without its labels',f'the images: {licence}; CelebA (through faces-10): non-commercial research only, may not be redistributed'
    else: what_from = ''
    run = {k:v for k,v in model.run.items() if k in ('config','pairs','equivariance_px','cfp_test_percent','command','commit','machine','record')}
    model.run = run | found | dict(name=a.name, category=a.category, data=what + (f', {c["n_images"]:,} images' if (c := model.run.get('config')) else '') + (f', class {key[-1]}' if key[-1].isdigit() else '') + what_from,
        licence=a.licence or licence, use=a.use or ABOUT[a.category]['use'], limits=a.limits or ABOUT[a.category]['limits'])
    tmp = save_detector(model, a.out/f'.{a.name}.safetensors', half=True)
    try: small = load_detector(tmp) # what users will have
    finally: tmp.unlink()
    small.confidence = None
    if not a.no_confidence:
        s,warps = training_images(key)
        cache = decode_for(geometry, s[np.sort(np.random.default_rng(1).permutation(len(s))[:a.images])])
        d = (detect(model, cache[:200])-detect(small, cache[:200])).norm(dim=-1).max().item()*cache.size/2
        if d>0: small.run['half_px'] = d
        small.confidence = fit_confidence(small, cache, warps, n=a.images)
    elif old := model.confidence: small.confidence = old
    save_detector(small, a.out/f'{a.name}.safetensors', half=True)
    (a.out/f'{a.name}.md').write_text(model_card(small, a.name), encoding='utf-8')
    total = sum(f.stat().st_size for f in a.out.glob('*'))/1e6
    print(pretrained_table().round(2).to_string(), f'\n{total:.2f} MB of 8')
    if total>=8: sys.exit('the weights are too large for the wheel: ship fewer or smaller detectors')

if __name__=='__main__': main()
