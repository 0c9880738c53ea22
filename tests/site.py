"""The site in a real browser without a network

Every page loads without an error or a request to another host, links, anchors and pictures lead somewhere, widgets
mount, the live detector agrees with Python, the annotator opens, contrast and keyboard pass axe, sizes stay small.
Every page is looked at in light and dark, on a desktop and on a phone, there with all folds open.

python tests/site.py [--docs _docs] [--build] [--axe FILE] [--only PAGE …]
python tests/site.py --static                               what needs no browser
python tests/site.py --shots DIR [--full] [--only PAGE …]   no checks, but pictures: phone and desktop, light and dark

Needs playwright and a Chromium (FSE_CHROMIUM, /usr/bin/chromium, or playwright's own). `--build` runs nbdev-docs first.
axe comes from npm: `bash tools/vendor.sh axe DIR`, then `--axe DIR/axe.min.js`; without it, that part says that it did
not run."""
import argparse, base64, gzip, html, io, json, os, re, subprocess, sys, tempfile, threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np, yaml

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get('FSE_CHROMIUM') or ('/usr/bin/chromium' if Path('/usr/bin/chromium').exists() else None)
SITE,GIT = 'https://fse-nb.github.io/fse_nb/','https://github.com/fse-nb/fse_nb'
COLAB = GIT.replace('https://github.com', 'https://colab.research.google.com/github')
BASE = urlsplit(SITE).path # of the site on its host
MB = 2**20
SCHEMES = 'light','dark'
SCREENS = dict(desktop=dict(width=1280, height=900), phone=dict(width=390, height=844))

LOADING = {'stylesheet','preload','modulepreload','icon','preconnect','dns-prefetch','manifest'} # links that fetch

# ---- what needs no browser

class Page(HTMLParser):
    "Links, anchors and pictures of a page"
    def __init__(self, file):
        super().__init__()
        self.links,self.ids,self.images,self.loads = [],set(),[],[]
        self.text = file.read_text(encoding='utf-8')
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ('id','name') if a.get(k)}
        if tag=='a' and a.get('href'): self.links.append(a['href'])
        if tag=='img': self.images.append(a)
        if tag!='a': self.links += [a[k] for k in ('src','data-src') if a.get(k) and not a[k].startswith('data:')]
        self.loads += [a[k] for k in ('src','srcset','poster','data-src') if a.get(k)]
        if tag=='link' and LOADING&set((a.get('rel') or '').split()): self.loads.append(a.get('href') or '')

def page_name(notebook):
    "Name of the page of a notebook, as nbdev gives it"
    return re.sub(r'^\d+[a-zA-Z0-9]*_', '', notebook.stem)+'.html'

def notebooks(root):
    "Name of each page → the file name of its notebook"
    return {page_name(p):p.name for p in sorted((root/'nbs').glob('*.ipynb'))}

def broken_links(docs, root, pages):
    "Links that lead to no file or to no anchor"
    for name,page in pages.items():
        for link in page.links:
            own = link.startswith((SITE,BASE)) # an address of this site, written out, as Quarto does for the 404 page
            url = urlsplit(link.removeprefix(SITE).removeprefix(BASE))
            if url.scheme or url.netloc: continue
            path = unquote(url.path)
            if path: to = (docs if own else docs/Path(name).parent)/path
            else: to = docs/('index.html' if own else name)
            if to.is_dir(): to = to/'index.html'
            if to.name=='llms.txt' and (root/'nbs/llms.txt').is_file(): continue
            if not to.exists():
                yield f'{name}: link to {link}: no such file'
                continue
            key = to.resolve().relative_to(docs.resolve()).as_posix()
            if url.fragment and key in pages and unquote(url.fragment) not in pages[key].ids:
                yield f'{name}: link to {link}: no such anchor'

def faults_of_pages(pages, made):
    "Pictures without words, pages without their notebook, equations that are not rendered"
    for name,page in pages.items():
        for image in page.images:
            if not (image.get('alt') or '').strip() and 'quarto-cover' not in image.get('class', ''):
                yield f'{name}: image without alt text: {image.get("src", "")[:60]}'
        if name in made:
            for to in (COLAB,GIT):
                link = f'{to}/blob/main/nbs/{made[name]}'
                if link not in page.links: yield f'{name}: no link to {link}'
        prose = re.sub(r'<annotation.*?</annotation>|<code.*?</code>|<pre.*?</pre>', '', page.text, flags=re.S)
        if r'\tag{' in prose: yield f'{name}: an equation is not rendered'
        shown = re.search(r'.{0,60}\]\(http.{0,40}', prose)
        if shown: yield f'{name}: Markdown of a link is shown: {shown[0]}'
        for url in page.loads:
            host = urlsplit(url).netloc
            if host and not url.startswith(SITE): yield f'{name}: loads from another host: {url[:80]}'
        if 'glossary.html' in made and not any(urlsplit(o).path.endswith('glossary.html') for o in page.links):
            yield f'{name}: no link to the glossary'

_signature = re.compile(r'<summary>Signature</summary>(?:\s*<div[^>]*>)*\s*<pre[^>]*>(.*?)</pre>', re.S)

def signature_faults(pages):
    "Signatures that name `__main__`, `NoneType` or the events of fastai"
    shown = {name:[html.unescape(re.sub('<[^>]+>', '', s)) for s in _signature.findall(page.text)]
             for name,page in pages.items()}
    shown = {name:[s for s in found if s.lstrip().startswith(('def ','class '))] for name,found in shown.items()}
    if pages and not any(shown.values()): yield 'no signature on any page: has the form of pages changed?'
    for name,found in shown.items():
        for signature in found:
            for word in ('__main__.', ':NoneType=', 'after_create'):
                said = ' '.join(signature.split())[:80]
                if word in signature: yield f'{name}: signature with {word}: {said}'

def output_faults(proc):
    "Outputs for which Quarto would load require.js and jQuery from another host"
    for file in sorted(proc.glob('*.ipynb')):
        for cell in json.loads(file.read_text(encoding='utf-8'))['cells']:
            for output in cell.get('outputs', []):
                bad = {'text/html','application/javascript'}&set(output.get('data', {}))
                if bad: yield f'{file.name}: output of type {", ".join(bad)}: {"".join(cell["source"])[:60]!r}'

RAW = re.compile(r'\w+_\w+|\b[a-z]\w*\.\w+\.\w+|\brows\.\d')

def key_faults(docs):
    "Names in the browser of results that are keys of a program, not words"
    for record in json.loads((docs/'static/results.json').read_text(encoding='utf-8'))['records']:
        curve = record.get('curve') or {}
        said = [record['name'],record['kind'],*record['numbers'],*curve.get('y', ()),curve.get('xname', '')]
        for name in said:
            if RAW.search(name): yield f'static/results.json: {record["file"]}: key instead of words: {name}'

def markdown_pages(docs, proc):
    "Name and text of each page's Markdown version: Quarto's or, where there is none, Pandoc's made the same way"
    made = sorted(docs.glob('*.html.md'))
    if made: return [(f.name,f.read_text(encoding='utf-8')) for f in made]
    try: import pypandoc
    except ImportError: return []
    variant = yaml.safe_load((ROOT/'_quarto.yml').read_text())['format']['commonmark']
    variant = variant.get('variant', '') if isinstance(variant, dict) else ''
    def text(cell):
        shown = [''.join(o.get('data', {}).get('text/markdown', '')) for o in cell.get('outputs', [])]
        return ''.join(cell['source']) if cell['cell_type']=='markdown' else '\n\n'.join(shown)
    def page(file):
        cells = json.loads(file.read_text(encoding='utf-8'))['cells']
        return pypandoc.convert_text('\n\n'.join(map(text, cells)), f'commonmark{variant}', 'markdown',
                                     extra_args=['--quiet'])
    return [(f'{page_name(file)}.md',page(file)) for file in sorted(proc.glob('*.ipynb'))]

def markdown_faults(named):
    "Markdown versions whose formulas are not TeX, or that link to notebooks"
    for name,text in named:
        prose = re.sub(r'```.*?```|`[^`\n]*`', '', text, flags=re.S)
        link = re.search(r'\]\((?!https?:)[^)]*\.ipynb[^)]*\)', prose)
        if link: yield f'{name}: link to a notebook {link[0]}'
        formula = re.search(r'<su[bp]>\*|\*<su[bp]>|\\\\u', prose) # what Pandoc writes for formulas without dollars
        if not formula: continue
        around = prose[max(0, formula.start()-30):formula.end()+30]
        yield f'{name}: a formula is not TeX: {around!r}'
    formulas = [text for name,text in named if name=='losses.html.md' and '$$' in text]
    if named and not formulas: yield 'losses.html.md: no formula'

def theme_faults(root):
    "What the dark theme must say, since its defaults are made for a light one"
    dark = (root/'nbs/site/dark.scss').read_text()
    for name in ('pre-color','body-emphasis-color','code-block-bg','code-bg','body-bg','body-color'):
        if f'${name}:' not in dark: yield f'nbs/site/dark.scss: ${name} is not set'

def flat(contents):
    "File names in a part of the sidebar"
    names = []
    for o in contents:
        if isinstance(o, str): names.append(o)
        else: names += flat(o['contents']) if 'contents' in o else [o.get('href')]
    return names

def title_of(notebook):
    "First line of a notebook, without its hash"
    first = ''.join(json.loads(notebook.read_text(encoding='utf-8'))['cells'][0]['source'])
    return first.splitlines()[0].removeprefix('# ').strip()

def entries(contents):
    "Text and file name of each numbered chapter in a part of the sidebar"
    for o in contents:
        if isinstance(o, dict) and 'contents' in o: yield from entries(o['contents'])
        else:
            text,name = (o.get('text'),o.get('href', '')) if isinstance(o, dict) else (None,o)
            if re.match(r'[0-3]\d', name): yield text,name

def sidebar_faults(root):
    "The sidebar has every notebook, in reading order"
    contents = yaml.safe_load((root/'_quarto.yml').read_text())['website']['sidebar']['contents']
    side,made = flat(contents),notebooks(root)
    for p in (root/'nbs').glob('*.ipynb'):
        if p.name not in made.values(): yield f'{p.name}: becomes the same page as another notebook: rename it'
        elif p.name not in side and p.name!='404.ipynb': yield f'_quarto.yml: {p.name} is not in the sidebar'
    for name in side:
        if not (root/'nbs'/name).is_file(): yield f'_quarto.yml: {name} is in the sidebar and does not exist'
    for text,name in entries(contents):
        want = ' '.join([re.match(r'\d+[a-z]?', name)[0],title_of(root/'nbs'/name)])
        if text!=want: yield f'_quarto.yml: the sidebar calls {name} "{text}", not "{want}"'
    for section in contents: # each in the order of its numbers; its first page may be a summary
        numbered = [n for n in flat([section]) if re.match(r'\d\d', n)][1:]
        if numbered!=sorted(numbered): yield f'_quarto.yml: sidebar out of reading order: {numbered}'

def llms_faults(root):
    "llms.txt names only pages that there are, and every page of the method"
    made,text = notebooks(root),(root/'nbs/llms.txt').read_text()
    named = [u.split('fse_nb/')[-1].removesuffix('.md') for u in re.findall(r'\((https://fse-nb[^)]+)\)', text)]
    for n in named:
        if n not in made: yield f'llms.txt: {n}: no such page'
    for page,notebook in made.items():
        if re.match(r'[01]\d', notebook) and page not in named: yield f'llms.txt: {page} is missing'

def still_faults(root):
    "Widgets on a page of which readers without JavaScript see no picture"
    for file in sorted((root/'nbs').glob('*.ipynb')):
        cells = json.loads(file.read_text(encoding='utf-8'))['cells']
        prose = '\n'.join(''.join(c['source']) for c in cells if c['cell_type']=='markdown')
        prose = re.sub(r'```.*?```', '', prose, flags=re.S)
        for widget,inside in re.findall(r'<div [^>]*data-widget="(\w+)"[^>]*>(.*?)</div>', prose, re.S):
            still = re.search(r'<img src="([^"]+)"', inside)
            if not still or not (root/'nbs'/still[1]).is_file(): yield f'{file.name}: no still of the widget {widget}'

def source_faults(root):
    "What can be said before the site is built"
    yield from still_faults(root)
    yield from sidebar_faults(root)
    yield from llms_faults(root)
    yield from theme_faults(root)
    for f in ('site/card.png', 'site/icon.svg', 'site/site.css', 'site/math.css', 'llms.txt'):
        if not (root/'nbs'/f).is_file(): yield f'nbs/{f} is missing'

def static_checks(docs, root):
    "Faults, and names of the pages"
    pages = {f.relative_to(docs).as_posix():Page(f) for f in sorted(docs.rglob('*.html')) if 'site_libs' not in f.parts}
    made = notebooks(root)
    bad = list(source_faults(root))
    bad += [f'{page}: no page for {notebook}' for page,notebook in made.items() if page not in pages]
    bad += [*broken_links(docs, root, pages),*faults_of_pages(pages, made),*signature_faults(pages)]
    bad += [*output_faults(root/'_proc'),*markdown_faults(markdown_pages(docs, root/'_proc')),*key_faults(docs)]
    size = sum(f.stat().st_size for f in docs.rglob('*') if f.is_file())
    if size>40*MB: bad.append(f'the site has {size/MB:.1f} MB, more than 40')
    print(f'{len(pages)} pages, {sum(len(p.links) for p in pages.values())} links, {size/MB:.1f} MB')
    return bad,list(pages)

# ---- a server and a browser

TEXTS = '.html','.css','.js','.mjs','.json','.svg','.md','.txt'

class Quiet(SimpleHTTPRequestHandler):
    "Files of the site below /fse_nb/, texts compressed, as on GitHub Pages"
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, '.js':'text/javascript', '.mjs':'text/javascript',
                      '.wasm':'application/wasm', '.webp':'image/webp'}
    def log_message(self, *args): pass
    def translate_path(self, path): return super().translate_path(re.sub(r'^/fse_nb(/|$)', '/', path))
    def do_GET(self):
        file = Path(self.translate_path(self.path))
        if file.is_dir(): file = file/'index.html'
        if file.suffix in TEXTS and file.is_file(): return self.compressed(file)
        if self.path!='/favicon.ico': return super().do_GET()
        self.send_response(204) # browsers ask for it where a page names no icon
        self.end_headers()
    def compressed(self, file):
        data = gzip.compress(file.read_bytes(), 6, mtime=0)
        self.send_response(200)
        self.send_header('Content-Type', self.guess_type(str(file)))
        self.send_header('Content-Encoding', 'gzip')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

def serve(docs):
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(docs)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server,f'http://127.0.0.1:{server.server_port}/fse_nb/'

FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--use-fake-device-for-media-stream',
         '--use-fake-ui-for-media-stream']
ALL_MOUNTED = ("[...document.querySelectorAll('.fse-widget[data-widget]')]"
               ".every(e => e.matches('.fse-mounted, .fse-failed'))")
NOT_MOUNTED = "[...document.querySelectorAll('.fse-widget[data-widget]:not(.fse-mounted)')].map(e => e.dataset.widget)"
NOT_LOADED = ("[...document.images].filter(i => i.complete && !i.naturalWidth && i.loading!='lazy')"
              ".map(i => i.src.slice(0,80))")

PALE = """(() => { // code and printed text whose contrast is below 4.5
  const rgba = c => { const v = c.match(/[\\d.e-]+/g).map(Number), k = c.startsWith('color(') ? 255 : 1;
                      return [v[0] * k, v[1] * k, v[2] * k, v[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const ground = e => { if (!e) return rgba(getComputedStyle(document.documentElement).colorScheme === 'dark'
                                             ? 'rgb(18,18,18)' : 'rgb(255,255,255)');
                        const b = rgba(getComputedStyle(e).backgroundColor);
                        return b[3] === 1 ? b : over(b, ground(e.parentElement)); };
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.slice(0, 3).map(linear); return .2126 * r + .7152 * g + .0722 * b; };
  const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const clear = e => { let o = 1; for (; e; e = e.parentElement) o *= +getComputedStyle(e).opacity; return o; };
  const shown = [...document.querySelectorAll('pre, pre *, code')].filter(e => own(e) && e.checkVisibility());
  return shown.slice(0, 3000).map(e => {
    const back = ground(e), c = rgba(getComputedStyle(e).color);
    const front = over([c[0], c[1], c[2], c[3] * clear(e)], back);
    const [a, b] = [light(front), light(back)].sort((a, b) => b - a);
    return [(a + .05) / (b + .05), e.textContent.trim().slice(0, 40)];
  }).filter(o => o[0] < 4.5).map(o => `${o[0].toFixed(1)}: ${o[1]}`); })()"""
LONG_LABELS = """[...document.querySelectorAll('.fse-slider output, .fse-note')].map(e => e.textContent)
                 .filter(t => /[1-9]\\d*\\.\\d{5}|\\.0*[1-9]\\d{4}/.test(t))"""
OVERPRINTED = """(() => { // labels of a widget that lie on one another, or beyond its edge
  const out = [];
  for (const w of document.querySelectorAll('.fse-mounted')) {
    const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const told = [...w.querySelectorAll('label, output, figcaption, svg text, th, td, li, p, button, dt, dd, summary')];
    const boxes = told.filter(e => own(e) && e.checkVisibility({opacityProperty: true})).map(e => {
      const r = document.createRange(); r.selectNodeContents(e);
      return [e, r.getBoundingClientRect()]; }).filter(([e, b]) => b.width && b.height);
    const edge = w.getBoundingClientRect();
    for (const [e, b] of boxes)
      if (e.matches('label, output, button') && !e.closest('dialog, .fse-scroll, .fse-sr')
          && (b.left < edge.left - 2 || b.right > edge.right + 2))
        out.push(`${w.dataset.widget}: "${e.textContent}" juts out`);
    const scrolled = e => e.closest('.fse-scroll'), dialog = e => e.closest('dialog, [role=dialog]');
    for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
      const [[e, a], [f, b]] = [boxes[i], boxes[j]];
      if (e.contains(f) || f.contains(e) || !!scrolled(e) !== !!scrolled(f) || dialog(e) !== dialog(f)) continue;
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top), text = o => o.textContent.slice(0, 24);
      if (x > 1.5 && y > 3) out.push(`${w.dataset.widget}: "${text(e)}" on "${text(f)}"`);
    }
  }
  return out.slice(0, 6); })()"""
MOVE = """(part => document.querySelectorAll('.fse-mounted .fse-slider input').forEach(e => { // every slider
  e.value = +e.min + part * (e.max - e.min); e.dispatchEvent(new Event('input', {bubbles: true})); }))"""
RAW_KEYS = """[...document.querySelectorAll('.fse-table td, .fse-choose option, .fse-legend li')]
              .map(e => e.textContent)
              .filter(t => t.split(/ · |: |, /).some(p => /^[a-z0-9]+([_.\\/][A-Za-z0-9]+)+$/.test(p) && isNaN(p)))"""

DARK_FIGURES = """[...document.querySelectorAll('main img')].filter(e => !e.closest('.fse-mounted')).filter(e => {
                   const [r, g, b, a] = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
                   return Math.min(r, g, b) < 200 || (a ?? 1) < 1; }).map(e => e.alt.slice(0, 60))"""
UNFOLD = "document.querySelectorAll('main details').forEach(e => { e.open = true; })"

def foreign_fonts(context, page):
    "Fonts other than that of `math.css` in which the page's formulas are set"
    cdp = context.new_cdp_session(page)
    cdp.send('DOM.enable')
    cdp.send('CSS.enable')
    page.evaluate('document.fonts.ready.then(() => 0)')
    root = cdp.send('DOM.getDocument', dict(depth=0))['root']['nodeId']
    found = {}
    for node in cdp.send('DOM.querySelectorAll', dict(nodeId=root, selector=TOKENS))['nodeIds'][:400]:
        for font in cdp.send('CSS.getPlatformFontsForNode', dict(nodeId=node))['fonts']:
            found[font['familyName']] = found.get(font['familyName'], 0)+font['glyphCount']
    cdp.detach()
    return {k:n for k,n in found.items() if k!='STIX Two Math'}

TOKENS = 'math :is(mi, mn, mo)'

def visit(context, url, base, bad, name):
    "Open a page and watch it: its faults go to `bad`; the page, and its finished requests"
    page,finished = context.new_page(),[]
    page.set_default_timeout(120_000) # a busy machine is no fault of the page
    def console(message):
        if message.type=='error': bad.append(f'{name}: console: {message.text[:200]}')
    def request(r):
        if not r.url.startswith((base,'data:','blob:')): bad.append(f'{name}: request to {r.url[:100]}')
    page.on('console', console)
    page.on('pageerror', lambda e: bad.append(f'{name}: {str(e)[:200]}'))
    page.on('request', request)
    page.on('requestfinished', lambda r: finished.append(r))
    page.goto(url, wait_until='load')
    page.wait_for_load_state('networkidle') # on a long page the network may rest while the browser still reads
    try: page.wait_for_function(ALL_MOUNTED, timeout=60_000)
    except Exception: bad.append(f'{name}: a widget neither mounts nor fails in a minute')
    return page,finished

def weight(requests):
    "Bytes that came, as they were sent"
    def size(request):
        try: return request.sizes()['responseBodySize']
        except Exception: return 0 # of a request that was given up
    return sum(size(r) for r in list(requests))

AXE = """async () => {
  const asked = {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'], resultTypes: ['violations']};
  const said = n => `${n.target} ${n.failureSummary.split('\\n').at(-1).trim().slice(0, 150)}`;
  return (await axe.run(document, asked)).violations.map(v => `${v.id} (${v.nodes.length}): ${said(v.nodes[0])}`); }"""

def axe_faults(page, axe):
    "What axe finds; nothing without its source"
    if not axe: return []
    if not page.evaluate("'axe' in window"): page.evaluate(axe)
    return [f'axe: {o}' for o in page.evaluate(AXE)]

def screens(page):
    "The name of each screen, with the window at its size"
    for screen,size in SCREENS.items():
        page.set_viewport_size(size)
        page.wait_for_timeout(200)
        yield screen

def looks(page, axe):
    "Faults that a scheme and a screen can have: what axe says, labels on one another, a page wider than its window"
    bad = axe_faults(page, axe)
    bad += [f'labels on one another or over the edge: {o}' for o in page.evaluate(OVERPRINTED)]
    wide,width = page.evaluate('[document.documentElement.scrollWidth, innerWidth]')
    if wide>width+2: bad.append(f'{wide} pixels wide in a window of {width}')
    return bad

# ---- the live detector

STATE = """(() => { const e = document.querySelector('.fse-live'), f = e.fseFrames;
            return {...e.fseModel.state(), straight: [...f.straight], coef: f.coef}; })()"""
COLORS = """[...document.querySelectorAll('.fse-swatch')]
            .map(e => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number))"""
SLIDE = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }"
FILE = """([bytes, name, mime]) => { const d = new DataTransfer();
          const data = Uint8Array.from(atob(bytes), c => c.charCodeAt(0));
          d.items.add(new File([data], name, {type: mime})); return d; }"""

class Live:
    "The live page, and the same detector in Python"
    def __init__(self, page, name):
        from fse_nb.export import load_detector
        self.page,self.name,self.model,self.bad = page,name,load_detector('faces-10'),[]
        self.element = page.locator('.fse-live')

    def fault(self, what, says): self.bad.append(f'{self.name}: {what}: {says}')
    def status(self): return self.page.evaluate("document.querySelector('.fse-live').fseModel.get('status')")

    def wait(self):
        self.page.wait_for_function("document.querySelector('.fse-live').fseModel.get('status')!='loading'")
        self.page.evaluate("document.querySelector('.fse-live').fseIdle()")

    def start(self):
        self.element.get_by_role('button', name='Start').click()
        ready = "['ready','failed'].includes(document.querySelector('.fse-live').fseModel.get('status'))"
        self.page.wait_for_function(ready, timeout=120_000)
        self.wait()

    def compare(self, what):
        "Landmarks and confidences of the page beside those of Python; returns the page's state"
        import torch
        from fse_nb.detect import detect
        state = self.page.evaluate(STATE)
        pixels = torch.tensor(state['straight'], dtype=torch.float32).view(100, 100, 4)[...,:3]
        x = pixels.permute(2,0,1)[None]/127.5-1
        pts,sure = (o[0] for o in detect(self.model, x, with_confidence=True))
        away = ((pts-torch.tensor(state['landmarks'])).abs().max()*50).item()
        apart = (sure-torch.tensor(state['confidence'])).abs().max().item()
        if away>.02: self.fault(what, f'landmarks differ from Python by {away:.3f} px')
        if apart>.005: self.fault(what, f'confidences differ from Python by {apart:.4f}')
        mean = 100*sure.mean().item()
        if f'Mean confidence {mean:.0f} %' not in self.element.inner_text() and abs(mean%1-.5)>.2:
            self.fault(what, f'the page does not say "Mean confidence {mean:.0f} %"')
        if state['coef']: self.compare_warped(what, state, x, pts)
        return state

    def compare_warped(self, what, state, x, pts):
        "The warped half of the page: its landmarks, and the error that it shows"
        import torch
        from fse_nb.warps import ThinPlateWarp, control_grid, warp_image
        g = ThinPlateWarp(torch.tensor(state['coef']).view(1,-1,2), control_grid(10))
        with torch.no_grad(): found = self.model.landmarks(warp_image(x, g.grid(80, 80, extent=.8)), extent=.8)
        error = ((g(found)[0]-pts).norm(dim=-1).mean()*50).item()
        away = ((found[0]-torch.tensor(state['warped'])).abs().max()*50).item()
        if away>.15: self.fault(what, f'warped landmarks differ by {away:.3f} px')
        if abs(error-state['error'])>.1: self.fault(what, f'error {state["error"]:.2f} px, Python {error:.2f}')

    def slide(self, label, value):
        self.element.get_by_label(label).evaluate(SLIDE, value)
        self.wait()

    def drop(self, data, file, mime):
        transfer = self.page.evaluate_handle(FILE, [base64.b64encode(data).decode(),file,mime])
        self.element.dispatch_event('drop', {'dataTransfer':transfer})
        self.page.wait_for_timeout(400)
        self.wait()

def drawn_face():
    "A PNG"
    from PIL import Image
    from fse_nb.data import toy_faces
    buffer = io.BytesIO()
    Image.fromarray(toy_faces(3, seed=0, size=200).images[1]).save(buffer, 'PNG')
    return buffer.getvalue()

def live_checks(page, name):
    "Start the detector, drop files, turn and bend the picture; compare with Python"
    from fse_nb.draw import landmark_colors
    live = Live(page, name)
    live.start()
    if np.abs(np.array(page.evaluate(COLORS))-255*landmark_colors(10)).max()>1:
        live.fault('colours', 'they are not those of landmark_colors')
    first = live.compare('astronaut')
    print(f'  live: {first["status"]}, confidence {np.mean(first["confidence"]):.2f}', end='')
    for degrees in (10, 20, 30, 45, 60):
        live.slide('rotation', degrees)
        print(f', {degrees}°: {live.compare(f"rotation {degrees}")["error"]:.2f} px', end='')
    live.slide('rotation', 20)
    live.slide('bending', 1)
    print(f', 20° and bend 1: {live.compare("rotation 20 and bend")["error"]:.2f} px')
    before = page.evaluate(STATE)['landmarks']
    live.drop(drawn_face(), 'toy.png', 'image/png')
    if live.compare('dropped file')['landmarks']==before: live.fault('dropped file', 'it changes nothing')
    live.drop(b'not a picture', 'x.png', 'image/png')
    if 'cannot be read' not in live.element.inner_text(): live.fault('broken picture', 'no word about it')
    live.element.locator('.fse-drop .fse-square').focus()
    for key in ('+','ArrowLeft'): page.keyboard.press(key)
    live.wait()
    moved = page.evaluate(STATE)
    if moved['zoom']<=1 or moved['center'][0]<=.5: live.fault('keys', 'they do not move the picture')
    live.compare('moved picture')
    live.element.get_by_role('button', name='Camera').click()
    page.wait_for_timeout(1500)
    live.element.get_by_role('button', name='Keep this picture').click()
    page.wait_for_timeout(300)
    live.wait()
    live.compare('camera')
    return live.bad

ANNOTATOR = "document.querySelector('.fse-ann')?.fseAnnotator?.state()"

def label_checks(page, name, scheme, axe):
    "The annotator on drawn faces, on a desktop and on a phone: its help, a picture, a file that is refused"
    bad = []
    def look(what):
        for screen in screens(page): bad.extend(f'{name} ({scheme}, {what}, {screen}): {o}' for o in looks(page, axe))
    page.get_by_role('button', name='drawn faces').click()
    page.wait_for_function(ANNOTATOR)
    look('help')
    page.keyboard.press('Escape')
    look('first picture')
    no_detector = dict(name='a_long_name_of_what_is_no_detector_at_all.onnx', mimeType='', buffer=b'no detector')
    page.locator('.fse-here input[accept=".onnx"]').set_input_files(no_detector)
    page.get_by_text('faces-10 stays').wait_for()
    look('refused file')
    return bad

def space_checks(browser, axe):
    "The Hub space, as tools/space.py puts it together: it loads nothing from elsewhere, and detects as Python does"
    bad,name = [],'space'
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable,ROOT/'tools/space.py',folder], check=True)
        server,base = serve(folder)
        context = browser.new_context(viewport=dict(width=1280, height=900), permissions=['camera'],
                                      reduced_motion='reduce')
        page,_ = visit(context, f'{base}index.html', base, bad, name)
        try: bad += live_checks(page, name)
        except Exception as e: bad.append(f'{name}: live detector: {str(e)[:300]}')
        bad += [f'{name} ({screen}): {o}' for screen in screens(page) for o in looks(page, axe)]
        context.close()
        server.shutdown()
    return bad

# ---- the command

def shots(browser, base, names, out, full=False):
    out.mkdir(parents=True, exist_ok=True)
    for screen,size in SCREENS.items():
        for scheme in SCHEMES:
            context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion='reduce')
            for n in names:
                page,_ = visit(context, base+n, base, [], n)
                page.screenshot(path=out/f'{Path(n).stem}-{screen}-{scheme}.png', full_page=full)
                page.close()
            context.close()
    print(f'{4*len(names)} pictures in {out}')

def once(context, page, name, finished):
    "Faults that do not depend on scheme and screen"
    size = weight(finished)
    bad = [f'widget {w} did not mount' for w in page.evaluate(NOT_MOUNTED)]
    bad += [f'picture does not load: {u}' for u in page.evaluate(NOT_LOADED)]
    bad += [f'key instead of words: {o}' for o in page.evaluate(RAW_KEYS)[:3]]
    fonts = foreign_fonts(context, page)
    if fonts: bad.append(f'formulas in fonts of the machine, glyphs: {fonts}')
    print(f'  {name}', end=' ', flush=True)
    if name=='index.html': print(f'({size/1024:.0f} KB)', end=' ')
    if name in ('index.html','live.html') and size>1.5*MB: bad.append(f'{size/MB:.2f} MB before a demo is started')
    return bad

def slider_faults(page):
    "Labels with needless decimals, as the page is and with its sliders moved, and labels that then lie on one another"
    bad = []
    for part in (None, .23, .71, 1): # on the last screen, a phone
        if part is not None:
            page.evaluate(MOVE, part)
            page.wait_for_timeout(150)
        bad += [f'label with needless decimals: {o}' for o in page.evaluate(LONG_LABELS)]
        bad += [f'labels on one another or over the edge, sliders at {part}: {o}' for o in page.evaluate(OVERPRINTED)]
    return bad

def check_page(browser, name, base, axe):
    "Faults of a page in both schemes, on both screens"
    bad = []
    for scheme in SCHEMES:
        context = browser.new_context(viewport=SCREENS['desktop'], color_scheme=scheme, permissions=['camera'],
                                      reduced_motion='reduce')
        page,finished = visit(context, base+name, base, bad, name)
        if scheme==SCHEMES[0]: bad += [f'{name}: {o}' for o in once(context, page, name, finished)]
        else: bad += [f'{name} ({scheme}): figure on a dark ground: {o}' for o in page.evaluate(DARK_FIGURES)[:3]]
        for screen in screens(page):
            if screen=='phone': page.evaluate(UNFOLD)
            bad += [f'{name} ({scheme}, {screen}): {o}' for o in looks(page, axe)]
        bad += [f'{name} ({scheme}): code with a contrast of {o}' for o in page.evaluate(PALE)[:3]] # folds are open
        if name=='live.html':
            page.set_viewport_size(SCREENS['desktop'])
            try:
                if scheme==SCHEMES[0]: bad += live_checks(page, name)
                else: Live(page, name).start()
            except Exception as e: bad.append(f'{name} ({scheme}): live detector: {str(e)[:300]}')
            bad += [f'{name} ({scheme}, running, {screen}): {o}' for screen in screens(page) for o in looks(page, axe)]
        if name=='label.html':
            try: bad += label_checks(page, name, scheme, axe)
            except Exception as e: bad.append(f'{name} ({scheme}): annotator: {str(e)[:300]}')
        if scheme==SCHEMES[0]: bad += [f'{name}: {o}' for o in slider_faults(page)]
        context.close()
    return bad

def report(bad, n_pages=0):
    bad = list(dict.fromkeys(bad))
    print(*bad, sep='\n')
    places = {b.split(':')[0].split(' ')[0] for b in bad}
    print(f'{len(places)} of {n_pages} pages and files with faults' if bad else f'all {n_pages or ""} passed')
    sys.exit(bool(bad))

def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--docs', type=Path, default=ROOT/'_docs', help='folder of the built site')
    p.add_argument('--build', action='store_true', help='run nbdev-docs first')
    p.add_argument('--static', action='store_true', help='only what can be said of the sources, without a site')
    p.add_argument('--axe', type=Path, help='axe.min.js')
    p.add_argument('--only', nargs='*', help='pages, without .html')
    p.add_argument('--shots', type=Path, help='folder for pictures instead of checks')
    p.add_argument('--full', action='store_true', help='pictures of whole pages')
    return p

def main():
    args = arguments().parse_args()
    if args.static: report(source_faults(ROOT))
    if args.build: subprocess.run(['nbdev-docs'], cwd=ROOT, check=True)
    if not (args.docs/'index.html').is_file(): sys.exit(f'{args.docs} has no site: run nbdev-docs, or give --build')
    bad,names = static_checks(args.docs, args.docs.resolve().parent)
    unknown = set(args.only or ())-{Path(n).stem for n in names}
    if unknown: sys.exit(f'no page {", ".join(sorted(unknown))}')
    names = [n for n in names if not args.only or Path(n).stem in args.only]
    axe = args.axe.read_text() if args.axe else None
    from playwright.sync_api import sync_playwright
    server,base = serve(args.docs)
    with sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        if args.shots: return shots(browser, base, names, args.shots, args.full)
        for n in names:
            found = check_page(browser, n, base, axe)
            if found: print('', *dict.fromkeys(found), sep='\n    ', flush=True) # at once: a run takes long
            bad += found
        if 'live.html' in names: bad += space_checks(browser, axe)
        browser.close()
    server.shutdown()
    print()
    if not axe: print('axe did not run: give --axe (see --help)')
    report(bad, len(names))

if __name__=='__main__': main()
