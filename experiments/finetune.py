"""Unsupervised fine-tuning of a face detector on other crops of faces (Tables 3 and 5), and the error before and after

    python benchmarks/finetune.py mtfl --detector faces-50 --pairs 5000 --pool 3 --name aflw_k50
    python benchmarks/finetune.py 300w --detector faces-50 --pairs 2500 --name 300w_k50
    python benchmarks/finetune.py 300w --detector faces-50 --pairs 0        # the error as it is
    python benchmarks/finetune.py cfp-tight --detector faces-50 --pairs 8000 --name tight # and from its file on: mtfl --detector runs/finetune_tight.safetensors --start faces-50

Only images are used to fine-tune. `mtfl`: the 2,995 AFLW images of MTFL themselves, without their points. `300w`: the training images. `cfp-tight`: the
training images of cfp as `sets` of evaluate.py cuts them for `mtfl`. Crops are those that evaluate.py chooses by the landmarks of the detector that a chain
begins with (`--start`), before and after. Errors as evaluate.py measures them, and from its record of that detector where there is one: `mtfl` and
`cfp-tight`: a linear map fitted to the five points of the cfp training images, tested on the AFLW faces; `300w`: 68 points, fitted to the training images,
tested on those of HELEN's test set, outer corners of the eyes.
With `--hold` the maps are tested on 1,000 (300) held-out training images instead, to choose settings. Continues with `--resume`."""
import argparse, json, sys, time
import numpy as np, torch
from pathlib import Path
from fastai.basics import noop
from common import record, ROOT
from evaluate import fit_warped, pts, sets
from fse_nb.data import landmark_dls
from fse_nb.export import load_detector, save_detector
from fse_nb.regress import error_summary, fit_regressor, interocular_error, mean_shape_error
from fse_nb.train import detect, landmark_learner

def labelled(data, model, hold=False):
    "Labelled images, test images, eyes, and how the crops were chosen, by the landmarks of `model`"
    tr,te,eyes,_,note = sets('300w' if data=='300w' else 'mtfl', model)
    if hold:
        i,k = np.random.default_rng(0).permutation(len(tr)),300 if data=='300w' else 1000
        tr,te = tr[np.sort(i[k:])],tr[np.sort(i[:k])]
    return tr,te,next(iter(eyes.values())),note

def errors(model, train, test, eyes, note=''):
    "Per cent of the inter-ocular distance: regressed (mean, its 95% interval, median, share above 10%, area), and the mean shape; `warped`: the same with warped copies"
    y,t,x,xs = pts(train),pts(test),detect(model, train),detect(model, test)
    def nums(reg):
        d = {k:round(100*v, 2) for k,v in error_summary(interocular_error(reg(xs), t, *eyes)).items() if k!='n'}
        return dict(percent=d.pop('mean'), **d)
    return dict(nums(fit_regressor(x, y)), warped=nums(fit_warped(model, train, x)) if y.shape[1]==5 else None, note=note,
                mean_shape_percent=round(100*mean_shape_error(y, t, left=eyes[0], right=eyes[1]).nanmean().item(), 2))

def evaluated(start, data):
    "The error of the detector that a chain began with, as evaluate.py has recorded it on these crops; None if it has not"
    f = ROOT/'results'/f"eval_{start}_{'300w_outer_corners' if data=='300w' else 'mtfl'}.json"
    if not f.exists(): return None
    d = json.loads(f.read_text())['numbers']
    nums = lambda e: {{'mean':'percent'}.get(k, k):round(100*v, 2) for k,v in e.items() if k!='n'}
    return dict(nums(d['error']), warped=nums(d['error_warped']) if 'error_warped' in d else None, note=d['note'], mean_shape_percent=round(100*d['mean_shape']['mean'], 2))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data', choices=('cfp-tight','mtfl','300w'))
    p.add_argument('--detector', default='faces-10', help='name or file to start from')
    p.add_argument('--pairs', type=int, default=6000, help='0: no fine-tuning, only the error')
    p.add_argument('--pool', type=int, default=5, help="window of the diversity; the paper's 51-point network has 3")
    p.add_argument('--gamma', type=float, default=.05)
    p.add_argument('--var-weight', type=float, default=.1)
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--n-epoch', type=int, default=4)
    p.add_argument('--grow', action='store_true', help='half resolution first, as in training: more pairs for the same time')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--start', help='the detector that the whole chain began with, for the record')
    p.add_argument('--hold', action='store_true')
    p.add_argument('--resume', action='store_true')
    p.add_argument('--name')
    a = p.parse_args()
    name = f"finetune_{a.name or f'{Path(a.detector).stem}_{a.data}'+('' if a.pairs else '_before')}"
    model = load_detector(a.detector)
    one = labelled(a.data, load_detector(a.start or a.detector), a.hold) # the crops of the whole chain
    own = one[1] if a.data=='mtfl' and not a.hold else one[0]
    nums = dict(data=a.data, detector=a.detector, start=a.start or a.detector, held_out_of_training=a.hold, images=len(own), labelled=len(one[0]), test=len(one[1]),
        before=(not a.hold and evaluated(a.start or a.detector, a.data)) or errors(model, *one))
    print('before', nums['before'], flush=True)
    if a.pairs:
        dls = landmark_dls(own, own[:200], bs=a.bs, val_bs=50, seed=a.seed, epoch_size=a.pairs//a.n_epoch//a.bs*a.bs, with_points=False)
        learn = landmark_learner(dls, model.config['n_landmarks'], model=model.train(), seed=a.seed, lr=a.lr, gamma=a.gamma, var_weight=a.var_weight, pool=a.pool, **({} if a.grow else dict(grow=None)))
        learn.remove_cb(learn.progress)
        learn.logger = noop
        f = ROOT/'results'/f'{name}.json'
        done = json.loads(f.read_text())['numbers'] if a.resume and f.exists() else {}
        t,c = time.time(),time.process_time()
        learn.fit_recipe(a.n_epoch, checkpoint=ROOT/'runs'/f'{name}.checkpoint.safetensors', resume=a.resume)
        names,spent = list(learn.recorder.metric_names[1:-1]),dict(seconds=round(time.time()-t+(done.get('seconds') or 0), 1), core_seconds=round(time.process_time()-c+(done.get('core_seconds') or 0), 1))
        if spent['seconds']<5: spent = {} # resumed at its end: the time of the training is not known
        nums |= dict(config=learn.run_config, pairs=a.n_epoch*dls.train.epoch_size, **spent,
                     curve=[dict(zip(names, map(float, v))) for v in learn.recorder.values])
        model = learn.model.eval()
        nums['after'] = errors(model, *one)
        print('after', nums['after'], nums['curve'][-1], flush=True)
        save_detector(model, ROOT/'runs'/f'{name}.safetensors', dict(data=f'{a.data}, unsupervised', start=a.start or a.detector, record=name, config=learn.run_config))
    if not a.hold: record(name, 'python benchmarks/finetune.py '+' '.join(sys.argv[1:]), prefix='', **nums)

if __name__=='__main__': main()
