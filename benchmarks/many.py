"""What many images cost: engines, decoding, number of images, number of landmarks, size of the squares

    python benchmarks/many.py [PART …]     memory decoding cost engines; default: all

A part that is not asked for stays in results/bench_many.json as it was measured before.

Engines: PyTorch as it is, compiled, and ONNX Runtime compute the same graph, from bytes to pixels. They take turns, so
that a busy machine slows all of them alike. With one thread the seconds are those of the processor, with two threads
those of the fastest round by the clock. Decoding is measured apart. Memory is the most that `fse_detect` ever holds, in
a process of its own. Its images are links to 50 drawn faces of 64 pixels, its detector is small (squares of 40 pixels,
eight channels), and its time is that of the whole command, imports and review included. On the way, what it holds and
how far it is are looked at whenever a tenth of the rows is there."""
import argparse, io, json, os, resource, statistics, subprocess, sys, tarfile, tempfile, time
from pathlib import Path

import numpy as np, onnxruntime as ort, psutil, torch
from PIL import Image

from common import ROOT
from fse_nb.confidence import Confidence
from fse_nb.data import Geometry, toy_faces
from fse_nb.decode import decode_square, load_image
from fse_nb.detect import detect
from fse_nb.export import OnnxGraph, load_detector, save_detector, to_onnx
from fse_nb.model import LandmarkDetector
from fse_nb.results import origin, write_record

IMAGES = 1_000,5_000,20_000,100_000

COMMAND = '''
import re, resource, sys
from pathlib import Path
from fse_nb.cli import fse_detect
images,model,csv = sys.argv[1:]
fse_detect(images, model=model, csv=csv, device='cpu')
status = Path('/proc/self/status') # ru_maxrss begins with what the process before it held, which started this one
own = re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1] if status.exists() else None
print(own or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
'''

def seconds(f):
    "Of a call: by the clock, and of the processor"
    clock,cpu = time.perf_counter(),time.process_time()
    f()
    return time.perf_counter()-clock,time.process_time()-cpu

def in_turns(ways, rounds, threads, images):
    "Images a second of each way, and its ratio to the first"
    times = {name:[] for name in ways}
    for f in ways.values(): f()
    for _ in range(rounds):
        for name,f in ways.items(): times[name].append(seconds(f)[1 if threads==1 else 0])
    first = next(iter(times.values()))
    typical = statistics.median if threads==1 else min
    ratio = lambda t: statistics.median(a/b for a,b in zip(first, t)) if threads==1 else min(first)/min(t)
    return {name:dict(images_per_second=round(images/typical(t), 1), ratio=round(ratio(t), 2))
            for name,t in times.items()}

def session(file, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(file), options, providers=['CPUExecutionProvider'])

def compiled(graph, x):
    "The graph compiled by PyTorch, or why that does not work"
    torch.compiler.reset()
    fast = torch.compile(graph)
    try: fast(x)
    except Exception as error: return None,str(error).strip().splitlines()[0][:200]
    return fast,None

def engines(folder, names, threads=1, n=64, rounds=9):
    "PyTorch, compiled for the first detector, and ONNX Runtime, in batches of 64, as the command has them"
    said = {}
    torch.set_num_threads(threads)
    for name in names:
        model = load_detector(name)
        side,channels = model.geometry.size,model.config['n_in']
        graph,run = OnnxGraph(model).eval(),session(to_onnx(model, folder/f'{name}.onnx'), threads)
        x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n,side,side,channels), np.uint8))
        with torch.inference_mode():
            ways = dict(eager=lambda: graph(x))
            fast,why = compiled(graph, x) if name==names[0] else (None,None)
            if fast is not None: ways['compiled'] = lambda: fast(x)
            ways['onnx'] = lambda: run.run(None, dict(image=x.numpy()))
            far = (graph(x)[0]-torch.from_numpy(ways['onnx']()[0])).abs().max().item()
            said[name] = in_turns(ways, rounds, threads, n)|dict(far_px=round(far, 5))
        if why: said[name]['compiled'] = why
        print(name, threads, said[name], flush=True)
    torch.set_num_threads(1)
    return said

def decoding(folder, sizes=((640,480),(1600,1200),(4000,3000)), n=12):
    "JPEGs as squares of 100 pixels: read at a part of their size, and in full; and how far landmarks move by that"
    faces,model,said = toy_faces(n, seed=3, size=320).images,load_detector('faces-10'),{}
    for w,h in sizes:
        files = []
        for i,face in enumerate(faces):
            picture = Image.new('RGB', (w,h), (90,110,130))
            picture.paste(Image.fromarray(face).resize((h,h), Image.BICUBIC), ((w-h)//2,0))
            files.append(folder/f'{w}_{i}.jpg')
            picture.save(files[-1], quality=90)
        part = lambda: [decode_square(f, model.geometry)[0] for f in files]
        full = lambda: [decode_square(load_image(f), model.geometry)[0] for f in files]
        points = [detect(model, torch.from_numpy(np.stack(squares())).permute(0,3,1,2)) for squares in (part,full)]
        px = (points[0]-points[1]).norm(dim=-1)*model.geometry.size/2
        got = in_turns(dict(full=full, part=part), 5, 1, n)
        said[f'{w}x{h}'] = got|dict(landmarks_px=dict(mean=round(px.mean().item(), 3), most=round(px.max().item(), 3)))
        print(w, h, said[f'{w}x{h}'], flush=True)
    return said

def costs(n=32, rounds=5):
    "Milliseconds of the processor an image, against K and against the side of the squares"
    def ms(k, size):
        torch.manual_seed(0)
        model = LandmarkDetector(k, geometry=Geometry.of_size(size)).eval()
        x = torch.randint(0, 256, (n,3,size,size), dtype=torch.uint8)
        detect(model, x)
        return round(1000/n*statistics.median(seconds(lambda: detect(model, x))[1] for _ in range(rounds)), 2)
    by_k = {str(k):ms(k, 100) for k in (5,10,20,30,40,50)}
    by_size = {str(size):ms(10, size) for size in (50,75,100,150,200)}
    print(by_k, by_size, flush=True)
    return dict(landmarks=by_k, side=by_size)

def links(folder, faces, n):
    "A folder of n links to a few images"
    folder.mkdir()
    for i in range(n): os.symlink(faces[i%len(faces)], folder/f'{i:06d}.png')
    return folder

def shard(file, faces, n):
    "A tar archive of n copies of a few images"
    data = [f.read_bytes() for f in faces]
    with tarfile.open(file, 'w') as t:
        for i in range(n):
            member = tarfile.TarInfo(f'{i:06d}.png')
            member.size = len(data[i%len(data)])
            t.addfile(member, io.BytesIO(data[i%len(data)]))
    return file

def watched(process, csv, n):
    "Rows, memory (MB) and seconds of the processor, whenever a tenth of `n` rows is there, until the process ends"
    seen,rows,due = [],-1,n/10 # the first line names the columns
    looked = psutil.Process(process.pid)
    while not csv.exists() and process.poll() is None: time.sleep(.1)
    with open(csv, 'rb') as table:
        while process.poll() is None:
            rows += table.read().count(b'\n')
            if rows>=due:
                due,times = rows+n/10,looked.cpu_times()
                seen.append(dict(rows=rows, mb=round(looked.memory_info().rss/2**20),
                                 cpu_seconds=round(times.user+times.system, 1)))
            time.sleep(.1)
    return seen

def measured(images, model, csv, n):
    "Most memory (MB), seconds of the processor, seconds, images a second of the processor, and how it went"
    began,clock = resource.getrusage(resource.RUSAGE_CHILDREN),time.perf_counter()
    with open(f'{csv}.log', 'w+') as log:
        process = subprocess.Popen([sys.executable,'-c',COMMAND,images,model,csv], stdout=log)
        on_the_way = watched(process, csv, n)
        log.seek(0)
        said = log.read()
    assert process.returncode==0, said
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = ended.ru_utime+ended.ru_stime-began.ru_utime-began.ru_stime
    unit = 2**20 if sys.platform=='darwin' else 2**10 # bytes there, kilobytes elsewhere
    with open(csv) as f: assert sum(1 for _ in f)==n+1
    return dict(peak_mb=round(int(said.split()[-1])/unit), cpu_seconds=round(cpu, 1),
                seconds=round(time.perf_counter()-clock, 1), on_the_way=on_the_way)

def memory(d, images):
    "Memory and time of the whole command, against the number of images"
    faces = [f.resolve() for f in toy_faces(50, seed=1, size=64).save_images(d/'faces').files]
    torch.manual_seed(0)
    model = LandmarkDetector(10, arch='dilated', widths=[8]*5, geometry=Geometry.of_size(40))
    model.confidence = Confidence([-6.]*10, [-3.]*10, doubt=.5)
    file,said = save_detector(model, d/'small.safetensors'),{}
    for n in images:
        said[str(n)] = measured(links(d/str(n), faces, n), file, d/f'{n}.csv', n)
        print(f'{n:,} images: {said[str(n)]}', flush=True)
    few,many = (said[str(n)]['peak_mb'] for n in (images[0],images[-1]))
    print(f'{images[-1]//images[0]} times the images, {many/few:.2f} times the memory (bound: 1.15)')
    n = images[1]
    tar = measured(shard(d/'shard.tar', faces, n), file, d/'tar.csv', n)
    print(f'{n:,} images in a tar archive: {tar}', flush=True)
    return dict(images=said, tar={str(n):tar}, ratio=round(many/few, 3), bound=1.15)

def both_engines(d):
    "All detectors with one thread, then one with two, which takes minutes on a busy machine"
    one = engines(d, ('faces-10','cats-10','digits-3'))
    print(f'one thread: ONNX Runtime {one["faces-10"]["onnx"]["ratio"]:.2f} times as fast as PyTorch (bar: 1.5)')
    return dict(engines={'1 thread':one, '2 threads':engines(d, ('faces-10',), 2)}, onnx_bar=1.5)

def keep(part, found):
    "Write what a part found, beside what the others did"
    file,began = ROOT/'results'/'bench_many.json',origin('onnxruntime', 'pillow')
    before = json.loads(file.read_text())['numbers'] if file.exists() else {}
    parts = before.get('parts', {})|{part:dict(command=began['command'], commit=began['commit'])}
    write_record(file, began, **before|found|dict(parts=parts))

def main(parts, images):
    torch.set_num_threads(1)
    todo = dict(memory=lambda d: memory(d, images), decoding=lambda d: dict(decoding=decoding(d)),
                cost=lambda d: dict(cost_ms=costs()), engines=both_engines)
    for part in parts or todo:
        with tempfile.TemporaryDirectory() as d: keep(part, todo[part](Path(d)))

if __name__=='__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', choices=['memory','decoding','cost','engines'])
    parser.add_argument('--images', default=','.join(map(str, IMAGES)), help='numbers of images, with commas')
    args = parser.parse_args()
    main(args.parts, [int(o) for o in args.images.split(',')])
