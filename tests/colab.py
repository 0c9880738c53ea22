"""Every notebook as Colab runs it: from the wheel, in a venv of its own, in a copy of the repository, without data

python tests/colab.py [--real] [--cells] [--only 00_coords …] [--timeout 600]

By default the venv sees the packages of the running Python, less this repository's editable install and less all that
neither the package requires nor the notebook's first cell installs, so that a notebook whose first cell forgets a
package fails. `--real` installs everything anew from PyPI (GBs). The first cell must install nothing where fse_nb is
there, and torch must stay the version that it was. `--cells` runs no notebook: it compares the first cells with
`tools/first_cells.py`, and runs one where fse_nb is missing, with this repository in place of GitHub's."""
import argparse, importlib.util, os, re, shutil, site, subprocess, sys, tempfile, time
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location('first_cells', ROOT/'tools/first_cells.py')
first_cells = importlib.util.module_from_spec(spec)
spec.loader.exec_module(first_cells)
RUNNER = 'execnb','ipykernel' # what runs a notebook here; Colab has its own
HIDE = '''
import os, sys
from importlib.machinery import PathFinder
hidden = set(os.environ.get('FSE_HIDDEN', '').split(','))
class Shown(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and name in hidden: return None
        return super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Shown
'''
FIRST = '''
from execnb.shell import CaptureShell
shell = CaptureShell()
def run(source):
    print(*shell.run(source))
    if shell.exc: raise shell.exc
run({cell})
run('import fse_nb')
run('from fse_nb.results import all_results')
run('assert "site-packages" in fse_nb.__file__, fse_nb.__file__')
run('assert all_results("eval_*"), "no results"')
'''
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
    (here/'sitecustomize.py').write_text(HIDE)

def plain(name): return re.sub(r'[-_.]+', '-', name).lower()

def with_all_they_need(requirements):
    "Names of the distributions of some requirements, and of theirs"
    found,todo = set(),[Requirement(o) for o in requirements]
    while todo:
        requirement = todo.pop()
        key = plain(requirement.name),*sorted(requirement.extras)
        if key in found: continue
        found.add(key)
        try: needed = [Requirement(o) for o in metadata.requires(requirement.name) or []]
        except metadata.PackageNotFoundError: continue
        extras = ['',*requirement.extras]
        todo += [r for r in needed if r.marker is None or any(r.marker.evaluate({'extra':e}) for e in extras)]
    return {name for name,*_ in found}

def hidden_from(notebook):
    "Modules here that a notebook would not find after its first cell"
    asked = [o.replace(first_cells.PACKAGE, 'fse_nb', 1) if o.startswith(first_cells.PACKAGE) else o
             for o in first_cells.requirements(notebook)]
    there = with_all_they_need([*asked,*RUNNER,'pip'])
    owners = metadata.packages_distributions()
    return sorted(m for m,names in owners.items() if m!='fse_nb' and not there&set(map(plain, names)))

def make_venv(tmp, real):
    "Python of a new venv with the wheel of the package"
    venv = tmp/'venv'
    python = venv/'bin/python'
    subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    subprocess.run([sys.executable, '-m', 'build', '-q', '--wheel', '--outdir', tmp/'dist', ROOT], check=True)
    wheel = str(next((tmp/'dist').glob('*.whl')))
    pip = [python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    if real:
        others = {o for nb in (ROOT/'nbs').glob('*.ipynb') for o in first_cells.requirements(nb)}
        others = [o.replace(first_cells.PACKAGE, wheel) if o.startswith(first_cells.PACKAGE) else o for o in others]
        subprocess.run([*pip, *sorted(others), *RUNNER], check=True)
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
    code = first_cells.sources(nb)
    if not any('fse_nb' in s for s in code): return None
    pips = [s for s in code if installs(s)]
    if not pips: return 'no cell installs fse_nb where it is missing'
    before = [s for s in code[:code.index(pips[0])] if 'fse_nb' in s and 'default_exp' not in s]
    if before: return 'fse_nb is used before it is installed'
    if first_cells.block(nb) not in pips[0]: return 'the first cell is not that of tools/first_cells.py: run it'
    lines = [line for s in pips for line in s.splitlines() if 'install' in line]
    forceful = '-U','--upgrade','--force-reinstall',' torch'
    if any(word in line for line in lines for word in forceful): return 'may replace torch'

def run_first_cell(tmp):
    "Why the first cell does not work where fse_nb is missing, or None; git and pip find everything on this machine"
    venv,work = tmp/'bare',tmp/'bare-content'
    subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    subprocess.run([venv/'bin/python', '-m', 'pip', 'install', '-qU', 'setuptools>=77'], check=True) # that build needs
    borrow_packages(venv)
    work.mkdir()
    cell = next(s for s in first_cells.sources(ROOT/'nbs/28_results.ipynb') if installs(s))
    script = tmp/'first.py'
    script.write_text(FIRST.format(cell=repr(f'from importlib.util import find_spec\n{cell}')))
    home = dict(GIT_CONFIG_COUNT='1', GIT_CONFIG_KEY_0=f'url.{ROOT.as_uri()}.insteadOf',
                GIT_CONFIG_VALUE_0=first_cells.HOME)
    local = dict(PIP_NO_INDEX='1', PIP_NO_DEPS='1', PIP_NO_BUILD_ISOLATION='0')
    env = {k:v for k,v in os.environ.items() if k not in ('PYTHONPATH','VIRTUAL_ENV')}|home|local
    env['PATH'] = f'{venv}/bin:{env["PATH"]}'
    r = subprocess.run([venv/'bin/python', script], cwd=work, env=env, capture_output=True, text=True)
    return None if r.returncode==0 else (r.stdout+r.stderr)[-2000:]

class Colab:
    "A venv, and a folder that stands for Colab's /content/repository/nbs"
    def __init__(self, tmp, real):
        self.python,self.script,self.work = make_venv(tmp, real),tmp/'run.py',tmp/'content/repository/nbs'
        self.script.write_text(RUN)
        left_out = shutil.ignore_patterns('.git', '_proc', '_docs', 'build', '__pycache__', '*.egg-info')
        shutil.copytree(ROOT, self.work.parent, ignore=left_out, symlinks=True)
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
        why = first_cell(notebook)
        if why: return why
        self.env['FSE_HIDDEN'] = ','.join(hidden_from(notebook))
        try: r = self.call(self.script, notebook.name, timeout=timeout)
        except subprocess.TimeoutExpired: return f'took longer than {timeout} s'
        return None if r.returncode==0 else r.stdout[-700:] or r.stderr[-700:]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--real', action='store_true', help='install everything from PyPI')
    p.add_argument('--cells', action='store_true', help='only the first cells')
    p.add_argument('--only', nargs='*', help='notebooks, without .ipynb')
    p.add_argument('--timeout', type=int, default=600, help='seconds a notebook may take')
    args = p.parse_args()
    notebooks = [n for n in sorted((ROOT/'nbs').glob('*.ipynb')) if not args.only or n.stem in args.only]
    failed = []
    if args.cells:
        faults = [f'{n.name}: {why}' for n in notebooks if (why := first_cell(n))]
        with tempfile.TemporaryDirectory(prefix='colab-') as tmp:
            if why := run_first_cell(Path(tmp)): faults.append(f'a first cell where fse_nb is missing: {why}')
        if faults: print(*faults, sep='\n')
        print(f'{len(faults)} failed' if faults else f'first cells of {len(notebooks)} notebooks passed')
        sys.exit(bool(faults))
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
