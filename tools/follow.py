"Write images/follow.webp: a drawn face under a moving warp, and the landmarks that the shipped detector finds in each frame on its own"
import math
from pathlib import Path
import numpy as np, torch
from PIL import Image, ImageDraw
from fse_nb.data import toy_faces
from fse_nb.export import load_detector
from fse_nb.train import detect, landmark_colors
from fse_nb.warps import FACES, ThinPlateWarp, warp_image

n,show = 40,240
m = load_detector('faces-10')
x = torch.from_numpy(np.ascontiguousarray(toy_faces(20, seed=0, size=200).images[[18,11,13]])).permute(0,3,1,2).float()/127.5-1
g = FACES[1](len(x), generator=torch.Generator().manual_seed(3))
colors = [tuple((255*c).astype(int)) for c in landmark_colors(10)]
frames = []
for t in range(n):
    s,a = math.sin(2*math.pi*t/n),.45*math.sin(2*math.pi*t/n+1)
    coef = g.coef.clone(); coef[:,:-3] *= 1.5*s
    coef[:,-3:] = torch.tensor([[0,0],[math.cos(a),math.sin(a)],[-math.sin(a),math.cos(a)]])
    w = warp_image(x, ThinPlateWarp(coef, g.ctrl).grid(200, 200))
    pts = detect(m, w)
    out = Image.new('RGB', (show*3+20, show), 'white')
    for i,(im,p) in enumerate(zip(w, pts)):
        im = Image.fromarray(((im.permute(1,2,0)+1)*127.5).clamp(0,255).byte().numpy()).crop((20,20,180,180)).resize((show,show), Image.BICUBIC)
        d = ImageDraw.Draw(im)
        for (u,v),c in zip(p.tolist(), colors):
            u,v = ((q/.8+1)*show/2 for q in (u,v))
            d.ellipse((u-6,v-6,u+6,v+6), fill=c, outline='white', width=2)
        out.paste(im, (i*(show+10), 0))
    frames.append(out)
f = Path(__file__).parent.parent/'images/follow.webp'
frames[0].save(f, save_all=True, append_images=frames[1:], duration=70, loop=0, quality=60, method=6)
frames[8].save('/tmp/follow.png')
print(f, f.stat().st_size)
