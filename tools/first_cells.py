"""Write the first cell of each notebook: what it needs where nothing is installed, as on Colab

    python tools/first_cells.py [NOTEBOOK …]           write
    python tools/first_cells.py --check [NOTEBOOK …]   only say which cells differ; exit status 1 if any do

The cell clones the repository, so that a page finds `results/` beside it, and installs the package from there with what
the page imports besides. Once a release is on PyPI, PACKAGE becomes 'fse_nb', and this is run again."""
import argparse, ast, json, re, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = 'https://github.com/fse-nb/fse_nb'
PACKAGE = '..' # what is installed: the clone, seen from its nbs/
EXPORT = 'onnx','onnxruntime','onnxscript','huggingface_hub' # of the extra [export]
PACKAGES = dict(skimage='scikit-image', hypothesis='hypothesis', h5py='h5py', pillow_heif='pillow-heif', nbdev='nbdev')

def sources(notebook):
    "Sources of the code cells of a notebook's file"
    cells = json.loads(Path(notebook).read_text(encoding='utf-8'))['cells']
    return [''.join(c['source']) for c in cells if c['cell_type']=='code']

def imported(source):
    "First parts of the names of the modules that a cell imports, anywhere in it"
    for node in ast.walk(ast.parse(re.sub(r'(?m)^\s*[%!].*$', '', source))):
        if isinstance(node, ast.Import): yield from (a.name.split('.')[0] for a in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level: yield node.module.split('.')[0]

def requirements(notebook):
    "What pip is asked to install for a notebook"
    modules = {m for source in sources(notebook) for m in imported(source)}
    extra = '[export]' if modules&set(EXPORT) else ''
    return [PACKAGE+extra, *sorted(PACKAGES[m] for m in modules&set(PACKAGES))]

def block(notebook):
    "The lines that a notebook's first cell should have"
    return f"""if find_spec('fse_nb') is None: # as on Colab: the repository, with results/, and what this page imports
    get_ipython().system('git clone -q --depth 1 {HOME} repository')
    get_ipython().run_line_magic('cd', '-q repository/nbs')
    get_ipython().run_line_magic('pip', 'install -q {' '.join(requirements(notebook))}')"""

_block = re.compile(r"^if find_spec\('fse_nb'\) is None:.*(?:\n    .*)*", re.M)

def with_block(notebook):
    "A notebook's text with the lines it should have; None for one without such a cell"
    text = Path(notebook).read_text(encoding='utf-8')
    made = json.loads(text)
    for cell in made['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type']!='code' or not _block.search(source): continue
        cell['source'] = _block.sub(lambda m: block(notebook), source, count=1).splitlines(keepends=True)
        return json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True)+'\n'

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('notebooks', nargs='*', type=Path, help='default: all')
    p.add_argument('--check', action='store_true', help='write nothing')
    args = p.parse_args()
    differ = 0
    for notebook in args.notebooks or sorted((ROOT/'nbs').glob('*.ipynb')):
        text = with_block(notebook)
        if text is None or text==notebook.read_text(encoding='utf-8'): continue
        differ += 1
        print(notebook.name)
        if not args.check: notebook.write_text(text, encoding='utf-8')
    sys.exit(bool(differ and args.check))

if __name__=='__main__': main()
