"""Code that a stranger can change safely: lines of at most 120 characters, no semicolons that join statements.

    python tests/style.py [FILE …]      default: all notebooks and scripts

Looks at code cells of notebooks (not at directives such as `#| fig-alt`, which have one line by nature) and at scripts.
Without a FILE also says where the recipe of conda-forge disagrees with settings.ini.
"""
import io, json, sys, tokenize
from configparser import ConfigParser
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 120

def sources(file):
    "(place, source) of every piece of code in a file"
    if file.suffix!='.ipynb': return [('', file.read_text(encoding='utf-8'))]
    cells = json.loads(file.read_text(encoding='utf-8'))['cells']
    return [(f' cell {i}', ''.join(c['source'])) for i,c in enumerate(cells) if c['cell_type']=='code']

def semicolons(source):
    "Numbers of the lines in which a semicolon is followed by another statement"
    try: tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError): return [] # magics and shell lines
    skip = tokenize.NEWLINE,tokenize.NL,tokenize.COMMENT,tokenize.ENDMARKER
    joins = lambda a, b: a.type==tokenize.OP and a.string==';' and b.type not in skip
    return [token.start[0] for token,after in zip(tokens, tokens[1:]) if joins(token, after)]

def faults(file):
    "What is wrong in a file, a sentence each"
    for place,source in sources(file):
        where = f'{file.relative_to(ROOT)}{place} line'
        for i,line in enumerate(source.split('\n'), 1):
            if len(line)>WIDTH and not line.startswith('#|'): yield f'{where} {i}: {len(line)} characters'
        for i in semicolons(source): yield f'{where} {i}: a semicolon joins statements'

def recipe_faults():
    "Where conda/recipe.yaml says anything else than settings.ini and pyproject.toml"
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    ours,recipe = config['DEFAULT'],yaml.safe_load((ROOT/'conda/recipe.yaml').read_text(encoding='utf-8'))
    said = dict(version=recipe['context']['version'], commands=recipe['build']['python']['entry_points'],
                requirements=[o.replace(' ', '') for o in recipe['requirements']['run'][1:]])
    wanted = dict(version=ours['version'], commands=[o.replace('=', ' = ') for o in ours['console_scripts'].split()],
                  requirements=[o.replace('torch>', 'pytorch>') for o in ours['requirements'].split()])
    for what in wanted:
        if said[what]!=wanted[what]: yield f'conda/recipe.yaml: {what}: {said[what]}, not {wanted[what]}'
    python = f'requires-python = ">={recipe["context"]["python_min"]}"'
    if python not in (ROOT/'pyproject.toml').read_text(encoding='utf-8'):
        yield f'conda/recipe.yaml: pyproject.toml does not say {python}'

def all_files():
    folders = 'nbs','experiments','benchmarks','tests','tools'
    return [f for d in folders for f in sorted((ROOT/d).glob('*')) if f.suffix in ('.ipynb','.py')]

def main():
    files = [Path(f).resolve() for f in sys.argv[1:]] or all_files()
    bad = [o for f in files for o in faults(f)]
    if not sys.argv[1:]: bad += recipe_faults()
    print(*bad, f'{len(bad)} faults in {len(files)} files', sep='\n')
    sys.exit(bool(bad))

if __name__=='__main__': main()
