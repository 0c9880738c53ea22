"""Two processes do what one does: train, detect, regress.

    python tests/ranks.py

Needs accelerate, no GPU and no network; three minutes. A training in two processes is that of one with twice the
batch: same losses, same weights, one writer. Sums are rounded in another order, so equal means: losses of all
50 steps within 1e-5 of each other, weights within 1e-5 on average. Training amplifies what is rounded, so the paper's
small learning rate is used. Tables of `fse_detect` and `fse_regress --images` are the same to the byte, also after an
interruption, and with what could not be read in its place."""
import json, os, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = 'import sys\nfrom fse_nb.cli import *\nglobals()[sys.argv.pop(1)]()\n'

def call(folder, command, *args, ranks=1):
    "A command, in so many processes"
    script = folder/'script.py'
    script.write_text(SCRIPT)
    launch = ['-m','torch.distributed.run','--standalone','--nproc-per-node',str(ranks)] if ranks>1 else []
    env = os.environ|dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES='')
    command = [sys.executable,*launch,str(script),command,*args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)

def done(*args, **kwargs):
    "`call`, with what it printed; it has to end well"
    r = call(*args, **kwargs)
    assert r.returncode==0, r.stdout[-1000:]+r.stderr[-3000:]
    return r.stdout

def photos(folder, n=24, size=32):
    from PIL import Image
    from fse_nb.data import toy_faces
    folder.mkdir()
    for i,image in enumerate(toy_faces(n, seed=0, size=size).images): Image.fromarray(image).save(folder/f'{i:03d}.png')
    return str(folder)

def trained(tmp):
    "Fifty steps"
    from fse_nb.store import load_tensors
    same = [photos(tmp/'photos'),'--n-landmarks','4','--size','20','--epochs','25','--recipe','paper']
    for name,bs,ranks in (('one','8',1),('two','4',2)):
        said = done(tmp, 'fse_train', *same, '--bs', bs, '--out', str(tmp/name), ranks=ranks)
    assert said.count('wrote ')==1, 'two processes say what was written'
    assert {o.name for o in (tmp/'one').iterdir()}=={o.name for o in (tmp/'two').iterdir()}
    (a,one),(b,two) = (load_tensors(tmp/o/'checkpoint.safetensors') for o in ('one','two'))
    losses = [m['parts']['recorder']['losses'] for m in (one,two)]
    assert len(losses[0])==len(losses[1])==50
    far = max(abs(x-y)/abs(x) for x,y in zip(*losses))
    weights = [k for k in a if k.startswith('model.') and a[k].is_floating_point()]
    change = {k:(a[k].double()-b[k].double()).abs() for k in weights}
    mean = max(o.mean().item() for k,o in change.items() if 'running' not in k)
    most = max(o.max().item() for o in change.values())
    print(f'50 steps: losses within {far:.1e}, weights within {mean:.1e} on average, {most:.1e} at most')
    assert far<1e-5 and mean<1e-5 and most<1e-3
    run = json.loads((tmp/'two'/'run.json').read_text())
    assert run['plan']['epoch_size']==16, run['plan']
    r = call(tmp, 'fse_train', '--resume', '--out', str(tmp/'two'))
    assert r.returncode==1 and 'n_ranks is None, but 2 in the checkpoint' in r.stderr, r.stderr[-1000:]
    print('resumed with another number of processes: refused')

def detected(tmp):
    "Five blocks of 256 images and a part of one; three images are no images"
    folder = Path(photos(tmp/'many', 1300, 24))
    for i in (3,700,1299): (folder/f'{i:03d}.png').write_text('no image')
    both = [str(folder),'--model',str(tmp/'one'),'--to','coco,dlc']
    for name,ranks in (('d1',1),('d2',2)):
        said = done(tmp, 'fse_detect', *both, '--csv', f'{tmp/name}/a.csv', ranks=ranks)
    assert said.count('wrote ')==1 and '3 of 1,300 images left out' in said, said
    files = 'a.csv','left_out.csv','review.csv','a.json','a_dlc.csv'
    same = lambda o: [(tmp/'d1'/f).read_bytes()==(tmp/o/f).read_bytes() for f in files]
    assert same('d2')==[True]*5, same('d2')
    rows = (tmp/'d2'/'a.csv').read_bytes()
    assert rows.count(b'\n')==1298
    (tmp/'d2'/'a.csv').write_bytes(rows[:len(rows)*2//5]) # in the second round, in the middle of a row
    said = done(tmp, 'fse_detect', *both, '--csv', f'{tmp}/d2/a.csv', '--resume', ranks=2)
    assert 'of 1,300 images are in' in said and same('d2')==[True]*5, said
    print('fse_detect: the tables of two processes and of one are the same, after an interruption, too')

def regressed(tmp):
    "A map of twelve labels, for all images"
    from fse_nb.data import LandmarkSet, toy_faces
    faces = toy_faces(12, seed=0, size=24)
    files = sorted((tmp/'many').iterdir())
    keep = [i for i in range(12) if i!=3]
    LandmarkSet([files[i] for i in keep], faces.points[keep], faces.names).to_csv(tmp/'labels.csv')
    both = ['--model',str(tmp/'one'),'--train',str(tmp/'labels.csv'),'--images',str(tmp/'many')]
    for name,ranks in (('r1',1),('r2',2)): said = done(tmp, 'fse_regress', *both, '--out', str(tmp/name), ranks=ranks)
    assert said.count('wrote ')==1, said
    table = (tmp/'r1'/'predictions.csv').read_bytes()
    assert table==(tmp/'r2'/'predictions.csv').read_bytes() and table.count(b'\n')==1298
    (tmp/'r2'/'predictions.csv').write_bytes(table[:len(table)//2])
    done(tmp, 'fse_regress', *both, '--out', str(tmp/'r2'), '--resume', ranks=2)
    assert table==(tmp/'r2'/'predictions.csv').read_bytes()
    assert (tmp/'r1'/'left_out.csv').read_bytes()==(tmp/'r2'/'left_out.csv').read_bytes()
    print('fse_regress --images: likewise')

def main():
    with tempfile.TemporaryDirectory() as tmp:
        for part in (trained,detected,regressed): part(Path(tmp))

if __name__=='__main__': main()
