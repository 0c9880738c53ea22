"""Kill trainings, fill the disk, take folders away, open damaged and hostile files: nothing is lost, all is said.

    python tests/faults.py [PART …]     kill disk folder lock files sources; default: all
    python tests/faults.py --kills 50 --files 500 --record      as results/faults.json was made

Needs no data set and no network, and Linux. Each fault meets the command as a user calls it, in a process of its own:
a fork of this one, so that nothing has to be imported again. A fault that is not met well is printed, and the exit
status is 1. What cannot be tried here (a small disk needs the right to mount one) is printed as not tried."""
import argparse, gzip, io, json, math, os, pickle, random, re, resource, shutil, signal, struct, subprocess
import sys, tarfile, tempfile, time, traceback, warnings, zipfile, zlib
from collections import Counter, namedtuple
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np, torch
from PIL import Image

import fse_nb.runs, fse_nb.points # before anything is forked
from fse_nb.annotate import LabelSession
from fse_nb.cli import fse_detect, fse_regress, fse_train, one_sentence
from fse_nb.data import FORMATS, Geometry, LandmarkSet, read_annotations, toy_faces, write_annotations
from fse_nb.export import load_detector, save_detector, to_onnx
from fse_nb.many import beside
from fse_nb.model import LandmarkDetector
from fse_nb.regress import LinearRegressor
from fse_nb.results import origin, write_record
from fse_nb.store import load_tensors
from fse_nb.train import Checkpoint

#: a hostile file may cost this much memory above what a good one costs, MB; an image has at most 179 million pixels
MOST_MB = dict(detector=600, engine=600, checkpoint=600, cache=600, regressor=600, annotation=600, archive=600,
               list=600, boxes=600, image=4000)

# ---- a command in a process of its own

#: `code`: exit status, negative for a signal; `said`: what it printed; `peak`: largest memory, MB
Outcome = namedtuple('Outcome', 'code said peak seconds')

def started(work, log):
    "Fork, and call `work` there as a command is called; the process id"
    sys.stdout.flush()
    pid = os.fork()
    if pid: return pid
    code = 70 # a trace
    try:
        out = os.open(log, os.O_WRONLY|os.O_CREAT|os.O_TRUNC)
        for to in (1,2): os.dup2(out, to)
        sys.stdout,sys.stderr = (os.fdopen(os.dup(out), 'w', buffering=1) for _ in range(2))
        sys.addaudithook(_watch)
        try:
            work()
            code = 0
        except SystemExit as e:
            if isinstance(e.code, str): print(e.code)
            code = 1 if isinstance(e.code, str) else e.code or 0
    except BaseException: print(traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(code)

def _watch(event, args):
    if event in ('pickle.find_class','os.system'): print(f'CODE RAN: {event} {args}')

def ended(pid, log, began, seconds=120):
    "Wait for a process; one that takes longer is killed"
    while True:
        done,status,usage = os.wait4(pid, os.WNOHANG)
        if done: break
        if time.time()-began>seconds: os.kill(pid, signal.SIGKILL)
        time.sleep(.002)
    said = Path(log).read_text(errors='replace') if Path(log).exists() else ''
    return Outcome(os.waitstatus_to_exitcode(status), said, usage.ru_maxrss/1024, time.time()-began)

def run(work, tmp, **kwargs):
    log,began = tmp/'said.txt',time.time()
    return ended(started(work, log), log, began, **kwargs)

class Fault(Exception): "What should not have happened"

def expect(true, what):
    if not true: raise Fault(what)

def expect_sentence(outcome, *names):
    "The command ended with one sentence that names these"
    last = (outcome.said.strip().splitlines() or [''])[-1]
    expect('Traceback' not in outcome.said and outcome.code==1, f'status {outcome.code}: {outcome.said[-1500:]}')
    expect(re.match('fse_[a-z]+: ', last) and all(str(n) in last for n in names), f'{names} not in: {last}')

# ---- a training of two seconds

@contextmanager
def scratch():
    with tempfile.TemporaryDirectory(prefix='fse-faults-') as tmp: yield Path(tmp)

def draw_photos(folder, n=24):
    folder.mkdir()
    s = toy_faces(n, seed=0, size=32)
    for i,image in enumerate(s.images): Image.fromarray(image).save(folder/f'{i:02d}.png')
    return s

def training(photos, out, resume=False, epochs=5):
    "Thirty steps, after each of which the state is kept"
    def work():
        Checkpoint.__init__.__defaults__ = (0.,) # seconds between two checkpoints
        if resume: fse_train(resume=True, out=str(out))
        else: fse_train(str(photos), n_landmarks=3, size=20, epochs=epochs, bs=4, out=str(out))
    return work

def results_of(out):
    "What two equal runs share to the last bit"
    weights = load_tensors(out/'detector.safetensors')[0]
    return {k:v.numpy().tobytes() for k,v in weights.items()}|dict(history=(out/'history.csv').read_bytes())

def whole_run(tmp, photos, name='whole'):
    "A run that nothing disturbs: its results and its seconds"
    one = run(training(photos, tmp/name), tmp)
    expect(one.code==0, one.said)
    return results_of(tmp/name),one.seconds

def finished(photos, out, tmp, want):
    "Resume a run (or begin it, if there is none yet): it ends as one that nothing disturbed, and leaves no half files"
    r = run(training(photos, out, resume=(out/'run.json').exists()), tmp)
    expect(r.code==0, r.said)
    expect(results_of(out)==want, 'the resumed run ends elsewhere')
    left = [o.name for o in out.iterdir() if o.name.startswith('.')]
    expect(not left, f'left behind: {left}')

def test_kill(n=6, seed=0):
    "kill -9 at random moments; every second time at the first writing after the moment"
    rng,numbers = random.Random(seed),Counter()
    with scratch() as tmp:
        photos = tmp/'photos'
        draw_photos(photos)
        want,seconds = whole_run(tmp, photos)
        while numbers['killed']<n:
            out,log,began = tmp/'out',tmp/'said.txt',time.time()
            writing,moment = numbers['killed']%2,began+rng.uniform(0, seconds)
            pid = started(training(photos, out), log)
            while time.time()<moment: time.sleep(.0005)
            while writing and not list(out.glob('.*.tmp')) and time.time()<began+seconds: pass
            os.kill(pid, signal.SIGKILL)
            if ended(pid, log, began).code!=-signal.SIGKILL: numbers['too late'] += 1
            else:
                numbers['killed'] += 1
                numbers['while a file was written'] += bool(list(out.glob('.*.tmp')))
                numbers['before the first checkpoint'] += not (out/'checkpoint.safetensors').exists()
                numbers['after the last step'] += (out/'history.csv').exists()
                finished(photos, out, tmp, want)
                numbers['resumed to equal weights'] += 1
            shutil.rmtree(out, ignore_errors=True)
    return dict(numbers, steps=25, seconds_of_the_run=round(seconds, 2))|kill_detection(n, seed)

# ---- a detection of two seconds

class Detection:
    "`fse_detect` in a folder: 700 photographs in three blocks, two of which cannot be read"
    def __init__(self, tmp):
        self.tmp,self.photos,self.table,self.log = tmp,tmp/'many',tmp/'found'/'found.csv',tmp/'said.txt'
        draw_photos(self.photos, 700)
        for name in ('05.png','300.png'): (self.photos/name).write_text('no image')
        save_toy_detector(tmp/'d.safetensors')
        one = run(self.work(), tmp)
        expect(one.code==0, one.said)
        self.want,self.seconds = self.results(),one.seconds

    def work(self, **kwargs):
        return lambda: fse_detect(str(self.photos), model=str(self.tmp/'d.safetensors'), csv=str(self.table), **kwargs)

    def results(self): return [self.table.read_bytes(),beside(self.table, 'left_out').read_bytes()]

    def size(self): return self.table.stat().st_size if self.table.exists() else 0

    def begun(self):
        "A process that has written its first rows, and stands still"
        while True:
            shutil.rmtree(self.table.parent, ignore_errors=True)
            pid,began = started(self.work(), self.log),time.time()
            while not self.size() and time.time()<began+60: time.sleep(.0005)
            os.kill(pid, signal.SIGSTOP)
            if self.size()<len(self.want[0]): return pid,began
            os.kill(pid, signal.SIGKILL) # it was too fast
            ended(pid, self.log, began)

    def finished(self):
        "Resume: it ends as one that nothing disturbed"
        r = run(self.work(resume=True), self.tmp)
        expect(r.code==0, r.said)
        expect(self.results()==self.want, 'a resumed detection ends elsewhere')

def kill_detection(n, seed):
    "The same for a table of landmarks; every second time as soon as it grows after the moment"
    rng,numbers = random.Random(seed),Counter()
    with scratch() as tmp:
        d = Detection(tmp)
        while numbers['detections killed']<n:
            shutil.rmtree(d.table.parent, ignore_errors=True)
            began = time.time()
            writing,moment = numbers['detections killed']%2,began+rng.uniform(0, d.seconds)
            pid = started(d.work(), d.log)
            while time.time()<moment: time.sleep(.0005)
            before = d.size()
            while writing and d.size()==before and time.time()<began+d.seconds: pass
            os.kill(pid, signal.SIGKILL)
            if ended(pid, d.log, began).code!=-signal.SIGKILL: continue
            numbers['detections killed'] += 1
            numbers['detections killed with a part of the rows'] += 0<d.size()<len(d.want[0])
            d.finished()
    return dict(numbers)

# ---- disks and folders

@contextmanager
def small_disk(folder, size):
    "A disk in memory of a size such as '6m', or None where none can be mounted"
    folder.mkdir()
    try: done = as_root('mount', '-t', 'tmpfs', '-o', f'size={size},uid={os.getuid()}', 'tmpfs', folder)
    except OSError: done = False
    if not done: print('     not tried: no disk can be mounted here')
    try: yield folder if done else None
    finally:
        if done: as_root('umount', '-l', folder)

def as_root(*command):
    "Whether a command of the system succeeds"
    sudo = ['sudo','-n'] if os.geteuid() else []
    return subprocess.run([*sudo,*map(str, command)], capture_output=True).returncode==0

def remount(folder, how): expect(as_root('mount', '-o', f'remount,{how}', folder), f'could not remount: {how}')

def fill(file):
    "Take whatever room there is"
    f = os.open(file, os.O_WRONLY|os.O_CREAT)
    try:
        while os.write(f, bytes(4096)): pass
    except OSError: os.close(f)

def test_disk():
    "A disk that is full, a file size that is not allowed: a sentence, and the run goes on once there is room"
    done = []
    with scratch() as tmp:
        photos = tmp/'photos'
        draw_photos(photos)
        want,_ = whole_run(tmp, photos)
        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (10**6,10**6))
            training(photos, tmp/'limited')()
        expect_sentence(run(limited, tmp), 'limited/checkpoint.safetensors', 'File too large')
        finished(photos, tmp/'limited', tmp, want)
        done.append('file size limited: resumed')
        d = Detection(tmp)
        shutil.rmtree(d.table.parent)
        def short():
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(d.want[0])*2//3,)*2)
            d.work()()
        expect_sentence(run(short, tmp), 'found.csv', 'File too large', '--resume')
        expect(0<d.size()<len(d.want[0]), 'the table is not begun')
        d.finished()
        done.append('table too large: resumed')
        with small_disk(tmp/'disk', '6m') as disk:
            if disk is None: return dict(done=done)
            (disk/'filler').write_bytes(bytes(300_000))
            expect_sentence(run(training(photos, disk/'run'), tmp), 'run/checkpoint.safetensors', 'No space left')
            expect(load_tensors(disk/'run/checkpoint.safetensors')[1]['kind']=='checkpoint', 'the last state is lost')
            remount(disk, 'size=40m')
            finished(photos, disk/'run', tmp, want)
            done.append('disk full: resumed')
            remount(disk, 'ro')
            expect_sentence(run(training(photos, disk/'new'), tmp), 'disk/new')
            expect_sentence(run(training(photos, disk/'run', resume=True), tmp), 'disk/run')
            table = lambda: fse_detect(str(photos), model=str(tmp/'d.safetensors'), csv=str(disk/'found.csv'))
            expect_sentence(run(table, tmp), 'disk')
            done.append('read-only disk: refused')
            remount(disk, 'rw')
            fill(disk/'filler')
            expect_sentence(run(table, tmp), 'found.csv')
            done.append('table on a full disk: refused')
    return dict(done=done)

def test_folder():
    "Folders that go away while they are needed"
    done = []
    with scratch() as tmp:
        photos,out,log = tmp/'photos',tmp/'out',tmp/'said.txt'
        draw_photos(photos)
        want,seconds = whole_run(tmp, photos)
        began = time.time()
        pid = started(training(photos, out), log)
        while not (out/'checkpoint.safetensors').exists() and time.time()<began+60: time.sleep(.001)
        os.rename(out, tmp/'taken')
        r = ended(pid, log, began)
        expect(r.code==0, r.said)
        expect(results_of(out)==want, 'a run whose folder was taken away ends elsewhere')
        done.append('results taken away: written anew')
        shutil.rmtree(out)
        pid,began = started(training(photos, out), log),time.time()
        while not (out/'checkpoint.safetensors').exists() and time.time()<began+60: time.sleep(.001)
        os.kill(pid, signal.SIGKILL)
        ended(pid, log, began)
        os.rename(photos, tmp/'moved')
        expect_sentence(run(training(photos, out, resume=True), tmp), 'photos')
        os.rename(tmp/'moved', photos)
        finished(photos, out, tmp, want)
        done.append('images taken away: a sentence, and resumed when they are back')
        shutil.rmtree(out)
        out.write_text('a file')
        expect_sentence(run(training(photos, out), tmp), 'out')
        done.append('a file in place of the folder: refused')
        d = Detection(tmp)
        pid,began = d.begun()
        os.rename(d.table.parent, tmp/'taken table')
        os.kill(pid, signal.SIGCONT)
        expect_sentence(ended(pid, d.log, began), 'found.csv', '--resume')
        os.rename(tmp/'taken table', d.table.parent)
        d.finished()
        done.append('folder of a table taken away: a sentence, and resumed when it is back')
    return dict(done=done)

def test_lock():
    "Two runs on one folder: the second is refused, new or resumed, until the first is dead"
    with scratch() as tmp:
        photos,out,log = tmp/'photos',tmp/'out',tmp/'first.txt'
        draw_photos(photos)
        want,_ = whole_run(tmp, photos)
        pid,began = started(training(photos, out), log),time.time()
        while not (out/'.lock').exists() and time.time()<began+60: time.sleep(.001)
        os.kill(pid, signal.SIGSTOP) # it is slow
        expect_sentence(run(training(photos, out), tmp), 'out is being written by another process')
        os.kill(pid, signal.SIGCONT)
        while not (out/'checkpoint.safetensors').exists() and time.time()<began+60: time.sleep(.001)
        os.kill(pid, signal.SIGSTOP)
        before = (out/'checkpoint.safetensors').read_bytes()
        expect_sentence(run(training(photos, out, resume=True), tmp), 'out is being written by another process')
        expect((out/'checkpoint.safetensors').read_bytes()==before, 'the second run wrote into the folder of the first')
        os.kill(pid, signal.SIGKILL)
        ended(pid, log, began)
        finished(photos, out, tmp, want)
        d = Detection(tmp)
        pid,began = d.begun()
        before = d.table.read_bytes()
        for resume in (False,True):
            expect_sentence(run(d.work(resume=resume), tmp), 'found is being written by another process')
        expect(d.table.read_bytes()==before, 'the second detection wrote into the table of the first')
        os.kill(pid, signal.SIGCONT)
        first = ended(pid, d.log, began)
        expect(first.code==0 and d.results()==d.want, first.said)
    return dict(done=['a second new run: refused', 'a second resumed run: refused',
                      'after the death of the first: resumed', 'a second detection into one table: refused'])

# ---- files

def save_toy_detector(file):
    torch.manual_seed(0)
    model = LandmarkDetector(3, arch='dilated', widths=[4]*5, geometry=Geometry.of_size(20))
    return save_detector(model.eval(), file, run=dict(data='toy'))

class _Payload:
    "What runs a command when it is unpickled"
    def __init__(self, canary): self.canary = canary
    def __reduce__(self): return os.system,(f'touch {self.canary}',)

def parts_of(data):
    "Header (text) and the rest of a safetensors file"
    n = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8+n]),data[8+n:]

def joined(header, rest):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text))+text+rest

def damaged(data, rng, n):
    "`n` versions of a file that an accident makes: cut, bytes changed, blocks swapped, bytes put in"
    for i in range(n):
        kind,at = ('cut','changed','swapped','inserted')[i%4],rng.randrange(len(data))
        if kind=='cut': out = data[:at]
        elif kind=='changed':
            out = bytearray(data)
            head = min(len(data), 4000) if i%8<4 else len(data)
            for _ in range(rng.choice((1,8,64))): out[rng.randrange(head)] = rng.randrange(256)
        elif kind=='swapped':
            k = max(1, len(data)//rng.choice((3,17)))
            to = rng.randrange(len(data))
            out = bytearray(data)
            out[at:at+k],out[to:to+k] = data[to:to+k],data[at:at+k]
        else: out = data[:at]+rng.randbytes(rng.choice((1,100)))+data[at:]
        yield f'{kind} {i}',bytes(out)

@lru_cache
def bomb(n=10**9):
    "Megabytes that grow to `n` bytes of zeros"
    out = io.BytesIO()
    with gzip.open(out, 'wb', compresslevel=1) as f:
        for _ in range(n//10**7): f.write(bytes(10**7))
    return out.getvalue()

@lru_cache
def zip_bomb(*members, n=10**9):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        for name,head in members:
            with z.open(name, 'w', force_zip64=True) as f:
                f.write(head)
                for _ in range(n//10**7): f.write(bytes(10**7))
    return out.getvalue()

def npy_head(shape, descr):
    about = repr(dict(descr=descr, fortran_order=False, shape=shape)).ljust(117)
    return b'\x93NUMPY\x01\x00\x76\x00'+about.encode()+b'\n'

def foreign(canary):
    "Files that are something else, or are made to run code or to fill the memory"
    whatever = io.BytesIO()
    torch.save(dict(w=torch.zeros(3), x=_Payload(canary)), whatever)
    objects = io.BytesIO()
    np.save(objects, np.array([_Payload(canary)], object), allow_pickle=True)
    yield 'empty',b''
    yield 'one byte',b'\x00'
    yield 'a pickle',pickle.dumps(_Payload(canary))
    yield 'a pickle, protocol 0',pickle.dumps(_Payload(canary), 0)
    yield 'a checkpoint of PyTorch',whatever.getvalue()
    yield 'an array of objects',objects.getvalue()
    yield 'a page','<!doctype html><html>quota exceeded</html>'.encode()
    yield 'a pointer of Git LFS',b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'
    yield 'zeros',bytes(10_000)
    yield 'a zip bomb',zip_bomb(('a.npy',npy_head((10**9,), '|u1')))
    yield 'a gzip bomb',bomb()

def hostile_tensors(data):
    "safetensors files that are made to harm"
    header,rest = parts_of(data)
    name = next(k for k in header if k!='__metadata__' and header[k]['dtype']=='F32')
    meta = json.loads(header['__metadata__']['fse_nb'])
    with_meta = lambda text: joined({**header, '__metadata__':dict(fse_nb=text)}, rest)
    of = lambda **changes: with_meta(json.dumps({**meta, **changes}))
    tensor = lambda **changes: joined({**header, name:{**header[name], **changes}}, rest)
    for n in (0, 1, 2**20, 99_999_999, 2**31, 2**63, 2**64-1):
        yield f'a header of {n} bytes',struct.pack('<Q', n)+data[8:]
    yield 'a header of 90 MB',joined(json.dumps({**header, 'x'*10:dict(dtype='F32', shape=[0]*10**6)}).encode(), rest)
    yield 'a header of blanks',joined(b' '*10**6, rest)
    yield 'text of 100,000 brackets',with_meta('['*100_000)
    yield 'header of 100,000 brackets',joined(b'['*100_000, rest)
    yield 'text that is no record',with_meta('[]')
    yield 'text that is a number',with_meta('1e999')
    yield 'text with a number of 10,000 digits',with_meta('{"kind":'+'9'*10_000+'}')
    yield 'a shape of 2^62',tensor(shape=[2**31,2**31])
    yield 'a negative shape',tensor(shape=[-1])
    yield 'offsets beyond the end',tensor(data_offsets=[0,2**62])
    yield 'offsets in the wrong order',tensor(data_offsets=[8,0])
    yield 'an unknown type',tensor(dtype='F1024')
    yield 'another kind',of(kind='something')
    yield 'no kind',of(kind=None)
    for label,value in (('NaN',math.nan),('infinite',math.inf)):
        start = header[name]['data_offsets'][0]
        yield f'a weight that is {label}',joined(header, rest[:start]+struct.pack('<f', value)+rest[start+4:])
    for key in ('config','geometry','run','confidence','parts','names'):
        if key in meta:
            for value in ([], 3, 'x'*1000): yield f'{key} is {str(value)[:3]}',of(**{key:value})
    if meta.get('kind')=='detector':
        for k in (10**5, 10**9, 10**18, 10**30, -1, 1.5, 'many'):
            yield f'{k} landmarks',of(config={**meta['config'], 'n_landmarks':k})
        for w in ([10**6]*5, [10**9]*5, [4]*10**6, 5): yield 'wide layers',of(config={**meta['config'], 'widths':w})
        for k in ('square','border','crop','fill','scale','channels'):
            for v in (10**9, -1, math.nan, 1e300): yield f'{k} is {v}',of(geometry={**meta['geometry'], k:v})

def hostile_caches(canary, log, n):
    "(npy, npz) of a cache of `n` squares: None where the one that is there stays"
    def npz(**changes):
        out = io.BytesIO()
        np.savez(out, **{**log, **changes})
        return out.getvalue()
    for shape in ((10**12,20,20,3), (n,10**6,10**6,3), (n,20,20), (n+1,20,20,3), (0,20,20,3), (-1,20,20,3)):
        yield f'an array of {shape}',npy_head(shape, '|u1')+bytes(n*1200),None
    for kind in ('|O','<f8','|S1200','|V1200'):
        yield f'an array of {kind}',npy_head((n,20,20,3), kind)+bytes(n*1200),None
    yield 'an empty array',b'',None
    yield 'no array',None,b''
    for label,data in foreign(canary): yield f'{label} as the array',data,None
    for label,data in foreign(canary): yield f'{label} as the log',None,data
    yield 'a log that is a zip bomb',None,zip_bomb(('index.npy',npy_head((10**9//8,), '<i8')))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield 'a log of objects',None,npz(why=np.array([_Payload(canary)], object))
    yield 'a log with other numbers',None,npz(index=np.arange(n)+5)
    yield 'a log with large numbers',None,npz(index=np.full(n, 2**62))
    yield 'a log with few boxes',None,npz(boxes=np.zeros((1,4)))
    yield 'a log without numbers',None,npz(index=np.zeros(0, int))
    yield 'a log of text',None,npz(index=np.array(['x']*n))

def deep(n, left, right): return (left*n+right*n).encode()

@lru_cache
def mat_bomb(n=10**9):
    "A MATLAB file whose one variable is packed"
    head = b'MATLAB 5.0 MAT-file'.ljust(124)+struct.pack('<H', 0x0100)+b'IM'
    pack = zlib.compressobj(1)
    array = struct.pack('<II', 6, 8)+struct.pack('<II', 6, 0)+struct.pack('<II', 5, 8)+struct.pack('<ii', 1, n//8)
    array += struct.pack('<HH', 1, 4)+b'pts\0'+struct.pack('<II', 9, n)
    body = [pack.compress(struct.pack('<II', 14, len(array)+n)+array)]
    body += [pack.compress(bytes(10**7)) for _ in range(n//10**7)]
    data = b''.join(body)+pack.flush()
    return head+struct.pack('<II', 15, len(data))+data

def hdf5_bomb(tmp, n=10**9):
    "HDF5 files of a kilobyte whose tables have `n` cells"
    import h5py
    for name in ('pandas','sleap','matlab'):
        file = tmp/'bomb.h5'
        with h5py.File(file, 'w', userblock_size=512 if name=='matlab' else 0) as f:
            many = dict(shape=(n//8,), dtype='f8', chunks=(10**5,), compression='gzip')
            if name=='pandas':
                g = f.create_group('df')
                g.attrs.update(pandas_type=b'frame', nblocks=1, axis0_nlevels=0, axis1_nlevels=0)
                for part in ('axis0','axis1','block0_values','block0_items'): g.create_dataset(part, **many)
            elif name=='sleap':
                for part in ('tracks','track_occupancy','node_names','track_names'): f.create_dataset(part, **many)
            else: f.create_dataset('pts', **many)
        if name=='matlab':
            with open(file, 'r+b') as f: f.write(b'MATLAB 7.3 MAT-file'.ljust(124)+struct.pack('<H', 0x0200)+b'IM')
        yield f'HDF5 of {name}',file.read_bytes(),'.mat' if name=='matlab' else '.h5'

def hostile_annotations(canary, tmp):
    "(label, bytes, suffix)"
    many = ''.join(f'<!ENTITY a{i} "{"&a%d;" % (i-1)*10}">' for i in range(1, 10))
    laughs = f'<!DOCTYPE a [<!ENTITY a0 "ha">{many}]><annotations><image id="0" name="&a9;"/></annotations>'
    reads = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>'
    yield 'XML that grows',laughs.encode(),'.xml'
    yield 'XML that reads a file',reads.encode(),'.xml'
    yield 'XML, deep',deep(100_000, '<a>', '</a>'),'.xml'
    yield 'JSON, deep',deep(100_000, '[', ']'),'.json'
    yield 'JSON, deep objects',b'{"images":'*100_000,'.json'
    yield 'COCO with 10^9 keypoints said',json.dumps(dict(images=[dict(id=1, file_name='00.png')], annotations=[
        dict(id=1, image_id=1, category_id=1, num_keypoints=10**9, keypoints=[1e308,math.inf,2]*3)],
        categories=[dict(id=1, keypoints=['a','b','c'])])).encode(),'.json'
    yield 'YAML that makes objects',f'!!python/object/apply:os.system ["touch {canary}"]'.encode(),'.yaml'
    grows = ''.join(f'a{i}: &a{i} [{",".join([f"*a{i-1}"]*10)}]\n' for i in range(1, 10))
    yield 'YAML that grows',f'a0: &a0 [x]\n{grows}kpt_shape: *a9\n'.encode(),'.yaml'
    yield 'YAML with 10^9 points',b'kpt_shape: [1000000000, 3]\npath: .\ntrain: .\nnames: [a]\n','.yaml'
    yield 'TPS of 10^9 points',b'LM=1000000000\n1 2\nIMAGE=00.png\n','.tps'
    yield 'pts of 10^9 points',b'version: 1\nn_points: 1000000000\n{\n1 2\n}\n','.pts'
    yield 'a table of numbers without end',b'image,a_x,a_y\n00.png,'+b'9'*10**6+b',1e999\n','.csv'
    columns = ','.join(['image']+[f'p{i}_{c}' for i in range(5000) for c in 'xy'])
    yield 'a table of 10,000 columns',f'{columns}\n'.encode(),'.csv'
    yield 'names that lead elsewhere',b'image,a_x,a_y\n/etc/passwd,1,2\n../../../../etc/passwd,1,2\n\0,1,2\n','.csv'
    yield 'a MATLAB bomb',mat_bomb(),'.mat'
    yield from hdf5_bomb(tmp)
    for suffix in ('.csv','.json','.xml','.h5','.mat','.pts','.tps','.txt','.yaml'):
        for label,data in foreign(canary):
            if suffix in ('.csv','.h5','.mat') or 'bomb' not in label: yield f'{label} as {suffix}',data,suffix

def png(w, h, data=b'', depth=8, colour=2):
    chunk = lambda name, body: struct.pack('>I', len(body))+name+body+struct.pack('>I', zlib.crc32(name+body))
    head = struct.pack('>IIBBBBB', w, h, depth, colour, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', head)+chunk(b'IDAT', data)+chunk(b'IEND', b'')

def hostile_images(canary):
    rows = zlib.compress(bytes((12_000*3+1)*12_000), 1)
    for side in (12_000, 30_000, 2**31-1): yield f'PNG of {side} pixels a side',png(side, side, rows),'.png'
    yield 'PNG of 1 × 10^9 pixels',png(1, 10**9, rows),'.png'
    yield 'PNG of 10^8 × 20 pixels',png(10**8, 20, rows),'.png'
    yield 'PNG without pixels',png(100, 100),'.png'
    yield 'deep PNG of 9,000 pixels a side',png(9000, 9000, zlib.compress(bytes((9000*2+1)*9000), 1), 16, 0),'.png'
    text = zlib.compress(bytes(10**8), 1)
    chunk = b'zTXt'+b'a\0\0'+text
    out = png(40, 40, zlib.compress(bytes(121*40)))
    text = struct.pack('>I', len(chunk)-4)+chunk+struct.pack('>I', zlib.crc32(chunk))
    yield 'PNG with a text of 100 MB',out[:33]+text+out[33:],'.png'
    head = 100, 0, 0, 54, 40, 10**9, 10**9, 1, 24, 0, 0, 1, 1, 0, 0
    yield 'BMP of 10^9 pixels a side',struct.pack('<2sIHHIIiiHHIIiiII', b'BM', *head),'.bmp'
    side = b'\xff'*4
    gif = b'GIF89a'+side+b'\x80\0\0'+bytes(6)+b',\0\0\0\0'+side+b'\0\x08\x02\0\0\0;'
    yield 'GIF of 65,535 pixels a side',gif,'.gif'
    yield 'PPM of 10^9 pixels a side',b'P6 1000000000 1000000000 255\n'+bytes(100),'.ppm'
    yield 'TIFF that is cut',b'II*\0\x08\0\0\0\xff\xff','.tif'
    for label,data in foreign(canary): yield f'{label} as an image',data,'.jpg'

def hostile_graphs(folder):
    "ONNX files that are made to harm"
    import onnx
    from onnx import TensorProto, helper
    def graph(node, *tensors):
        value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n'])
        g = helper.make_graph([node], 'g', [value('image')], [value('points')], tensors)
        return helper.make_model(g, opset_imports=[helper.make_opsetid('', 18)]).SerializeToString()
    add = helper.make_node('Add', ['image','w'], ['points'])
    for place in ('/etc/passwd', '../detector.safetensors', '/dev/zero'):
        w = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
        for key,value in dict(location=place, offset='0', length='32').items():
            w.external_data.add(key=key, value=value)
        yield f'weights in {place}',graph(add, w)
    w = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[2**31,2**31], raw_data=bytes(32))
    yield 'weights of 2^62 numbers',graph(add, w)
    yield 'an operator that nobody knows',graph(helper.make_node('Run', ['image'], ['points'], domain='os.system'))
    yield 'a graph that is no detector',graph(helper.make_node('Relu', ['image'], ['points']))
    model = onnx.load(folder/'detector.onnx')
    meta = {o.key:o for o in model.metadata_props}['fse_nb']
    good = meta.value
    for label,value in (('no record','[]'), ('deep','['*100_000), ('without geometry','{"colors": []}')):
        meta.value = value
        yield f'a description that is {label}',model.SerializeToString()
    meta.value = good
    for label,value in (('NaN',math.nan), ('infinite',math.inf)):
        changed = onnx.load(folder/'detector.onnx')
        w = next(o for o in changed.graph.initializer if o.data_type==TensorProto.FLOAT and len(o.raw_data)>100)
        w.raw_data = struct.pack('<f', value)*(len(w.raw_data)//4)
        yield f'weights that are {label}',changed.SerializeToString()

def hostile_archives(photo):
    "tar files that are made to harm"
    def tar(*members):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode='w', format=tarfile.GNU_FORMAT) as t:
            for name,changes in members:
                m = tarfile.TarInfo(name)
                m.size = len(photo)
                for k,v in changes.items(): setattr(m, k, v)
                t.addfile(m, io.BytesIO(photo) if m.isreg() else None)
        return out.getvalue()
    for name in ('/etc/passwd.png', '../../../etc/passwd.png', 'a/../../b.png', 'x'*5000+'.png', '\n.png', '.png'):
        yield f'a member {name[:30]!r}',tar((name,{}))
    for kind,to in ((tarfile.SYMTYPE,'/etc/passwd'), (tarfile.LNKTYPE,'../../etc/passwd'), (tarfile.FIFOTYPE,''),
                    (tarfile.CHRTYPE,'')):
        yield f'a member of type {kind}',tar(('a.png',dict(type=kind, linkname=to, size=0)), ('b.png',{}))
    one = tar(('a.png',{}))
    for size in (b'77777777777\0', b'\x80'+b'\xff'*11, b'\xff'*12, b'-0000000001\0', b'x'*12):
        head = bytearray(one[:512])
        head[124:136] = size
        head[148:156] = b'%06o\0 '%(sum(head[:148])+8*32+sum(head[156:]))
        yield f'a size of {size}',bytes(head)+one[512:]
    yield 'two members of one name',tar(('a.png',{}), ('a.png',{}))
    yield '20,000 members',tar(*((f'{i}.txt',dict(size=0)) for i in range(20_000)))

def hostile_lists(self_):
    "Lists of paths"
    yield 'itself',f'{self_}\n'.encode()
    for path in ('/etc/passwd', '/dev/zero', '/dev/zero/a.png', '..', '/', '\0', '00.png\0', '*'*10_000, 'x'*10**6):
        yield f'{path[:20]!r}',f'{path}\n'.encode()
    yield '100,000 lines',b'00.png\n'*10**5

def hostile_boxes():
    "Boxes of objects"
    head = 'image,x,y,w,h\n'
    for box in ('nan,0,9,9', '0,0,inf,9', '0,0,-5,9', '0,0,0,0', '1e300,0,9,9', '-1e9,-1e9,2e9,2e9', '0,0,1e-300,1',
                'a,b,c,d', '0,0', '0,0,9,9,9,9'):
        yield f'a box {box}',f'{head}00.png,{box}\n'.encode(),'.csv'
    yield 'no columns',b'a,b\n1,2\n','.csv'
    yield 'deep',b'['*100_000,'.json'
    yield 'COCO with odd boxes',json.dumps(dict(images=[dict(id=1, file_name='00.png')], categories=[], annotations=[
        dict(id=1, image_id=1, category_id=1, bbox=[math.nan,10**400,'x',None])])).encode(),'.json'

class Files:
    "Hostile files one after the other, each as the command meets it"
    def __init__(self, tmp, n, seed=0):
        self.tmp,self.canary,self.rng = tmp,tmp/'CODE RAN',random.Random(seed)
        self.counts,self.faults,self.peaks,self.answers = Counter(),[],{},Counter()
        self.photos = tmp/'photos'
        self.n_damaged = max(0, n-280)//5//4*4 # of each kind; those that are made to harm are as many as they are
        self.faces = draw_photos(self.photos)
        self.detector = save_toy_detector(tmp/'detector.safetensors')

    def baseline(self, kind, work):
        "The memory that a good file needs"
        r = run(work, self.tmp)
        expect(r.code==0, f'the good {kind} fails: {r.said[-1500:]}')
        self.peaks[kind] = [r.peak,0.,'']

    def meet(self, kind, label, work, name, may_work=False, check=None):
        "Call the command; `name` is in its sentence. `may_work`: nobody may be able to see what was changed"
        r = run(work, self.tmp, seconds=60)
        self.counts[kind] += 1
        above = r.peak-self.peaks[kind][0]
        if above>self.peaks[kind][1]: self.peaks[kind][1:] = [round(above, 1),label]
        try:
            expect('CODE RAN' not in r.said and not self.canary.exists(), 'code of the file ran')
            expect(r.code!=-signal.SIGKILL or r.seconds<60, 'no answer within a minute')
            expect(above<MOST_MB[kind], f'{above:.0f} MB above a good file')
            if r.code==0 and may_work:
                if check: check()
                self.answers['taken'] += 1
            else:
                expect_sentence(r, name)
                self.answers['a sentence'] += 1
        except Fault as e:
            self.canary.unlink(missing_ok=True)
            self.faults.append(f'{kind}, {label}: {e}')

    def detectors(self):
        good,file = self.detector.read_bytes(),self.tmp/'bad.safetensors'
        work = lambda model: lambda: fse_detect(str(self.photos), model=str(model), csv=str(self.tmp/'found.csv'))
        self.baseline('detector', work(self.detector))
        self.each_tensors('detector', good, file, lambda: work(file))
        with open(file, 'wb') as f: f.truncate(10**11)
        self.meet('detector', 'a hole of 100 GB', work(file), 'bad.safetensors')
        file.unlink()
        os.symlink('/dev/zero', file)
        self.meet('detector', 'a device without end', work(file), 'bad.safetensors')
        file.unlink()

    def engines(self):
        "ONNX graphs as detectors"
        if not (find_spec('onnxruntime') and find_spec('onnxscript')): return print('     not tried: no ONNX here')
        graph,file = self.tmp/'detector.onnx',self.tmp/'graphs'/'bad.onnx'
        file.parent.mkdir()
        r = run(lambda: to_onnx(load_detector(self.detector), graph), self.tmp)
        expect(r.code==0, r.said)
        work = lambda model: lambda: fse_detect(str(self.photos), model=str(model), csv=str(self.tmp/'found.csv'))
        self.baseline('engine', work(graph))
        good = graph.read_bytes()
        bad = [*foreign(self.canary),*hostile_graphs(self.tmp)]
        versions = list(damaged(good, self.rng, self.n_damaged//2))
        for label,data in bad+versions:
            file.write_bytes(data)
            self.meet('engine', label, work(file), file.name, may_work=label.startswith(('changed','swapped')))

    def archives(self):
        "tar archives of images"
        file = self.tmp/'bad.tar'
        with tarfile.open(file, 'w') as t:
            for f in sorted(self.photos.glob('*.png'))[:5]: t.add(f, f.name)
        good = file.read_bytes()
        work = lambda: fse_detect(str(file), model=str(self.detector), csv=str(self.tmp/'found.csv'))
        self.baseline('archive', work)
        bad = [*foreign(self.canary),*hostile_archives((self.photos/'00.png').read_bytes()),
               *damaged(good, self.rng, self.n_damaged//2)]
        for label,data in bad:
            file.write_bytes(data)
            self.meet('archive', label, work, file.name, may_work=True)

    def lists(self):
        "Lists of images"
        file = self.photos/'bad.txt'
        work = lambda: fse_detect(str(file), model=str(self.detector), csv=str(self.tmp/'found.csv'))
        file.write_text('00.png\n01.png\n')
        self.baseline('list', work)
        for label,data in (*foreign(self.canary),*hostile_lists(file)):
            file.write_bytes(data)
            self.meet('list', label, work, '', may_work=True) # the sentence may name what stands in the list
        file.unlink()

    def boxes(self):
        "Boxes of the objects in images"
        work = lambda file: lambda: fse_detect(str(self.photos), model='digits-3', boxes=str(file),
                                               csv=str(self.tmp/'found.csv'))
        file = self.photos/'bad.csv'
        file.write_text('image,x,y,w,h\n00.png,2,2,20,20\n')
        self.baseline('boxes', work(file))
        bad = [(label,data,'.csv') for label,data in foreign(self.canary)]
        for label,data,suffix in (*bad,*hostile_boxes()):
            file = self.photos/f'bad{suffix}'
            file.write_bytes(data)
            self.meet('boxes', label, work(file), file.name, may_work=True)
            file.unlink()

    def each_tensors(self, kind, good, file, work):
        for label,data in (*hostile_tensors(good), *foreign(self.canary)):
            file.write_bytes(data)
            self.meet(kind, label, work(), file.name, may_work=label.endswith('[]'))
        for label,data in damaged(good, self.rng, self.n_damaged):
            file.write_bytes(data)
            self.meet(kind, label, work(), file.name, may_work=data==good or not label.startswith(('cut','inserted')))

    def checkpoints(self):
        out = self.tmp/'out'
        def work():
            (self.tmp/'out'/'run.json').write_bytes(record)
            return training(self.photos, out, resume=True)
        r = run(training(self.photos, out, epochs=1), self.tmp)
        expect(r.code==0, r.said)
        file = out/'checkpoint.safetensors'
        good,record = file.read_bytes(),(out/'run.json').read_bytes()
        self.baseline('checkpoint', work())
        self.each_tensors('checkpoint', good, file, work)
        meta = parts_of(good)[0]['__metadata__']['fse_nb']
        for key in json.loads(meta): # a part that is missing, or something else
            for value in (None, [], 'x', -1, 1e300):
                changed = {**json.loads(meta), key:value}
                header,rest = parts_of(good)
                file.write_bytes(joined({**header, '__metadata__':dict(fse_nb=json.dumps(changed))}, rest))
                free = key in ('train_iter','pct_train')
                self.meet('checkpoint', f'{key} is {value}', work(), file.name, may_work=free)
        file.write_bytes(good)
        for label,data in [('empty',b''), ('deep',b'['*10**5), ('zeros',bytes(100)), *damaged(record, self.rng, 12)]:
            def resume():
                work()
                (out/'run.json').write_bytes(data)
                training(self.photos, out, resume=True)()
            self.meet('checkpoint', f'run.json {label}', resume, 'out', may_work=True)

    def caches(self):
        g,cache = Geometry.of_size(20),self.tmp/'cache'/'c.npy'
        work = lambda: np.save(self.tmp/'got.npy', np.asarray(g.decode(self.photos, cache=cache).images))
        self.baseline('cache', work)
        npy,npz,want = cache.read_bytes(),cache.with_suffix('.npz').read_bytes(),np.load(self.tmp/'got.npy')
        with np.load(cache.with_suffix('.npz')) as z: log = dict(z)
        def check():
            expect(np.array_equal(np.load(self.tmp/'got.npy'), want), 'other squares than the images have')
        bad = [(label,a,b) for label,a,b in hostile_caches(self.canary, log, len(want))]
        bad += [(f'log {label}',None,data) for label,data in damaged(npz, self.rng, self.n_damaged//2)]
        heads = damaged(npy[:128], self.rng, self.n_damaged//2)
        bad += [(f'array {label}',data+npy[128:],None) for label,data in heads]
        for label,a,b in bad:
            for file,data in ((cache,npy if a is None else a),(cache.with_suffix('.npz'),npz if b is None else b)):
                file.write_bytes(data)
            self.meet('cache', label, work, 'c.npy', may_work=True, check=check)

    def regressors(self):
        torch.manual_seed(1)
        file = self.tmp/'r.safetensors'
        LinearRegressor(torch.randn(4,6), torch.zeros(4), ['a','b'], None).save(file)
        def work():
            fse_regress(model=str(self.detector), regressor=str(file), images=str(self.photos), out=str(self.tmp/'reg'),
                        to='csv')
        self.baseline('regressor', work)
        self.each_tensors('regressor', file.read_bytes(), file, lambda: work)

    def annotations(self):
        file_of = lambda suffix: self.photos/f'labels{suffix}'
        def work(file):
            def opened():
                with one_sentence('fse_regress'):
                    s = fse_nb.points.open_labels(str(file))
                    Geometry.of_size(20).decode(s)
            return opened
        files = sorted(self.photos.glob('*.png'))
        s = LandmarkSet(files, self.faces.points, self.faces.names)
        kinds = [(name,f.suffixes[0]) for name,f in FORMATS.items() if f.write and '' not in f.suffixes]
        write_annotations(s, file_of('.csv'), 'csv')
        self.baseline('annotation', work(file_of('.csv')))
        bad = list(hostile_annotations(self.canary, self.tmp))
        for name,suffix in kinds:
            write_annotations(s, file_of(suffix), name)
            good = file_of(suffix).read_bytes()
            versions = damaged(good, self.rng, max(4, self.n_damaged//len(kinds)))
            bad += [(f'{name} {label}',data,suffix) for label,data in versions]
            file_of(suffix).unlink()
        for label,data,suffix in bad:
            file = file_of(suffix)
            file.write_bytes(data)
            self.meet('annotation', label, work(file), file.name, may_work=True)
            file.unlink()

    def images(self):
        folder = self.tmp/'mixed'
        folder.mkdir()
        shutil.copy(self.photos/'00.png', folder/'good.png')
        work = lambda: fse_detect(str(folder), model=str(self.detector), csv=str(self.tmp/'found.csv'))
        self.baseline('image', work)
        bad = list(hostile_images(self.canary))
        good = io.BytesIO()
        Image.fromarray(self.faces.images[0]).save(good, 'JPEG')
        bad += [(f'JPEG {label}',data,'.jpg') for label,data in damaged(good.getvalue(), self.rng, self.n_damaged)]
        for label,data,suffix in bad:
            file = folder/f'bad{suffix}'
            file.write_bytes(data)
            self.meet('image', label, work, file.name, may_work=True)
            file.unlink()

KINDS = ('detectors','engines','checkpoints','caches','regressors','annotations','archives','lists','boxes','images')

def test_files(n=500, only=None):
    "Damaged and hostile files: a sentence that names them, no code, no memory"
    with scratch() as tmp:
        files = Files(tmp, n)
        for kind in only or KINDS:
            before,began = len(files.faults),time.time()
            getattr(files, kind)()
            print(f'     {kind}: {len(files.faults)-before} faults, {time.time()-began:.0f} s', flush=True)
    for o in files.faults: print('    ', o)
    expect(not files.faults, f'{len(files.faults)} of {sum(files.counts.values())} files are not met well')
    memory = {k:dict(good_mb=round(a), most_mb_above=b, by=label) for k,(a,b,label) in files.peaks.items()}
    return dict(files=dict(files.counts), all=sum(files.counts.values()), answers=dict(files.answers), memory=memory,
                limit_mb_above=MOST_MB)

def test_sources():
    "No line of the package unpickles, or runs a text"
    loads = r'(?<![\w.])(?:c?pickle|dill|joblib|marshal|shelve|cloudpickle)\.(?:loads?|Unpickler|open)\b'
    others = r'torch\.load\b|allow_pickle\s*=\s*True|read_pickle|read_hdf\b|load_learner|yaml\.(?:unsafe_|full_)?load\('
    bad = []
    for f in sorted((ROOT/'fse_nb').glob('*.py')):
        for i,line in enumerate(f.read_text(encoding='utf-8').splitlines(), 1):
            runs = re.search(rf'{loads}|{others}|(?<![\w.])(?:eval|exec)\(', line)
            unsafe = 'np.load(' in line and 'allow_pickle=False' not in line
            if runs or unsafe: bad.append(f'{f.name}:{i} {line.strip()}')
    expect(not bad, '\n'.join(bad))
    return dict(files=len(list((ROOT/'fse_nb').glob('*.py'))))

# ---- labels

LABELLED = 'a','b','c'

class Labelling:
    "What `fse_label` keeps, in a folder with a few images and a small detector; the page's part is played here"
    def __init__(self, tmp):
        self.tmp,self.photos,self.detector = tmp,tmp/'photos',tmp/'d.safetensors'
        self.n = len(draw_photos(self.photos))
        save_toy_detector(self.detector)

    def session(self, out, **more):
        return LabelSession(self.photos, list(LABELLED), self.detector, out, **more)

    def point(self, k): return [[k%29+.25,k%31],None,[k%7,.5]],[2,0,1]

    def work(self, out, n=3, first=0, **more):
        "Open the folder, say something of `n` images as the page does, and close; each answer that came is a line"
        def label():
            with one_sentence('fse_label'), self.session(out, **more) as session:
                for k in range(first, first+n):
                    points,visible = self.point(k)
                    answer = session.answer('change', k%self.n, points=points, visible=visible, done=True)
                    if 'error' in answer: raise OSError(answer['error'])
                    print('kept', k, flush=True)
                    if k%5==4: session.tidy()
        return label

    def kept(self, out, said):
        "How many changes a folder has; nothing that was said to be kept is missing, and no more than one came after it"
        n_said = len(re.findall(r'^kept \d+$', said, re.M))
        with self.session(out) as session:
            records = [o for o in session.journal.records if 'image' in o]
            for k,o in enumerate(records): expect((o['points'],o['visible'])==self.point(k), f'change {k} is another')
            table = read_annotations(out/'labels.csv') if (out/'labels.csv').exists() else ()
            expect(len(session.labelled)==min(len(records), self.n), 'labels are missing')
        expect(n_said<=len(records)<=n_said+1, f'{n_said} changes were said to be kept, {len(records)} are')
        expect(len(table)<=self.n, 'the table is damaged')
        return len(records)

def hostile_journals(good):
    "Files in place of labels.jsonl that are made to harm"
    lines = good.decode().splitlines()
    record = next(json.loads(o) for o in lines if '"image"' in o)
    for key,values in dict(image=(5,None,['x'],'\0','/etc/passwd','../'*2000,{}), points=(5,None,'x',[[1]],[[1,2]]*9,
            [[1e308,math.nan,3]]*3,[['a','b']]*3,[[1e9,1]]*3), visible=(None,'x',[9]*3,[1e300]*3,[2]*10**6,[[2]]*3),
            done=([],'x'), kind=(5,None,[],{},'undo','redo','x')).items():
        for value in values:
            yield f'{key} is {str(value)[:20]}',f'{lines[0]}\n{json.dumps({**record, key:value})}\n'.encode()
    for names in (5, None, {}, [[]], [5]*3, ['x']*3, []):
        yield f'names are {names}',(json.dumps(dict(names=names))+'\n').encode()
    for curve in (5, {}, dict(n='x', error=1, mean_shape=1), dict(n=3, error=None, mean_shape=[]), dict(n=1e999)):
        yield f'curve is {curve}',f'{lines[0]}\n{json.dumps(dict(curve=curve))}\n'.encode()
    yield 'deep',b'['*10**5+b'\n'+good
    yield 'no text',good+b'\xff\xfe\n'
    yield 'no end of line',b'x'*10**7

def test_labels(n=10, files=40, seed=0):
    "The annotator's files: kill -9, a full and a read-only disk, damaged and hostile journals and annotation"
    rng,numbers,bad = random.Random(seed),Counter(),[]
    with scratch() as tmp:
        labelling,log,canary = Labelling(tmp),tmp/'said.txt',tmp/'CODE RAN'
        while numbers['killed']<n:
            out,began = tmp/'killed',time.time()
            pid = started(labelling.work(out, 10**6), log)
            while (not log.exists() or 'kept' not in log.read_text()) and time.time()<began+60: time.sleep(.001)
            time.sleep(rng.uniform(0, .2))
            os.kill(pid, signal.SIGKILL)
            numbers['changes before the kills'] += labelling.kept(out, ended(pid, log, began).said)
            numbers['killed'] += 1
            shutil.rmtree(out)
            log.unlink()
        numbers['disks'] = labels_on_bad_disks(labelling)
        run_one(labelling.work(tmp/'good'), tmp)
        good = (tmp/'good'/'labels.jsonl').read_bytes()
        (tmp/'out').mkdir()
        journals = [*hostile_journals(good), *damaged(good, rng, files), *foreign(canary)]
        for label,data in journals:
            (tmp/'out'/'labels.jsonl').write_bytes(data)
            bad += met(labelling.work(tmp/'out', 0), tmp, '/out', f'journal, {label}', canary, numbers)
        shutil.rmtree(tmp/'out')
        for label,data,suffix in hostile_annotations(canary, tmp):
            file = tmp/f'given{suffix}'
            file.write_bytes(data)
            work = labelling.work(tmp/'out', 0, labels=str(file))
            bad += met(work, tmp, file.name, f'annotation, {label}', canary, numbers)
            shutil.rmtree(tmp/'out', ignore_errors=True)
            file.unlink()
    expect(not bad, '\n     '.join([f'{len(bad)} files are not met well', *bad]))
    return dict(numbers)

def run_one(work, tmp):
    r = run(work, tmp)
    expect(r.code==0, r.said)

def met(work, tmp, name, label, canary, numbers):
    "Call a command that meets a hostile file: what is wrong, or nothing"
    r = run(work, tmp, seconds=60)
    try:
        expect('CODE RAN' not in r.said and not canary.exists(), 'code of the file ran')
        if r.code!=0: expect_sentence(r, name)
        numbers['files taken' if r.code==0 else 'files refused with a sentence'] += 1
        return []
    except Fault as e: return [f'{label}: {e}']

def labels_on_bad_disks(labelling):
    "What does not fit is said not to be kept, the rest is there, and labelling goes on once there is room"
    tmp,done = labelling.tmp,['file size limited: goes on']
    out = tmp/'limited'
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000,5000))
        labelling.work(out, 10**6)()
    r = run(limited, tmp)
    expect_sentence(r, 'labels.jsonl', 'the last change is not saved')
    k = labelling.kept(out, r.said)
    run_one(labelling.work(out, 5, first=k), tmp)
    with small_disk(tmp/'disk', '1m') as disk:
        if disk is None: return done
        out = disk/'labels'
        run_one(labelling.work(out, 4), tmp)
        fill(disk/'filler')
        r = run(labelling.work(out, 10**6, first=4), tmp)
        expect_sentence(r, 'labels', 'No space left')
        (disk/'filler').unlink()
        k = labelling.kept(out, 'kept 0\n'*4+r.said)
        run_one(labelling.work(out, 5, first=k), tmp)
        remount(disk, 'ro')
        for folder in (out, disk/'new'): expect_sentence(run(labelling.work(folder), tmp), 'disk')
        remount(disk, 'rw')
    return [*done, 'disk full: goes on', 'read-only disk: refused']

# ---- all of it

PARTS = 'sources','lock','folder','disk','kill','files','labels'

def record(began, numbers):
    "results/faults.json, in which parts that were not tried this time stay as they were"
    file = ROOT/'results'/'faults.json'
    before = json.loads(file.read_text())['numbers'] if file.exists() else {}
    said = dict(command=began['command'], commit=began['commit'])
    return write_record(file, began, **before|{part:o|said for part,o in numbers.items()})

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('parts', nargs='*', help=', '.join(PARTS))
    p.add_argument('--kills', type=int, default=50)
    p.add_argument('--files', type=int, default=500)
    p.add_argument('--only', nargs='*', help='kinds of files, such as detectors caches')
    p.add_argument('--record', action='store_true', help='write results/faults.json')
    args = p.parse_args()
    torch.set_num_threads(1)
    began,numbers,failed = origin(),{},[]
    for part in args.parts or PARTS:
        options = dict(kill=dict(n=args.kills), labels=dict(n=args.kills),
                       files=dict(n=args.files, only=args.only)).get(part, {})
        start = time.time()
        try:
            numbers[part] = globals()[f'test_{part}'](**options)
            print('ok  ', part, f'{time.time()-start:.0f} s', json.dumps(numbers[part]), flush=True)
        except Exception as e:
            failed.append(part)
            print('FAIL', part, e if isinstance(e, Fault) else traceback.format_exc(), flush=True)
    print(f'{len(failed)} failed' if failed else 'all passed')
    if args.record and not failed: print(record(began, numbers))
    sys.exit(bool(failed))

if __name__=='__main__': main()
