"""Unsupervised fine-tuning of a face detector on other crops of faces (Tables 3 and 5), and the error before and after

    python experiments/finetune.py mtfl --detector faces-50 --pairs 5000 --pool 3 --name aflw_k50
    python experiments/finetune.py 300w --detector faces-50 --pairs 2500 --name 300w_k50
    python experiments/finetune.py mtfl --detector faces-30 --distil 1 --pairs 16000 --name aflw_distil_k30
    python experiments/finetune.py 300w --detector faces-50 --pairs 0        # the error as it is
    python experiments/finetune.py cfp-tight --detector faces-50 --pairs 8000 --name tight

Only images are used to fine-tune. `mtfl`: the 2,995 AFLW images of MTFL themselves, without their points. `300w`: the
training images. `cfp-tight`: the training images of cfp as `labelled` of common.py cuts them for `mtfl`; from its
file on: mtfl --detector runs/finetune_tight.safetensors --start faces-50. Crops are chosen by the landmarks of the
detector that a chain begins with (`--start`), before and after. With `--distil` the detector does not go on as it was
trained, but is distilled on these images (05b).

Errors: `mtfl` and `cfp-tight`, a linear map fitted to the five points of the cfp training images, tested on the AFLW
faces; `300w`, 68 points, fitted to the training images, tested on those of HELEN's test set, outer corners of the
eyes. With `--hold` the maps are tested on 1,000 (300) held-out training images instead, to choose settings. The same
command continues an interrupted run (`--restart` begins anew)."""
import json, time
from pathlib import Path

from common import (Folders, evaluation, held_rows, labelled, parser, percent, points_of, quiet_learner,
                    regressed)
from evaluate import fit_warped
import fse_nb.distil # gives learners `.distil`
from fse_nb.data import landmark_dls
from fse_nb.detect import detect
from fse_nb.errors import error_summary, interocular_error
from fse_nb.export import load_detector, save_detector
from fse_nb.regress import warped_copies
from fse_nb.results import origin

def sets(data, model, folders, hold=False):
    "Labelled images, test images, eyes by name, and how the crops were chosen, by the landmarks of `model`"
    s = labelled({'cfp-tight':'mtfl'}.get(data, data), model, folders)
    train,test = s.train,s.test
    if hold: train,test = held_rows(train, 300 if data=='300w' else 1000, len(train))
    return train,test,s.eyes,s.note

def errors(model, train, test, eyes, note):
    """What a record says of a detector. `warped`: with a warped copy of each image that the map is fitted to; `by`: in
    units of the distance of each pair of eyes, where there are several"""
    (name,first),*others = eyes.items()
    said = evaluation(model, train, test, first, note=note)
    if train.points.shape[1]==5:
        reg = fit_warped(detect(model, train), points_of(train), warped_copies(model, train, 1))
        said['warped'] = error_summary(interocular_error(reg(detect(model, test)), points_of(test), *first))
    by = {other:error_summary(regressed(model, train, test, pair)) for other,pair in others}
    if by: said['by'] = {name:said['error'], **by}
    return said

def finetuned(model, images, args, name, folders):
    "The learner after fine-tuning on the images, and what it took"
    rounds = args.distil or 1
    epoch = args.pairs//rounds//args.n_epoch//args.bs*args.bs
    dls = landmark_dls(images, images[:200], bs=args.bs, val_bs=50, seed=args.seed, epoch_size=epoch, with_points=False)
    grow = {} if args.grow else dict(grow=None)
    learn = quiet_learner(dls, model.config['n_landmarks'], model=model.train(), seed=args.seed, lr=args.lr,
                          gamma=args.gamma, var_weight=args.var_weight, pool=args.pool, **grow)
    checkpoint,spent_file = (folders.runs/f'{name}.{o}' for o in ('checkpoint.safetensors','spent.json'))
    resume = not args.restart
    before = json.loads(spent_file.read_text()) if resume and spent_file.exists() else dict(seconds=0, core_seconds=0)
    clock,core = time.time(),time.process_time()
    try:
        if args.distil:
            learn.distil(args.n_epoch, args.distil, lr=args.lr, var_weight=args.var_weight, checkpoint=checkpoint,
                         resume=resume)
        else: learn.fit_recipe(args.n_epoch, checkpoint=checkpoint, resume=resume)
    finally:
        spent = dict(seconds=round(before['seconds']+time.time()-clock, 1),
                     core_seconds=round(before['core_seconds']+time.process_time()-core, 1))
        spent_file.write_text(json.dumps(spent))
    names = learn.recorder.metric_names[1:-1]
    curve = [dict(zip(names, map(float, v))) for v in learn.recorder.values]
    config = learn.run_config|dict(distil_rounds=args.distil)
    return learn,dict(config=config, pairs=rounds*args.n_epoch*epoch, **spent, curve=curve)

def arguments():
    p = parser(__doc__)
    p.add_argument('data', nargs='?', choices=('cfp-tight','mtfl','300w','toy'), default='mtfl')
    p.add_argument('--detector', default='faces-10', help='name or file to start from')
    p.add_argument('--pairs', type=int, default=6000, help='0: no fine-tuning, only the error')
    p.add_argument('--pool', type=int, help="window of the diversity; the paper's 51-point network has 3")
    p.add_argument('--gamma', type=float, default=.05)
    p.add_argument('--var-weight', type=float, default=.1)
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--n-epoch', type=int, default=4, help='with --distil: of a round')
    p.add_argument('--distil', type=int, default=0, metavar='ROUNDS', help='distil instead of training on')
    p.add_argument('--grow', action='store_true', help='half resolution first, as in training')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--start', help='the detector that the whole chain began with, by which crops are chosen')
    p.add_argument('--hold', action='store_true', help='test on held-out training images; nothing is recorded')
    p.add_argument('--restart', action='store_true', help='begin anew, although there is a checkpoint')
    p.add_argument('--name', help='of the record: finetune_NAME')
    return p

def main():
    args = arguments().parse_args()
    if args.smoke: args.data,args.pairs,args.n_epoch,args.bs = 'toy',16,1,8
    folders,start = Folders.of(args),origin()
    name = f"finetune_{args.name or f'{Path(args.detector).stem}_{args.data}'+('' if args.pairs else '_before')}"
    model,first = load_detector(args.detector),args.start or args.detector
    one = sets(args.data, load_detector(first), folders, args.hold)
    train,test = one[:2]
    images = test if args.data=='mtfl' and not args.hold else train
    said = dict(data=args.data, detector=args.detector, start=first, held_out_of_training=args.hold, images=len(images),
                labelled=len(train), test=len(test), before=errors(model, *one))
    print('before', percent(said['before']['error']), flush=True)
    if args.pairs:
        learn,took = finetuned(model, images, args, name, folders)
        model = learn.model.eval()
        said |= dict(took, after=errors(model, *one))
        print('after', percent(said['after']['error']), said['curve'][-1], flush=True)
        save_detector(model, folders.runs/f'{name}.safetensors',
                      dict(data=f'{args.data}, unsupervised', start=first, record=name, config=learn.run_config))
    if not args.hold: folders.record(name, start, **said)

if __name__=='__main__': main()
