"""Write images/widget-*.png, what readers without JavaScript see in place of a widget

    python tools/stills.py

Needs what tests/test_widgets.py needs: playwright and a Chromium."""
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tests'))
from test_widgets import browser, settle, shipped

def states():
    "Name of a widget → its state in the picture"
    truth = shipped('fewshot.json')['truth']
    two_bumps = [[[-6.5,.5,2.5,1],[4,-9,1.5,.6]],[[7.5,.5,2.5,1]]]
    return dict(fewshot=dict(clicks=[*truth[:3],[],[]], active=2), losses=dict(rotate=15, shift=[2,0], maps1=two_bumps),
                results=dict(query='training annealed unet', y='held-out error, %'))

def main():
    with browser() as open_page:
        page = open_page(list(states()), width=820, **states())
        settle(page)
        for name in states():
            file = ROOT/'images'/f'widget-{name}.png'
            page.locator(f'#{name}').screenshot(path=file)
            Image.open(file).convert('RGB').quantize(128).save(file, optimize=True)
            link = ROOT/'nbs/images'/file.name
            if not link.is_symlink(): link.symlink_to(Path('../../images')/file.name)
            print(file.name, file.stat().st_size)

if __name__=='__main__': main()
