"""Unsupervised fine-tuning of a face detector on other crops of faces (Tables 3 and 5), and the error before and after

    python benchmarks/finetune.py cfp-tight --detector faces-50 --pairs 8000 --pool 3 --name tight
    python benchmarks/finetune.py mtfl --detector runs/finetune_tight.safetensors --start faces-50 --pairs 8000 --pool 3
    python benchmarks/finetune.py 300w --detector faces-50 --pairs 6000
    python benchmarks/finetune.py 300w --detector faces-50 --pairs 0        # the error as it is

Only images are used to fine-tune. `cfp-tight`: the training images of cfp, cut to their central 80%, so that a face fills as much of
the frame as in the AFLW crops (mean eye distance 0.236 of the width in cfp, 0.296 in AFLW: one number from the annotation of both).
`mtfl`: the 2,995 AFLW images of MTFL themselves, as in the paper without their points. `300w`: the 1,207 training images.
The error after: `mtfl` (and `cfp-tight`): a linear map fitted to the five points of the tight cfp training images, tested on the
2,995 AFLW faces; `300w`: 68 points, fitted to the training images, tested on the 330 of HELEN's test set, outer corners of the eyes.
With `--hold` the maps are tested on 1,000 (300) held-out training images instead, to choose settings. Continues with `--resume`."""
import argparse, sys, time, warnings
import numpy as np, torch
from pathlib import Path
from fastai.basics import noop
from common import record, ROOT
from fse_nb.data import cfp, decode_images, landmark_dls, mtfl, w300
from fse_nb.export import load_detector, save_detector
from fse_nb.regress import fit_regressor, interocular_error, mean_shape_error
from fse_nb.train import detect, landmark_learner

def tight(s, share=.8):
    "The central part of images of 128×128"
    l = 64*(1-share)
    s.crop = np.array([l,l,128-l,128-l], np.float32)
    return s

def sets(data):
    "Images to fine-tune on, labelled images, test images, indices of the eyes"
    dec = lambda s: decode_images(s, cache=ROOT/'runs'/'cache', warn_small=False)
    if data=='300w':
        with warnings.catch_warnings():
            warnings.simplefilter('ignore') # parts of 300-W that are not here
            tr,te = (dec(w300(split=k)) for k in ('train','test'))
        return tr,tr,te,(36,45)
    tr,te = dec(tight(cfp().where(split='train'))),dec(mtfl(split='test'))
    return (te if data=='mtfl' else tr),tr,te,(0,1)

def errors(model, labelled, test, eyes):
    "Per cent of the inter-ocular distance: regressed, and the mean shape"
    y,t = (torch.from_numpy(s.points) for s in (labelled,test))
    e = interocular_error(fit_regressor(detect(model, labelled), y)(detect(model, test)), t, *eyes)
    return dict(percent=round(100*e.nanmean().item(), 3), median=round(100*e.nanmedian().item(), 3), above_10=round(100*(e>.1).float().mean().item(), 1),
                mean_shape_percent=round(100*mean_shape_error(y, t, left=eyes[0], right=eyes[1]).nanmean().item(), 3))

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
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--start', help='the detector that the whole chain began with, for the record')
    p.add_argument('--hold', action='store_true')
    p.add_argument('--resume', action='store_true')
    p.add_argument('--name')
    a = p.parse_args()
    name = f"finetune_{a.name or f'{Path(a.detector).stem}_{a.data}'+('' if a.pairs else '_before')}"
    own,labelled,test,eyes = sets(a.data)
    if a.hold:
        i = np.random.default_rng(0).permutation(len(labelled))
        k = 300 if a.data=='300w' else 1000
        labelled,test = labelled[np.sort(i[k:])],labelled[np.sort(i[:k])]
    model = load_detector(a.detector)
    nums = dict(data=a.data, detector=a.detector, start=a.start or a.detector, held_out_of_training=a.hold, images=len(own), labelled=len(labelled), test=len(test),
                before=errors(model, labelled, test, eyes))
    print('before', nums['before'], flush=True)
    if a.pairs:
        dls = landmark_dls(own, own[:200], bs=a.bs, val_bs=50, seed=a.seed, epoch_size=a.pairs//a.n_epoch//a.bs*a.bs, with_points=False)
        learn = landmark_learner(dls, model.config['n_landmarks'], model=model.train(), seed=a.seed, lr=a.lr, grow=None, gamma=a.gamma, var_weight=a.var_weight, pool=a.pool)
        learn.remove_cb(learn.progress)
        learn.logger = noop
        t,c = time.time(),time.process_time()
        learn.fit_recipe(a.n_epoch, checkpoint=ROOT/'runs'/f'{name}.checkpoint.safetensors', resume=a.resume)
        names = list(learn.recorder.metric_names[1:-1])
        nums |= dict(config=learn.run_config, pairs=a.n_epoch*dls.train.epoch_size, seconds=round(time.time()-t, 1), core_seconds=round(time.process_time()-c, 1),
                     curve=[dict(zip(names, map(float, v))) for v in learn.recorder.values])
        model = learn.model.eval()
        nums['after'] = errors(model, labelled, test, eyes)
        print('after', nums['after'], nums['curve'][-1], flush=True)
        save_detector(model, ROOT/'runs'/f'{name}.safetensors', dict(data=f'{a.data}, unsupervised', start=a.start or a.detector, record=name, config=learn.run_config))
    if not a.hold: record(name, 'python benchmarks/finetune.py '+' '.join(sys.argv[1:]), prefix='', **nums)

if __name__=='__main__': main()
