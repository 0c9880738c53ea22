"""Two processes train as one with twice the batch: same losses, same weights, one writer.

    python tests/ranks.py

Needs accelerate, no GPU and no network; two minutes. Sums are rounded in another order, so equal means: losses of all
50 steps within 1e-5 of each other, weights within 1e-5 on average. Training amplifies what is rounded, so the paper's
small learning rate is used."""
import json, os, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = 'from fse_nb.cli import fse_train\nfse_train()\n'

def call(folder, *args, ranks=1):
    "`fse_train`, in so many processes"
    script = folder/'script.py'
    script.write_text(SCRIPT)
    launch = ['-m','torch.distributed.run','--standalone','--nproc-per-node',str(ranks)] if ranks>1 else []
    env = os.environ|dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES='')
    command = [sys.executable,*launch,str(script),*args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)

def photos(folder):
    from PIL import Image
    from fse_nb.data import toy_faces
    folder.mkdir()
    for i,image in enumerate(toy_faces(24, seed=0, size=32).images): Image.fromarray(image).save(folder/f'{i:02d}.png')
    return str(folder)

def main():
    from fse_nb.store import load_tensors
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        same = [photos(tmp/'photos'),'--n-landmarks','4','--size','20','--epochs','25','--recipe','paper']
        for name,bs,ranks in (('one','8',1),('two','4',2)):
            r = call(tmp, *same, '--bs', bs, '--out', str(tmp/name), ranks=ranks)
            assert r.returncode==0, r.stdout[-1000:]+r.stderr[-3000:]
        assert r.stdout.count('wrote ')==1, 'two processes say what was written'
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
        r = call(tmp, '--resume', '--out', str(tmp/'two'))
        assert r.returncode==1 and 'n_ranks is None, but 2 in the checkpoint' in r.stderr, r.stderr[-1000:]
        print('resumed with another number of processes: refused')

if __name__=='__main__': main()
