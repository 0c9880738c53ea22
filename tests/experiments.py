"""Every script of experiments/ for a few seconds on drawn faces, and the records that they write.

    python tests/experiments.py [NAME …]      default: all
    pytest tests/experiments.py

Needs no data set and no network. Each script runs as a user calls it, with `--smoke`, into a folder of its own."""
import json, math, os, re, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT/'experiments'

#: script → records that its smoke test writes, and what their numbers hold at least
RECORDS = dict(
    recipes={'recipe_toy_unet_k4_s0':('config','curve','chain','pairs','core_seconds','chain_core_seconds','tests'),
             'points_toy_unet_k4_s0':None},
    evaluate={'eval_faces-10_toy':('error','error_warped','error_own_halves','mean_shape','oracle_affine','backward',
                                   'per_point','few_shot','few_shot_paper','few_shot_follow','ratio_to_all'),
              'eval_frozen_faces-10_toy':('error','channels'), 'eval_supervised_small_toy':('runs','mean_shape'),
              'eval_fewshot_methods':('percent','all_labels')},
    categories={'category_faces-10':('rotations','warps','inside','nearest','cfp')},
    confidence={'eval_confidence_faces-10':('annotated','coverage','error','within')},
    distil={'distil_faces-10':('before','after','config','curve','chain','pairs','core_seconds','tests'),
            'points_distil_faces-10':None},
    repeat={'recipe_annealed_unet_k10_s1':('config','curve','tests'), 'points_annealed_unet_k10_s1':None,
            'distil_faces_k10':('before','after','chain','tests'), 'points_distil_faces_k10':None},
    finetune={'finetune_faces-10_toy':('before','after','config','curve','core_seconds')},
    parsing={'parsing_faces-10-dilated':('config','classes','runs'),
             'parsing_probe_faces-10-dilated':('rows','classes')},
    yaleb={'yaleb_faces-10-dilated_both_s0':('aligned','moved','static_moved','config'),
           'yaleb_faces-10-dilated_scales':('rows',)},
    find={'find':('detectors',)},
    rounds={'rounds':('rows',)},
    annotate={'annotate':('config','faces-10_toy')},
    ship={},
    ranking={'ranking':('rows','rank_correlation')},
    temperature={'temperature':('rows',)},
    gpu={'gpu_device':('notebooks','failed'), 'gpu_speed':('rows','size','arch'),
         'gpu_ours_k10':('curve','config','tests','pairs'), 'gpu_paper_k10':('curve','config','tests','pairs')})

def run(name, out, *args):
    "Call a script as a user does; returns what it said"
    env = {k:v for k,v in os.environ.items() if k!='FSE_DATA'}|dict(OMP_NUM_THREADS='1')
    command = [sys.executable, str(FOLDER/f'{name}.py'), '--smoke', '--out', str(out), *args]
    r = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert r.returncode==0, f'{name}.py failed:\n{r.stdout[-1000:]}\n{r.stderr[-3000:]}'
    return r.stdout

def numbers_of(o):
    "All numbers in a record"
    if isinstance(o, dict): o = list(o.values())
    if isinstance(o, list): return [n for v in o for n in numbers_of(v)]
    return [o] if isinstance(o, (int,float)) and not isinstance(o, bool) else []

def texts_of(o):
    if isinstance(o, dict): o = [*o,*o.values()]
    if isinstance(o, list): return [t for v in o for t in texts_of(v)]
    return [o] if isinstance(o, str) else []

def check(file, keys):
    "A record says where it comes from, holds what it should, no NaN, and no place on this machine"
    d = json.loads(file.read_text())
    bad = [n for n in numbers_of(d) if not math.isfinite(n)]
    assert not bad, f'{file.name} holds {bad[:3]}'
    paths = [t for t in texts_of(d) if re.search(r'(^|[\s="\'])/\w', t)]
    assert not paths, f'{file.name} names a place on this machine: {paths[:3]}'
    if keys is None: return
    unsaid = {'command','commit','machine','versions','numbers'}-set(d)
    assert not unsaid, f'{file.name} does not say {unsaid}'
    assert d['command'].startswith('python experiments/'), d['command']
    missing = [k for k in keys if k not in d['numbers']]
    assert not missing, f'{file.name} has no {missing}'

def check_recipes(out):
    "A run that is interrupted ends as one that is not"
    file = 'results/recipe_toy_unet_k4_s0.json'
    with tempfile.TemporaryDirectory() as other:
        run('recipes', other, '--stop', '1')
        run('recipes', other)
        broken = json.loads((Path(other)/file).read_text())['numbers']
    whole = json.loads((out/file).read_text())['numbers']
    no_time = lambda rows: [{k:v for k,v in r.items() if 'seconds' not in k} for r in rows]
    assert no_time(broken['curve'])==no_time(whole['curve']), 'the resumed run took another way'
    assert len(whole['calls'])==1 and len(broken['calls'])==2

def check_finetune(out):
    "Distilled in place of trained: as many pairs as were asked for, in rounds, and the record says so"
    with tempfile.TemporaryDirectory() as other:
        run('finetune', other, '--distil', '2')
        distilled = json.loads((Path(other)/'results/finetune_faces-10_toy.json').read_text())['numbers']
    trained = json.loads((out/'results/finetune_faces-10_toy.json').read_text())['numbers']
    assert (trained['config']['distil_rounds'],distilled['config']['distil_rounds'])==(0,2)
    assert trained['pairs']==distilled['pairs']==16 and [len(d['curve']) for d in (trained,distilled)]==[1,2]
    assert trained['before']==distilled['before'] and trained['after']!=distilled['after']

def check_repeat(out):
    "Each run starts from the one before it, with the commands of the records, and the detector ends with the chain"
    from fse_nb.export import load_detector
    run = load_detector(out/'weights/faces-10.safetensors').run
    assert [o['record'] for o in run['chain']]==['recipe_annealed_unet_k10_s1'], run['chain']
    assert run['record']=='results/distil_faces_k10.json' and run['data'].startswith('drawn faces')
    command = [sys.executable, str(FOLDER/'repeat.py'), 'faces-30', '--seed', '7', '--list']
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said)==3 and all('--seed 7' in line for line in said), said
    assert 'annealed_unet_k10_s7.safetensors' in said[1] and 'annealed_unet_k30_of_s7.safetensors' in said[2], said

def check_ship(out):
    from fse_nb.export import load_detector
    m = load_detector(out/'runs/toy-10.safetensors')
    assert m.run['name']=='toy-10' and m.confidence is not None and 'constellation' in m.run
    assert (out/'runs/toy-10.md').read_text().count('drawn faces')

def check_tables(out):
    "The page of results reads what the scripts write"
    from fse_nb.results import error_rows, read_record
    rows = error_rows({f.stem:read_record(f) for f in (out/'results').glob('*.json')})
    assert all(0<r['error']<100 for r in rows)
    return rows

def smoke(name):
    "One script and its records; returns the seconds that it took"
    began = time.time()
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp)
        run(name, out)
        found = {f.stem for f in (out/'results').glob('*.json')}
        assert found==set(RECORDS[name]), f'{name}.py wrote {sorted(found)}, not {sorted(RECORDS[name])}'
        for record,keys in RECORDS[name].items(): check(out/'results'/f'{record}.json', keys)
        took = time.time()-began
        rows = check_tables(out)
        assert rows or name not in ('evaluate','recipes','finetune'), f'no error in what {name}.py wrote'
        own = globals().get(f'check_{name}')
        if own: own(out)
    return took

def check_sources():
    "Every script is tested here, has a --help that says how to call it, and takes no private name of the package"
    scripts = {f.stem for f in FOLDER.glob('*.py')}-{'common'}
    assert scripts==set(RECORDS), f'not in this test: {sorted(scripts^set(RECORDS))}'
    for f in FOLDER.glob('*.py'):
        source = f.read_text()
        private = re.findall(r'^\s*from fse_nb[\w.]* import .*\b_\w+', source, re.M)
        assert not private, f'{f.name} takes a private name: {private}'
        if f.stem!='common': assert f'python experiments/{f.name}' in source, f'{f.name} does not say how to call it'
    for name in sorted(scripts):
        command = [sys.executable, str(FOLDER/f'{name}.py'), '--help']
        r = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert r.returncode==0 and '--smoke' in r.stdout and '--out' in r.stdout, f'{name}.py --help: {r.stderr[-500:]}'

def test_sources(): check_sources()
def test_recipes(): smoke('recipes')
def test_evaluate(): smoke('evaluate')
def test_categories(): smoke('categories')
def test_confidence(): smoke('confidence')
def test_distil(): smoke('distil')
def test_repeat(): smoke('repeat')
def test_finetune(): smoke('finetune')
def test_parsing(): smoke('parsing')
def test_yaleb(): smoke('yaleb')
def test_find(): smoke('find')
def test_rounds(): smoke('rounds')
def test_annotate(): smoke('annotate')
def test_ship(): smoke('ship')
def test_ranking(): smoke('ranking')
def test_temperature(): smoke('temperature')
def test_gpu(): smoke('gpu')

def outcome(name):
    "One line about one script, and whether it passed"
    try:
        took = check_sources() if name=='sources' else smoke(name)
        return f'ok   {name}' + ('' if took is None else f' {took:.0f} s'), True
    except Exception as e: return f'FAIL {name} {type(e).__name__}: {e}', False

def main():
    with ThreadPoolExecutor(os.cpu_count()) as pool: # each thread waits for processes of its own
        waiting = [pool.submit(outcome, name) for name in sys.argv[1:] or ['sources',*RECORDS]]
        passed = []
        for job in as_completed(waiting):
            line,good = job.result()
            print(line, flush=True)
            passed.append(good)
    failed = passed.count(False)
    print(f'{failed} failed' if failed else 'all passed')
    sys.exit(bool(failed))

if __name__=='__main__': main()
