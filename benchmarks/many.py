"""Memory of `fse_detect`: most that it ever holds, for 1,000 and for 10,000 images, each in a process of its own

    python benchmarks/many.py

The images are links to 50 drawn faces of 160 pixels, the detector is a small one (squares of 40 pixels), so that most
of the time goes into decoding. Time is that of the whole command, imports and review included."""
import argparse, os, resource, subprocess, sys, tempfile, time
from pathlib import Path

import torch

from common import record
from fse_nb.confidence import Confidence
from fse_nb.data import Geometry, toy_faces
from fse_nb.export import save_detector
from fse_nb.model import LandmarkDetector

IMAGES = 1_000,10_000

COMMAND = '''
import resource, sys
from fse_nb.cli import fse_detect
folder,model,csv = sys.argv[1:]
fse_detect(folder, model=model, csv=csv, device='cpu')
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
'''

def links(folder, faces, n):
    "A folder of n links to a few images"
    folder.mkdir()
    for i in range(n): os.symlink(faces[i%len(faces)], folder/f'{i:06d}.png')
    return folder

def measured(folder, model, csv):
    "Most memory (MB), seconds of the processor, and rows of the table"
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([sys.executable,'-c',COMMAND,folder,model,csv], capture_output=True, text=True, check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime+ended.ru_stime-began.ru_utime-began.ru_stime
    unit = 2**20 if sys.platform=='darwin' else 2**10 # bytes there, kilobytes elsewhere
    return int(said.stdout.split()[-1])/unit,seconds,len(csv.read_text().splitlines())-1

def main():
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        faces = [f.resolve() for f in toy_faces(50, seed=1, size=160).save_images(d/'faces').files]
        torch.manual_seed(0)
        model = LandmarkDetector(10, geometry=Geometry.of_size(40))
        model.confidence = Confidence([-6.]*10, [-3.]*10, doubt=.5)
        file = save_detector(model, d/'small.safetensors')
        said = {}
        for n in IMAGES:
            began = time.perf_counter()
            megabytes,seconds,rows = measured(links(d/str(n), faces, n), file, d/f'{n}.csv')
            assert rows==n
            said[str(n)] = dict(peak_mb=round(megabytes), cpu_seconds=round(seconds, 1),
                                seconds=round(time.perf_counter()-began, 1))
            print(f'{n:,} images: at most {megabytes:.0f} MB, {seconds:.0f} s on the processor', flush=True)
    few,many = (said[str(n)] for n in IMAGES)
    ratio = many['peak_mb']/few['peak_mb']
    print(f'ten times the images, {ratio:.2f} times the memory (bound: 1.15)')
    record('many', images=said, ratio=round(ratio, 3), bound=1.15)

if __name__=='__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
