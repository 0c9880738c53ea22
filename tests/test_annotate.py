"""The annotator in a real browser: drawn faces are labelled on the page of fse_label, in the widget, on the page
of the site; the program is killed, the page is loaded anew, a detector of one's own is opened there.

python tests/test_annotate.py [--shots DIR] [TEST …]   or   pytest tests/test_annotate.py
Needs playwright and a Chromium, as tests/test_widgets.py."""
import io, json, re, signal, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path

import numpy as np, pandas as pd, torch
from PIL import Image
from fse_nb.annotate import HIDDEN, MISSING, SEEN, UNTOUCHED, Annotator, Journal
from fse_nb.data import read_annotations, toy_faces
from fse_nb.decode import Geometry
from fse_nb.detect import detect
from fse_nb.errors import interocular_error
from fse_nb.export import load_detector, to_onnx
from fse_nb.many import OnnxDetector
from fse_nb.model import LandmarkDetector
from fse_nb.regress import fit_few
from fse_nb.widgets import STATIC, esm
sys.path.insert(0, str(Path(__file__).parent))
from test_widgets import CHROMIUM, PAGE, listen, run, served, sync_playwright, without_browser

CALL = "from fse_nb.cli import fse_label\nif __name__=='__main__': fse_label()\n" # as pip writes it
FACES = toy_faces(40, seed=11, size=160)
NAMES = ','.join(FACES.names)

def called(folder, *args): return [sys.executable, str(folder/'fse_label'), str(folder/'photos'), '--no-browser', *args]

@contextmanager
def program(folder, *args, out='labels'):
    "fse_label on drawn faces; yields the process and the address of its page"
    if not (folder/'photos').exists(): FACES.save_images(folder/'photos')
    (folder/'fse_label').write_text(CALL)
    command = called(folder, '--out', str(folder/out), *args)
    heeding = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) # what runs in the background ignores Ctrl+C
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heeding)
    try:
        for line in process.stdout:
            if found := re.match(r'label here: (\S+)', line): break
        else: raise AssertionError('fse_label did not say where its page is')
        yield process,found[1]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)

@contextmanager
def watched():
    "A folder, and a list of what goes wrong in the browser, which is empty at the end"
    trouble = []
    with tempfile.TemporaryDirectory() as tmp: yield Path(tmp),trouble
    assert not trouble, trouble

@contextmanager
def page_of(address, trouble, width=1280, height=800, **context):
    "The page in a browser, its help closed"
    with sync_playwright() as pw:
        chrome = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = chrome.new_context(viewport=dict(width=width, height=height), **context).new_page()
        page.set_default_timeout(20000)
        listen(page, address, trouble)
        page.goto(address)
        until(page, 'document.querySelector(".fse-ann")?.fseAnnotator')
        if page.locator('dialog[open]').count(): page.keyboard.press('Escape')
        yield page
        chrome.close()

def state(page):
    "The image that is shown: number, name, points, visible"
    settle(page)
    return page.evaluate('document.querySelector(".fse-ann")?.fseAnnotator.state()')

def until(page, condition, arg=None, seconds=20):
    "Wait for a condition; evaluated from outside, as the page itself may evaluate no text"
    for _ in range(20*seconds):
        if page.evaluate(condition, arg): return
        page.wait_for_timeout(50)
    raise AssertionError(f'in vain: {condition}')

def settle(page):
    page.evaluate('document.querySelector(".fse-ann")?.fseAnnotator.idle()') # also pictures on their way
    page.evaluate('() => new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))')

ON_SCREEN = '''([x, y]) => {
    const s = document.querySelector('.fse-ann-svg'), r = s.getBoundingClientRect(), v = s.viewBox.baseVal;
    return [r.left + (x - v.x) / v.width * r.width, r.top + (y - v.y) / v.height * r.height]; }'''

def on_screen(page, x, y):
    "Where a pixel of the image is on the screen"
    return page.evaluate(ON_SCREEN, [float(x), float(y)])

def truth_of(s): return FACES.points[int(re.search(r'_(\d+)\.png', s['name'])[1])]

def click(page, x, y): page.mouse.click(*on_screen(page, x, y))

def drag(page, a, b):
    page.mouse.move(*on_screen(page, *a))
    page.mouse.down()
    page.mouse.move(*on_screen(page, *(np.add(a, b)/2)))
    page.mouse.move(*on_screen(page, *b))
    page.mouse.up()
    settle(page)

def next_image(page, was):
    "Enter, and the image after it"
    page.keyboard.press('Enter')
    until(page, 'i => document.querySelector(".fse-ann")?.fseAnnotator.state()?.i !== i', was['i'])
    return state(page)

def label_one(page, correct=4.):
    "All points of the image: clicked where nothing is proposed, dragged where the proposal is wrong; returns how many"
    s = state(page)
    truth,dragged = truth_of(s),0
    for k,at in enumerate(truth):
        if s['proposal'][k] is None: click(page, *at)
        elif np.linalg.norm(np.subtract(s['proposal'][k], at))>correct:
            drag(page, s['proposal'][k], at)
            dragged += 1
    return state(page),truth,dragged

def last_states(folder):
    "What the journal says of each image"
    return {Path(o['image']).name:o for o in Journal(folder/'labels'/'labels.jsonl').records if 'image' in o}

def wait_for_table(folder, n):
    "The table of labels, as soon as it has n rows"
    for _ in range(100):
        file = folder/'labels'/'labels.csv'
        if file.exists() and len(table := pd.read_csv(file))==n: return table
        time.sleep(.1)
    raise AssertionError(f'labels.csv has no {n} rows')

def test_five_faces():
    "Labels, curve, predictions and files of a session, against the truth"
    with watched() as (folder,trouble):
        with program(folder, '--names', NAMES) as (process,address), page_of(address, trouble) as page:
            assert 'Click the left_eye' in page.locator('.fse-ann-prompt').inner_text()
            assert page.locator('.fse-ann-done').is_disabled()
            truths = {}
            for n in range(5):
                s,truth,dragged = label_one(page)
                assert (n>0)==(s['proposal'][0] is not None) and (n==0 or dragged<=5)
                placed = [k for k in range(5) if s['visible'][k]==SEEN]
                assert np.abs(np.reshape([s['points'][k] for k in placed], (-1,2))-truth[placed]).max(initial=0)<1
                truths[s['name']] = truth
                next_image(page, s)
            table = wait_for_table(folder, 5)
            until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.info().curve.length')
            assert '5 of 40' in page.locator('.fse-ann-progress').inner_text()
            got = read_annotations(folder/'labels'/'labels.csv')
            error = [np.linalg.norm(p-truths[f.name], axis=1).max() for f,p in zip(got.files, got.points)]
            assert len(table)==5 and max(error)<4.5, error
            page.get_by_role('button', name='Apply to all').click()
            until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.info().job?.startsWith("wrote")')
            pred = read_annotations(folder/'labels'/'predictions.csv')
            order = [int(f.stem.split('_')[1]) for f in pred.files]
            eyes = np.linalg.norm(FACES.points[:,0]-FACES.points[:,1], axis=1)[order]
            errors = np.linalg.norm(pred.points-FACES.points[order], axis=2).mean(1)/eyes
            assert len(pred)==40 and errors.mean()<.15, errors.mean()
            assert len(pd.read_csv(folder/'labels'/'predictions_review.csv'))==20
            page.get_by_label('format').select_option('coco')
            page.get_by_role('button', name='Write labels as').click()
            until(page, 'document.querySelector(".fse-note").textContent.includes("labels.json")')
            assert len(read_annotations(folder/'labels'/'labels.json'))==5

def width(page):
    "How much of the image is seen, pixels"
    return page.evaluate('document.querySelector(".fse-ann-svg").viewBox.baseVal.width')

def rounded(point): return [round(o, 3) for o in point]

def test_keys():
    "Hidden, missing, nudged, undone, zoomed: by keyboard, and every state on disk"
    with watched() as (folder,trouble):
        with program(folder, '--names', NAMES) as (process,address), page_of(address, trouble) as page:
            s,truth,_ = label_one(page)
            press = page.keyboard.press
            press('3')
            press('h')
            assert state(page)['visible']==[SEEN,SEEN,HIDDEN,SEEN,SEEN]
            press('ArrowRight')
            press('Shift+ArrowDown')
            moved = np.subtract(state(page)['points'][2], s['points'][2])
            assert np.allclose(moved, [1,5], atol=.01), moved
            press('5')
            press('m')
            after = state(page)
            assert after['visible']==[SEEN,SEEN,HIDDEN,SEEN,MISSING]
            assert last_states(folder)[s['name']]['visible']==after['visible']
            for _ in range(2): press('z')
            until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.state().visible[4]===2')
            settle(page)
            assert np.allclose(np.subtract(state(page)['points'][2], s['points'][2]), [1,0], atol=.01)
            for key in ('Control+y','Shift+Z'): press(key)
            until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.state().visible[4]===0')
            assert last_states(folder)[s['name']]['points']==[*map(rounded, after['points'][:4]),None]
            page.get_by_role('button', name='Redo').and_(page.locator(':disabled')).wait_for() # drawn a moment later
            for _ in range(2): press('z')
            until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.state().visible[4]===2')
            settle(page)
            wide = width(page)
            press('1')
            press('f')
            settle(page)
            near = width(page)
            assert near<.3*wide
            for _ in range(2): # in a zoomed image, which stays zoomed when the change is taken back
                drag(page, state(page)['points'][0], np.add(state(page)['points'][0], [3.3,0]))
                assert abs(state(page)['points'][0][0]-s['points'][0][0]-3.3)<.2
                assert width(page)==near
                press('z')
                settle(page)
                assert abs(state(page)['points'][0][0]-s['points'][0][0])<.01 and width(page)==near
            press('Shift+Z')
            next_image(page, s)
            done = last_states(folder)[s['name']]
            assert done['done'] and done['visible'][2]==HIDDEN
            first = state(page)
            press('n') # later
            until(page, 'i => document.querySelector(".fse-ann")?.fseAnnotator.state().i !== i', first['i'])
            press('?')
            assert page.locator('dialog[open]').count()==1

def test_killed():
    "kill -9 in the middle of an image loses nothing that was said to be saved; the command goes on there"
    with watched() as (folder,trouble):
        with program(folder, '--names', NAMES) as (process,address), page_of(address, trouble) as page:
            whole,_,_ = label_one(page)
            begun = next_image(page, whole)
            drag(page, begun['proposal'][1], np.add(begun['proposal'][1], [6,-4]))
            begun = state(page)
            assert page.locator('.fse-ann-saved').inner_text()=='saved'
            second = subprocess.run(called(folder, '--out', str(folder/'labels')), capture_output=True, text=True)
            assert second.returncode and 'another process' in second.stderr, second.stderr
            process.kill()
            process.wait()
            drag(page, begun['points'][1], np.add(begun['points'][1], [2,2]))
            until(page, 'document.querySelector(".fse-ann-saved").textContent==="NOT SAVED"')
            assert 'does not answer' in page.locator('.fse-ann-trouble').inner_text()
        with open(folder/'labels'/'labels.jsonl', 'a') as f: f.write('{"image": "../photos/toy11_0000')
        trouble.clear() # of the requests that nobody answered
        with program(folder) as (process,address), page_of(address, trouble) as page:
            assert '1 of 40' in page.locator('.fse-ann-progress').inner_text()
            page.get_by_label('images shown').select_option('all')
            page.locator(f'[data-i="{begun["i"]}"]').click()
            until(page, 'i => document.querySelector(".fse-ann")?.fseAnnotator.state().i === i', begun['i'])
            again = state(page)
            assert again['visible']==[UNTOUCHED,SEEN]+[UNTOUCHED]*3
            assert np.allclose(again['points'][1], begun['points'][1], atol=1e-3)
            assert np.allclose(last_states(folder)[whole['name']]['points'], whole['points'], atol=1e-3)
            page.keyboard.press('z') # also what was done before
            until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.state().visible.every(v => v === -1)')

def test_many():
    "Ten thousand images: elements and pictures of those in sight only"
    with watched() as (folder,trouble):
        photos = FACES.save_images(folder/'photos')
        for i in range(10_000-len(photos)): (folder/'photos'/f'x{i:05d}.png').symlink_to(photos.files[i%40])
        with program(folder, '--names', NAMES) as (process,address), page_of(address, trouble) as page:
            asked = []
            page.on('request', lambda r: asked.append(r.url) if '/thumb/' in r.url else None)
            assert page.locator('.fse-ann-tile').count()<40
            page.evaluate('document.querySelector(".fse-ann-strip").scrollLeft = 76*7000')
            until(page, '[...document.querySelectorAll(".fse-ann-tile")].some(o => +o.dataset.i === 7003)')
            page.wait_for_timeout(500)
            assert 0<len(asked)<60, len(asked)

AS_TEXT = """text => {
    const heard = [], model = {on: (e, f) => heard.push(f), off() {}, get() {}, set() {}, save_changes() {},
        send: async m => { const r = await window.answer(m); heard.forEach(f => f({id: m.id, ...r})); }};
    document.body.innerHTML = '<div id="annotate"></div>';
    return import(URL.createObjectURL(new Blob([text], {type: 'text/javascript'})))
        .then(m => m.default.render({model, el: document.querySelector('#annotate')})).then(() => null); }"""

def test_widget():
    "The module as anywidget gets it, its messages answered by `Annotator`"
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as pw:
        widget = Annotator(FACES.save_images(Path(tmp)/'photos'), NAMES, out=Path(tmp)/'labels')
        heard,trouble = {},[]
        widget.send = lambda message: heard.update({message['id']:message})
        def answer(message):
            widget._asked(widget, message, [])
            return heard.pop(message['id'])
        page = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox']).new_page()
        listen(page, 'about:blank', trouble)
        page.expose_function('answer', answer)
        page.evaluate(AS_TEXT, esm('annotate'))
        if page.locator('dialog[open]').count(): page.keyboard.press('Escape')
        page.locator('.fse-ann-svg').focus()
        s,truth,_ = label_one(page)
        next_image(page, s)
        assert np.allclose(widget.session.points[s['i']], truth, atol=1)
        assert widget.session.labelled==[s['i']] and state(page)['proposal'][0] is not None
        widget.close()
    assert not trouble, trouble

SITE = STATIC.resolve().parents[1]/'nbs'/'site'
HERE = '<main><h1>Label here</h1><div class="fse-widget" data-widget="label_page">needs JavaScript</div></main>'

@contextmanager
def site(trouble, width=1280, height=900, dark=False):
    "The annotator as a page of the site, from a server that knows files only; yields it and the files of some faces"
    with tempfile.TemporaryDirectory() as tmp, served(tmp) as base, sync_playwright() as pw:
        tmp = Path(tmp)
        for name,to in (('static',STATIC.resolve()), ('site',SITE)): (tmp/name).symlink_to(to)
        color,background = ('#eee','#222') if dark else ('#222','#fff')
        page_html = PAGE.format(color=color, background=background, theme='dark' if dark else 'light', body=HERE)
        (tmp/'label.html').write_text(page_html, encoding='utf-8')
        photos = FACES[:12].save_images(tmp/'photos')
        chrome = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = chrome.new_context(viewport=dict(width=width, height=height), accept_downloads=True,
                                  color_scheme='dark' if dark else 'light').new_page()
        page.set_default_timeout(20000)
        listen(page, base, trouble)
        page.goto(f'{base}label.html')
        page.wait_for_selector('.fse-here.fse-mounted')
        yield page,list(map(str, photos.files))
        chrome.close()

ANNOTATOR = 'document.querySelector(".fse-ann")?.fseAnnotator'

def opened(page):
    "Wait for the annotator on the page of the site"
    until(page, ANNOTATOR, seconds=60)
    if page.locator('dialog[open]').count(): page.keyboard.press('Escape')

def choose(page, files):
    page.locator('input[type=file]').first.set_input_files(files)
    opened(page)

def written(page, to, button):
    "The file that a button writes"
    page.get_by_label('format').select_option(to)
    with page.expect_download() as download: page.get_by_role('button', name=button).click()
    return Path(download.value.path()).read_text()

def labels_of(text, photos, name):
    "A file of labels as the library reads it, beside its images"
    file = Path(photos[0]).with_name(name)
    file.write_text(text)
    return read_annotations(file)

def test_site():
    "On the page of the site: files hold what was clicked, three labels suffice to propose, a reload loses nothing"
    with watched() as (_,trouble), site(trouble) as (page,files):
        choose(page, files)
        clicked,missed = {},[]
        for n in range(5):
            s = state(page)
            if n: missed.append(np.linalg.norm(np.subtract(s['proposal'], truth_of(s)), axis=1).mean())
            s,truth,_ = label_one(page, correct=0)
            assert np.abs(np.subtract(s['points'], truth)).max()<1
            clicked[s['name']] = s['points']
            next_image(page, s)
        assert max(missed[2:])<.06*160, missed # after three labels and after four; of the side of the image
        for to in ('csv','coco'):
            got = labels_of(written(page, to, 'Write labels'), files, dict(csv='labels.csv', coco='labels.json')[to])
            assert got.names==FACES.names and sorted(f.name for f in got.files)==sorted(clicked)
            for f,points in zip(got.files, got.points): assert np.allclose(points, clicked[f.name], atol=1e-2)
        all_points = pd.read_csv(io.StringIO(written(page, 'csv', 'Apply to all')))
        assert len(all_points)==12 and all_points.confidence.between(0, 1).all()
        truth = FACES.points[[int(re.search(r'_(\d+)', o)[1]) for o in all_points.image]]
        pred = np.stack([all_points[[f'{n}_x',f'{n}_y']] for n in FACES.names], 1)
        eyes = np.linalg.norm(truth[:,0]-truth[:,1], axis=1)
        assert (np.linalg.norm(pred-truth, axis=2).mean(1)/eyes).mean()<.15
        page.reload()
        opened(page)
        until(page, f'{ANNOTATOR}.state()')
        assert '5 of 12' in page.locator('.fse-ann-progress').inner_text() and state(page)['proposal'][0] is not None
        assert labels_of(written(page, 'csv', 'Write labels'), files, 'again.csv').points.shape==(5,5,2)

FITTED = """([x, y, n]) => import(new URL('static/shapes.js', location)).then(({meanShape, fitPoints, predict}) => {
    const fit = fitPoints(x.slice(0, n), y.slice(0, n), meanShape(x));
    return x.map(shape => predict(fit, shape)); })"""

def test_site_map():
    "The map of the page beside the one of the library, from the same labels"
    with watched() as (_,trouble), site(trouble) as (page,_):
        model = load_detector('faces-10')
        cache = model.geometry.decode(toy_faces(150, seed=21, size=100))
        x,y = detect(model, cache),torch.from_numpy(np.asarray(cache.points))
        def error(pred): return interocular_error(torch.as_tensor(pred)[40:], y[40:]).mean().item()
        for n,most in ((1,1.1), (3,1.15), (10,1.15)):
            here = error(page.evaluate(FITTED, [x.tolist(),y.tolist(),n]))
            there = error(fit_few(x[:n], y[:n], x)(x))
            assert here<most*there, (n, here, there)

def test_site_redo():
    "Undo and redo by keyboard, over a reload; the names are asked for once; one tab at a time"
    with watched() as (_,trouble), site(trouble) as (page,files):
        page.get_by_label('Names of the points').fill('left_eye, left_eye')
        page.locator('input[type=file]').first.set_input_files(files[:3])
        assert 'name of its own' in page.locator('.fse-here > .fse-note').inner_text()
        page.get_by_label('Names of the points').fill('left_eye, right_eye')
        choose(page, files[:3])
        page.locator('.fse-ann-svg').focus()
        truth = truth_of(state(page))
        for at in truth[:2]: click(page, *at)
        assert state(page)['visible']==[SEEN,SEEN]
        page.keyboard.press('Control+z')
        until(page, f'{ANNOTATOR}.state().visible[1]==={UNTOUCHED}')
        settle(page)
        page.reload()
        opened(page)
        until(page, f'{ANNOTATOR}.info().can_redo')
        page.locator('.fse-ann-svg').focus()
        page.keyboard.press('Control+Shift+Z')
        until(page, f'{ANNOTATOR}.state().visible[1]==={SEEN}')
        assert np.allclose(state(page)['points'], truth[:2], atol=1)
        other = page.context.new_page()
        other.goto(page.url)
        other.wait_for_selector('.fse-here.fse-mounted')
        assert 'another tab' in other.locator('.fse-here > .fse-note').inner_text()

def small_detector():
    "Random layers, in grey, the whole picture in a frame: all that faces-10 is not"
    torch.manual_seed(3)
    geometry = Geometry(square=36, border=6, fill=200, crop=40, channels=1, method='pad')
    model = LandmarkDetector(4, n_in=1, arch='unet', geometry=geometry)
    return model.eval().soften(.003) # so that its points lie apart

def detector_files(folder):
    "A file of `to_onnx`, and four that are no detectors, each with what the page says of it"
    import onnx
    good = to_onnx(small_detector(), folder/'small.onnx')
    graph = onnx.load(good)
    about = json.loads(graph.metadata_props[0].value)
    def other(name, **metadata):
        onnx.helper.set_model_props(graph, metadata)
        return onnx.save(graph, folder/name)
    other('silent.onnx')
    other('larger.onnx', fse_nb=json.dumps(about|dict(geometry=about['geometry']|dict(square=38))))
    (folder/'half.onnx').write_bytes(good.read_bytes()[:good.stat().st_size//2])
    (folder/'notes.onnx').write_text('no detector')
    says = dict(notes='no ONNX file', half='no ONNX file', silent='does not say what it sees', larger='other inputs')
    return good,{folder/f'{name}.onnx':text for name,text in says.items()}

def drop(page, file):
    "Drop a file on the page, as from a folder"
    box = page.locator('.fse-here').bounding_box()
    session = page.context.new_cdp_session(page)
    data = dict(items=[], files=[str(file)], dragOperationsMask=1)
    for kind in ('dragEnter','dragOver','drop'):
        session.send('Input.dispatchDragEvent', dict(type=kind, x=box['x']+9, y=box['y']+9, data=data))

def chosen(page, name, k):
    "Wait for a detector, its annotator, and its k landmarks of all pictures"
    until(page, f"""k => {ANNOTATOR}?.state() && document.querySelector('.fse-here').fseSession.pictures
                         .every(o => o.landmarks?.length===k)""", k, 60)
    assert page.get_by_label('Detector').input_value()==name

def shown_again(page, i):
    "An image by its number"
    page.get_by_label('images shown').select_option('all')
    page.locator(f'[data-i="{i}"]').click()
    until(page, f'i => {ANNOTATOR}.state().i===i', i)
    return state(page)

NOTE = '.fse-here > .fse-note'
SEES = "document.querySelector('.fse-here').fseSession.pictures.map(o => [o.name, o.landmarks, o.box, o.sure])"

def test_site_detector():
    "A detector of one's own: opened, refused, kept over a reload, left again; it sees what it sees in Python"
    with watched() as (folder,trouble), site(trouble) as (page,files):
        good,wrong = detector_files(folder)
        oblong = folder/'toy11_0012.png'
        Image.fromarray(FACES.images[12][:128]).save(oblong)
        choose(page, [*files[:5],oblong])
        chosen(page, 'faces-10', 10)
        for _ in range(2): s = next_image(page, label_one(page, correct=0)[0])
        note,field = page.locator(NOTE),page.locator('input[accept=".onnx"]')
        for file,says in wrong.items():
            field.set_input_files(file)
            until(page, f'name => document.querySelector("{NOTE}").textContent.startsWith(name)', file.name)
            assert says in note.inner_text() and note.inner_text().endswith('faces-10 stays.'), note.inner_text()
            assert page.get_by_label('Detector').input_value()=='faces-10' and state(page)['proposal']==s['proposal']
        drop(page, good)
        chosen(page, 'small.onnx', 4)
        own = shown_again(page, s['i'])
        def moved(proposal, since): return np.abs(np.subtract(proposal, since)).max() # pixels
        assert moved(own['proposal'], s['proposal'])>3
        python = OnnxDetector(good)
        for name,landmarks,box,sure in page.evaluate(SEES):
            cache = python.geometry.decode(oblong if name==oblong.name else Path(files[0]).with_name(name))
            assert np.allclose(box, cache.boxes[0]) and sure==1, (name, box)
            away = (torch.tensor(landmarks)-python.landmarks(cache)[0][0]).abs().max().item()*python.geometry.size/2
            assert away<.5, (name, away) # pixels of the square; browser and Pillow shrink pictures differently
        page.reload()
        opened(page)
        chosen(page, 'small.onnx', 4)
        assert moved(shown_again(page, s['i'])['proposal'], own['proposal'])<.5 # its fit may know fewer pictures
        page.get_by_label('Detector').select_option('faces-10')
        chosen(page, 'faces-10', 10)
        assert moved(shown_again(page, s['i'])['proposal'], s['proposal'])<.5
        assert '2 of 6' in page.locator('.fse-ann-progress').inner_text()

def shots(folder):
    "Pictures of the page: two widths, two themes, the beginning and later"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        with program(Path(tmp), '--names', NAMES) as (process,address):
            with page_of(address, []) as page:
                page.screenshot(path=folder/'empty.png')
                page.keyboard.press('?')
                page.screenshot(path=folder/'help.png')
                page.keyboard.press('Escape')
                for _ in range(7): next_image(page, label_one(page)[0])
                until(page, 'document.querySelector(".fse-ann")?.fseAnnotator.info().curve.length>3')
            for width,height in ((390,844),(1280,800)):
                for theme in ('light','dark'):
                    with page_of(address, [], width, height, color_scheme=theme) as page:
                        page.keyboard.press('2')
                        settle(page)
                        page.wait_for_timeout(800)
                        assert page.evaluate('document.documentElement.scrollWidth')<=width
                        page.screenshot(path=folder/f'page_{width}_{theme}.png')

without_browser(globals(), 'the page of fse_label is')
if __name__=='__main__': run(globals(), __doc__, shots)
