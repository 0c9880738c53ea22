"""Write images/follow.webp: a drawn face under a moving warp, and the landmarks that the shipped detector finds in it

    python tools/follow.py

Each frame is detected on its own: nothing is tracked."""
import math
from pathlib import Path

import numpy as np, torch
from PIL import Image, ImageDraw

from fse_nb.data import toy_faces
from fse_nb.detect import detect
from fse_nb.draw import landmark_colors
from fse_nb.export import load_detector
from fse_nb.warps import FACES, ThinPlateWarp, warp_image

FRAMES,SHOWN,SIDE = 40,240,200 # frames of the film, pixels of a face in it, pixels of a drawn face
OUT = Path(__file__).parent.parent/'images/follow.webp'

def drawn_faces():
    "Three faces (3,3,SIDE,SIDE) in [-1,1]"
    images = toy_faces(20, seed=0, size=SIDE).images[[18,11,13]]
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0,3,1,2).float()/127.5-1

def warp_at(phase, warp):
    "The warp at a share of the film: bends to and fro, and turns"
    bend,turn = math.sin(2*math.pi*phase),.45*math.sin(2*math.pi*phase+1)
    coef = warp.coef.clone()
    coef[:,:-3] *= 1.5*bend
    c,s = math.cos(turn),math.sin(turn)
    coef[:,-3:] = torch.tensor([[0,0],[c,s],[-s,c]])
    return ThinPlateWarp(coef, warp.ctrl)

def with_discs(image, pts, colors):
    "The central four fifths of an image (3,SIDE,SIDE), enlarged, with a disc on each landmark"
    pixels = ((image.permute(1,2,0)+1)*127.5).clamp(0, 255).byte().numpy()
    edge = SIDE//10
    face = Image.fromarray(pixels).crop((edge,edge,SIDE-edge,SIDE-edge)).resize((SHOWN,SHOWN), Image.BICUBIC)
    draw = ImageDraw.Draw(face)
    for (x,y),color in zip(((pts/.8+1)*SHOWN/2).tolist(), colors):
        draw.ellipse((x-6,y-6,x+6,y+6), fill=color, outline='white', width=2)
    return face

def main():
    model,x = load_detector('faces-10'),drawn_faces()
    warp = FACES.g2(len(x), generator=torch.Generator().manual_seed(3))
    colors = [tuple((255*c).astype(int)) for c in landmark_colors(10)]
    frames = []
    for t in range(FRAMES):
        warped = warp_image(x, warp_at(t/FRAMES, warp).grid(SIDE, SIDE))
        frame = Image.new('RGB', (SHOWN*3+20,SHOWN), 'white')
        for i,(image,pts) in enumerate(zip(warped, detect(model, warped))):
            frame.paste(with_discs(image, pts, colors), (i*(SHOWN+10),0))
        frames.append(frame)
    frames[0].save(OUT, save_all=True, append_images=frames[1:], duration=70, loop=0, quality=60, method=6)
    print(OUT.name, OUT.stat().st_size)

if __name__=='__main__': main()
