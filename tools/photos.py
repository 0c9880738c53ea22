"""Write images/photos.png: two photographs under free licences, and the landmarks that shipped detectors find in them

    python tools/photos.py"""
from pathlib import Path

import matplotlib.pyplot as plt, numpy as np, torch
from skimage.data import astronaut, chelsea

from fse_nb.detect import detect
from fse_nb.draw import show_landmarks
from fse_nb.export import load_detector

OUT = Path(__file__).parent.parent/'images/photos.png'

def main():
    face,cat = astronaut()[20:200,130:310],chelsea()[:,93:393] # the cat's eyes where those in training are
    fig,axs = plt.subplots(1, 3, figsize=(7.4,2.5))
    for ax,(name,image) in zip(axs, (('faces-10',face), ('faces-50',face), ('cats-10',cat))):
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2,0,1)[None]
        show_landmarks(image, detect(load_detector(name), x)[0], ax=ax)
        ax.set_title(name, fontsize=9)
    fig.tight_layout(pad=.3)
    fig.savefig(OUT, dpi=110, bbox_inches='tight', pad_inches=.05)
    print(OUT.name, OUT.stat().st_size)

if __name__=='__main__': main()
