"""Every notebook as Colab runs it: from the built wheel, in a venv of its own, outside the repository, without data

python tests/colab.py [--real] [--only 00_coords …] [--timeout 600]

By default the venv sees the packages of the running Python, less this repository's editable install; `--real` installs
everything anew from PyPI (GBs). The first cell must install nothing where fse_nb is there, and torch must stay the
version that it was."""
import argparse, json, os, shutil, site, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = r'''
import sys, json, re
from execnb.shell import CaptureShell
nb = json.load(open(sys.argv[1]))
shell = CaptureShell()
assert 'fse_nb' not in sys.modules
skip = re.compile(r'^#\s*\|\s*(slow|cuda|eval:\s*false)\b', re.M)
for i,c in enumerate(nb['cells']):
    source = ''.join(c['source'])
    if c['cell_type']!='code' or skip.search(source): continue
    shell.run(source)
    if shell.exc:
        print(f'cell {i}: {type(shell.exc).__name__}: {str(shell.exc)[:300]}\n{source[:400]}')
        sys.exit(1)
m = sys.modules.get('fse_nb')
if m and 'site-packages' not in m.__file__: sys.exit(f'fse_nb is not the wheel: {m.__file__}')
'''

def borrow_packages(venv):
    "Find the packages of this Python after the venv's own; .pth files in them, as of an editable install, are not read"
    here = next(venv.glob('lib/python*/site-packages'))
    (here/'borrowed.pth').write_text('\n'.join(p for p in site.getsitepackages() if Path(p).is_dir())+'\n')

def make_venv(tmp, real):
    "Python of a new venv with the wheel of the package"
    venv = tmp/'venv'
    python = venv/'bin/python'
    subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    subprocess.run([sys.executable, '-m', 'build', '-q', '--wheel', '--outdir', tmp/'dist', ROOT], check=True)
    wheel = str(next((tmp/'dist').glob('*.whl')))
    pip = [python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    if real: subprocess.run([*pip, wheel, 'ipykernel', 'execnb', 'scikit-image', 'hypothesis'], check=True)
    else:
        borrow_packages(venv)
        subprocess.run([*pip, '--no-deps', '--no-index', wheel], check=True)
    return python

def installs(source):
    "Does a cell install something?"
    through_ipython = all(word in source for word in ('pip','install','get_ipython'))
    return through_ipython or source.lstrip().startswith(('!pip','%pip'))

def first_cell(nb):
    "What is wrong with the install cell, or None"
    cells = json.loads(nb.read_text())['cells']
    code = [''.join(c['source']) for c in cells if c['cell_type']=='code']
    if not any('fse_nb' in s for s in code): return None
    pips = [s for s in code if installs(s)]
    if not pips: return 'no cell installs fse_nb where it is missing'
    before = [s for s in code[:code.index(pips[0])] if 'fse_nb' in s and 'default_exp' not in s]
    if before: return 'fse_nb is used before it is installed'
    if "find_spec('fse_nb') is None" not in pips[0]: return 'installs without a look whether fse_nb is there'
    lines = [line for s in pips for line in s.splitlines() if 'install' in line]
    forceful = '-U','--upgrade','--force-reinstall',' torch'
    if any(word in line for line in lines for word in forceful): return 'may replace torch'

class Colab:
    "A venv, and a folder that stands for Colab's /content"
    def __init__(self, tmp, real):
        self.python,self.script,self.work = make_venv(tmp, real),tmp/'run.py',tmp/'content'
        self.script.write_text(RUN)
        self.work.mkdir()
        hidden = 'FSE_DATA','PYTHONPATH','VIRTUAL_ENV'
        path = f'{self.python.parent}:{os.environ["PATH"]}'
        self.env = {k:v for k,v in os.environ.items() if k not in hidden}|dict(MPLBACKEND='agg', PATH=path)

    def call(self, *args, **kwargs):
        kwargs = dict(kwargs, cwd=self.work, env=self.env, capture_output=True, text=True)
        return subprocess.run([self.python,*args], **kwargs)

    def versions(self):
        return self.call('-c', 'import torch, fse_nb; print(torch.__version__, fse_nb.__file__)').stdout.strip()

    def fault(self, notebook, timeout):
        "Why a notebook does not run, or None"
        shutil.copy(notebook, self.work)
        why = first_cell(notebook)
        if why: return why
        try: r = self.call(self.script, notebook.name, timeout=timeout)
        except subprocess.TimeoutExpired: return f'took longer than {timeout} s'
        return None if r.returncode==0 else r.stdout[-700:] or r.stderr[-700:]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--real', action='store_true', help='install everything from PyPI')
    p.add_argument('--only', nargs='*', help='notebooks, without .ipynb')
    p.add_argument('--timeout', type=int, default=600, help='seconds a notebook may take')
    args = p.parse_args()
    notebooks = [n for n in sorted((ROOT/'nbs').glob('*.ipynb')) if not args.only or n.stem in args.only]
    failed = []
    with tempfile.TemporaryDirectory(prefix='colab-') as tmp:
        colab = Colab(Path(tmp), args.real)
        before = colab.versions()
        print(before)
        for n in notebooks:
            began = time.time()
            why = colab.fault(n, args.timeout)
            print('FAIL' if why else 'ok  ', n.name, f'{time.time()-began:.0f} s', flush=True)
            if not why: continue
            print('    '+why.strip().replace('\n', '\n    '), flush=True)
            failed.append(n.name)
        after = colab.versions()
        if after!=before:
            print('FAIL torch or fse_nb changed:', before, '→', after)
            failed.append('torch')
    print(f'{len(failed)} failed' if failed else f'all {len(notebooks)} passed')
    sys.exit(bool(failed))

if __name__=='__main__': main()
