"""Features for face parsing (supplement of the paper), on FASSEG: what a detector's first layers know about faces

    python benchmarks/parsing.py                    # everything that results/parsing_*.json does not hold yet
    python benchmarks/parsing.py --minutes 4        # … and stop after the run that is on then; call again to go on
    python benchmarks/parsing.py --seeds 1 --n 5    # a part of it
    python benchmarks/parsing.py --probe            # without training: a linear classifier of the features, in closed form

The last layer of the detector is replaced by a classifier of 6 classes at every pixel of the map, whose scores are enlarged to the
image. `scratch`: all layers from random weights; `frozen`: the detector's weights, first three layers fixed; `tuned`: the detector's
weights, all layers trained; `random`: random weights, first three layers fixed, the control of `frozen`. Trained on the first n
images of a permutation of the 20, `--draws` random draws (mirrored at random, shifted) an epoch whatever n is; pixel accuracy and mean IoU of the 50
test images after 5, 15 and all epochs. `best` is the best epoch *on the test images*, as in the paper's table: an optimistic number.
Settings were chosen with `--hold`: 14 of the 20 training images to train, 6 to judge.

`--probe` asks the features themselves: ridge regression (of fixed strength, on standardised features) from the layer's channels at a
pixel of the map to the six classes, after 3 and after 5 convolutions, for the detector, for random weights whose batch norm has seen
the training images, and for the colours of the pixel. To results/parsing_probe_DETECTOR.json."""
import argparse, json, sys, time
import numpy as np, torch, torch.nn.functional as F
from torch import nn
from common import record, ROOT
from fse_nb.data import PARSING, decode_images, face_parsing, label_square, load_label
from fse_nb.export import load_detector
from fse_nb.model import LandmarkDetector, conv_layer

VARIANTS = ('scratch','random','frozen','tuned')
IGNORE = 255

def images(split, size=80):
    "Images (N,3,size,w) in [-1,1] and labels (N,size,w), the central w columns; pixels beyond the photograph are not counted"
    s = face_parsing().where(split=split)
    c = decode_images(s, size=size, fit='pad', warn_small=False)
    y = np.stack([label_square(load_label(l), b, size, IGNORE) for l,b in zip(c.meta.label, c.boxes)])
    x = torch.from_numpy(np.ascontiguousarray(c.images)).permute(0,3,1,2)/127.5-1
    w = size*3//4 # some photographs are a pixel or two wider
    cut = slice((size-w)//2, (size+w)//2)
    return x[...,cut].contiguous(), torch.from_numpy(y)[...,cut].long()

def network(variant, detector, n_classes):
    "A detector whose last layer classifies, and the parameters that are trained"
    src = load_detector(detector)
    m = src if variant in ('frozen','tuned') else LandmarkDetector(**src.config)
    layers = list(m.layers)
    layers[-1] = conv_layer(layers[-1][0].in_channels, n_classes, 1, after='none')
    net = nn.Sequential(*layers)
    if variant in ('frozen','random'):
        for o in layers[:4]: # conv, pool, conv, conv
            for p in o.parameters(): p.requires_grad_(False)
    return net.to(memory_format=torch.channels_last), 4 if variant in ('frozen','random') else 0

def train_mode(net, frozen):
    "Training mode, except for the batch norm of frozen layers"
    net.train()
    for o in net[:frozen]: o.eval()

def scores(net, x): return F.interpolate(net(x), size=x.shape[-2:], mode='bilinear', align_corners=False)

@torch.no_grad()
def test(net, x, y, n_classes):
    "Pixel accuracy and mean intersection over union of a whole set, per cent"
    net.eval()
    p = torch.cat([scores(net, b).argmax(1) for b in x.split(10)])
    ok = y<n_classes
    conf = torch.bincount(y[ok]*n_classes+p[ok], minlength=n_classes**2).view(n_classes, -1).float()
    hit = conf.diag()
    return 100*(hit.sum()/conf.sum()).item(), (100*hit/(conf.sum(0)+conf.sum(1)-hit)).tolist()

def draw(x, y, i, gen, shift=4):
    "Images `i`, mirrored with probability 1/2 and shifted by up to `shift` pixels"
    x,y = x[i].clone(),y[i].clone()
    m = torch.rand(len(i), generator=gen)<.5
    x[m],y[m] = x[m].flip(-1),y[m].flip(-1) # no class has a side
    dx,dy = torch.randint(-shift, shift+1, (2,), generator=gen).tolist()
    x = F.pad(x, (shift,)*4, mode='replicate')[...,shift+dy:shift+dy+x.shape[-2],shift+dx:shift+dx+x.shape[-1]]
    y = F.pad(y, (shift,)*4, value=IGNORE)[...,shift+dy:shift+dy+y.shape[-2],shift+dx:shift+dx+y.shape[-1]]
    return x.contiguous(memory_format=torch.channels_last),y

def run(variant, n, seed, data, a):
    "One training: accuracy after every epoch"
    (x,y),(tx,ty) = data
    K = len(PARSING['fasseg'])
    torch.manual_seed(seed)
    net,frozen = network(variant, a.detector, K)
    gen = torch.Generator().manual_seed(seed)
    mine = torch.randperm(len(x), generator=gen)[:n]
    opt = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=a.lr, weight_decay=.01)
    steps = a.draws//a.bs
    curve,t,c = [],time.time(),time.process_time()
    for e in range(a.epochs):
        train_mode(net, frozen)
        i = torch.cat([mine[torch.randperm(n, generator=gen)] for _ in range(-(-a.draws//n))])[:steps*a.bs]
        for b in i.view(steps, a.bs):
            bx,by = draw(x, y, b, gen)
            loss = F.cross_entropy(scores(net, bx), by, ignore_index=IGNORE)
            opt.zero_grad(); loss.backward(); opt.step()
        if e in (4,14) or e==a.epochs-1 or a.every:
            acc,iou = test(net, tx, ty, K)
            curve.append(dict(epoch=e+1, train_loss=round(loss.item(), 4), accuracy=round(acc, 2), iou=[round(o, 2) for o in iou], miou=round(float(np.nanmean(iou)), 2)))
    return dict(variant=variant, n=n, seed=seed, seconds=round(time.time()-t, 1), core_seconds=round(time.process_time()-c, 1), curve=curve)

@torch.no_grad()
def probe(detector, data, ns, seeds, K, ridge=1e-3):
    "Accuracy and IoU of a linear classifier in closed form, rows by features, n and seed"
    (x,y),(tx,ty) = data
    src,rows = load_detector(detector),[]
    def one(f, name, n, seed):
        i = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:n]
        A,B = (torch.cat([f(b) for b in o.split(10)]) for o in (x[i],tx))
        A = A.movedim(1, -1).flatten(0,2)
        lab = y[i][:,::y.shape[1]//B.shape[2],::y.shape[2]//B.shape[3]].flatten()
        A,lab = A[lab<K],lab[lab<K]
        m,s = A.mean(0),A.std(0)+1e-6
        A = torch.cat([(A-m)/s, torch.ones(len(A), 1)], 1).double()
        W = torch.linalg.solve(A.T@A+ridge*len(A)*torch.eye(A.shape[1]), A.T@F.one_hot(lab, K).double()).float()
        net = lambda b: torch.einsum('bchw,ck->bkhw', (f(b)-m[:,None,None])/s[:,None,None], W[:-1])+W[-1][:,None,None]
        acc,iou = test(Eval(net), tx, ty, K)
        rows.append(dict(features=name, n=n, seed=seed, accuracy=round(acc, 2), iou=[round(o, 2) for o in iou], miou=round(float(np.nanmean(iou)), 2)))
        print(rows[-1], flush=True)
    class Eval:
        def __init__(self, f): self.f = f
        def eval(self): pass
        def __call__(self, b): return self.f(b)
    for seed in range(seeds):
        torch.manual_seed(seed)
        rand = LandmarkDetector(**src.config)
        for m in rand.modules():
            if isinstance(m, nn.BatchNorm2d): m.momentum = None # the mean over the images
        rand.train()(x)
        rand.eval()
        for n in ns:
            one(lambda b: F.avg_pool2d(b, 2), 'colours', n, seed)
            for m,name in ((rand,'random'),(src,'detector')):
                for depth,k in ((3,4),(5,6)): one(m.layers[:k], f'{name}, {depth} convolutions', n, seed)
    return rows

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--detector', default='faces-10')
    p.add_argument('--variants', nargs='*', default=VARIANTS)
    p.add_argument('--n', nargs='*', type=int, default=(20,10,5))
    p.add_argument('--seeds', type=int, default=5)
    p.add_argument('--epochs', type=int, default=30)
    p.add_argument('--draws', type=int, default=20, help='images an epoch, whatever n is')
    p.add_argument('--size', type=int, default=80, help='height of the images, pixels')
    p.add_argument('--bs', type=int, default=4)
    p.add_argument('--lr', type=float, default=2e-3)
    p.add_argument('--every', action='store_true', help='test after every epoch, not only 5, 15 and the last')
    p.add_argument('--minutes', type=float, default=1e9)
    p.add_argument('--hold', action='store_true', help='judge on 6 of the 20 training images; nothing is recorded')
    p.add_argument('--probe', action='store_true', help='the features in closed form, instead of training')
    p.add_argument('--name', default=None)
    a = p.parse_args()
    name = a.name or f'parsing_{a.detector}'
    file = ROOT/'results'/f'{name}.json'
    config = {k:v for k,v in vars(a).items() if k in ('detector','epochs','draws','size','bs','lr')}
    runs = []
    if file.exists() and not a.hold:
        old = json.loads(file.read_text())['numbers']
        if old['config']!=config: raise SystemExit(f'{file} was made with {old["config"]}: give another --name')
        runs = old['runs']
    tr,te = images('train', a.size),images('test', a.size)
    if a.hold: tr,te = [o[:14] for o in tr],[o[14:] for o in tr]
    if a.probe:
        record(a.name or f'parsing_probe_{a.detector}', 'python benchmarks/parsing.py '+' '.join(sys.argv[1:]), prefix='', detector=a.detector, size=a.size, classes=PARSING['fasseg'], test_images=len(te[0]),
               rows=probe(a.detector, (tr,te), a.n, a.seeds, len(PARSING['fasseg'])))
        return
    t = time.time()
    for seed in range(a.seeds):
        for n in a.n:
            for v in a.variants:
                if any((r['variant'],r['n'],r['seed'])==(v,n,seed) for r in runs): continue
                if time.time()-t > 60*a.minutes: return
                r = run(v, min(n, len(tr[0])), seed, (tr,te), a)
                runs.append(r)
                print(v, n, seed, f"{r['seconds']:.0f} s", [(o['epoch'],o['accuracy'],o['miou']) for o in r['curve']], flush=True)
                if not a.hold: record(name, 'python benchmarks/parsing.py '+' '.join(sys.argv[1:]), prefix='', config=config, classes=PARSING['fasseg'], train_images=20, test_images=len(te[0]), runs=runs)

if __name__=='__main__': main()
