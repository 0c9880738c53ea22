"""The widgets of notebook 09 in a real browser, offline: by mouse, finger and keyboard, their numbers against Python's.

python tests/test_widgets.py [--shots DIR] [TEST …]   or   pytest tests/test_widgets.py
Needs playwright and a Chromium (FSE_CHROMIUM, /usr/bin/chromium, or playwright's own)."""
import argparse, base64, html, io, json, os, tempfile, threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np, torch
from PIL import Image
from fse_nb.warps import warp_image
from fse_nb.data import toy_faces
from fse_nb.widgets import (STATIC, WarpPlayground, LossExplorer, FewShotPlayground, TrainingScrubber, ResultsBrowser,
                            esm, shipped)

try: from playwright.sync_api import sync_playwright
except ImportError: sync_playwright = None

CHROMIUM = os.environ.get('FSE_CHROMIUM') or ('/usr/bin/chromium' if Path('/usr/bin/chromium').exists() else None)

def small_runs():
    "Two runs of three moments: the points of one leave the middle, those of the other stay"
    faces = torch.from_numpy(toy_faces(2, seed=3, size=60).images).permute(0,3,1,2)/127.5-1
    def moment(i, spread):
        pts = torch.tensor([[-spread,0.],[spread,.2]])
        return 10*i,pts.expand(4,2,2),pts.expand(2,2,2)+.1,5-i*spread
    runs = {name:[moment(i, i*spread) for i in range(3)] for name,spread in (('good',.3),('stuck',0.))}
    return TrainingScrubber(faces, faces.flip(-1), runs)

WIDGETS = dict(warp=(WarpPlayground, 'warp.json'), losses=(LossExplorer, None), training=(small_runs, None),
               fewshot=(FewShotPlayground, 'fewshot.json'), results=(ResultsBrowser, 'results.json'))

PAGE = '''<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>widgets</title><link rel="icon" href="data:,">
<style>body {{ --bs-body-bg: {background}; color: {color}; background: {background}; font-family: system-ui, sans-serif;
margin: 0 auto; padding: 12px; max-width: 1000px }}</style></head>
<body class="quarto-{theme}">{body}<script type="module" src="static/mount.js"></script></body></html>'''

def section(name, state):
    "A widget of a page"
    src = WIDGETS[name][1]
    attributes = dict(id=name) | {'data-widget':name, 'data-state':html.escape(json.dumps(state))}
    if src: attributes['data-state-src'] = src
    written = ' '.join(f'{k}="{v}"' for k,v in attributes.items())
    return f'<section><h2>{name}</h2><div class="fse-widget" {written}>needs JavaScript</div></section>'

def page_html(names, dark=False, **states):
    "A page as the site makes it: a text colour, a body class, and the script"
    color,background = ('#eee','#222') if dark else ('#222','#fff')
    body = ''.join(section(n, states.get(n, {})) for n in names)
    return PAGE.format(color=color, background=background, theme='dark' if dark else 'light', body=body)

class QuietHandler(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, '.js':'text/javascript'}
    def log_message(self, *args): pass

@contextmanager
def served(folder):
    "A local server for a folder; yields its address"
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(QuietHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}/'
    finally: server.shutdown()

def listen(page, base, trouble):
    "Note errors, warnings and requests to elsewhere"
    def console(m):
        if m.type in ('error','warning'): trouble.append(f'console: {m.text}')
    def request(r):
        if not r.url.startswith((base,'data:','blob:')): trouble.append(f'request: {r.url}')
    def response(r):
        if r.status>=400: trouble.append(f'{r.status}: {r.url}')
    page.on('console', console)
    page.on('pageerror', lambda e: trouble.append(f'error: {e}'))
    page.on('request', request)
    page.on('response', response)

@contextmanager
def browser():
    "A local server for a folder with `static/`, and a browser; yields a function that opens a page"
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as pw, served(tmp) as base:
        (Path(tmp)/'static').symlink_to(STATIC.resolve())
        chrome = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        trouble,pages = [],[]
        def open_page(names, width=1280, height=900, dark=False, touch=False, **states):
            name = f'{len(pages)}.html'
            (Path(tmp)/name).write_text(page_html(names, dark, **states), encoding='utf-8')
            context = chrome.new_context(viewport=dict(width=width, height=height), has_touch=touch,
                                         color_scheme='dark' if dark else 'light')
            page = context.new_page()
            pages.append(page)
            listen(page, base, trouble)
            page.goto(base+name)
            for n in names: page.wait_for_selector(f'#{n}.fse-mounted', timeout=60_000)
            return page
        try: yield open_page
        finally: chrome.close()
        assert not trouble, trouble

def settle(p):
    "Wait until the page has drawn what it was told"
    p.evaluate('new Promise(f => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(f, 30))))')

def state(p, name):
    settle(p)
    return p.evaluate(f"document.querySelector('#{name}').fseModel.state()")

def put(p, name, **kwargs):
    p.evaluate("([n, d]) => document.querySelector('#' + n).fseModel.set(d)", [name, kwargs])
    settle(p)

def button(p, name): p.get_by_role('button', name=name).click()

def middle(o):
    box = o.bounding_box()
    return box['x']+box['width']/2, box['y']+box['height']/2

def drag(p, o, dx, dy):
    o.scroll_into_view_if_needed()
    x,y = middle(o)
    p.mouse.move(x, y)
    p.mouse.down()
    p.mouse.move(x+dx/2, y+dy/2)
    p.mouse.move(x+dx, y+dy, steps=3)
    p.mouse.up()

def press(p, handle, *keys):
    handle.focus()
    for k in keys: p.keyboard.press(k)

def rgb(p, selector):
    "Pixels of a canvas"
    uri = p.evaluate(f"document.querySelector('{selector}').toDataURL()")
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(',')[1]))).convert('RGB'))

def close(a, b, eps=1e-4):
    a,b = (torch.as_tensor(o, dtype=torch.float64) for o in (a,b))
    assert a.shape==b.shape, (a.shape, b.shape)
    assert ((a-b).abs()<=eps*(1+b.abs())).all(), (a-b).abs().max()

def python_warp(s):
    "The playground of a state of the page"
    w = WarpPlayground(image=s['image'], points=s['points'])
    w.set_state({k:s[k] for k in w.state if k in s and k!='z'})
    if s['z']: w.z = s['z']
    return w

def check_warp(p):
    "Points, and every pixel of the warped picture, against Python; returns the state"
    s = state(p, 'warp')
    warp = python_warp(s).warp
    want,good = warp.inverse(torch.tensor(s['points'], dtype=torch.float64), full=True)
    assert [o is not None for o in s['warped_points']]==good[0].tolist()
    close([o for o,ok in zip(s['warped_points'], good[0]) if ok], want[0][good[0]])
    left,right = (torch.from_numpy(rgb(p, f'#warp figure:nth-of-type({i}) canvas')) for i in (1,2))
    warped = warp_image(left.permute(2,0,1)[None].double(), warp.grid(s['size'], s['size'], s['extent']))
    off = (warped[0].permute(1,2,0)-right).abs().max()
    assert off<=.51, off
    return s

# milliseconds of 15 changes: by slider, by handle, by a new draw
TIMES = '''async () => {
    const el = document.querySelector('#warp'), m = el.fseModel, z = m.get('z');
    const once = (set, i) => { set(i); const t = performance.now(); el.fsePaint(); return performance.now() - t; };
    const time = set => Array.from({length: 15}, (_, i) => once(set, i)).sort((a, b) => a - b);
    m.set({coef: [], size: 160});
    await new Promise(f => setTimeout(f, 500));
    return [time(i => m.set('std', .001 + i * 1e-4)), time(i => m.set('shift', Array(32).fill(i / 100))),
            time(i => m.set('z', [z[0].map(o => o + i), z[1], z[2]]))]; }'''

def test_warp_sliders():
    with browser() as open_page:
        z = WarpPlayground(seed=5).z # Python's draw, passed as state
        p = open_page(['warp'], warp=dict(z=z, seed=5))
        before = check_warp(p)
        p.get_by_label('σr: rotation').fill('45')
        turned = check_warp(p)
        assert turned['rotate']==45 and turned['warped_points']!=before['warped_points']
        for label,value in (('σw: every','0.004'), ('σW: half','0.02'), ('σt','0.2'), ('σs','0.1')):
            p.locator('.fse-slider', has_text=label).locator('input').fill(value)
        check_warp(p)
        button(p, 'Draw again')
        drawn = check_warp(p)
        assert drawn['z']!=z and drawn['seed']==6
        button(p, 'No warp')
        s = check_warp(p)
        close(s['warped_points'], s['points'])
        put(p, 'warp', extent=1., size=100, rotate=30.)
        check_warp(p)
        weights = python_warp(turned).warp.coef[0,:100].flatten().tolist()
        put(p, 'warp', coef=weights+[.1,0,1.1,.2,-.2,1.1])
        check_warp(p)
        times = zip(('slider','handle','draw'), p.evaluate(TIMES)) # said, not asserted: a machine may be busy
        print('warp of 160 px, median (best): '+', '.join(f'{what} {t[7]:.1f} ({t[0]:.1f}) ms' for what,t in times))

def test_warp_handles():
    with browser() as open_page:
        p = open_page(['warp'])
        button(p, 'No warp')
        handle = p.locator('#warp .fse-handle').nth(5)
        drag(p, handle.locator('.fse-dot'), 30, -12)
        s = check_warp(p)
        px = p.locator('#warp svg').first.bounding_box()['width']/2
        close(s['shift'][10:12], [30/px,-12/px], eps=.01)
        assert not any(s['shift'][:10]+s['shift'][12:])
        press(p, handle, 'ArrowLeft', 'Shift+ArrowDown')
        t = check_warp(p)
        close([t['shift'][10]-s['shift'][10], t['shift'][11]-s['shift'][11]], [-.02,.1])
        button(p, 'Handles back')
        assert not any(state(p, 'warp')['shift'])

def test_touch():
    with browser() as open_page:
        p = open_page(['warp'], width=390, height=844, touch=True)
        handle = p.locator('#warp .fse-handle').nth(6)
        handle.scroll_into_view_if_needed()
        x,y = middle(handle.locator('.fse-dot'))
        cdp = p.context.new_cdp_session(p)
        way = [('touchStart',[(x,y)]), ('touchMove',[(x+8,y+4)]), ('touchMove',[(x+20,y+10)]), ('touchEnd',[])]
        for kind,pts in way:
            cdp.send('Input.dispatchTouchEvent', dict(type=kind, touchPoints=[dict(x=a, y=b) for a,b in pts]))
        s = check_warp(p)
        assert s['shift'][12]>.05 and s['shift'][13]>.02, s['shift'][12:14]

def check_losses(p):
    "The terms, and one row of the bars, against Python; returns the state"
    s = state(p, 'losses')
    want = LossExplorer(**{k:v for k,v in s.items() if k!='values'}).compute()
    for k,v in want.items(): close(s['values'][k], v)
    rows = p.locator('#losses .fse-bars tr').all_inner_texts()
    assert f"{want['point']:.2f}"[:4] in rows[0] or want['point']>=100, rows[0]
    return s

def test_losses_bumps():
    with browser() as open_page:
        p = open_page(['losses'])
        check_losses(p)
        px = p.locator('#losses svg').first.bounding_box()['width']/40
        drag(p, p.locator('#losses .fse-handle').nth(0).locator('.fse-dot'), 5*px, 3*px)
        close(check_losses(p)['maps1'][0][0][:2], [-1.5,3.5], eps=.02)
        p.get_by_label('σ: width').fill('4')
        s = check_losses(p)
        assert {b[2] for m in s['maps1']+s['maps2'] for b in m}=={4}
        p.get_by_label('σ for all').uncheck()
        p.get_by_label('selected').select_option('1,1,0')
        p.get_by_label('σ: width').fill('.8')
        s = check_losses(p)
        assert (s['maps2'][1][0][2],s['maps1'][0][0][2])==(.8,4)
        button(p, 'Second bump')
        assert len(check_losses(p)['maps2'][1])==2
        press(p, p.locator('#losses .fse-handle').nth(4), 'ArrowRight')
        p.get_by_label('weight of this').fill('.25')
        assert check_losses(p)['maps2'][1][1][3]==.25

def test_losses_sliders():
    with browser() as open_page:
        p = open_page(['losses'])
        for label,value in (('rotation','30'), ('shift to the right','-4'), ('γ: weight','100'), ('m: window','3')):
            p.get_by_label(label).fill(value)
        s = check_losses(p)
        assert (s['rotate'],s['shift'][0],s['gamma'],s['pool'])==(30,-4,100,3)
        assert s['values']['point']>1
        button(p, 'follow')
        v = check_losses(p)['values']
        assert v['point']<.01, v
        bars = p.evaluate("[...document.querySelectorAll('#losses .fse-bar')].map(o => parseFloat(o.style.width))")
        top = max(50, v['total'])
        close(bars[:2], [100*v['point']/top, 100*v['variance']/top], eps=.01)
        close(bars[4], 100*100*v['pooled1']/top, eps=.01)

def check_few(p):
    "W and the errors against Python; returns the state"
    s = state(p, 'fewshot')
    if not s['W']: return s
    w = FewShotPlayground(**{k:v for k,v in s.items() if k not in ('W','errors','mean_error')})
    close(s['W'], w.regressor.W.flatten())
    close(s['errors'], w.compute_errors())
    close(s['mean_error'], w.compute_errors().mean())
    assert f"{100*s['mean_error']:.1f}%" in p.locator('#fewshot .fse-result').inner_text()
    return s

def label_by_mouse(p, i, truth):
    "Click the points of an example"
    button(p, f'example {i+1},')
    settle(p)
    large = p.locator('#fewshot .fse-big svg')
    large.scroll_into_view_if_needed()
    box = large.bounding_box()
    for x,y in truth:
        p.mouse.click(box['x']+(x+1)/2*box['width'], box['y']+(y+1)/2*box['height'])
        settle(p)

def test_fewshot():
    with browser() as open_page:
        p = open_page(['fewshot'])
        s = check_few(p)
        assert not s['W'] and 'left eye' in p.locator('#fewshot .fse-note').inner_text()
        for i in (0,1):
            label_by_mouse(p, i, s['truth'][i])
            before = check_few(p)
            close(before['clicks'][i], s['truth'][i], eps=.01)
        assert (len(before['W']),len(before['errors']))==(200,20)
        drag(p, p.locator('#fewshot .fse-handle').nth(2).locator('.fse-dot'), 10, 10)
        after = check_few(p)
        assert after['clicks'][1][2][0]>before['clicks'][1][2][0]+.02
        assert after['clicks'][1][0]==before['clicks'][1][0]
        press(p, p.locator('#fewshot .fse-handle').nth(0), 'ArrowUp', 'ArrowUp')
        close(check_few(p)['clicks'][1][0][1], before['clicks'][1][0][1]-.02, eps=1e-6)
        for i in (2,3,4):
            button(p, f'example {i+1},')
            settle(p)
            button(p, 'Use the true points')
            assert check_few(p)['clicks'][i]==s['truth'][i]
        p.get_by_label('λ').fill('-1')
        close(check_few(p)['ridge'], .1)
        button(p, 'Remove the last point')
        assert len(check_few(p)['clicks'][4])==4
        button(p, 'Place a point')
        p.keyboard.press('Tab')
        assert check_few(p)['clicks'][4][4]==[0,0]
        p.get_by_label('true points (rings)').uncheck()
        settle(p)
        assert p.locator('#fewshot .fse-true').count()==0
        button(p, 'Start over')
        assert not any(state(p, 'fewshot')['clicks'])

def test_training():
    "Slider, runs and `Play`: the points and the words of the moment that is asked for"
    with browser() as open_page:
        made = small_runs().state
        p = open_page(['training'], training=made)
        def shown(): return p.evaluate("""[...document.querySelectorAll('#training .fse-frames svg')].map(
            s => [...s.querySelectorAll('.fse-point')].map(c => [+c.getAttribute('cx'), +c.getAttribute('cy')]))""")
        note = p.locator('#training .fse-note')
        close(shown(), made['points'][0][2])
        assert note.inner_text()=='good, after 20 steps: error 3.8 px', note.inner_text()
        assert p.locator('#training .fse-true').count()==4 # rings on the two images, none on their warps
        p.get_by_label('training step').focus()
        p.keyboard.press('ArrowLeft')
        settle(p)
        close(shown(), made['points'][0][1])
        p.get_by_label('run').select_option('1')
        settle(p)
        assert note.inner_text().startswith('stuck, after 10 steps')
        close(shown(), made['points'][1][1])
        put(p, 'training', at=2)
        button(p, 'Play')
        p.wait_for_function("document.querySelector('#training').fseModel.get('at')==2 "
                            "&& document.querySelector('#training button').textContent=='Play'")
        close(shown(), made['points'][1][2])

def test_labels():
    "A label shows no more decimals than its slider has steps, however it was set, and lies on no other on a phone"
    with browser() as open_page:
        p = open_page(['warp'], width=390)
        put(p, 'warp', rotate=23.456789012345, scale=.1234567)
        told = p.locator('#warp .fse-slider output').all_inner_texts()
        assert told==['0.0010','0.010','23°','0.10','0.12'], told
        boxes = [o.bounding_box() for o in p.locator('#warp .fse-slider :is(label, output)').all()]
        for i,a in enumerate(boxes):
            for b in boxes[:i]:
                x,y = (min(a[k]+a[n], b[k]+b[n])-max(a[k], b[k]) for k,n in (('x','width'),('y','height')))
                assert x<1 or y<1, (a, b)

def test_results():
    with browser() as open_page:
        p = open_page(['results'])
        curves = p.locator('#results .fse-curve')
        records = shipped('results.json')['records']
        rows = [(f"{r['name']} {r['file']}",r['kind'],quantity,v) for r in records
                for quantity,v in r['numbers'].items()]
        assert state(p, 'results')['shown']==len(rows)
        p.get_by_label('filter').fill('annealed cfp')
        want = [r for r in rows if all(word in ' '.join(r[:3]).lower() for word in ('annealed','cfp'))]
        assert state(p, 'results')['shown']==len(want)>0
        for _ in range(2): button(p, 'value')
        settle(p)
        shown = [float(o) for o in p.locator('#results tbody td.fse-num').all_inner_texts()]
        assert len(shown)>=min(40, len(want)), len(shown) # a long table shows its beginning
        close(shown, sorted([w[3] for w in want], reverse=True)[:len(shown)], eps=1e-3)
        assert curves.count()>0
        p.get_by_label('curve of').select_option('equivariance error, px')
        settle(p)
        assert curves.count()>0
        p.get_by_label('logarithmic').check()
        settle(p)
        assert curves.count()>0
        p.locator('#results .fse-link').first.click()
        assert 'benchmarks/' in p.locator('#results .fse-details').inner_text()
        p.get_by_label('filter').fill('')
        p.get_by_label('kind').select_option('speed')
        settle(p)
        assert state(p, 'results')['shown']==sum(r[1]=='speed' for r in rows)

AS_TEXT = '''async ([text, state]) => {
    const {makeModel} = await import('./static/mount.js');
    const module = await import(URL.createObjectURL(new Blob([text], {type: 'text/javascript'})));
    const el = document.createElement('div');
    document.body.append(el);
    const stop = await module.default.render({model: makeModel(state), el});
    const n = el.querySelectorAll('*').length;
    stop();
    return n; }'''

def test_modules_as_text():
    "As anywidget gets them: one text each, loaded from memory, with a model of its own"
    with browser() as open_page:
        p = open_page([])
        for name,(cls,_) in WIDGETS.items():
            n = p.evaluate(AS_TEXT, [esm(name), cls().state])
            assert n>20, (name, n)

def test_div_from_python():
    "What `.html()` writes mounts with that state"
    with browser() as open_page:
        div = LossExplorer(rotate=12., gamma=5.).html().replace('<div ', '<div id="losses" ', 1)
        p = open_page([])
        p.evaluate('''s => {
            document.body.innerHTML = s;
            return import('./static/mount.js').then(m => m.mountAll()); }''', div)
        p.wait_for_selector('#losses.fse-mounted')
        s = check_losses(p)
        assert (s['rotate'],s['gamma'])==(12,5)

def shots(folder):
    "Pictures of all widgets in use, two widths, two themes"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    truth = shipped('fewshot.json')['truth']
    two_bumps = [[[-6.5,.5,2.5,1],[4,-9,1.5,.6]],[[7.5,.5,2.5,1]]]
    states = dict(fewshot=dict(clicks=[*truth[:3],[],[]], active=2), results=dict(query='recipe'),
                  losses=dict(rotate=15, shift=[2,0], maps1=two_bumps), warp=dict(shift=[0]*10+[.12,-.1]+[0]*20),
                  training=small_runs().state)
    with browser() as open_page:
        for theme in ('light','dark'):
            for width in (390,1280):
                p = open_page(list(WIDGETS), width=width, dark=theme=='dark', **states)
                settle(p)
                assert p.evaluate('document.documentElement.scrollWidth')<=width, 'the page is wider than the screen'
                for n in WIDGETS: p.locator(f'section:has(#{n})').screenshot(path=folder/f'{n}_{width}_{theme}.png')
                p.close()

def without_browser(names, what):
    "Take the tests out of a module where playwright is missing, and say so once, for both ways of running"
    if sync_playwright is not None: return
    print(f'playwright is not here: {what} not tested in a browser')
    for name in [name for name in names if name.startswith('test_')]: del names[name]

def run(names, about, shots):
    "Pictures, or the tests of a module, as its command line says"
    parser = argparse.ArgumentParser(description=about.split('\n')[0])
    parser.add_argument('--shots', help='folder for pictures, instead of the tests')
    parser.add_argument('tests', nargs='*', help='parts of names; default: all')
    args = parser.parse_args()
    if args.shots: return shots(args.shots)
    for name,test in [o for o in names.items() if o[0].startswith('test_')]:
        if args.tests and not any(part in name for part in args.tests): continue
        test()
        print('ok', name)

without_browser(globals(), 'the widgets are')
if __name__=='__main__': run(globals(), __doc__, shots)
