"""Every notebook as Colab runs it: from the built wheel, in a venv of its own, outside the repository, without shared data.

python tests/colab.py [--real] [--only 00_coords …] [--timeout 300]
By default the venv sees the packages of the running Python, less this repository's editable install; `--real` installs everything anew from PyPI (GBs).
The first cell must install nothing where fse_nb is there, and torch must stay the version that it was."""
import argparse, json, os, shutil, site, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = r'''
import sys, json, re, signal
from execnb.shell import CaptureShell
nb = json.load(open(sys.argv[1])); sh = CaptureShell()
assert 'fse_nb' not in sys.modules
skip = re.compile(r'^#\s*\|\s*(slow|cuda|eval:\s*false)\b', re.M)
for i,c in enumerate(nb['cells']):
    src = ''.join(c['source'])
    if c['cell_type']!='code' or skip.search(src): continue
    sh.run(src)
    if sh.exc:
        print(f'cell {i}: {type(sh.exc).__name__}: {str(sh.exc)[:300]}\n{src[:400]}'); sys.exit(1)
if (m:=sys.modules.get('fse_nb')) and 'site-packages' not in m.__file__: print('fse_nb is not the wheel:', m.__file__); sys.exit(1)
'''

def make_venv(tmp, real):
    venv,py = tmp/'venv',tmp/'venv/bin/python'
    subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    subprocess.run([sys.executable, '-m', 'build', '-q', '--wheel', '--outdir', tmp/'dist', ROOT], check=True)
    wheel = next((tmp/'dist').glob('*.whl'))
    pip = [py, '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    if real: subprocess.run([*pip, str(wheel), 'ipykernel', 'execnb', 'scikit-image', 'hypothesis'], check=True)
    else: # the packages of this Python, found after the venv's own; .pth files in them, such as the editable install's, are not read
        here = next(Path(py).parent.parent.glob('lib/python*/site-packages'))
        (here/'borrowed.pth').write_text('\n'.join(p for p in site.getsitepackages() if Path(p).is_dir())+'\n')
        subprocess.run([*pip, '--no-deps', '--no-index', str(wheel)], check=True)
    return py

def first_cell(nb):
    "What is wrong with the install cell, or nothing"
    code = [''.join(c['source']) for c in json.loads(nb.read_text())['cells'] if c['cell_type']=='code']
    uses = any('fse_nb' in s for s in code)
    pips = [s for s in code if 'pip' in s and 'install' in s and 'get_ipython' in s or s.lstrip().startswith(('!pip','%pip'))]
    if not uses: return
    if not pips: return 'no cell installs fse_nb where it is missing'
    i = code.index(pips[0])
    before = [s for s in code[:i] if 'fse_nb' in s and 'default_exp' not in s]
    if before: return 'fse_nb is used before it is installed'
    if "find_spec('fse_nb') is None" not in pips[0]: return 'installs without a look whether fse_nb is there'
    lines = [l for s in pips for l in s.splitlines() if 'install' in l]
    if any(o in l for l in lines for o in ('-U', '--upgrade', '--force-reinstall', ' torch')): return 'may replace torch'

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--real', action='store_true'); p.add_argument('--only', nargs='*'); p.add_argument('--timeout', type=int, default=300)
    a = p.parse_args()
    tmp = Path(tempfile.mkdtemp(prefix='colab-')); failed = []
    try:
        py = make_venv(tmp, a.real); (tmp/'run.py').write_text(RUN); work = tmp/'content'; work.mkdir()
        env = {k:v for k,v in os.environ.items() if k not in ('FSE_DATA','PYTHONPATH','VIRTUAL_ENV')} | dict(MPLBACKEND='agg', PATH=f'{py.parent}:{os.environ["PATH"]}')
        torch = lambda: subprocess.run([py, '-c', 'import torch, fse_nb; print(torch.__version__, fse_nb.__file__)'], cwd=work, env=env, capture_output=True, text=True).stdout.strip()
        before = torch(); print(before)
        nbs = [n for n in sorted((ROOT/'nbs').glob('*.ipynb')) if not a.only or n.stem in a.only]
        for n in nbs:
            shutil.copy(n, work); t = time.time()
            why = first_cell(n)
            if why is None:
                try: r = subprocess.run([py, tmp/'run.py', n.name], cwd=work, env=env, capture_output=True, text=True, timeout=a.timeout); why = None if r.returncode==0 else (r.stdout[-700:] or r.stderr[-700:])
                except subprocess.TimeoutExpired: why = f'took longer than {a.timeout} s'
            print('ok  ' if why is None else 'FAIL', n.name, f'{time.time()-t:.0f} s', '' if why is None else '\n    '+why.strip().replace('\n', '\n    '), flush=True)
            failed += [n.name] if why else []
        if torch()!=before: print('FAIL torch or fse_nb changed:', before, '→', torch()); failed.append('torch')
        print(f'{len(nbs)-len(failed)} passed, {len(failed)} failed')
    finally: shutil.rmtree(tmp, ignore_errors=True)
    sys.exit(bool(failed))

if __name__=='__main__': main()
