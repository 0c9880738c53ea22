"""Write images/widget-*, what readers without JavaScript see in place of a widget

    python tools/stills.py [NAME …]      default: all

Needs what tests/test_widgets.py needs: playwright and a Chromium. The annotator's is images/annotate.webp of notebook
12."""
import io, sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tests'))
from test_widgets import CHROMIUM, PAGE, browser, served, settle, shipped, sync_playwright

WIDTH,NARROW = 820,560 # of a page of widgets, and of one whose still would be too large otherwise; pixels
SHEET = '<link rel="stylesheet" href="site/site.css">'

def states():
    "Name of a widget → its state in the picture"
    truth = shipped('fewshot.json')['truth']
    two_bumps = [[[-6.5,.5,2.5,1],[4,-9,1.5,.6]],[[7.5,.5,2.5,1]]]
    return dict(fewshot=dict(clicks=[*truth[:3],[],[]], active=2), losses=dict(rotate=15, shift=[2,0], maps1=two_bumps),
                results=dict(query='training annealed unet', y='held-out error, %'), warp=dict(seed=4))

def keep(name, screenshot, suffix):
    "A screenshot as a small file in images/, and a link to it beside the notebooks"
    file,image = ROOT/'images'/f'widget-{name}{suffix}',Image.open(io.BytesIO(screenshot)).convert('RGB')
    if suffix=='.png': image.quantize(128).save(file, optimize=True)
    else: image.save(file, quality=45, method=6) # what shows a photograph or a drawn face
    link = ROOT/'nbs/images'/file.name
    if not link.is_symlink(): link.symlink_to(Path('../../images')/file.name)
    print(file.name, file.stat().st_size)

def widgets(chosen, width, suffix):
    "Those that need their state only"
    with browser() as open_page:
        page = open_page(list(chosen), width=width, **chosen)
        settle(page)
        for name in chosen: keep(name, page.locator(f'#{name}').screenshot(), suffix)

def live():
    "The live detector, started, with the portrait turned and bent"
    body = '<div id="live" class="fse-widget" data-widget="live" data-state=\'{"rotate": 20, "bend": 1}\'></div>'
    shown = PAGE.format(color='#222', background='#fff', theme='light', body=SHEET+body)
    with sync_playwright() as pw, served(ROOT/'nbs') as base:
        page = pw.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox']).new_page(
            viewport=dict(width=NARROW, height=1200))
        page.route('**/still.html', lambda route: route.fulfill(body=shown, content_type='text/html'))
        page.goto(f'{base}still.html')
        page.get_by_role('button', name='Start').click()
        page.wait_for_function("document.querySelector('#live').fseModel?.get('status')=='ready'", timeout=120_000)
        page.evaluate("document.querySelector('#live').fseIdle()")
        # letters make a large file
        page.add_style_tag(content='#live > :is(p:not(.fse-result), .fse-row) { display: none }')
        settle(page)
        keep('live', page.locator('#live').screenshot(), '.webp')

def main():
    names = sys.argv[1:] or [*states(),'live']
    chosen = {name:state for name,state in states().items() if name in names}
    if faces := {name:chosen.pop(name) for name in ('warp',) if name in chosen}: widgets(faces, NARROW, '.webp')
    if chosen: widgets(chosen, WIDTH, '.png')
    if 'live' in names: live()

if __name__=='__main__': main()
