"""Two processes do what one does: train, detect, regress.

    python tests/ranks.py [PART …]     exact trained detected found regressed; default: all

Needs the installed commands and accelerate, no GPU and no network; five minutes. A training in two processes is that
of one with twice the batch: same losses, same weights, one writer. Their sums are rounded in another order, and
training amplifies what is rounded. So all is compared twice. With 64 bits a number everything is equal within 1e-7
(`exact`): what differs is rounding, and nothing else. With 32 bits, as users have them, the losses of all 50 steps are
to be within 1e-5 of each other, and weights within 1e-5 on average and 1e-4 at most (`trained`). On an Intel Xeon they
were. On an AMD EPYC, which amplifies rounding more, both were within 3e-5 only, and `trained` fails there. Tables of
`fse_detect`, also with `--find`, and of `fse_regress --images` are the same to the byte, also after an interruption,
and with what could not be read in its place.

`accelerate launch` starts several processes with `--multi_gpu`, on a CPU, too. With `--cpu --num_processes 2` it starts
one, where there is no MPI: then that one does everything."""
import argparse, json, os, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent # of the installed commands

#: what starts two processes, or is meant to
TORCHRUN = BIN/'torchrun','--standalone','--nproc-per-node','2'
ACCELERATE = BIN/'accelerate','launch','--multi_gpu','--num_processes','2','--main_process_port','0'
ACCELERATE_CPU = BIN/'accelerate','launch','--cpu','--num_processes','2'

#: runs a command with 64 bits wherever the package says 32
EXACT = '''
import sys, torch, safetensors.torch, fastai.vision.all
torch.set_default_dtype(torch.float64)
torch.float32 = torch.float = torch.float64
torch.Tensor.float = torch.Tensor.double
from fse_nb.cli import *
globals()[sys.argv.pop(1)]()
'''

def call(command, *args, by=()):
    "An installed command, or a script, in the processes that `by` starts"
    start = [sys.executable] if not by and Path(command).suffix=='.py' else by
    env = os.environ|dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES='')
    line = [*map(str, start),str(BIN/command),*map(str, args)]
    return subprocess.run(line, env=env, capture_output=True, text=True, timeout=1200)

def done(*args, **kwargs):
    "`call`, with what it printed; it has to end well"
    r = call(*args, **kwargs)
    assert r.returncode==0, r.stdout[-1000:]+r.stderr[-3000:]
    return r.stdout

def photos(folder, n=24, size=32):
    "A folder of drawn faces; the one that is there, if there is one"
    from PIL import Image
    from fse_nb.data import toy_faces
    if not folder.exists():
        folder.mkdir()
        for i,image in enumerate(toy_faces(n, seed=0, size=size).images):
            Image.fromarray(image).save(folder/f'{i:04d}.png')
    return folder

def fifty_steps(tmp, command, *args, out, ranks=1, by=()):
    "A training with eight pairs a step in all; what it printed, the weights, the losses"
    from fse_nb.store import load_tensors
    said = done(*command, photos(tmp/'photos'), '--n-landmarks', 4, '--size', 20, '--epochs', 25, '--bs', 8//ranks,
                *args, '--out', tmp/out, by=by)
    assert said.count('wrote ')==1, 'two processes say what was written'
    state,meta = load_tensors(tmp/out/'checkpoint.safetensors')
    if (distilled := tmp/out/'distil2.safetensors').exists(): state = load_tensors(distilled)[0]
    weights = {k:v for k,v in state.items() if k.startswith('model.') and v.is_floating_point()}
    return weights,meta['parts']['recorder']['losses']

def distance(one, two):
    "Of two trainings: losses (relative, most), weights (mean, most), means and variances of batch norm (most)"
    (a,losses),(b,others) = one,two
    assert len(losses)==len(others)==50
    change = {k:(a[k].double()-b[k].double()).abs() for k in a}
    weights = [o for k,o in change.items() if 'running' not in k]
    return (max(abs(x-y)/abs(x) for x,y in zip(losses, others)), max(o.mean().item() for o in weights),
            max(o.max().item() for o in weights), max(o.max().item() for k,o in change.items() if 'running' in k))

SAID = 'losses within {:.1e}, weights within {:.1e} on average and {:.1e} at most, norms within {:.1e}'

def exact(tmp):
    "With 64 bits a number, by the recipe that `fse_train` has"
    import torch
    command = tmp/'exact.py','fse_train'
    command[0].write_text(EXACT)
    one = fifty_steps(tmp, command, out='exact_one')
    two = fifty_steps(tmp, command, out='exact_two', ranks=2, by=TORCHRUN)
    assert {o.dtype for o in one[0].values()}=={torch.float64}
    far = distance(one, two)
    print('64 bits, 50 steps:', SAID.format(*far))
    assert max(far)<1e-7

def trained(tmp):
    "As users train, by the paper's recipe, whose steps are small"
    command = 'fse_train','--recipe','paper'
    one = fifty_steps(tmp, command, out='one')
    two = fifty_steps(tmp, command, out='two', ranks=2, by=TORCHRUN)
    assert {o.name for o in (tmp/'one').iterdir()}=={o.name for o in (tmp/'two').iterdir()}
    losses,mean,most,norms = distance(one, two)
    print('32 bits, 50 steps:', SAID.format(losses, mean, most, norms))
    assert losses<1e-5 and mean<1e-5 and most<1e-4 and norms<1e-3
    third = fifty_steps(tmp, command, out='three', ranks=2, by=ACCELERATE)
    print('accelerate launch and torchrun:', SAID.format(*distance(two, third)))
    assert max(distance(two, third))<1e-5
    run = json.loads((tmp/'two'/'run.json').read_text())
    assert run['plan']['epoch_size']==16, run['plan']
    r = call('fse_train', '--resume', '--out', tmp/'two')
    assert r.returncode==1 and 'n_ranks is None, but 2 in the checkpoint' in r.stderr, r.stderr[-1000:]
    print('resumed with another number of processes: refused')

def detector(tmp):
    "A trained detector"
    if not (tmp/'one').exists(): fifty_steps(tmp, ('fse_train','--recipe','paper'), out='one')
    return tmp/'one'

def same_files(a, b, *names):
    "Two folders hold these files with the same bytes"
    differ = [name for name in names if (a/name).read_bytes()!=(b/name).read_bytes()]
    assert not differ, f'{differ} in {b.name} and in {a.name} differ'

def interrupt(table, share):
    "Leave a part of a table, which ends within a row"
    rows = table.read_bytes()
    table.write_bytes(rows[:int(len(rows)*share)])

def bad_photos(folder, n, size, bad):
    "Drawn faces, and some images that are none"
    photos(folder, n, size)
    for i in bad: (folder/f'{i:04d}.png').write_text('no image')
    return folder

def detected(tmp):
    "Five blocks of 256 images and a part of one; three images are no images"
    folder = bad_photos(tmp/'many', 1300, 24, (3,700,1299))
    both,files = [folder,'--model',detector(tmp),'--to','coco,dlc'],('a.csv','a_left_out.csv','a_review.csv','a.json',
                                                                    'a_dlc.csv')
    for name,by in (('d1',()), ('d2',TORCHRUN), ('d3',ACCELERATE), ('d4',ACCELERATE_CPU)):
        said = done('fse_detect', *both, '--csv', tmp/name/'a.csv', by=by)
        assert said.count('wrote ')==1 and '3 of 1,300 images left out' in said, said
        same_files(tmp/'d1', tmp/name, *files)
    assert (tmp/'d1'/'a.csv').read_bytes().count(b'\n')==1298
    interrupt(tmp/'d3'/'a.csv', .4) # in the second round
    said = done('fse_detect', *both, '--csv', tmp/'d3'/'a.csv', '--resume', by=ACCELERATE)
    assert 'of 1,300 images are in' in said, said
    same_files(tmp/'d1', tmp/'d3', *files)
    print('fse_detect: the tables of two processes and of one are the same, after an interruption, too')

def found(tmp):
    "Objects that are looked for: six blocks of 16 photographs and a part of one, two objects in each at most"
    folder = bad_photos(tmp/'wide', 100, 48, (5,99))
    both,files = [folder,'--model',detector(tmp),'--find','--max-objects',2],('a.csv','a_left_out.csv','a_review.csv')
    for name,by in (('f1',()), ('f2',ACCELERATE)):
        said = done('fse_detect', *both, '--csv', tmp/name/'a.csv', by=by)
        assert said.count('wrote ')==1 and '2 of 100 images left out' in said, said
    same_files(tmp/'f1', tmp/'f2', *files)
    images = [row.split(',')[0] for row in (tmp/'f1'/'a.csv').read_text().splitlines()[1:]]
    assert images==sorted(images) and len(set(images))==98, images
    interrupt(tmp/'f2'/'a.csv', .6)
    done('fse_detect', *both, '--csv', tmp/'f2'/'a.csv', '--resume', by=ACCELERATE)
    same_files(tmp/'f1', tmp/'f2', *files)
    print(f'fse_detect --find: likewise, {len(images)} objects in 98 photographs')

def regressed(tmp):
    "A map of eleven labels, for all images"
    from fse_nb.data import LandmarkSet, toy_faces
    faces = toy_faces(12, seed=0, size=24)
    folder = bad_photos(tmp/'many', 1300, 24, (3,700,1299))
    files = sorted(folder.iterdir())
    keep = [i for i in range(12) if i!=3]
    LandmarkSet([files[i] for i in keep], faces.points[keep], faces.names).to_csv(tmp/'labels.csv')
    both = ['--model',detector(tmp),'--train',tmp/'labels.csv','--images',folder]
    for name,by in (('r1',()), ('r2',TORCHRUN)):
        said = done('fse_regress', *both, '--out', tmp/name, by=by)
        assert said.count('wrote ')==1, said
    assert (tmp/'r1'/'predictions.csv').read_bytes().count(b'\n')==1298
    same_files(tmp/'r1', tmp/'r2', 'predictions.csv', 'predictions_left_out.csv')
    interrupt(tmp/'r2'/'predictions.csv', .5)
    done('fse_regress', *both, '--out', tmp/'r2', '--resume', by=TORCHRUN)
    same_files(tmp/'r1', tmp/'r2', 'predictions.csv', 'predictions_left_out.csv')
    print('fse_regress --images: likewise')

PARTS = dict(exact=exact, trained=trained, detected=detected, found=found, regressed=regressed)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', help=', '.join(PARTS))
    with tempfile.TemporaryDirectory() as tmp:
        for part in parser.parse_args().parts or PARTS: PARTS[part](Path(tmp))

if __name__=='__main__': main()
