"""Put together the static Hub space: the live detector, from the files of the site

    python tools/space.py FOLDER

FOLDER then holds all that the space needs; RELEASING.md says how to upload it."""
import re, shutil, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATIC,SITE = ROOT/'fse_nb/static',ROOT/'nbs/site'
SITE_FILES = 'faces-10.onnx','astronaut.jpg','toy-0.png','toy-1.png','icon.svg','vendor'

def modules(name):
    "A module of `fse_nb/static` and those that it imports, as file names"
    text = (STATIC/f'{name}.js').read_text(encoding='utf-8')
    found = {f'{name}.js'}
    for imported in re.findall(r"from '\./(\w+)\.js'", text): found |= modules(imported)
    return found

def copy(file, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir(): shutil.copytree(file, to, dirs_exist_ok=True)
    else: shutil.copy(file, to)

def main():
    if len(sys.argv)!=2: sys.exit(__doc__)
    out = Path(sys.argv[1])
    for file in (ROOT/'spaces').iterdir(): copy(file, out/file.name)
    for name in modules('live')|modules('mount')|{'widgets.css'}: copy(STATIC/name, out/'static'/name)
    for name in (*SITE_FILES,'site.css'): copy(SITE/name, out/'site'/name)
    size = sum(f.stat().st_size for f in out.rglob('*') if f.is_file())
    print(f'{out}: {size/2**20:.1f} MB')

if __name__=='__main__': main()
