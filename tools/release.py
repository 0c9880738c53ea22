"""What a release is called and what is new in it

    python tools/release.py check [TAG]   fails where version, tag, CITATION.cff and CHANGELOG.md disagree
    python tools/release.py notes         the section of CHANGELOG.md for this version"""
import re, sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

def version():
    config = ConfigParser(delimiters=['='])
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return config['DEFAULT']['version']

def section(number):
    "Heading and text of a version in CHANGELOG.md"
    parts = re.split(r'(?m)^## (.*)$', (ROOT/'CHANGELOG.md').read_text(encoding='utf-8'))
    for heading,text in zip(parts[1::2], parts[2::2]):
        if re.match(re.escape(number)+r'\b', heading): return heading,text.strip()
    sys.exit(f'CHANGELOG.md has no section "## {number}"')

def faults(number, tag=None):
    heading,_ = section(number)
    if tag and tag!=f'v{number}': yield f'the tag is {tag}, but settings.ini says {number}: it should be v{number}'
    if not re.search(r'\d{4}-\d\d-\d\d', heading): yield f'CHANGELOG.md: "## {heading}" has no date'
    cff = (ROOT/'CITATION.cff').read_text(encoding='utf-8')
    if f'\nversion: {number}\n' not in cff: yield f'CITATION.cff does not say "version: {number}"'
    page = (ROOT/'nbs/citation.ipynb').read_text(encoding='utf-8')
    if f'version = {{{number}}}' not in page: yield f'nbs/citation.ipynb does not cite version {number}'

def main():
    number = version()
    if sys.argv[1:2]==['notes']: print(section(number)[1])
    elif sys.argv[1:2]==['check']:
        found = list(faults(number, *sys.argv[2:3]))
        print(*found or [f'version {number}: all agree'], sep='\n')
        sys.exit(bool(found))
    else: sys.exit(__doc__)

if __name__=='__main__': main()
