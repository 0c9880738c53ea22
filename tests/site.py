"""The site in a real browser without a network: every page loads without an error or a request to another host, links, anchors and pictures lead somewhere,
widgets mount, the live detector agrees with Python, contrast and keyboard pass axe, sizes stay small.

python tests/site.py [--docs _docs] [--build] [--axe FILE] [--only PAGE …]
python tests/site.py --shots DIR [--full] [--only PAGE …]   no checks, but pictures: phone and desktop, light and dark
Needs playwright and a Chromium (FSE_CHROMIUM, /usr/bin/chromium, or playwright's own). `--build` runs nbdev-docs first.
axe comes from npm: `bash tools/vendor.sh axe DIR`, then `--axe DIR/axe.min.js`; without it, that part says that it did not run."""
import argparse, json, os, re, subprocess, sys, threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit
import yaml
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get('FSE_CHROMIUM') or ('/usr/bin/chromium' if Path('/usr/bin/chromium').exists() else None)
GIT = 'https://github.com/fse-nb/fse_nb/blob/main/nbs'
OWN = ('https://fse-nb.github.io/fse_nb/', 'https://github.com/fse-nb/fse_nb', 'https://colab.research.google.com/github/fse-nb/fse_nb')
MB = 2**20

class Page(HTMLParser):
    "Links, anchors and pictures of a page"
    def __init__(self, f):
        super().__init__(); self.links,self.ids,self.images,self.classes = [],set(),[],set()
        self.feed(f.read_text(encoding='utf-8'))
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ('id','name') if a.get(k)}
        self.classes |= set((a.get('class') or '').split())
        if tag=='a' and a.get('href'): self.links.append(a['href'])
        if tag=='img': self.images.append(a)
        for k in ('src','data-src'):
            if tag!='a' and a.get(k) and not a[k].startswith('data:'): self.links.append(a[k])

def notebooks(root):
    "Name of each page to the file name of its notebook"
    page = lambda p: re.sub(r'^\d+[a-zA-Z0-9]*_', '', p.stem)+'.html' # as nbdev names them
    return {page(p):p.name for p in sorted((root/'nbs').glob('*.ipynb'))}

def static_checks(docs, root):
    "What needs no browser: a list of faults"
    bad = []
    pages = {f.relative_to(docs).as_posix():Page(f) for f in sorted(docs.rglob('*.html')) if 'site_libs' not in f.parts}
    made = notebooks(root)
    bad += [f'{p.name}: becomes the same page as another notebook: rename it' for p in (root/'nbs').glob('*.ipynb') if p.name not in made.values()]
    bad += [f'{n}: no page for {nb}' for n,nb in made.items() if n not in pages]
    for name,p in pages.items():
        for u in p.links:
            own = next((o for o in OWN[:1] if u.startswith(o)), None)
            s = urlsplit(u[len(own):] if own else u)
            if s.scheme or s.netloc or u.startswith(OWN[1:]): continue
            path = unquote(s.path)
            t = (docs if own else docs/Path(name).parent)/path if path else docs/(name if not own else 'index.html')
            t = t/'index.html' if t.is_dir() else t
            if t.name=='llms.txt' and (root/'nbs/llms.txt').is_file(): continue
            if not t.exists(): bad.append(f'{name}: link to {u}: no such file'); continue
            key = t.resolve().relative_to(docs.resolve()).as_posix()
            if s.fragment and key in pages and unquote(s.fragment) not in pages[key].ids: bad.append(f'{name}: link to {u}: no such anchor')
        bad += [f'{name}: image without alt text: {a.get("src","")[:60]}' for a in p.images if not (a.get('alt') or '').strip() and 'quarto-cover' not in a.get('class','')]
        if (nb:=made.get(name)):
            colab = f'{GIT}/{nb}'.replace('https://github.com', 'https://colab.research.google.com/github')
            bad += [f'{name}: no link to {u}' for u in (colab, f'{GIT}/{nb}') if u not in p.links]
        if r'\tag{' in re.sub(r'<annotation.*?</annotation>|<code.*?</code>|<pre.*?</pre>', '', (docs/name).read_text(encoding='utf-8'), flags=re.S): bad.append(f'{name}: an equation is not rendered')
    # the sidebar has every notebook, in reading order
    cfg = yaml.safe_load((root/'_quarto.yml').read_text())
    flat = lambda o: [x for c in o for x in (flat(c['contents']) if isinstance(c, dict) and 'contents' in c else [c if isinstance(c, str) else c.get('href')])]
    side = flat(cfg['website']['sidebar']['contents'])
    bad += [f'_quarto.yml: {nb} is not in the sidebar' for nb in made.values() if nb not in side and nb!='404.ipynb']
    bad += [f'_quarto.yml: {nb} is in the sidebar and does not exist' for nb in side if not (root/'nbs'/nb).is_file()]
    for o in cfg['website']['sidebar']['contents']: # each section in the order of its numbers; its first page may be a summary
        numbered = [n for n in flat([o]) if re.match(r'\d\d', n)][1:]
        if numbered!=sorted(numbered): bad.append(f'_quarto.yml: sidebar out of reading order: {numbered}')
    for f in ('site/card.png', 'site/icon.svg', 'site/site.css', 'llms.txt'):
        if not (root/'nbs'/f).is_file(): bad.append(f'nbs/{f} is missing')
    text = (root/'nbs/llms.txt').read_text()
    for u in re.findall(r'\((https://fse-nb[^)]+)\)', text):
        n = u.split('fse_nb/')[-1].removesuffix('.md')
        if n not in pages: bad.append(f'llms.txt: {u}: no such page')
    size = sum(f.stat().st_size for f in docs.rglob('*') if f.is_file())
    if size>40*MB: bad.append(f'the site has {size/MB:.1f} MB, more than 40')
    print(f'{len(pages)} pages, {sum(len(p.links) for p in pages.values())} links, {size/MB:.1f} MB')
    return bad,list(pages)

class Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, '.js':'text/javascript', '.mjs':'text/javascript', '.wasm':'application/wasm', '.webp':'image/webp'}
    def log_message(self, *a): pass

def serve(docs):
    "A server for the site below /fse_nb/, as on GitHub Pages"
    class H(Quiet):
        def do_GET(self): # browsers ask for it where a page names no icon
            if self.path=='/favicon.ico': self.send_response(204); self.end_headers()
            else: super().do_GET()
        def translate_path(self, path): return super().translate_path(re.sub(r'^/fse_nb(/|$)', '/', path))
    s = ThreadingHTTPServer(('127.0.0.1', 0), partial(H, directory=str(docs)))
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s,f'http://127.0.0.1:{s.server_port}/fse_nb/'

FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream']

def visit(ctx, url, base, bad, name):
    "Open a page and watch it: its faults, its bytes"
    page = ctx.new_page(); seen = dict(bytes=0)
    page.set_default_timeout(120_000) # a busy machine is no fault of the page
    page.on('console', lambda m: bad.append(f'{name}: console: {m.text[:200]}') if m.type in ('error',) else None)
    page.on('pageerror', lambda e: bad.append(f'{name}: {str(e)[:200]}'))
    def request(r):
        if not r.url.startswith((base, 'data:', 'blob:')): bad.append(f'{name}: request to {r.url[:100]}')
    page.on('request', request)
    def done(r):
        try: seen['bytes'] += r.sizes()['responseBodySize']
        except Exception: pass
    page.on('requestfinished', done)
    page.goto(url, wait_until='load'); page.wait_for_load_state('networkidle') # on a long page the network may rest while the browser still reads
    try: page.wait_for_function("[...document.querySelectorAll('.fse-widget[data-widget]')].every(e => e.matches('.fse-mounted, .fse-failed'))", timeout=20000)
    except Exception: bad.append(f'{name}: a widget neither mounts nor fails in 20 s')
    return page,seen

def axe_faults(page, axe):
    page.evaluate(axe)
    r = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})")
    return [f'{v["id"]} ({len(v["nodes"])}): {v["nodes"][0]["target"]} {v["nodes"][0]["failureSummary"].splitlines()[-1].strip()[:150]}' for v in r['violations']]

def live_checks(page, root, name):
    "Start the detector, drop files, turn and bend the picture; compare with Python"
    import io, base64, numpy as np, torch
    from PIL import Image
    from skimage.data import astronaut
    from fse_nb.coords import center_crop
    from fse_nb.data import toy_faces
    from fse_nb.export import load_detector
    from fse_nb.train import detect, landmark_colors
    from fse_nb.warps import ThinPlateWarp, control_grid, warp_image
    bad,m = [],load_detector('faces-10')
    el = page.locator('.fse-live')
    el.get_by_role('button', name='Start').click()
    wait = lambda: (page.wait_for_function("document.querySelector('.fse-live').fseModel.get('status')!='loading'"), page.evaluate("document.querySelector('.fse-live').fseIdle()"))
    page.wait_for_function("['ready','failed'].includes(document.querySelector('.fse-live').fseModel.get('status'))", timeout=60000); wait()
    get = lambda: page.evaluate("(() => { const e = document.querySelector('.fse-live'), f = e.fseFrames; return {...e.fseModel.state(), straight: [...f.straight], coef: f.coef}; })()")
    rgb = lambda s: torch.tensor(s['straight'], dtype=torch.float32).view(100,100,4)[...,:3].permute(2,0,1)[None]/127.5-1
    def compare(what):
        s = get(); x = rgb(s)
        pts,conf = (o[0] for o in detect(m, x, with_confidence=True))
        d,c = (pts-torch.tensor(s['landmarks'])).abs().max()*50,(conf-torch.tensor(s['confidence'])).abs().max()
        if d>.02: bad.append(f'{name}: {what}: landmarks differ from Python by {d:.3f} px')
        if c>.005: bad.append(f'{name}: {what}: confidences differ from Python by {c:.4f}')
        if (t:=f'Mean confidence {100*conf.mean():.0f} %') not in el.inner_text() and abs(100*conf.mean()%1-.5)>.2: bad.append(f'{name}: {what}: the page does not say "{t}"')
        if s['coef']:
            g = ThinPlateWarp(torch.tensor(s['coef']).view(1,-1,2), control_grid(10))
            xw = warp_image(x, g.grid(80, 80, extent=.8))
            pw = m.landmarks(xw, extent=.8).detach()
            e = (g(pw)[0]-pts).norm(dim=-1).mean()*50
            if (pw[0]-torch.tensor(s['warped'])).abs().max()*50>.15: bad.append(f'{name}: {what}: warped landmarks differ by {(pw[0]-torch.tensor(s["warped"])).abs().max()*50:.3f} px')
            if abs(e-s['error'])>.1: bad.append(f'{name}: {what}: error {s["error"]:.2f} px, Python {e:.2f}')
        return s
    swatches = page.evaluate("[...document.querySelectorAll('.fse-swatch')].map(e => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number))")
    if np.abs(np.array(swatches)-255*landmark_colors(10)).max()>1: bad.append(f'{name}: colours are not those of landmark_colors')
    s = compare('astronaut'); print(f'  live: {s["status"]}, confidence {np.mean(s["confidence"]):.2f}', end='')
    def slide(label, v):
        el.get_by_label(label).evaluate('(e, v) => { e.value = v; e.dispatchEvent(new Event("input", {bubbles: true})); }', v); wait()
    for rot in (10, 20, 30, 45, 60):
        slide('rotation', rot); s = compare(f'rotation {rot}'); print(f', {rot}°: {s["error"]:.2f} px', end='')
    slide('rotation', 20); slide('bending', 1); print(f', 20° and bend 1: {compare("rotation 20 and bend")["error"]:.2f} px')
    def drop(data, fname, mime):
        t = page.evaluate_handle("([b, n, m]) => { const d = new DataTransfer(); d.items.add(new File([Uint8Array.from(atob(b), c => c.charCodeAt(0))], n, {type: m})); return d; }", [base64.b64encode(data).decode(), fname, mime])
        el.dispatch_event('drop', {'dataTransfer':t}); page.wait_for_timeout(400); wait()
    before = get()['landmarks']
    buf = io.BytesIO(); Image.fromarray(toy_faces(3, seed=0, size=200).images[1]).save(buf, 'PNG')
    drop(buf.getvalue(), 'toy.png', 'image/png')
    if compare('dropped file')['landmarks']==before: bad.append(f'{name}: a dropped file changes nothing')
    drop(b'not a picture', 'x.png', 'image/png')
    if 'cannot be read' not in el.inner_text(): bad.append(f'{name}: no word about a broken picture')
    sq = el.locator('.fse-drop .fse-square'); sq.focus(); page.keyboard.press('+'); page.keyboard.press('ArrowLeft'); wait()
    if get()['zoom']<=1 or get()['center'][0]<=.5: bad.append(f'{name}: keys do not move the picture')
    compare('moved picture')
    el.get_by_role('button', name='Camera').click(); page.wait_for_timeout(1500)
    el.get_by_role('button', name='Keep this picture').click(); page.wait_for_timeout(300); wait(); compare('camera')
    return bad

def shots(browser, base, names, out, full=False):
    out.mkdir(parents=True, exist_ok=True)
    for w,tag in ((390,'phone'), (1280,'desktop')):
        for scheme in ('light','dark'):
            ctx = browser.new_context(viewport=dict(width=w, height=900), color_scheme=scheme, reduced_motion='reduce')
            for n in names:
                page,_ = visit(ctx, base+n, base, [], n)
                page.screenshot(path=out/f'{Path(n).stem}-{tag}-{scheme}.png', full_page=full); page.close()
            ctx.close()
    print(f'{4*len(names)} pictures in {out}')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--docs', type=Path, default=ROOT/'_docs'); p.add_argument('--build', action='store_true'); p.add_argument('--shots', type=Path); p.add_argument('--full', action='store_true')
    p.add_argument('--axe', type=Path); p.add_argument('--only', nargs='*')
    a = p.parse_args()
    if a.build: subprocess.run(['nbdev-docs'], cwd=ROOT, check=True)
    if not (a.docs/'index.html').is_file(): sys.exit(f'{a.docs} has no site: run nbdev-docs, or give --build')
    root = a.docs.resolve().parent
    bad,names = static_checks(a.docs, root)
    names = [n for n in names if not a.only or Path(n).stem in a.only]
    if unknown:=set(a.only or ())-{Path(n).stem for n in names}: sys.exit(f'no page {", ".join(sorted(unknown))}')
    axe = a.axe.read_text() if a.axe else None
    server,base = serve(a.docs)
    with sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        if a.shots: return shots(browser, base, names, a.shots, a.full)
        for n in names:
            for scheme in ('light','dark'):
                ctx = browser.new_context(viewport=dict(width=1280, height=900), color_scheme=scheme, permissions=['camera'], reduced_motion='reduce')
                page,seen = visit(ctx, base+n, base, bad, n)
                bad += [f'{n}: widget {w} did not mount' for w in page.evaluate("[...document.querySelectorAll('.fse-widget[data-widget]:not(.fse-mounted)')].map(e => e.dataset.widget)")]
                bad += [f'{n}: picture does not load: {u}' for u in page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth && i.loading!='lazy').map(i => i.src.slice(0,80))")]
                if n=='index.html' and seen['bytes']>1.5*MB: bad.append(f'{n}: {seen["bytes"]/MB:.2f} MB before a demo is started')
                if n=='index.html' and scheme=='light': print(f'home page: {seen["bytes"]/1024:.0f} KB')
                if axe: bad += [f'{n} ({scheme}): axe: {o}' for o in axe_faults(page, axe)]
                if scheme=='light':
                    print(f'  {n}', end=' ', flush=True)
                    if n=='live.html':
                        if seen['bytes']>1.5*MB: bad.append(f'{n}: onnxruntime is loaded before the click')
                        try: bad += live_checks(page, root, n)
                        except Exception as e: bad.append(f'{n}: live detector: {str(e)[:300]}')
                        if axe: bad += [f'{n} (running): axe: {o}' for o in axe_faults(page, axe)]
                    page.set_viewport_size(dict(width=390, height=800)); page.wait_for_timeout(100)
                    if (w:=page.evaluate('document.documentElement.scrollWidth'))>392: bad.append(f'{n}: {w} pixels wide on a phone of 390')
                ctx.close()
        browser.close()
    server.shutdown(); print()
    if not axe: print('axe did not run: give --axe (see --help)')
    print(*dict.fromkeys(bad), sep='\n')
    print(f'{len(names)-len({b.split(":")[0].split(" ")[0] for b in bad} & set(names))} passed, {len({b.split(":")[0].split(" ")[0] for b in bad})} failed')
    sys.exit(bool(bad))

if __name__=='__main__': main()
